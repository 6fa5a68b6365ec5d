"""Files that change, vanish or are replaced under the eyes of the reader, or are not wanted any more."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jsp.transfer import frames
from jsp.transfer.chunks import CHUNK, SIZE_MAX
from jsp.transfer.reading import Outgoing, Reader
from jsp.transfer.report import Problem
from jsp.transfer.tree import Node, Tree, open_directory
from tests.transfer.ends import SmallDisk
from tests.transfer.peers import without_rights
from tests.transfer.reads import assembled, data_chunks, joined, kinds, noise, outgoing, parsed, read_all
from tests.transfer.trees import TIME, write

pytestmark = pytest.mark.usefixtures("all_closed")

CHANGES = "it changes while it is read"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(Tree(open_directory(str(tmp_path))), False)
    yield reader
    reader.close()


def read_once(reader: Reader, file: Outgoing) -> list[bytes]:
    """The frames of the first batch, which must not be the last."""
    batch = reader.read(deque([file]))
    assert not batch.settled
    return batch.frames


# --- since the walk ----------------------------------------------------------------------------------------------


def _gone(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    path.rename(path.parent / "secret")
    path.symlink_to("secret")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("size", [10, 2 * CHUNK])
@pytest.mark.parametrize(
    ("replace", "text"),
    [
        (_gone, "No such file or directory"),
        (_link, "Too many levels of symbolic links"),
        (_pipe, "it is no regular file any more"),
        (_directory, "it is no regular file any more"),
    ],
)
def test_what_was_replaced_after_the_walk_is_passed_over(
    tmp_path: Path, reader: Reader, size: int, replace: Callable[[Path], None], text: str
) -> None:
    first, second = outgoing(write(tmp_path / "1", noise(size)), 1), outgoing(write(tmp_path / "2", "x"), 2)
    replace(tmp_path / "1")
    batch = read_all(reader, first, second)
    assert kinds(batch) == [frames.PASS, frames.WHOLE]
    assert parsed(batch)[0] == (frames.PASS, 1)
    assert batch.problems == [Problem(b"1", text)]
    assert (batch.settled, first.failed, second.failed, batch.sent) == ([first, second], True, False, 1)


def test_a_directory_replaced_by_a_link_is_not_followed(tmp_path: Path, reader: Reader) -> None:
    write(tmp_path / "outside" / "file", "secret")
    file = outgoing(write(tmp_path / "dir" / "file", "x"), node=Node(Node(), b"dir"))
    (tmp_path / "dir").rename(tmp_path / "moved")
    (tmp_path / "dir").symlink_to("outside")
    batch = read_all(reader, file)
    assert (kinds(batch), batch.problems) == ([frames.PASS], [Problem(b"dir/file", "Not a directory")])


def test_a_file_that_may_not_be_read_is_passed_over(tmp_path: Path, reader: Reader) -> None:
    files = [outgoing(write(tmp_path / name, "x", mode), i) for i, (name, mode) in enumerate((("1", 0), ("2", 0o444)))]
    tmp_path.chmod(0o755)
    with without_rights():
        batch = read_all(reader, *files)
    assert kinds(batch) == [frames.PASS, frames.WHOLE]
    assert batch.problems == [Problem(b"1", "Permission denied")]


def test_a_file_that_changed_size_since_the_walk_is_sent_as_it_is(tmp_path: Path, reader: Reader) -> None:
    for before, after in ((5, 10), (10, 5), (10, 0), (5, CHUNK), (2 * CHUNK, 3 * CHUNK), (3 * CHUNK, 10)):
        file = outgoing(write(tmp_path / "file", noise(before)))
        write(tmp_path / "file", noise(after, 2))
        batch = read_all(reader, file)
        assert (batch.sent, batch.grown, batch.problems) == (after, after - before, [])


def test_a_small_file_that_grew_large_comes_chunk_by_chunk(tmp_path: Path, reader: Reader) -> None:
    file = outgoing(write(tmp_path / "file", "small"))
    content = noise(2 * CHUNK)
    write(tmp_path / "file", content)
    batch = read_all(reader, file)
    assert assembled(batch) == content
    assert (batch.sent, batch.grown, batch.settled) == (2 * CHUNK, 2 * CHUNK - 5, [file])


@pytest.mark.parametrize("size", [5, 2 * CHUNK])
def test_a_file_that_grew_beyond_what_can_be_told_is_passed_over(tmp_path: Path, size: int) -> None:
    with SmallDisk(tmp_path / "disk", 2048) as disk:
        reader = Reader(Tree(open_directory(str(disk.path))), False)
        file = outgoing(write(disk.path / "file", noise(size)))
        os.truncate(disk.path / "file", SIZE_MAX + 1)
        batch = read_all(reader, file)
        reader.close()
    assert (kinds(batch), file.failed) == ([frames.PASS], True)
    assert batch.problems == [Problem(b"file", "it is larger than can be copied")]


# --- while it is read --------------------------------------------------------------------------------------------


def _append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def _append_much(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(noise(3 * CHUNK, 5))


def _cut(path: Path) -> None:
    os.truncate(path, CHUNK + 5)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _touch(path: Path) -> None:
    os.utime(path, ns=(TIME, TIME + 1))


def _append_in_secret(path: Path) -> None:
    before = path.stat().st_mtime_ns
    _append(path)
    os.utime(path, ns=(before, before))


def _rewrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"other")


def _changing(monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], object]) -> None:
    """Have `changes` happen, one right after each of the first reads."""
    left = list(changes)
    pread = os.pread

    def read_and_change(fd: int, length: int, offset: int) -> bytes:
        data = pread(fd, length, offset)
        if left:
            left.pop(0)()
        return data

    monkeypatch.setattr(os, "pread", read_and_change)


@pytest.mark.parametrize("change", [_append, _append_much, _append_in_secret, _cut, _empty, _touch, _rewrite])
def test_a_file_that_changes_while_it_is_read_is_read_once_more(
    tmp_path: Path, reader: Reader, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    content = noise(4 * CHUNK)
    file = outgoing(write(path, content))
    packets = read_once(reader, file)
    change(path)
    batch = joined(packets, read_all(reader, file, begun=True))
    assert kinds(batch).count(frames.BEGIN) == 2
    assert assembled(batch) == path.read_bytes()
    assert (batch.problems, file.failed) == ([], False)


def test_the_second_time_only_what_differs_is_sent(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "file"
    file = outgoing(write(path, noise(4 * CHUNK)))
    packets = read_once(reader, file)
    with open(path, "r+b") as opened:
        opened.seek(3)
        opened.write(b"changed behind the reader")
    batch = joined(packets, read_all(reader, file, begun=True))
    assert data_chunks(batch) == [0, 1, 2, 3, 0]
    assert file.sent == 5 * CHUNK, "each time it is sent it counts"


def test_size_and_time_of_the_second_time_are_those_that_count(tmp_path: Path, reader: Reader) -> None:
    path = tmp_path / "file"
    file = outgoing(write(path, noise(2 * CHUNK), mtime=TIME))
    read_once(reader, file)
    write(path, noise(3 * CHUNK), mode=0o600, mtime=TIME + 5)
    batch = read_all(reader, file, begun=True)
    assert [value for kind, value in parsed(batch) if kind == frames.BEGIN] == [(0, 3 * CHUNK, TIME + 5, 0o600)]
    assert batch.grown == CHUNK


@pytest.mark.parametrize("have", [0, 2, 5, 8])
def test_what_the_receiver_had_is_left_out_the_second_time_too(tmp_path: Path, reader: Reader, have: int) -> None:
    path = tmp_path / "file"
    content = noise(8 * CHUNK + 9)
    file = outgoing(write(path, content), have=content[: have * CHUNK])
    packets = read_once(reader, file)
    _touch(path)
    batch = joined(packets, read_all(reader, file, begun=True))
    assert data_chunks(batch) == list(range(have, 9)), "once each"
    assert assembled(batch, content[: have * CHUNK]) == content


def test_a_file_that_never_stops_changing_is_given_up_and_the_next_one_is_read(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    file, other = outgoing(write(path, noise(2 * CHUNK)), 1), outgoing(write(tmp_path / "other", "x"), 2)
    _changing(monkeypatch, *[lambda: _append(path)] * 100)
    batch = read_all(reader, file, other)
    assert kinds(batch).count(frames.BEGIN) == 2
    assert kinds(batch)[-2:] == [frames.PASS, frames.WHOLE]
    assert (batch.settled, batch.problems) == ([file, other], [Problem(b"file", CHANGES)])
    assert file.failed


def test_a_file_that_grows_beyond_what_can_be_told_while_it_is_read_is_given_up(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 2048) as disk:
        reader = Reader(Tree(open_directory(str(disk.path))), False)
        file = outgoing(write(disk.path / "file", noise(2 * CHUNK)))
        read_once(reader, file)
        os.truncate(disk.path / "file", SIZE_MAX + 1)
        batch = read_all(reader, file, begun=True)
        reader.close()
    assert kinds(batch) == [frames.DATA, frames.PASS]
    assert batch.problems == [Problem(b"file", CHANGES)]


def test_a_file_that_was_moved_away_or_deleted_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, reader: Reader
) -> None:
    for number, change in enumerate((Path.unlink, lambda path: path.rename(tmp_path / "moved"))):
        content = noise(3 * CHUNK, number)
        path = write(tmp_path / "file", content)
        file = outgoing(path)
        packets = read_once(reader, file)
        change(path)
        write(path, "another file")
        assert assembled(joined(packets, read_all(reader, file, begun=True))) == content


# --- while a small file is read ----------------------------------------------------------------------------------


def test_a_small_file_that_changes_once_is_read_again(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change, becomes in (
        (lambda path: _append(path), b"content more".replace(b" ", b"")),
        (lambda path: _touch(path), b"content"),
        (lambda path: os.truncate(path, 3), b"con"),
        (lambda path: _empty(path), b""),
    ):
        path = write(tmp_path / "file", "content")
        _changing(monkeypatch, lambda change=change, path=path: change(path))
        (frame,) = parsed(read_all(reader, outgoing(path)))
        assert frame.value.data == becomes
        assert frame.value.mtime == path.stat().st_mtime_ns
        monkeypatch.undo()


def test_a_small_file_that_changes_twice_is_given_up(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "file", "content")
    _changing(monkeypatch, *[lambda: _append(path)] * 2)
    batch = read_all(reader, outgoing(path))
    assert (kinds(batch), batch.problems, batch.sent) == ([frames.PASS], [Problem(b"file", CHANGES)], 0)


def test_a_small_file_that_becomes_large_comes_chunk_by_chunk(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "file", "content")
    _changing(monkeypatch, lambda: _append_much(path))
    assert assembled(read_all(reader, outgoing(path))) == path.read_bytes()


# --- not wanted any more -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 2 * CHUNK])
def test_a_file_cancelled_before_its_turn_is_not_opened(tmp_path: Path, reader: Reader, size: int) -> None:
    file, other = outgoing(write(tmp_path / "file", noise(size))), outgoing(write(tmp_path / "other", "x"), 2)
    (tmp_path / "file").unlink()
    file.cancelled = True
    batch = read_all(reader, file, other)
    assert (kinds(batch), batch.problems, batch.sent) == ([frames.PASS, frames.WHOLE], [], 1)


def test_a_file_cancelled_half_way_ends_there(tmp_path: Path, reader: Reader) -> None:
    file = outgoing(write(tmp_path / "file", noise(9 * CHUNK)))
    before = len(os.listdir("/proc/self/fd"))
    read_once(reader, file)
    file.cancelled = True
    batch = read_all(reader, file, begun=True)
    assert (parsed(batch), batch.problems, file.failed) == ([(frames.PASS, 0)], [], True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_reader_that_is_closed_half_way_lets_go_of_the_file(tmp_path: Path, reader: Reader) -> None:
    read_once(reader, outgoing(write(tmp_path / "file", noise(3 * CHUNK))))
    reader.close()
