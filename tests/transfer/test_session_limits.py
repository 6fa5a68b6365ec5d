"""What a session refuses, what it never touches, and how it goes on after an interruption."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import gevent
import msgpack
import pytest

import jsp
from jsp.errors import StreamReset
from jsp.transfer import DiskFull, PeerGaveUp, Problem, Report, frames, pull, push
from jsp.transfer.channel import Channel
from jsp.transfer.chunks import CHUNK, hash_chunk
from jsp.transfer.entries import Enter, Entry, File, Leave, Link, pack_entries
from tests.net.support import leftovers, until
from tests.transfer.ends import Log, SmallDisk, pull_contents, push_contents, served
from tests.transfer.trees import TIME, assert_same, facts, identities, make_tree, missing, write

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A served directory with a link to a directory beside it, which is nobody's business."""
    write(tmp_path / "root" / "dir" / "file", "inside")
    write(tmp_path / "outside" / "secret", "outside")
    (tmp_path / "outside" / "sub").mkdir()
    (tmp_path / "root" / "out").symlink_to("../outside")
    (tmp_path / "root" / "file out").symlink_to("../outside/secret")
    return tmp_path / "root"


class Enough(Exception):
    """Raised by a test in the middle of a transfer."""


# --- confinement -------------------------------------------------------------------------------------------------

CLIMBING = [
    ("..", "must not contain '..'"),
    ("../outside/secret", "must not contain '..'"),
    ("dir/../../outside/", "must not contain '..'"),
    ("out/..", "must not contain '..'"),
    ("out/../dir", "must not contain '..'"),
    (".", "must not contain '.'"),
    ("dir/./file", "must not contain '.'"),
    ("dir//file", "must not contain ''"),
    ("/etc/passwd", "relative to the directory that is served"),
    ("/", "relative to the directory that is served"),
    ("dir\0file", "is not a file name"),
    ("x" * 256, "1 to 255 bytes"),
    ("out/", "Not a directory"),
    ("out/sub/", "Not a directory"),
    ("out/sub/new", "Not a directory"),
]


@pytest.mark.parametrize(("path", "complaint"), [*CLIMBING, ("out/secret", "Not a directory")])
def test_pull_stays_inside(path: str, complaint: str, root: Path, tmp_path: Path) -> None:
    before = identities(tmp_path)
    with served(root) as conn, pytest.raises(PeerGaveUp, match=complaint) as caught:
        pull(conn, path, tmp_path / "copy")
    assert str(caught.value).isprintable()
    assert identities(tmp_path) == before


@pytest.mark.parametrize(("path", "complaint"), CLIMBING)
def test_push_stays_inside(path: str, complaint: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    src = write(tmp_path_factory.mktemp("src") / "secret", "new")
    before = identities(root.parent)
    with served(root) as conn, pytest.raises(PeerGaveUp, match=complaint) as caught:
        push(conn, f"{src.parent}/", path)
    assert str(caught.value).isprintable()
    assert identities(root.parent) == before


def test_a_pushed_file_replaces_a_link_to_the_outside(root: Path, tmp_path: Path) -> None:
    before = identities(tmp_path / "outside")
    file = write(tmp_path / "file", "new")
    with served(root) as conn:
        push(conn, file, "out")
        push(conn, file, "file out")
    assert identities(tmp_path / "outside") == before
    assert (root / "out").read_text() == (root / "file out").read_text() == "new"
    assert not (root / "out").is_symlink()


def test_a_pushed_directory_does_not_go_through_a_link(root: Path, tmp_path: Path) -> None:
    before = identities(tmp_path / "outside")
    write(tmp_path / "src" / "out" / "secret", "new")
    report = push_contents(tmp_path / "src", root)
    assert [str(problem) for problem in report.problems] == ["out: something that is no directory is in its way"]
    assert identities(tmp_path / "outside") == before
    assert os.readlink(root / "out") == "../outside"


def test_a_pulled_directory_does_not_go_through_a_link_of_the_copy(root: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "dir").symlink_to("../outside")
    before = identities(tmp_path / "outside")
    report = pull_contents(root, tmp_path / "copy")
    assert [str(problem) for problem in report.problems] == ["dir: something that is no directory is in its way"]
    assert identities(tmp_path / "outside") == before


def test_a_link_to_the_outside_is_pulled_as_a_link(root: Path, tmp_path: Path) -> None:
    with served(root) as conn:
        pull(conn, "", tmp_path / "all")
        pull(conn, "out", tmp_path / "one")
    assert os.readlink(tmp_path / "all" / "out") == os.readlink(tmp_path / "one") == "../outside"
    assert facts(tmp_path / "all") == facts(root)


def hostile_push(conn: jsp.Connection, *entries: Entry | tuple[object, ...]) -> str:
    """Announce `entries` to a server and send contents of the only file among them; the words it ends with."""
    rows = [entry for entry in entries if type(entry) is tuple]
    body = msgpack.packb(rows) if rows else pack_entries(entries)  # type: ignore[arg-type]
    content = frames.pack_whole(0, TIME, 0o644, hash_chunk(b"evil"), b"evil")
    with conn.open_stream() as stream:
        channel = Channel(stream)
        channel.send(frames.pack_open(frames.Open(True, b"")) + frames.pack_start(frames.Start(False)))
        channel.send(frames.pack(frames.ENTRIES, body) + frames.pack(frames.SCANNED))
        said = ""
        try:
            while True:
                kind, body = channel.read()
                if kind == frames.PROBLEM:
                    said = frames.parse_problem(body)[2]
                elif kind == frames.VERDICTS and frames.parse_verdicts(body).want:
                    channel.send(content + frames.pack(frames.FINISH))
                elif kind in (frames.RESULT, frames.VERDICTS):
                    return said
        except PeerGaveUp as error:
            return str(error)


@pytest.mark.parametrize("name", [b"../outside/evil", b"..", b"", b"/tmp/evil", b"a\0b", b"x" * 256, ".x", 7])
def test_a_sender_cannot_name_what_is_elsewhere(name: object, root: Path, tmp_path: Path) -> None:
    before = identities(tmp_path)
    with served(root) as conn:
        for row in ((2, name, 0o644, 0, 4), (1, name, 0o755, 0), (3, name, 0, b"target")):
            assert "file name" in hostile_push(conn, row)
    assert identities(tmp_path) == before


def test_a_sender_cannot_plant_a_link_and_go_through_it(root: Path, tmp_path: Path) -> None:
    before = identities(tmp_path / "outside")
    plan = (Link(b"trap", TIME, b"../outside"), Enter(b"trap", 0o755, TIME), File(b"evil", 0o644, TIME, 4), Leave())
    with served(root) as conn:
        assert hostile_push(conn, *plan) == "something that is no directory is in its way"
        assert os.readlink(root / "trap") == "../outside"
        assert identities(tmp_path / "outside") == before
        # The same conversation with a name that nothing is in the way of, to see that it would have written.
        hostile_push(conn, Enter(b"fine", 0o755, TIME), File(b"evil", 0o644, TIME, 4), Leave())
    assert (root / "fine" / "evil").read_text() == "evil"


def test_what_a_sender_names_after_a_link_is_put_beside_it(root: Path, tmp_path: Path) -> None:
    before = identities(tmp_path / "outside")
    with served(root) as conn:
        hostile_push(conn, Link(b"trap", TIME, b"../outside/secret"), File(b"trap", 0o644, TIME, 4))
    assert (root / "trap").read_text() == "evil" and not (root / "trap").is_symlink()
    assert identities(tmp_path / "outside") == before


# --- refusals ----------------------------------------------------------------------------------------------------


def test_a_read_only_directory_takes_nothing_but_shows_everything(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "new", "x")
    before = identities(root)
    log = Log()
    with served(root, log, read_only=True) as conn:
        with pytest.raises(PeerGaveUp, match="this directory is served read-only"):
            push(conn, tmp_path / "new")
        assert push(conn, tmp_path / "new", dry_run=True).files_sent == 1
        assert pull(conn, "dir/", tmp_path / "copy").files_sent == 1
        failed = log.wait(3)
    assert identities(root) == before
    assert [session.error is None for session in log] == [False, True, True], failed


@pytest.mark.parametrize("path", ["missing", "missing/", "dir/missing", "dir/file/", "dir/file/x"])
def test_a_pull_of_what_is_not_there(path: str, root: Path, tmp_path: Path) -> None:
    with served(root) as conn:
        with pytest.raises(PeerGaveUp, match=f"{path}: (No such file|Not a directory)"):
            pull(conn, path, tmp_path / "copy")
        assert pull(conn, "dir/file", tmp_path / "copy").files == 1, "the connection is as good as before"


def test_a_push_of_what_is_not_there_says_nothing_to_the_server(root: Path, tmp_path: Path) -> None:
    log = Log()
    with served(root, log) as conn:
        with pytest.raises(FileNotFoundError) as caught:
            push(conn, tmp_path / "missing")
        assert caught.value.filename == str(tmp_path / "missing")
        push(conn, root / "dir")
        assert log.wait().error is None
    assert len(log) == 1


def test_a_copy_cannot_go_below_a_file(root: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "file", "mine")
    log = Log()
    with served(root, log) as conn:
        with pytest.raises(NotADirectoryError) as caught:
            pull(conn, "", file)
        assert caught.value.filename == str(file)
        assert str(log.wait().error) == "the other side gave up: Not a directory"
        with pytest.raises(PeerGaveUp, match="dir/file/sub: Not a directory"):
            push(conn, f"{tmp_path}/outside/", "dir/file/sub")
    assert file.read_text() == "mine"


def test_a_session_that_asks_for_nothing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    with served(root, log) as conn:
        with conn.open_stream() as stream:
            channel = Channel(stream)
            channel.send(frames.pack(frames.RESULT))
            with pytest.raises(PeerGaveUp, match="a session begins with OPEN"):
                channel.read()
        with conn.open_stream() as stream:
            stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(PeerGaveUp, match="longer than any can be"):
                Channel(stream).read()
        conn.open_stream().close()
        until(lambda: caplog.text.count("a session that asked for nothing") == 3)
    assert log == []


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(root: Path) -> None:
    log = Log()
    with served(root, log) as conn:
        before = leftovers()
        stream = conn.open_stream()
        Channel(stream).send(frames.pack_open(frames.Open(True, b"new")) + frames.pack_start(frames.Start(False)))
        until(lambda: (root / "new").is_dir())
        stream.reset()
        assert isinstance(log.wait().error, StreamReset)
        until(lambda: leftovers() <= before)


def test_what_fails_is_logged_as_one_line(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jsp.transfer")
    log = Log()
    with served(root, log) as conn:
        with pytest.raises(PeerGaveUp):
            pull(conn, b"no\n\x1b[31m", tmp_path / "copy")
        session = log.wait()
    assert (session.push, session.path, type(session.error).__name__) == (False, b"no\n\x1b[31m", "TransferError")
    (record,) = [record for record in caplog.records if record.name == "jsp.transfer"]
    assert record.levelno == logging.WARNING and record.exc_info is None
    text = record.getMessage()
    assert text.isprintable() and text.startswith("pull of /no\\n\\x1b[31m by somebody: ")
    assert text.endswith("No such file or directory")


def test_a_served_directory_may_come_and_go(root: Path, tmp_path: Path) -> None:
    with served(root) as conn:
        root.rename(tmp_path / "moved")
        with pytest.raises(PeerGaveUp, match="the served directory: No such file or directory"):
            pull(conn, "", tmp_path / "copy")
        write(root / "other", "x")
        pull(conn, "", tmp_path / "copy")
    assert os.listdir(tmp_path / "copy") == ["other"]


# --- interruptions -----------------------------------------------------------------------------------------------


def test_a_file_that_vanishes_under_way_is_reported_and_the_rest_arrives(root: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "gone"):
        write(tmp_path / "src" / name, os.urandom(CHUNK + 1))

    def remove(report: Report) -> None:
        # The walk is over, and no verdict can have come yet.
        if report.scanned and not report.files_done:
            (tmp_path / "src" / "gone").unlink(missing_ok=True)

    log = Log()
    with served(root, log) as conn:
        report = push(conn, f"{tmp_path}/src/", "new", progress=remove)
        there = log.wait().report
    assert report.problems == there.problems == [Problem(b"gone", "No such file or directory")]
    assert (report.files_sent, there.files_sent, report.errors, there.errors) == (2, 2, 1, 1)
    for name in ("one", "two"):
        assert (root / "new" / name).read_bytes() == (tmp_path / "src" / name).read_bytes()
    assert sorted(os.listdir(root / "new")) == ["one", "two"]


@pytest.mark.parametrize("way", ["push", "pull"])
def test_an_interrupted_copy_goes_on_where_it_was(way: str, tmp_path: Path) -> None:
    src, dst = make_tree(tmp_path / "src", size=12 * CHUNK), tmp_path / "dst"
    dst.mkdir()
    size = sum(path.stat().st_size for path in src.rglob("*") if path.is_file() and not path.is_symlink())

    def interrupt(report: Report) -> None:
        if report.bytes_sent > size // 2:
            raise Enough

    log = Log()
    with served(dst if way == "push" else src, log) as conn:

        def copy(**options: Any) -> Report:
            return push(conn, f"{src}/", **options) if way == "push" else pull(conn, "", dst, **options)

        with pytest.raises(Enough):
            copy(progress=interrupt)
        assert isinstance(log.wait().error, jsp.Error)
        lost, begun = missing(src, dst)
        assert 0 < lost < size
        report = copy()
    assert_same(src, dst)
    assert 0 < report.bytes_sent <= lost + begun * CHUNK


def test_two_who_push_the_same_at_once_both_succeed(root: Path, tmp_path: Path) -> None:
    src = make_tree(tmp_path / "src", size=6 * CHUNK)
    with served(root) as conn:
        first = gevent.spawn(push, conn, src)
        assert push(conn, src).problems == []
        assert first.get().problems == []
        here = facts(src)
        wrong = {name for name, what in facts(root / "src").items() if what != here[name] and what.kind != "d"}
        assert wrong == set()
        assert push(conn, src).problems == []
    assert_same(src, root / "src")


def test_two_who_push_the_same_file_at_once_both_succeed(root: Path, tmp_path: Path) -> None:
    for turn in range(2):
        file = write(tmp_path / "file", os.urandom(6 * CHUNK), mtime=TIME + turn)
        with served(root) as conn:
            others = [gevent.spawn(push, conn, file) for _ in range(2)]
            problems = [push(conn, file).problems, *(other.get().problems for other in others)]
        assert problems == [[], [], []]
        assert (root / "file").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_full_disk_loses_nothing_and_is_made_use_of_later(way: str, tmp_path: Path) -> None:
    src = tmp_path / "src"
    write(src / "new", os.urandom(5 * CHUNK))
    with SmallDisk(tmp_path / "disk", kilobytes=768) as disk:
        dst = disk.path / "dst"
        write(dst / "new", "the old version")
        copy, error = (push_contents, PeerGaveUp) if way == "push" else (pull_contents, DiskFull)
        with pytest.raises(error, match=r"no space is left on the disk \(at new\); what has arrived is kept"):
            copy(src, dst)
        assert (dst / "new").read_text() == "the old version"
        lost, begun = missing(src, dst)
        assert lost < 5 * CHUNK and begun == 1
        disk.enlarge(8192)
        assert copy(src, dst).bytes_sent == lost
        assert_same(src, dst)
