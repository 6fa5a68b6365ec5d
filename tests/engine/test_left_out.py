"""Frames that leave something out mean what their sender meant, whatever became of other packets (spec section 9.3)."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.headers.tally import Tally
from jsp.config import KIB, MIB, Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import MessagesReadable
from jsp.engine.flow import ReceiveWindow
from jsp.engine.modes import BEST_EFFORT, RELIABLE, PartiallyReliable
from jsp.engine.recv_stream import RecvStream
from jsp.engine.traffic import StreamReadable
from jsp.errors import Code
from jsp.recovery.acks import REPLAY_WINDOW
from jsp.wire import frames as f
from jsp.wire.buffer import DATAGRAM_MAX
from tests.profiles import examples
from tests.sim.hostile import Pair, closed_with, frames, seal, send_frames
from tests.sim.link import LinkSpec
from tests.sim.world import CLIENT, Node, World, connected

HOSTILE = [
    LinkSpec(delay=0.01, reorder=0.3, duplicate=0.3),
    LinkSpec(delay=0.01, late=0.1, duplicate=0.2, jitter=0.005),
    LinkSpec(delay=0.01, late=0.05, reorder=0.2, loss=0.1),
    LinkSpec(delay=0.001, late=0.3, loss=0.05),
]


class Watched:
    """Counts frames that pass a link, and checks after each datagram what was acknowledged."""

    def __init__(self, world: World, client: Node, server: Node, c: ConnectionCore, s: ConnectionCore) -> None:
        self.ends = (c, s)
        self.tallies = (Tally(), Tally())
        for node, mine, theirs, tally in ((client, c, s, self.tallies[0]), (server, s, c, self.tallies[1])):
            link = node.default_link
            assert link is not None

            def see(data: bytes, mine: Any = mine, theirs: Any = theirs, tally: Tally = tally) -> None:
                tally.add(data, len(data), mine, theirs)
                self.check()

            link.tap = see

    def check(self) -> None:
        c, s = self.ends
        for mine, theirs in ((c, s), (s, c)):
            largest = mine.paths[0].space.largest_acked
            assert largest < 0 or largest in theirs.paths[0].space.acks.ranges, "acknowledged, and never received"

    def types(self) -> Counter[int]:
        return self.tallies[0].types + self.tallies[1].types


@pytest.mark.parametrize("link", HOSTILE, ids=("reordered", "late", "lossy", "very-late"))
@pytest.mark.parametrize("seed", range(3))
def test_requests_in_turns(link: LinkSpec, seed: int) -> None:
    """What is written when all before it is acknowledged: every request, every reply."""
    world = World(seed)
    config = Config(idle_timeout=300.0, stream_window=64 * KIB, receive_window=256 * KIB, max_message=64 * KIB)
    client, server, c, s = connected(world, link, client_config=config, server_config=config)
    rng = random.Random(seed)
    watched = Watched(world, client, server, c, s)
    sent: dict[ConnectionCore, bytearray] = {c: bytearray(), s: bytearray()}
    got: dict[ConnectionCore, bytearray] = {c: bytearray(), s: bytearray()}
    stream = c.open_stream()
    assert stream is not None
    turns = 300

    def say(end: ConnectionCore, node: Node) -> None:
        send = end.streams.streams[stream.id].send
        assert send is not None
        data = rng.randbytes(rng.choice((1, 20, 64, 300, 3000)))
        sent[end] += data
        send.write(data)
        node.flush(end)

    def on_event(node: Node, end: ConnectionCore, other: ConnectionCore, event: object) -> None:
        nonlocal turns
        if isinstance(event, StreamReadable):
            while data := end.read(end.streams.streams[event.stream_id], 1000):
                got[end] += data
            assert sent[other].startswith(got[end]), "not what was written"
            if len(got[end]) == len(sent[other]) and turns:
                turns -= 1
                # At times before the last one is acknowledged, too.
                world.schedule(world.now + rng.choice((0.0, 0.0, 0.03)), lambda: say(end, node))

    client.handler = lambda end, event: on_event(client, end, s, event)
    server.handler = lambda end, event: on_event(server, end, c, event)
    say(c, client)
    world.run_until(lambda: not turns and got[s] == sent[c] and got[c] == sent[s], 3000.0)
    types = watched.types()
    assert sum(types[kind] for kind in range(f.STREAM_NEXT, f.SKIPPABLE)) > 50
    assert types[f.ACK_SHORT] > 15
    assert c.lifecycle.closed is None and s.lifecycle.closed is None


@pytest.mark.parametrize("link", HOSTILE, ids=("reordered", "late", "lossy", "very-late"))
def test_streams_that_nobody_reads_any_more_agree_on_their_size(link: LinkSpec) -> None:
    for seed in range(6):
        world = World(seed)
        config = Config(idle_timeout=300.0, stream_window=64 * KIB, receive_window=256 * KIB, max_message=64 * KIB)
        client, server, c, s = connected(world, link, client_config=config, server_config=config)
        rng = random.Random(seed)
        for _ in range(20):
            stream = c.open_stream(True)
            assert stream is not None and stream.send is not None
            stop_after = rng.randrange(12)
            for i in range(12):
                stream.send.write(rng.randbytes(rng.randrange(1, 400)))
                if i == 11 and rng.random() < 0.5:
                    stream.send.finish()
                client.flush(c)
                world.run_for(rng.choice((0.005, 0.05)))
                there = s.streams.streams.get(stream.id)
                if i == stop_after and there is not None and there.recv is not None:
                    there.recv.stop(1)
                    s.streams.touch(there)
                    server.flush(s)
            stream.send.finish()
            c.streams.release(stream)
            client.flush(c)
            there = s.streams.streams.get(stream.id)
            if there is not None:
                s.streams.release(there)
                if there.recv is not None:
                    there.recv.stop(1)
                    s.streams.touch(there)
                server.flush(s)
        world.run_for(60.0)
        assert c.lifecycle.closed is None and s.lifecycle.closed is None
        assert s.window.held() == 0
        assert not c.streams.streams and not s.streams.streams


@pytest.mark.parametrize("link", HOSTILE, ids=("reordered", "late", "lossy", "very-late"))
def test_messages_that_follow_each_other(link: LinkSpec) -> None:
    world = World(5)
    config = Config(idle_timeout=300.0, receive_window=1 * MIB, max_message=64 * KIB)
    client, server, c, s = connected(world, link, client_config=config, server_config=config)
    watched = Watched(world, client, server, c, s)
    rng = random.Random(5)
    got: list[tuple[bytes, bool]] = []
    reliable: list[tuple[bytes, bool]] = []

    def on_event(end: ConnectionCore, event: object) -> None:
        if isinstance(event, MessagesReadable):
            while (message := s.recv_messages.read()) is not None:
                got.append((bytes(message.data), message.ordered))

    server.handler = on_event
    for i in range(600):
        mode = rng.choice((RELIABLE, RELIABLE, RELIABLE, BEST_EFFORT, PartiallyReliable(ttl=30.0)))
        content = i.to_bytes(4, "big") + rng.randbytes(rng.choice((0, 60, 60, 2000)))
        ordered = rng.random() < 0.5
        c.send_messages.send(content, mode, ordered, world.now)
        if mode is RELIABLE:
            reliable.append((content, ordered))
        if rng.random() < 0.1:
            client.flush(c)
            world.run_for(0.02)
    client.flush(c)
    world.run_for(100.0)
    assert len(set(got)) == len(got)
    assert set(reliable) <= set(got)
    in_order = [content for content, ordered in got if ordered and (content, ordered) in reliable]
    assert in_order == sorted(in_order)
    assert sum(watched.types()[kind] for kind in (f.MESSAGE_NEXT, f.MESSAGE_NEXT + 1)) > 50


BEYOND_MAX = 2 * REPLAY_WINDOW * DATAGRAM_MAX


# --- the rules by themselves -----------------------------------------------------------------------------------


@given(
    base=st.integers(0, 1 << 61),
    span=st.integers(0, (1 << 28) - 1),
    place=st.integers(0, 1 << 28),
    beyond=st.one_of(st.sampled_from((0, BEYOND_MAX)), st.integers(0, BEYOND_MAX)),
    short=st.integers(0, 1 << 28),
)
@examples(500)
def test_low_bits_of_an_offset_are_enough(base: int, span: int, place: int, beyond: int, short: int) -> None:
    offset = base + min(place, span)
    # Anything from what is acknowledged on may have come, and what all packets of a replay window hold beyond it.
    received = max(base, base + span + beyond - short)
    if f.offset_size(offset, span) == 4:
        assert f.full_offset(offset & 0x3FFFFFFF, received) == offset


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("wwwsddddaallx"), st.integers(0, 1 << 16), st.integers(1, 50)), max_size=120
    )
)
@examples(300)
def test_a_stream_that_goes_on_is_put_together_whatever_comes_when(steps: list[tuple[str, int, int]]) -> None:
    """A sender by the letter of spec section 9.3, a network that holds every packet back and repeats it at will."""
    recv = RecvStream(2, 1 << 20, 1 << 20, ReceiveWindow(1 << 20, 1 << 20))
    data = random.Random(1).randbytes(1 << 13)
    under_way: list[tuple[int, int, int, bool]] = []
    taken: set[int] = set()
    acked: set[int] = set()
    sent = number = 0
    out = b""

    def deliver(packet: tuple[int, int, int, bool]) -> None:
        number, start, stop, implied = packet
        if number in taken:
            return
        frame = f.StreamFrame()
        frame.offset = -1 if implied else start
        payload = bytearray(data[start:stop])
        frame.start, frame.stop = 0, len(payload)
        if implied and recv.is_late(number, not taken or number > max(taken)):
            return
        taken.add(number)
        recv.on_data(frame, payload, number)
        assert recv.window.received <= sent

    for what, chosen, size in steps:
        if what in "ws" and sent + size <= len(data):
            implied = all(offset in acked for offset in range(sent)) and sent > 0
            under_way.append((number, sent, sent + size, implied))
            sent += size
            number += 1
        elif what == "d" and under_way:
            deliver(under_way[chosen % len(under_way)])
        elif what == "a" and under_way:
            found, start, stop, _ = under_way[chosen % len(under_way)]
            if found in taken:
                acked.update(range(start, stop))
        elif what == "l" and under_way:
            # Taken for lost, rightly or not: sent again in part or as a whole, with its offset.
            _, start, stop, _ = under_way[chosen % len(under_way)]
            if not all(offset in acked for offset in range(start, stop)):
                under_way.append((number, start, min(stop, start + size), False))
                number += 1
        elif what == "x" and chosen % 50 == 0:
            recv.stop(1)
        out += recv.read(1 << 16)
        assert data.startswith(out)


# --- peers that break the rules --------------------------------------------------------------------------------

REFUSED = [
    ("MESSAGE_NEXT behind nothing", frames((f.MESSAGE_NEXT,), b"x")),
    ("MESSAGE_NEXT behind a stream", frames((f.STREAM | f.STREAM_LEN, 0, 1), b"x", (f.MESSAGE_NEXT,), b"x")),
    ("STREAM_NEXT behind a PING", frames((f.PING,), (f.STREAM_NEXT, 0), b"x")),
    ("two STREAM_NEXT", frames((f.STREAM_NEXT | 2, 0, 1), b"x", (f.STREAM_NEXT, 0), b"x")),
]


@pytest.mark.parametrize("payload", [p for _, p in REFUSED], ids=[name for name, _ in REFUSED])
def test_what_continues_nothing_is_refused(ends: Pair, payload: bytes) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, payload.ljust(40, b"\0") if payload[-1:] != b"x" else payload)
    world.run_for(0.1)
    assert closed_with(server) == Code.FRAME_ENCODING


def test_a_frame_that_does_not_exist_is_refused(ends: Pair) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, frames((0x3B,), bytes(20)))
    world.run_for(0.1)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_stream_next_of_a_stream_that_has_not_begun_begins_it(ends: Pair) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, frames((f.STREAM_NEXT, 0), b"hello"))
    world.run_for(0.1)
    assert s.read(s.streams.streams[0], 100) == b"hello"


def test_a_short_ack_of_what_was_never_sent_is_refused(ends: Pair) -> None:
    world, client, server, c, s = ends
    beyond = s.paths[0].space.next_number + 5
    send_frames(client, c, frames((f.ACK_SHORT,), bytes([beyond & 255]), (0,)).ljust(40, b"\0"))
    world.run_for(0.1)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_a_short_ack_that_was_overtaken_says_nothing(ends: Pair) -> None:
    world, client, server, c, s = ends
    known = s.paths[0].space.largest_acked
    number = c.paths[0].space.next_number
    c.paths[0].space.next_number += 2
    server.receive(seal(c, frames((f.PING,)), number + 1), CLIENT)
    stale = frames((f.ACK_SHORT,), bytes([(known - 1) & 255]), (0,)).ljust(40, b"\0")
    server.receive(seal(c, stale, number), CLIENT)
    assert closed_with(server) is None
    assert s.paths[0].space.largest_acked == known


def test_a_number_far_below_the_highest_is_not_taken(ends: Pair) -> None:
    world, client, server, c, s = ends
    number = c.paths[0].space.next_number
    top = number + 2 * REPLAY_WINDOW
    for last in (top, top + 1):
        server.receive(seal(c, frames((f.PING,)), last), CLIENT)
    before = s.counters.packets_duplicate
    server.receive(seal(c, frames((f.STREAM, 0), b"late"), number + 1), CLIENT)
    assert s.counters.packets_duplicate == before + 1
