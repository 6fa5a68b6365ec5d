"""What the reader makes of real files: small and large, sparse, known to the receiver in part, and of dry runs."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from jsp.transfer import frames
from jsp.transfer.chunks import CHUNK, chunk_count, hash_chunk
from jsp.transfer.reading import Batch, Reader
from jsp.transfer.tree import Node, Tree, open_directory
from tests.transfer.reads import assembled, data_chunks, kinds, noise, outgoing, parsed, read_all
from tests.transfer.trees import OLD, write

pytestmark = pytest.mark.usefixtures("all_closed")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(Tree(open_directory(str(tmp_path))), False)
    yield reader
    reader.close()


@pytest.fixture
def planner(tmp_path: Path) -> Iterator[Reader]:
    """The reader of a dry run."""
    planner = Reader(Tree(open_directory(str(tmp_path))), True)
    yield planner
    planner.close()


# --- files of one chunk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK - 1, CHUNK])
def test_a_file_of_one_chunk_is_one_frame(tmp_path: Path, reader: Reader, size: int) -> None:
    content = noise(size)
    write(tmp_path / "file", content, mode=0o4751, mtime=OLD)
    file = outgoing(tmp_path / "file", 7)
    batch = read_all(reader, file)
    assert parsed(batch) == [(frames.WHOLE, (7, OLD, 0o4751, hash_chunk(content), content))]
    assert (batch.settled, batch.problems, batch.sent, batch.skipped, batch.grown) == ([file], [], size, 0, 0)
    assert (file.sent, file.failed) == (size, False)


def test_a_batch_is_some_files_or_a_chunk_of_data(tmp_path: Path, reader: Reader) -> None:
    small = [outgoing(write(tmp_path / f"{i}"), i) for i in range(150)]
    large = [outgoing(write(tmp_path / f"large {i}", bytes(100_000)), 150 + i) for i in range(4)]
    wanted = deque([*small, *large])
    assert reader.read(wanted).settled == small[:64]
    assert reader.read(wanted).settled == small[64:128]
    batch = reader.read(wanted)
    assert batch.settled == [*small[128:], *large[:3]] and batch.sent >= CHUNK
    assert reader.read(wanted).settled == large[3:]
    assert reader.read(wanted) == Batch()


def test_files_below_directories(tmp_path: Path, reader: Reader) -> None:
    root = Node()
    files = []
    for i in range(12):
        write(tmp_path / f"{i}" / "deeper" / "file", f"{i}")
        files.append(outgoing(tmp_path / f"{i}" / "deeper" / "file", i, node=Node(Node(root, b"%d" % i), b"deeper")))
    batch = read_all(reader, *files)
    assert [bytes(packet[-len(str(i)) :]) for i, packet in enumerate(batch.frames)] == [b"%d" % i for i in range(12)]


# --- larger files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 12345])
def test_a_larger_file_comes_chunk_by_chunk(tmp_path: Path, reader: Reader, size: int) -> None:
    content = noise(size)
    write(tmp_path / "file", content, mode=0o640, mtime=OLD)
    file = outgoing(tmp_path / "file")
    batch = read_all(reader, file)
    assert parsed(batch)[0] == (frames.BEGIN, (0, size, OLD, 0o640))
    assert kinds(batch)[1:] == [frames.DATA] * chunk_count(size, CHUNK) + [frames.END]
    assert assembled(batch) == content
    assert (batch.settled, batch.sent, batch.skipped, batch.grown) == ([file], size, 0, 0)


def test_a_batch_holds_about_one_chunk_of_a_large_file(tmp_path: Path, reader: Reader) -> None:
    wanted = deque([outgoing(write(tmp_path / "file", noise(5 * CHUNK)))])
    batches = []
    while not (batch := reader.read(wanted)).settled:
        batches.append(batch.sent)
    assert batches == [CHUNK] * 5


def test_chunks_the_receiver_has_are_left_out(tmp_path: Path, reader: Reader) -> None:
    before = noise(8 * CHUNK)
    content = bytearray(before)
    for chunk in (0, 3, 4, 7):
        content[chunk * CHUNK] ^= 1
    file = outgoing(write(tmp_path / "file", bytes(content)), have=before)
    batch = read_all(reader, file)
    assert data_chunks(batch) == [0, 3, 4, 7]
    assert assembled(batch, before) == content
    assert (batch.sent, batch.skipped, file.sent) == (4 * CHUNK, 4 * CHUNK, 4 * CHUNK)


def test_of_a_file_the_receiver_has_only_the_root_is_sent(tmp_path: Path, reader: Reader) -> None:
    for size in (100, CHUNK, 3 * CHUNK + 5):
        content = noise(size)
        batch = read_all(reader, outgoing(write(tmp_path / "file", content), have=content))
        assert kinds(batch) == [frames.BEGIN, frames.END]
        assert (batch.sent, batch.skipped) == (0, size)
        assert assembled(batch, content) == content


def test_a_receiver_that_has_the_beginning_gets_the_rest(tmp_path: Path, reader: Reader) -> None:
    content = noise(5 * CHUNK + 1)
    batch = read_all(reader, outgoing(write(tmp_path / "file", content), have=content[: 3 * CHUNK]))
    assert data_chunks(batch) == [3, 4, 5]
    assert assembled(batch, content[: 3 * CHUNK]) == content


def test_a_receiver_that_has_more_than_the_file_now_holds(tmp_path: Path, reader: Reader) -> None:
    content = noise(5 * CHUNK)
    file = outgoing(write(tmp_path / "file", content), have=content)
    os.truncate(tmp_path / "file", 2 * CHUNK + 5)
    batch = read_all(reader, file)
    assert assembled(batch, content) == content[: 2 * CHUNK + 5]
    assert (batch.sent, batch.skipped, batch.grown) == (5, 2 * CHUNK, 5 - 3 * CHUNK)


# --- zeros -------------------------------------------------------------------------------------------------------


def test_zeros_are_holes_whether_the_file_is_sparse_or_not(tmp_path: Path, reader: Reader) -> None:
    content = bytes(2 * CHUNK) + noise(CHUNK) + bytes(CHUNK) + noise(CHUNK) + bytes(1000)
    batch = read_all(reader, outgoing(write(tmp_path / "file", content)))
    assert data_chunks(batch) == [2, 4]
    assert (batch.sent, batch.skipped) == (2 * CHUNK, 3 * CHUNK + 1000)
    assert assembled(batch) == content


def test_a_hole_is_one_frame_however_large(tmp_path: Path, reader: Reader) -> None:
    size = 60 * CHUNK + 7
    write(tmp_path / "file")
    with open(tmp_path / "file", "r+b") as file:
        file.truncate(size)
        file.seek(20 * CHUNK + 5)
        file.write(b"an island")
    batch = read_all(reader, outgoing(tmp_path / "file"))
    assert kinds(batch) == [frames.BEGIN, frames.HOLES, frames.DATA, frames.HOLES, frames.END]
    assert [value[1:] for kind, value in parsed(batch) if kind == frames.HOLES] == [(0, 20), (21, 40)]
    assert (batch.sent, batch.skipped) == (CHUNK, size - CHUNK)
    assert assembled(batch) == (tmp_path / "file").read_bytes()


def test_a_hole_without_end_is_told_in_pieces(tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "HOLES_MAX", 3)
    os.truncate(write(tmp_path / "file"), 8 * CHUNK)
    batch = read_all(reader, outgoing(tmp_path / "file"))
    assert [value[1:] for kind, value in parsed(batch) if kind == frames.HOLES] == [(0, 3), (3, 3), (6, 2)]
    assert assembled(batch) == bytes(8 * CHUNK)


def test_a_hole_is_left_out_chunk_by_chunk_where_the_receiver_has_it(tmp_path: Path, reader: Reader) -> None:
    before = noise(CHUNK) + bytes(CHUNK) + noise(CHUNK) + bytes(CHUNK)
    os.truncate(write(tmp_path / "file"), 8 * CHUNK)
    batch = read_all(reader, outgoing(tmp_path / "file", have=before))
    assert [value[1:] for kind, value in parsed(batch) if kind == frames.HOLES] == [(0, 1), (2, 1), (4, 4)]
    assert assembled(batch, before) == bytes(8 * CHUNK)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_where_holes_cannot_be_found_the_file_is_read(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def lseek(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "lseek", lseek)
    content = bytes(CHUNK) + noise(2 * CHUNK)
    assert assembled(read_all(reader, outgoing(write(tmp_path / "file", content)))) == content


def test_what_the_receiver_has_in_chunks_of_another_size_is_of_no_use(tmp_path: Path, reader: Reader) -> None:
    file = outgoing(write(tmp_path / "file", bytes(2 * CHUNK)), have=bytes(2 * CHUNK))
    size = 32768 * CHUNK + 1
    os.truncate(tmp_path / "file", size)
    batch = read_all(reader, file)
    assert sum(value[2] for kind, value in parsed(batch) if kind == frames.HOLES) == chunk_count(size, 2 * CHUNK)
    assert (batch.skipped, batch.grown) == (size, size - 2 * CHUNK)


# --- dry runs ----------------------------------------------------------------------------------------------------


def test_a_plan_says_how_much_would_be_sent(tmp_path: Path, planner: Reader) -> None:
    before = noise(4 * CHUNK)
    content = before[:CHUNK] + noise(CHUNK, 2) + bytes(CHUNK) + noise(CHUNK + 5, 3)
    files = [
        outgoing(write(tmp_path / "empty"), 1),
        outgoing(write(tmp_path / "small", noise(5)), 2),
        outgoing(write(tmp_path / "large", content), 3, have=before),
        outgoing(write(tmp_path / "known", before), 4, have=before),
    ]
    batch = read_all(planner, *files)
    expected = [(1, 0), (2, 5), (3, 2 * CHUNK + 5), (4, 0)]
    assert parsed(batch) == [(frames.PLAN, plan) for plan in expected]
    assert [file.sent for file in files] == [plan[1] for plan in expected]
    assert (batch.sent, batch.skipped) == (2 * CHUNK + 10, 6 * CHUNK)


def test_a_plan_and_a_real_run_agree(tmp_path: Path, reader: Reader, planner: Reader) -> None:
    before = noise(6 * CHUNK)
    content = bytearray(before + noise(77, 2))
    content[2 * CHUNK : 3 * CHUNK] = bytes(CHUNK)
    content[5 * CHUNK] ^= 1
    write(tmp_path / "file", bytes(content))
    dry, real = (read_all(r, outgoing(tmp_path / "file", have=before)) for r in (planner, reader))
    assert (dry.sent, dry.skipped) == (real.sent, real.skipped) == (CHUNK + 77, 5 * CHUNK)
    assert assembled(real, before) == content


def test_a_plan_for_a_file_that_is_gone(tmp_path: Path, planner: Reader) -> None:
    file = outgoing(write(tmp_path / "file", noise(2 * CHUNK)))
    (tmp_path / "file").unlink()
    batch = read_all(planner, file)
    assert (kinds(batch), file.failed, file.sent) == ([frames.PASS], True, 0)
