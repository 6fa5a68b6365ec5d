"""Lanes over loopback: order, corks, full lanes, and peers that misuse them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
import pytest

import jsp
import jsp.rpc
from jsp.rpc import codec
from jsp.rpc.codec import REPLY, Encoder, Frame, Framer
from jsp.rpc.errors import BadFrame, CloseCode
from jsp.rpc.lanes import ITEMS, LARGE, SMALL, SMALL_MAX, Lanes, Listener, close_for, lane_for, rpc_config
from tests.rpc.support import IDENTITY, LOOPBACK, until


class Ends:
    """A connection with both of its ends in hand."""

    def __init__(self) -> None:
        accepted: list[jsp.Connection] = []
        self._over = gevent.event.Event()

        def handle(conn: jsp.Connection) -> None:
            accepted.append(conn)
            self._over.wait()

        self._server = jsp.Server(LOOPBACK, handle, identity=IDENTITY, config=rpc_config())
        self._server.start()
        self.client = jsp.connect(self._server.url, config=rpc_config())
        until(lambda: accepted)
        self.server = accepted[0]

    def close(self) -> None:
        self._over.set()
        self.client.abort()
        self._server.stop(0)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def frames_from(stream: jsp.Stream, count: int) -> list[Frame]:
    framer = Framer()
    frames: list[Frame] = []
    stream.settimeout(5)
    while len(frames) < count:
        frames += framer.receive(stream.recv(65536))
    return frames


def test_config_is_made_for_rpc() -> None:
    assert rpc_config().protocols == ("jsp-rpc/1",)
    assert rpc_config().keep_alive
    mine = rpc_config(jsp.Config(keep_alive=None, idle_timeout=5, max_streams=7))
    assert (mine.keep_alive, mine.idle_timeout, mine.max_streams) == (None, 5, codec.LANES_MAX)


def test_one_stream_a_lane_opened_when_needed(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    encoder = Encoder()
    for i in range(3):
        lanes.send(SMALL, encoder.frame(REPLY, i, i))
    lanes.send(LARGE, encoder.frame(REPLY, 3, bytes(100_000)))
    small, large = ends.server.accept_stream(timeout=5), ends.server.accept_stream(timeout=5)
    assert frames_from(small, 3) == [(REPLY, i, bytes([i])) for i in range(3)]
    assert frames_from(large, 1)[0][1] == 3
    with pytest.raises(jsp.Timeout):
        ends.server.accept_stream(timeout=0)


def test_which_lane() -> None:
    assert lane_for(bytes(SMALL_MAX)) == SMALL
    assert lane_for(bytes(SMALL_MAX + 1)) == LARGE


def test_small_frames_overtake_large_ones(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    encoder = Encoder()
    order: list[int] = []

    def read(stream: jsp.Stream) -> None:
        order.append(frames_from(stream, 1)[0][1])

    def read_later(stream: jsp.Stream) -> None:
        gevent.spawn(read, stream)

    ends.server.on_stream = lambda conn, stream: read_later(stream)
    lanes.send(LARGE, encoder.frame(REPLY, 1, bytes(900_000)))
    lanes.send(SMALL, encoder.frame(REPLY, 2, 2))
    until(lambda: len(order) == 2)
    assert order == [2, 1]


def test_cork_sends_in_one_piece_and_in_order(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    encoder = Encoder()
    lanes.cork()
    lanes.cork()
    for i in range(3):
        lanes.send(SMALL, encoder.frame(REPLY, i, i))
    lanes.send(ITEMS, encoder.frame(REPLY, 9, 9))
    lanes.uncork()
    lanes.uncork()
    items, small = ends.server.accept_stream(timeout=5), ends.server.accept_stream(timeout=5)
    assert frames_from(items, 1)[0][1] == 9
    assert [call for _, call, _ in frames_from(small, 3)] == [0, 1, 2]


def sent(lane: jsp.Stream, count: int) -> list[int]:
    """The numbers of the next frames."""
    return [call for _, call, _ in frames_from(lane, count)]


def test_cork_for_a_turn_ends_with_it(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    encoder = Encoder()
    lanes.cork_for_turn()
    lanes.send(SMALL, encoder.frame(REPLY, 0, 0))
    small = ends.server.accept_stream(timeout=5)
    assert sent(small, 1) == [0], "there is no lane yet that could be corked"
    lanes.cork_for_turn()
    lanes.send(SMALL, encoder.frame(REPLY, 1, 1))
    assert lanes.try_send(SMALL, encoder.frame(REPLY, 2, 2)), "in order behind what is kept back"
    lanes.cork_for_turn()
    lanes.send(SMALL, encoder.frame(REPLY, 3, 3))
    assert sent(small, 3) == [1, 2, 3]
    lanes.cork_for_turn()
    for i in range(10):
        lanes.send(SMALL, encoder.frame(REPLY, i, bytes(30_000)))
    lanes.end_turn()
    lanes.end_turn()
    assert sent(small, 10) == list(range(10))


def test_a_turn_with_a_cork_ends_quietly_on_a_closed_connection(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    lanes.send(SMALL, codec.done_frame(1))
    gevent.sleep(0.01)
    lanes.cork_for_turn()
    lanes.send(SMALL, codec.done_frame(2))
    ends.client.abort()
    lanes.end_turn()
    with pytest.raises(jsp.ConnectionClosed):
        lanes.send(SMALL, codec.done_frame(3))


def test_no_cork_on_a_lane_that_may_be_full(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    filling = gevent.spawn(lanes.send, SMALL, bytes(8 << 20))
    gevent.sleep(0)
    lanes.cork_for_turn()
    waiting = gevent.spawn(lanes.send, SMALL, codec.done_frame(1))
    gevent.sleep(0.01)
    assert not waiting.dead, "who sends waits for room"
    gevent.killall([filling, waiting])


def test_try_send_never_waits(ends: Ends) -> None:
    lanes = Lanes(ends.client)
    frame = codec.bare_frame(codec.CANCEL, 1)
    assert not lanes.try_send(SMALL, frame), "opening a stream may wait"
    lanes.send(SMALL, frame)
    assert lanes.try_send(SMALL, frame)
    filling = gevent.spawn(lanes.send, SMALL, bytes(8 << 20))
    gevent.sleep(0)
    assert not filling.dead
    assert not lanes.try_send(SMALL, frame)
    filling.kill()


def read_raw(ends: Ends, data: bytes, *, bidirectional: bool = False) -> jsp.Stream:
    stream = ends.client.open_stream(unidirectional=not bidirectional)
    if data:
        stream.sendall(data)
    return stream


class Heard:
    """What a listener is told."""

    def __init__(self, ends: Ends) -> None:
        self.frames: list[Frame] = []
        self.refused: list[BadFrame] = []
        self.listener = Listener(codec.MAX_FRAME, self.frames.extend, self.refused.append)
        ends.server.on_stream = lambda conn, stream: self.listener.open(stream)


def test_a_listener_reads_all_lanes_without_a_greenlet(ends: Ends) -> None:
    heard = Heard(ends)
    lanes = Lanes(ends.client)
    encoder = Encoder()
    for i in range(50):
        lanes.send(i % 3, encoder.frame(REPLY, i, bytes(10_000)))
        if not i % 10:
            gevent.sleep(0.001)
    until(lambda: len(heard.frames) == 50)
    assert sorted(call for _, call, _ in heard.frames) == list(range(50))
    ends.client.abort()
    until(lambda: ends.server.closed)
    gevent.sleep(0.01)
    assert not heard.refused, "the end of a connection is no mistake of the peer"


@pytest.mark.parametrize("end", ["finish", "reset", "bidirectional", "malformed"])
def test_a_listener_hears_what_a_lane_must_not_be(ends: Ends, end: str) -> None:
    heard = Heard(ends)
    frame = Encoder().frame(REPLY, 1, "x")
    stream = read_raw(ends, frame, bidirectional=end == "bidirectional")
    until(lambda: heard.frames or heard.refused)
    if end == "finish":
        stream.close()
    elif end == "reset":
        stream.reset(1)
    elif end == "malformed":
        stream.sendall(b"\x00\x00\x00\x01" * 3)
    until(lambda: heard.refused)
    assert len(heard.frames) == (end != "bidirectional") and len(heard.refused) == 1


def test_closing_says_why_once(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jsp.rpc"):
        for _ in range(2):
            close_for(ends.server, BadFrame("no such thing " * 10, CloseCode.LIMIT))
    assert ends.client.wait_closed(5)
    error = ends.client.closed_error()
    assert (error.code, error.application, error.by_peer) == (CloseCode.LIMIT, True, True)
    assert error.reason.startswith("no such thing")
    [record] = caplog.records
    assert "127.0.0.1" in record.getMessage() and "no such thing" in record.getMessage()
