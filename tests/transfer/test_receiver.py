"""A receiver into real directories: what it says and stores, whom it waits for, and how it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from jsp.transfer import basis as basis_module
from jsp.transfer import frames
from jsp.transfer import receiver as receiver_module
from jsp.transfer.chunks import CHUNK, hash_chunk
from jsp.transfer.entries import Enter, Leave, Link
from jsp.transfer.errors import BadFrame, DiskFull, PeerGaveUp
from jsp.transfer.frames import Start
from jsp.transfer.report import Problem, Report
from tests.net.support import until
from tests.transfer.ends import SmallDisk
from tests.transfer.peers import is_open, names, open_up, receiver
from tests.transfer.reads import noise
from tests.transfer.sends import chunked, file, finish, whole
from tests.transfer.trees import OLD, TIME, facts, write

pytestmark = pytest.mark.usefixtures("all_closed")

PART = ".file.jsp-part"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where things go, with something beside it that nothing may reach."""
    write(tmp_path / "outside" / "secret", "x")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


# --- a session ---------------------------------------------------------------------------------------------------


def test_an_empty_tree(root: Path) -> None:
    with receiver(root, start=Start(False, 0o750, TIME)) as peer:
        report = finish(peer)
    assert (report.files, report.files_done, report.scanned, report.errors) == (0, 0, True, 0)
    assert (root.stat().st_mode & 0o7777, root.stat().st_mtime_ns) == (0o750, TIME)


def test_a_tree_gets_its_contents_and_then_its_modes_and_times(root: Path) -> None:
    with receiver(root) as peer:
        peer.say_entries(Enter(b"a", 0o555, OLD), Enter(b"b", 0o500, TIME), file(3), Link(b"link", TIME, b"x"))
        peer.say_entries(Leave(), Leave(), file(CHUNK + 1, b"large"))
        assert peer.verdicts() == ([0], [], [])
        assert peer.verdicts() == ([1], [], [])
        peer.say(whole(b"new"), *chunked(noise(CHUNK + 1), 1))
        report = finish(peer)
    found = facts(root)
    assert (found[b"a"].mode, found[b"a"].mtime) == ("0o555", OLD)
    assert (found[b"a/b"].mode, found[b"a/b"].mtime) == ("0o500", TIME)
    assert (root / "a" / "b" / "file").read_bytes() == b"new"
    assert os.readlink(root / "a" / "b" / "link") == "x"
    assert (root / "large").read_bytes() == noise(CHUNK + 1)
    open_up(root)
    assert (report.files, report.directories, report.links, report.files_sent) == (2, 2, 1, 2)
    assert (report.bytes_total, report.bytes_sent, report.errors) == (CHUNK + 4, CHUNK + 4, 0)


def test_a_directory_is_finished_as_soon_as_it_can_be(root: Path) -> None:
    with receiver(root) as peer:
        peer.say_entries(Enter(b"empty", 0o555, TIME), Leave(), Enter(b"links", 0o555, TIME), Link(b"l", TIME, b"x"))
        peer.say_entries(Leave(), Enter(b"more", 0o555, TIME), Link(b"l", TIME, b"x"), Leave())
        peer.say_entries(Enter(b"dir", 0o555, TIME), file(3), Leave())
        peer.verdicts()
        until(lambda: all((root / name).stat().st_mtime_ns == TIME for name in ("empty", "links", "more")))
        assert (root / "dir").stat().st_mode & 0o777 == 0o700
        peer.say(whole(b"new"))
        until(lambda: (root / "dir").stat().st_mtime_ns == TIME)
        finish(peer)
    open_up(root)


def test_what_is_there_is_kept_and_what_cannot_be_is_refused(root: Path) -> None:
    write(root / "kept", "123")
    (root / "dir").mkdir()
    with receiver(root) as peer:
        peer.say_entries(file(3, b"kept"), file(3, b"dir"), file(3, b"new"))
        told = frames.parse_problem(peer.expect(frames.PROBLEM))
        assert told == (True, b"dir", "a directory is in its way")
        assert peer.verdicts() == ([2], [0], [1])
        peer.say(whole(b"new", 2))
        report = finish(peer)
    assert (report.files_done, report.files_sent, report.bytes_skipped, report.errors) == (3, 1, 3, 1)
    assert report.problems == [Problem(b"dir", "a directory is in its way")]


def test_hashes_of_what_is_here_come_before_the_verdict(root: Path) -> None:
    content = noise(3 * CHUNK)
    write(root / "file", content, mtime=OLD)
    write(root / ".small.jsp-part", "123", 0o600)
    with receiver(root) as peer:
        peer.say_entries(file(len(content)), file(3, b"small"))
        assert frames.parse_have(peer.expect(frames.HAVE)) == (1, hash_chunk(b"123"))
        assert peer.verdicts() == ([1], [], [])
        number, hashes = frames.parse_have(peer.expect(frames.HAVE))
        assert (number, bytes(hashes[:32]), len(hashes)) == (0, hash_chunk(content[:CHUNK]), 3 * 32)
        assert peer.verdicts() == ([0], [], [])
        peer.say(whole(b"new", 1), chunked(content)[0], chunked(content)[-1])
        report = finish(peer)
    assert (report.bytes_sent, report.bytes_skipped, (root / "file").stat().st_mtime_ns) == (3, 3 * CHUNK, TIME)


def test_a_single_file_or_link_gets_its_new_name(root: Path) -> None:
    with receiver(root, rename=b"renamed") as peer:
        peer.say_entries(file(3))
        peer.verdicts()
        peer.say(whole(b"new"))
        finish(peer)
    with receiver(root, rename=b"link") as peer:
        peer.say_entries(Link(b"x", TIME, b"../outside"))
        finish(peer)
    assert (names(root), os.readlink(root / "link")) == (["link", "renamed"], "../outside")


def test_a_file_that_cannot_be_stored_is_cancelled_and_the_rest_goes_on(root: Path) -> None:
    content = noise(3 * CHUNK)
    packets = chunked(content)
    with receiver(root) as peer:
        peer.say_entries(file(len(content)), file(3, b"other"))
        peer.verdicts()
        peer.say(packets[0], packets[1], frames.pack_data(0, 1, bytes(32), content[CHUNK : 2 * CHUNK]), packets[3])
        assert frames.parse_number(peer.expect(frames.CANCEL)) == 0
        assert frames.parse_problem(peer.expect(frames.PROBLEM)) == (True, b"file", "it was damaged on the way")
        peer.say(frames.pack_pass(0), whole(b"new", 1))
        report = finish(peer)
    assert (report.files_done, report.files_sent, report.errors) == (2, 1, 1)
    assert (names(root), (root / PART).read_bytes()) == ([PART, "other"], content[:CHUNK])


def test_what_the_sender_could_not_read_is_in_the_report(root: Path) -> None:
    with receiver(root) as peer:
        peer.say_entries(file(3))
        peer.verdicts()
        peer.say(
            frames.pack_problem(True, b"file", "no"), frames.pack_problem(False, b"p", "pipe"), frames.pack_pass(0)
        )
        report = finish(peer)
    assert report.problems == [Problem(b"file", "no"), Problem(b"p", "pipe", error=False)]
    assert (report.errors, report.files_done, report.files_sent, names(root)) == (1, 1, 0, [])


def test_unknown_frames_of_later_versions_are_passed_over(root: Path) -> None:
    with receiver(root) as peer:
        peer.say(frames.pack(64, b"x" * 1000), frames.pack(255))
        peer.say_rows([2, b"file", 0o644, TIME, 3, "later", 4], [3, b"link", TIME, b"x", None])
        peer.verdicts()
        peer.say(whole(b"new"))
        finish(peer)
    assert names(root) == ["file", "link"]


# --- slow disks, other transfers ---------------------------------------------------------------------------------


def test_a_slow_disk_is_felt_by_the_sender(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = noise(20 * CHUNK)
    with receiver(root) as peer, open(root / PART, "xb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        os.fchmod(theirs.fileno(), 0o600)
        peer.say_entries(file(len(content)))
        peer.verdicts()
        sending = gevent.spawn(peer.say, *chunked(content))
        assert not sending.join(0.1) and not sending.ready(), "what cannot be stored is not taken off the stream"
        fcntl.flock(theirs, fcntl.LOCK_UN)
        sending.get(timeout=5)
        finish(peer)
    assert (root / "file").read_bytes() == content


def test_a_file_that_another_transfer_does_not_let_go_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "_BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(receiver_module, "_BUSY_PAUSE", 0.01)
    with receiver(root) as peer:
        peer.say_entries(file(3), file(3, b"other"))
        peer.verdicts()
        write(root / PART, "theirs", 0o600)
        with open(root / PART, "rb") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            peer.say(whole(b"new"), whole(b"new", 1))
            peer.expect(frames.CANCEL)
            told = frames.parse_problem(peer.expect(frames.PROBLEM))
            assert told == (True, b"file", "another transfer is writing it")
            report = finish(peer)
    assert (report.files_done, report.files_sent, report.errors) == (2, 1, 1)
    assert (names(root), (root / PART).read_text()) == ([PART, "other"], "theirs")


@pytest.mark.parametrize("let_go", [False, True])
def test_a_file_whose_beginning_another_transfer_writes_is_asked_for_when_it_is_let_go(
    root: Path, monkeypatch: pytest.MonkeyPatch, let_go: bool
) -> None:
    monkeypatch.setattr(receiver_module, "_BUSY_TIMEOUT", 5 if let_go else 0.05)
    monkeypatch.setattr(receiver_module, "_BUSY_PAUSE", 0.01)
    write(root / PART, "new", 0o600)
    with receiver(root) as peer, open(root / PART, "rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        peer.say_entries(file(3))
        if not let_go:
            assert frames.parse_problem(peer.expect(frames.PROBLEM))[2] == "another transfer is writing it"
            assert peer.verdicts() == ([], [], [0])
            assert finish(peer).errors == 1
            return
        gevent.sleep(0.03)
        fcntl.flock(theirs, fcntl.LOCK_UN)
        assert frames.parse_have(peer.expect(frames.HAVE)) == (0, hash_chunk(b"new"))
        assert peer.verdicts() == ([0], [], [])
        peer.say(chunked(b"new")[0], chunked(b"new")[-1])
        assert finish(peer).bytes_skipped == 3


def test_a_sender_that_falls_silent_leaves_the_file_to_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "_IDLE", 0.02)
    content = noise(3 * CHUNK)
    packets = chunked(content)
    with receiver(root) as peer:
        peer.say_entries(file(len(content)))
        peer.verdicts()
        peer.say(*packets[:2])
        until(lambda: (root / PART).exists() and (root / PART).stat().st_size == CHUNK)
        with open(root / PART, "rb") as theirs:
            until(lambda: _locked(theirs.fileno()))
            fcntl.flock(theirs, fcntl.LOCK_UN)
        peer.say(*packets[2:])
        finish(peer)
    assert (root / "file").read_bytes() == content


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _drain(sock: Any) -> None:
    while sock.recv(1 << 20):
        pass


# --- one for all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packets", [0, 2, 3])
def test_a_stream_that_ends_early_ends_the_session_and_what_arrived_stays(root: Path, packets: int) -> None:
    content = noise(3 * CHUNK)
    with receiver(root) as peer:
        peer.say_entries(Enter(b"dir", 0o555, TIME), file(len(content)))
        peer.verdicts()
        peer.say(*chunked(content)[:packets])
        until(lambda: peer.report.bytes_sent == max(0, packets - 1) * CHUNK)
        peer.socket.shutdown(gevent.socket.SHUT_WR)
        with pytest.raises(BadFrame, match="ended in the middle of the transfer"):
            peer.wait()
    if packets:
        assert (root / "dir" / PART).read_bytes() == content[: (packets - 1) * CHUNK]
    assert (root / "dir").stat().st_mode & 0o777 == 0o700, "for the next time"


def test_a_sender_that_gives_up_is_quoted(root: Path) -> None:
    with receiver(root) as peer:
        peer.say_entries(file(3))
        peer.verdicts()
        peer.say(frames.pack_abort("I have had enough"))
        with pytest.raises(PeerGaveUp, match="I have had enough"):
            peer.wait()


def test_progress_that_raises_ends_everything(root: Path) -> None:
    class Enough(Exception):
        pass

    def progress(report: Report) -> None:
        if report.bytes_sent:
            raise Enough

    with receiver(root, progress=progress) as peer:
        peer.say_entries(file(3))
        peer.verdicts()
        peer.say(whole(b"new"))
        with pytest.raises(Enough):
            peer.wait()


def test_a_full_disk_ends_everything_and_keeps_what_arrived(tmp_path: Path) -> None:
    content = noise(8 * CHUNK)
    with SmallDisk(tmp_path / "disk", 640) as disk:
        with receiver(disk.path) as peer:
            peer.say_entries(file(len(content)))
            peer.verdicts()
            sending = gevent.spawn(peer.say, *chunked(content))
            with pytest.raises(DiskFull):
                peer.wait()
            sending.kill()
        assert (disk.path / PART).read_bytes()[: 2 * CHUNK] == content[: 2 * CHUNK]


def test_killing_a_receiver_ends_everything_and_keeps_what_arrived(root: Path) -> None:
    content = noise(3 * CHUNK)
    with receiver(root) as peer:
        peer.say_entries(file(len(content)))
        peer.verdicts()
        peer.say(*chunked(content)[:2])
        until(lambda: peer.report.bytes_sent == CHUNK)
        peer.greenlet.kill(timeout=5)
        assert peer.greenlet.ready()
    assert (root / PART).read_bytes() == content[:CHUNK]


def test_killing_a_receiver_that_is_telling_what_it_has_lets_go_of_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basis_module, "HASHED_MAX", 1)
    os.truncate(write(root / "file"), 300 * CHUNK)
    with receiver(root) as peer:
        peer.say_entries(file(300 * CHUNK))
        until(lambda: is_open(root / "file"))
        peer.greenlet.kill(timeout=5)
        assert not is_open(root / "file")
