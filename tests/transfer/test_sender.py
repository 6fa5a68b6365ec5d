"""A sender of real files against receivers that follow the protocol, and against those that do not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import msgpack
import pytest

import jsp.errors
from jsp.transfer import frames
from jsp.transfer import sender as sender_module
from jsp.transfer.channel import Channel
from jsp.transfer.chunks import CHUNK, hash_chunk
from jsp.transfer.entries import Enter, Entry, File, Leave, Link, parse_entries
from jsp.transfer.errors import BadFrame, PeerGaveUp
from jsp.transfer.exclude import Exclude
from jsp.transfer.reading import Reader
from jsp.transfer.report import Problem, Report, no_progress
from jsp.transfer.sender import Sender
from jsp.transfer.tree import Tree, open_directory
from jsp.transfer.walk import Walk
from tests.net.support import until
from tests.transfer.peers import CONTENTS, Peer, sender
from tests.transfer.reads import noise
from tests.transfer.trees import TIME, write

pytestmark = pytest.mark.usefixtures("all_closed")

FINISH = frames.pack(frames.FINISH)
RESULT = frames.pack(frames.RESULT)


def want(*numbers: int) -> bytes:
    return frames.pack_verdicts(numbers, (), ())


def keep(*numbers: int) -> bytes:
    return frames.pack_verdicts((), numbers, ())


def refuse(*numbers: int) -> bytes:
    return frames.pack_verdicts((), (), numbers)


def hear_tree(peer: Peer) -> list[Entry]:
    """All entries, up to SCANNED."""
    entries = []
    peer.expect(frames.START)
    while (heard := peer.hear())[0] == frames.ENTRIES:
        entries += parse_entries(heard[1])
    assert heard == (frames.SCANNED, b"")
    return entries


def files_of(entries: list[Entry]) -> list[str]:
    """The names of files, by number."""
    return [entry.name.decode() for entry in entries if isinstance(entry, File)]


def finish(peer: Peer) -> Report:
    """The end as it should be."""
    peer.expect(frames.FINISH)
    peer.say(RESULT)
    return peer.wait()


# --- a session ---------------------------------------------------------------------------------------------------


def test_an_empty_tree(tmp_path: Path) -> None:
    with sender(tmp_path) as peer:
        assert peer.expect(frames.START) == frames.pack_start(CONTENTS)[5:]
        peer.expect(frames.SCANNED)
        report = finish(peer)
    assert (report.files, report.files_done, report.scanned, report.errors) == (0, 0, True, 0)


def test_the_tree_is_told_without_waiting_and_the_data_comes_when_it_is_wanted(tmp_path: Path) -> None:
    write(tmp_path / "dir" / "file", "content", mtime=TIME)
    (tmp_path / "link").symlink_to("x")
    with sender(tmp_path) as peer:
        entries = hear_tree(peer)
        assert {type(entry) for entry in entries} == {Enter, Leave, File, Link}
        peer.say(want(0))
        whole = frames.parse_whole(peer.expect(frames.WHOLE))
        assert (whole.number, whole.data, whole.mtime) == (0, b"content", TIME)
        report = finish(peer)
    assert (report.files, report.directories, report.links) == (1, 1, 1)
    assert (report.files_sent, report.bytes_sent, report.bytes_total, report.path) == (1, 7, 7, b"dir/file")


def test_files_come_in_the_order_in_which_they_are_wanted(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path / f"{i}", f"{i}")
    with sender(tmp_path) as peer:
        names = files_of(hear_tree(peer))
        peer.say(want(3, 1), keep(0), refuse(4), want(2))
        for number in (3, 1, 2):
            whole = frames.parse_whole(peer.expect(frames.WHOLE))
            assert (whole.number, whole.data) == (number, names[number].encode())
        report = finish(peer)
    assert (report.files_done, report.files_sent, report.bytes_sent, report.bytes_skipped) == (5, 3, 3, 1)


def test_chunks_that_the_receiver_names_are_left_out(tmp_path: Path) -> None:
    content = noise(4 * CHUNK)
    write(tmp_path / "file", content)
    hashes = [hash_chunk(content[i * CHUNK : (i + 1) * CHUNK]) for i in range(3)]
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(frames.pack_have(0, hashes[0]), frames.pack_have(0, bytes(32) + hashes[2]), want(0))
        peer.expect(frames.BEGIN)
        assert [frames.parse_data(peer.expect(frames.DATA)).chunk for _ in range(2)] == [1, 3]
        peer.expect(frames.END)
        report = finish(peer)
    assert (report.bytes_sent, report.bytes_skipped) == (2 * CHUNK, 2 * CHUNK)


def test_a_cancelled_file_ends_and_the_next_one_comes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, noise(9 * CHUNK))
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(want(0, 1))
        peer.expect(frames.BEGIN, frames.DATA)
        peer.say(frames.pack_cancel(0))
        while (heard := peer.hear())[0] == frames.DATA:
            pass
        assert heard == (frames.PASS, frames.pack_pass(0)[5:])
        assert frames.parse_begin(peer.expect(frames.BEGIN)).number == 1
        peer.say(frames.pack_cancel(1))
        while peer.hear()[0] != frames.PASS:
            pass
        peer.say(frames.pack_cancel(0), frames.pack_cancel(77))
        report = finish(peer)
    assert (report.files_done, report.files_sent, report.errors) == (2, 0, 0)


def test_what_cannot_be_read_is_told_before_it_is_passed(tmp_path: Path) -> None:
    write(tmp_path / "file", "x")
    os.mkfifo(tmp_path / "pipe")
    with sender(tmp_path) as peer:
        peer.expect(frames.START)
        told = frames.parse_problem(peer.expect(frames.PROBLEM))
        assert told == (False, b"pipe", "passed over: it is a named pipe")
        peer.expect(frames.ENTRIES, frames.SCANNED)
        (tmp_path / "file").unlink()
        peer.say(want(0))
        assert frames.parse_problem(peer.expect(frames.PROBLEM)) == (True, b"file", "No such file or directory")
        peer.expect(frames.PASS)
        report = finish(peer)
    assert (report.errors, report.files_done, report.files_sent, len(report.problems)) == (1, 1, 0, 2)


def test_what_the_receiver_could_not_do_is_in_the_report(tmp_path: Path) -> None:
    write(tmp_path / "file", "x")
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(frames.pack_problem(True, b"file", "no"), frames.pack_problem(False, b"x", "passed"), refuse(0))
        report = finish(peer)
    assert report.problems == [Problem(b"file", "no"), Problem(b"x", "passed", error=False)]
    assert (report.errors, report.files_done) == (1, 1)


def test_a_dry_run_tells_sizes_and_no_contents(tmp_path: Path) -> None:
    content = noise(2 * CHUNK)
    write(tmp_path / "file", content)
    planned: list[bytes] = []
    with sender(tmp_path, dry_run=True, progress=lambda report: planned.append(report.path)) as peer:
        hear_tree(peer)
        peer.say(frames.pack_have(0, hash_chunk(content[:CHUNK])), want(0))
        assert frames.parse_plan(peer.expect(frames.PLAN)) == (0, CHUNK)
        report = finish(peer)
    assert (report.files_sent, report.bytes_sent, report.bytes_skipped) == (1, CHUNK, CHUNK)
    assert b"file" in planned


def test_unknown_frames_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "file", "x")
    with sender(tmp_path) as peer:
        hear_tree(peer)
        later = msgpack.packb({"want": [0], "maybe": [1]})
        peer.say(frames.pack(64, b"x" * 1000), frames.pack(255), frames.pack(frames.VERDICTS, later))
        peer.expect(frames.WHOLE)
        finish(peer)


# --- windows -----------------------------------------------------------------------------------------------------


def test_files_are_told_of_up_to_the_window_and_further_when_some_are_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "WINDOW", 10)
    monkeypatch.setattr(sender_module, "_STEPS", 4)
    for i in range(30):
        write(tmp_path / f"{i}", "x")
    with sender(tmp_path) as peer:
        peer.expect(frames.START, frames.ENTRIES, frames.ENTRIES, frames.ENTRIES)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            peer.hear()
        peer.say(keep(0, 1))
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            peer.hear()
        peer.say(refuse(2))
        peer.expect(frames.ENTRIES)
        peer.say(want(*range(3, 10)))
        peer.expect(*[frames.WHOLE] * 7, frames.ENTRIES)


def test_what_the_receiver_says_is_heard_while_it_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_STEPS", 8)
    for i in range(200):
        write(tmp_path / ("name" * 50 + f"{i}"))
    with sender(tmp_path) as peer:
        told = -1
        while told != peer.report.files:
            told = peer.report.files
            gevent.sleep(0.02)
        assert 0 < told < 200, "the stream holds more than this test thinks"
        peer.say(keep(*range(told)))
        until(lambda: peer.report.files_done == told)
        assert not peer.greenlet.ready()


def test_more_hashes_than_are_held_are_passed_over_and_never_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "HASHES_MAX", 3 * 32)
    chunk, other = noise(CHUNK), noise(CHUNK, 2)
    for name in ("a", "b"):
        write(tmp_path / name, chunk + chunk + chunk + other)
    named = hash_chunk(chunk)
    with sender(tmp_path) as peer:
        hear_tree(peer)
        # No room for the first two of the second file, and then there is again.
        peer.say(frames.pack_have(0, named * 2), frames.pack_have(1, bytes(64)), keep(0))
        peer.say(frames.pack_have(1, named), want(1))
        peer.expect(frames.BEGIN)
        assert [frames.parse_data(peer.expect(frames.DATA)).chunk for _ in range(4)] == [0, 1, 2, 3]
        peer.expect(frames.END)
        finish(peer)


def test_hashes_of_settled_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "HASHES_MAX", 32)
    for name in ("a", "b", "c", "d"):
        write(tmp_path / name, b"x")
    have = hash_chunk(b"x")
    with sender(tmp_path) as peer:
        hear_tree(peer)
        for number, verdict in enumerate((keep, refuse, want, want)):
            peer.say(frames.pack_have(number, have), verdict(number))
            if verdict is want:
                peer.expect(frames.BEGIN, frames.END)
        report = finish(peer)
    assert (report.bytes_sent, report.files_sent) == (0, 0)


# --- receivers that break the rules ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (want(2), "a file that is not in question"),
        (keep(2), "a file that is not in question"),
        (refuse(2), "a file that is not in question"),
        (want(-1), "a file that is not in question"),
        (want(1 << 63), "a file that is not in question"),
        (want(0, 0), "a file that is not in question"),
        (keep(0, 0), "a file that is not in question"),
        (refuse(0) + want(0), "a file that is not in question"),
        (want(0) + keep(0), "a file that is not in question"),
        (frames.pack_verdicts([0], [0], ()), "a file that is not in question"),
        (frames.pack_have(2, bytes(32)), "a file that is not in question"),
        (want(0) + frames.pack_have(0, bytes(32)), "a file that is not in question"),
        (keep(0) + frames.pack_have(0, b""), "a file that is not in question"),
        (frames.pack_have(0, bytes(3 * 32)), "more of a file than there is"),
        (frames.pack_have(0, bytes(64)) + frames.pack_have(0, bytes(32)), "more of a file than there is"),
        (frames.pack_have(0, bytes(33)), "ends in the middle of a hash"),
        (frames.pack(frames.HAVE, b"\0\0"), "too short"),
        (frames.pack(frames.CANCEL, b"\0\0"), "too short"),
        (frames.pack(frames.VERDICTS, msgpack.packb({"want": [True]})), "lists of file numbers"),
        (frames.pack(frames.VERDICTS, b"\xc1"), "damaged"),
        (frames.pack(frames.VERDICTS, msgpack.packb([])), "a list where a dict belongs"),
        (frames.pack(frames.PROBLEM, msgpack.packb([True, "x", "y"])), "does not say what it is"),
        (RESULT, "ends before it has everything"),
        (want(0) + RESULT, "ends before it has everything"),
        (keep(0) + RESULT, "ends before it has everything"),
        (FINISH, "frame 12 is not for a sender"),
        (frames.pack_start(CONTENTS), "frame 2 is not for a sender"),
        (frames.pack_pass(0), "frame 10 is not for a sender"),
        (frames.pack(63), "frame 63 is not for a sender"),
        (b"\xff\xff\xff\xff\x10", "longer than any can be"),
    ],
)
def test_a_receiver_that_breaks_the_rules_ends_the_session(tmp_path: Path, script: bytes, words: str) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, bytes(2 * CHUNK))
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(script)
        with pytest.raises(BadFrame, match=words):
            peer.wait()


def test_a_result_before_the_tree_was_told_ends_the_session(tmp_path: Path) -> None:
    with sender(tmp_path) as peer:
        peer.say(RESULT)
        with pytest.raises(BadFrame, match="before it has everything"):
            peer.wait()


@pytest.mark.parametrize("script", [b"", want(0), want(0) + b"\0\0", b"\0\0\0\x05\x10ab"])
def test_a_stream_that_ends_early_ends_the_session(tmp_path: Path, script: bytes) -> None:
    write(tmp_path / "file", "x")
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(script)
        peer.socket.shutdown(gevent.socket.SHUT_WR)
        with pytest.raises(BadFrame, match="ended in the middle of the transfer"):
            peer.wait()


def test_a_receiver_that_gives_up_is_quoted(tmp_path: Path) -> None:
    write(tmp_path / "file", noise(9 * CHUNK))
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(want(0), frames.pack_abort("no space is left"))
        with pytest.raises(PeerGaveUp, match="no space is left"):
            peer.wait()


# --- one for all -------------------------------------------------------------------------------------------------


def test_progress_that_raises_ends_everything(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def progress(report: Report) -> None:
        if report.bytes_sent:
            raise Enough

    write(tmp_path / "file", noise(9 * CHUNK))
    with sender(tmp_path, progress=progress) as peer:
        hear_tree(peer)
        peer.say(want(0))
        peer.expect(frames.BEGIN, frames.DATA)
        with pytest.raises(Enough):
            peer.wait()
        assert peer.report.bytes_sent < 9 * CHUNK


def test_killing_a_sender_ends_everything(tmp_path: Path) -> None:
    write(tmp_path / "file", noise(9 * CHUNK))
    with sender(tmp_path) as peer:
        hear_tree(peer)
        peer.say(want(0))
        peer.expect(frames.BEGIN, frames.DATA)
        peer.greenlet.kill(timeout=5)
        assert peer.greenlet.ready()


class Deaf:
    """A stream whose other side has stopped reading, after `heard` sends; it still says what it wants to say."""

    def __init__(self, sock: Any, heard: int) -> None:
        self.recv_into = sock.recv_into
        self._sock = sock
        self._heard = heard

    def sendall(self, data: bytes) -> None:
        if not self._heard:
            raise jsp.errors.StreamStopped("the peer reads no more", 0)
        self._heard -= 1
        self._sock.sendall(data)


@pytest.mark.parametrize("heard", [0, 1, 2, 5])
def test_a_receiver_that_reads_no_more_is_asked_why(tmp_path: Path, heard: int) -> None:
    write(tmp_path / "file", noise(9 * CHUNK))
    near, far = gevent.socket.socketpair()
    walk = Walk(Tree(open_directory(str(tmp_path))), None, Exclude())
    reader = Reader(Tree(open_directory(str(tmp_path))), False)
    stream: Any = Deaf(near, heard)
    report = Report()
    sending = Sender(Channel(stream), CONTENTS, walk, reader, report, no_progress)
    peer = Peer(far, gevent.spawn(_caught, sending.run), report)
    try:
        if heard >= 2:
            hear_tree(peer)
            peer.say(want(0))
        drain = gevent.spawn(_drain, far)
        gevent.sleep(0.02)
        assert not peer.greenlet.ready()
        peer.say(frames.pack_abort("this is why"))
        with pytest.raises(PeerGaveUp, match="this is why"):
            peer.wait()
    finally:
        near.close()
        drain.get(timeout=5)
        far.close()
        walk.close()
        reader.close()


def _drain(sock: Any) -> None:
    while sock.recv(1 << 20):
        pass


def _caught(function: Callable[[], None]) -> Exception | None:
    try:
        function()
    except Exception as error:
        return error
    return None
