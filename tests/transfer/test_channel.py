"""A session's stream: frames between two ends on loopback, and whether the other side hears why it is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import gevent
import pytest
from gevent.event import AsyncResult, Event

import jsp
from jsp.net.stream import SHUT_RD, SHUT_WR, Stream
from jsp.transfer import channel as channel_module
from jsp.transfer import frames
from jsp.transfer.channel import Channel
from jsp.transfer.chunks import CHUNK
from jsp.transfer.errors import BadFrame, PeerGaveUp
from tests.net.support import IDENTITY, LOOPBACK, until

pytestmark = pytest.mark.usefixtures("no_greenlets_left")


class Ends(NamedTuple):
    """Both ends of a stream."""

    here: Channel
    there: Channel
    here_stream: Stream
    there_stream: Stream


@contextmanager
def ends() -> Iterator[Ends]:
    """A stream over which a first frame has gone."""
    accepted: AsyncResult[Stream] = AsyncResult()
    over = Event()

    def handle(stream: Stream, address: object) -> None:
        accepted.set(stream)
        over.wait()

    with jsp.StreamServer(LOOPBACK, handle, identity=IDENTITY) as server, jsp.connect(server.url) as connection:
        stream = connection.open_stream()
        here = Channel(stream)
        assert here.send(frames.pack(frames.OPEN, b"hello"))
        there_stream = accepted.get(timeout=5)
        assert there_stream is not None
        there = Channel(there_stream)
        assert there.read() == (frames.OPEN, b"hello")
        try:
            yield Ends(here, there, stream, there_stream)
        finally:
            over.set()


def test_frames_go_both_ways_and_several_in_one_piece() -> None:
    with ends() as (here, there, _, _):
        here.send(frames.pack(1, b"one") + frames.pack(2) + frames.pack(frames.DATA, bytes(CHUNK)))
        there.send(frames.pack(3, b"back"))
        assert [there.read() for _ in range(3)] == [(1, b"one"), (2, b""), (frames.DATA, bytes(CHUNK))]
        assert here.read() == (3, b"back")


def test_whether_a_frame_can_be_read_without_waiting() -> None:
    with ends() as (here, there, _, _):
        assert not there.has_frame()
        here.send(frames.pack(1) + frames.pack(2))
        there.read()
        assert there.has_frame()
        there.read()
        assert not there.has_frame()


def test_who_sends_to_one_that_reads_no_more_learns_it_without_an_error() -> None:
    with ends() as (here, there, _, there_stream):
        there.send(frames.pack_abort("no space"))
        there_stream.shutdown(SHUT_RD)
        until(lambda: not here.send(frames.pack(1)))
        with pytest.raises(PeerGaveUp, match="no space"):
            here.read()


def test_a_stream_that_ends_too_soon_is_against_the_rules() -> None:
    with ends() as (here, _, _, there_stream):
        there_stream.shutdown(SHUT_WR)
        with pytest.raises(BadFrame, match="ended"):
            here.read()


def test_a_stream_that_is_abandoned_is_an_error_of_the_stream() -> None:
    with ends() as (here, _, _, there_stream):
        there_stream.reset()
        with pytest.raises(jsp.StreamReset):
            here.read()


# --- giving up ---------------------------------------------------------------------------------------------------


def test_the_other_side_hears_why() -> None:
    with ends() as (here, there, _, there_stream):
        giving_up = gevent.spawn(there.abort, "the disk is full")
        with pytest.raises(PeerGaveUp, match=r"gave up: the disk is full$"):
            here.read()
        assert not giving_up.dead, "it waits until it has been heard"
        giving_up.kill()


def test_its_words_cannot_move_the_cursor() -> None:
    with ends() as (here, there, _, _):
        there.send(frames.pack_abort("\x1b[2Jno\nspace é"))
        with pytest.raises(PeerGaveUp, match="gave up: ") as caught:
            here.read()
        assert str(caught.value).endswith("\\x1b[2Jno\\nspace é")


def test_words_that_are_none_are_against_the_rules() -> None:
    with ends() as (here, there, _, _):
        there.send(frames.pack(frames.ABORT, b"\xc0"))
        with pytest.raises(BadFrame):
            here.read()


def test_it_is_over_as_soon_as_the_other_side_has_heard() -> None:
    with ends() as (here, there, here_stream, _):
        begin = time.monotonic()
        giving_up = gevent.spawn(there.abort, "words")
        with pytest.raises(PeerGaveUp):
            here.read()
        here_stream.close()
        giving_up.get(timeout=2)
        assert time.monotonic() - begin < channel_module._LINGER - 0.5


def test_when_both_give_up_at_once_neither_waits_for_the_other() -> None:
    with ends() as (here, there, _, _):
        begin = time.monotonic()
        gevent.joinall([gevent.spawn(here.abort, "one"), gevent.spawn(there.abort, "other")], raise_error=True)
        assert time.monotonic() - begin < channel_module._LINGER - 0.5


@pytest.mark.parametrize("busy", [False, True], ids=["silent", "sending for ever"])
def test_it_does_not_wait_for_ever(busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "_LINGER", 0.05)

    def send_for_ever(channel: Channel) -> None:
        while channel.send(frames.pack(frames.DATA, bytes(1000))):
            gevent.sleep(0)

    with ends() as (here, there, _, _):
        sending = gevent.spawn(send_for_ever, here) if busy else None
        with gevent.Timeout(5):
            there.abort("words")
        if sending is not None:
            sending.kill()


def test_the_other_side_hears_why_although_it_was_sending_and_a_frame_was_read_half() -> None:
    # How a full disk shows: the reader is ended inside a chunk, and what follows of it is no frame.
    frame = frames.pack(frames.DATA, b"\xff" * CHUNK)

    def send_much(channel: Channel) -> None:
        channel.send(frame[50:])
        try:
            while channel.send(frame):
                pass
        except jsp.Error:
            pass

    with ends() as (here, there, here_stream, there_stream):
        here.send(frame[:50])
        reading = gevent.spawn(there.read)
        gevent.sleep(0.01)
        reading.kill()
        sending = gevent.spawn(send_much, here)
        until(lambda: there_stream.inner.recv is not None and there_stream.inner.recv.readable() > 1000)
        giving_up = gevent.spawn(there.abort, "the disk is full")
        # What the session does next, and what would be lost by it is lost.
        giving_up.link(lambda _: there_stream.reset())
        with pytest.raises(PeerGaveUp, match="the disk is full"):
            here.read()
        here_stream.close()
        sending.get(timeout=5)
        giving_up.get(timeout=5)


def test_nobody_is_told_when_there_is_nobody() -> None:
    with ends() as (here, there, here_stream, there_stream):
        here_stream.close()
        here.abort("to a stream that was closed here")
        there_stream.shutdown(SHUT_WR)
        there.abort("after the end")
        there_stream.connection.abort()
        there.abort("on a connection that is over")
