"""What leaves, in which packets: sharing, trains, windows, pacing."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise

import pytest

from jsp.config import CONGESTION, Config
from jsp.crypto.protection import SealKeys
from jsp.crypto.suites import AES_256_GCM
from jsp.engine.builder import Train
from jsp.engine.modes import RELIABLE
from jsp.errors import Code, ProtocolViolation
from jsp.recovery.loss import LossDetector, PacketSpace
from jsp.recovery.newreno import NewReno
from jsp.wire import frames as f
from jsp.wire.frames import ACK
from tests.sim.hostile import closed_with, frames, send_frames
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import World, connected


def test_bulk_leaves_in_trains_of_equal_packets() -> None:
    world = World()
    client, server, c, s = connected(world, client_config=Config(max_datagram_size=1452))
    c.open_stream().send.write(bytes(14_000))
    c.paths[0].recovery.rtt.smoothed = 0.00001
    transmit = c.poll_transmit(world.now)
    assert transmit.segment_size == 1452
    assert len(transmit.data) > 7 * 1452
    # One ledger record for the run of full packets.
    assert len(c.paths[0].space.sent.runs) <= 3


def test_lone_write_leaves_at_once_and_small_writes_share_a_packet() -> None:
    world = World()
    client, server, c, s = connected(world)
    world.run_for(0.5)
    stream = c.open_stream()
    before = client.default_link.sent
    for _ in range(20):
        stream.send.write(b"x" * 40)
    client.flush(c)
    assert client.default_link.sent == before + 1
    world.run_for(0.1)
    assert s.streams.streams[0].recv.readable() == 800


def test_answer_carries_the_acknowledgement() -> None:
    world = World()
    client, server, c, s = connected(world)
    world.run_for(0.5)
    stream = c.open_stream()
    stream.send.write(b"question")
    client.flush(c)
    sent = server.default_link.sent

    def answer(core, event) -> None:  # type: ignore[no-untyped-def]
        inner = core.streams.streams[0]
        if core.read(inner, 100):
            inner.send.write(b"answer")

    server.handler = answer
    world.run_for(0.1)
    assert server.default_link.sent == sent + 1
    assert s.counters.acks_sent >= 1


def test_two_packets_are_acknowledged_at_once_and_one_after_a_while() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001))
    world.run_for(0.5)
    sent = server.default_link.sent
    c.open_stream().send.write(b"one")
    client.flush(c)
    world.run_for(0.01)
    assert server.default_link.sent == sent
    world.run_for(0.02)
    assert server.default_link.sent == sent + 1
    c.send_message(world.now, bytes(1100), RELIABLE, False)
    c.send_message(world.now, bytes(1100), RELIABLE, False)
    client.flush(c)
    world.run_for(0.004)
    assert server.default_link.sent == sent + 2


def test_gap_is_told_at_once() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001))
    world.run_for(0.5)
    sent = server.default_link.sent
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    c.send_message(world.now, bytes(1100), RELIABLE, False)
    c.send_message(world.now, bytes(1100), RELIABLE, False)
    client.flush(c)
    world.run_for(0.003)
    assert server.default_link.sent == sent + 1


def test_bulk_is_not_acknowledged_packet_by_packet() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02, rate=2_000_000, queue=60_000))
    plan = Plan(2)
    plan.streams = [[], [(1_000_000, True)]]
    run_plan(client, server, c, s, plan)
    assert s.counters.acks_sent <= c.counters.packets_sent * 0.55


@pytest.mark.parametrize("congestion", CONGESTION)
def test_pacing_keeps_a_shallow_queue_from_overflowing(congestion: str) -> None:
    # Ten datagrams of queue, twenty in a window: without pacing half of every window would be lost.
    world = World()
    spec = LinkSpec(delay=0.04, rate=1_250_000, queue=14_000, mtu=1_472)
    client, server, c, s = connected(world, spec, client_config=Config(congestion=congestion))
    plan = Plan(2)
    # Long enough that the end of slow start, which loses what the last doubling was too much, is a small part.
    plan.streams = [[], [(3_000_000, True)]]
    run_plan(client, server, c, s, plan)
    assert c.paths[0].recovery.packets_lost < 0.05 * c.counters.packets_sent


@pytest.mark.parametrize(
    ("size", "room", "leaves"),
    [
        (1000, 1100, True),
        (1000, 1000, False),
        (100, 200, True),
        (100, 150, False),
        (3000, 1199, False),
        (-1, 1199, False),
    ],
)
def test_last_bytes_of_the_window_take_a_short_message_but_no_piece_of_more(size: int, room: int, leaves: bool) -> None:
    world = World()
    client, _, c, _ = connected(world, LinkSpec(delay=0.1))
    world.run_for(1.0)
    recovery = c.paths[0].recovery
    c.send_message(world.now, b"under way", RELIABLE, False)
    client.flush(c)
    before = recovery.in_flight
    recovery.controller.window = before + room
    if size < 0:
        c.open_stream().send.write(bytes(10_000))
    else:
        c.send_message(world.now, bytes(size), RELIABLE, False)
    client.flush(c)
    assert (recovery.in_flight > before) is leaves
    assert recovery.in_flight <= recovery.controller.window


def test_lossy_transfer_ends_with_nothing_in_flight() -> None:
    world = World(3)
    client, server, c, s = connected(world, LinkSpec(delay=0.03, loss=0.1, reorder=0.05, duplicate=0.05))
    plan = Plan(3)
    plan.streams = [[(100_000, False), (5, True)], [(100_000, False), (0, False)]]
    run_plan(client, server, c, s, plan)
    world.run_for(2.0)
    for core in (c, s):
        assert not core.paths[0].recovery.in_flight
        assert not core.paths[0].space.sent.runs
        assert core.counters.packets_sent >= core.counters.packets_received - 5


def test_packets_of_one_train_are_as_large_as_the_first() -> None:
    train = Train()
    keys = SealKeys(AES_256_GCM, bytes(32))
    train.begin(keys, b"cid4", 0, 2, 1200, 10_000, 0.0)
    for size in (700, 700, 300):
        train.push_bytes(bytes([ACK]) * size)
        train.mark_eliciting()
        more = train.advance()
    assert not more
    assert train.seal(keys, 0) == (7 + 700 + 16) * 2 + 7 + 300 + 16
    assert [run.total for run in train.runs] == [723, 723, 323]


@pytest.mark.parametrize("size", [1200, 1452, 9000, 65_507])
def test_datagram_size_is_what_was_configured(size: int) -> None:
    world = World()
    config = Config(max_datagram_size=size)
    client, server, c, s = connected(world, client_config=config, server_config=config)
    plan = Plan(5)
    plan.streams = [[], [(300_000, False)]]
    largest = 0

    def note(data: bytes) -> None:
        nonlocal largest
        largest = max(largest, len(data))

    client.default_link.tap = note
    run_plan(client, server, c, s, plan)
    assert largest == size


# --- numbers left out ----------------------------------------------------------------------------------------------


def test_one_number_in_every_one_to_two_windows_is_left_out() -> None:
    space = PacketSpace(0.025, False)
    left_out: list[int] = []
    for number in range(5000):
        space.next_number = max(space.next_number, number)
        if space.next_number >= space.skip_at:
            space.skip_number(40, number * 7919)
            left_out += space.skipped[-1:]
            assert space.skipped == left_out[-4:]
    steps = [b - a for a, b in pairwise(left_out)]
    assert 40 < min(steps) < 50
    assert 70 < max(steps) <= 81


ACKS = [(((8, 10), (4, 7), (0, 3)), True), (((4, 7),), True), (((7, 8),), False), (((0, 10),), False)]
ACKS += [(((8, 10), (3, 4)), False), (((9, 10), (8, 9), (4, 6), (2, 4)), False), (((8, 10), (0, 7)), False)]


@pytest.mark.parametrize(("ranges", "honest"), ACKS)
def test_n76_an_ack_that_covers_a_number_left_out_ends_the_connection(
    ranges: tuple[tuple[int, int], ...], honest: bool
) -> None:
    path, space = LossDetector(NewReno(1200)), PacketSpace(0.025, False)
    space.skipped, space.next_number = [3, 7], 10
    with nullcontext() if honest else pytest.raises(ProtocolViolation, match="left out"):
        path.on_ack(space, [a for a, _ in ranges], [b for _, b in ranges], 0.0, 1.0)


@pytest.mark.parametrize("blind", [True, False])
def test_n76_whoever_acknowledges_what_never_arrived_is_found_out(blind: bool) -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    c.open_stream()
    client.flush(c)
    world.run_for(0.2)
    s.streams.streams[0].send.write(bytes(3_000_000))
    server.default_link.blackhole = blind
    server.flush(s)
    for _ in range(10):
        world.run_for(0.1)
        if blind and not s.is_closed():
            largest = s.paths[0].space.next_number - 1
            send_frames(client, c, frames((f.ACK, 0, largest, 0, 0, largest)))
    assert len(s.paths[0].space.skipped) >= 1
    assert closed_with(server) == (Code.PROTOCOL_VIOLATION if blind else None)
    assert s.counters.bytes_sent < 200_000 or not blind


def test_whoever_only_receives_does_not_tell_ever_more_gaps() -> None:
    """No window update is due for long, so nothing but a PING makes the server say which ACKs it has."""
    world = World()
    config = Config(receive_window=1 << 26, stream_window=1 << 26, stream_window_max=1 << 26)
    link = LinkSpec(delay=0.01, rate=1_000_000, queue=12_000)
    client, server, c, s = connected(world, LinkSpec(delay=0.01), link, client_config=config)
    c.open_stream()
    client.flush(c)
    world.run_for(0.2)
    s.streams.streams[0].send.write(bytes(2_000_000))
    server.flush(s)
    most = 0
    for _ in range(400):
        world.run_for(0.005)
        acks = c.paths[0].space.acks
        most = max(most, len(acks.ranges) - acks.first_told())
    assert len(c.paths[0].space.acks.ranges) > 40
    assert most < 24
    assert c.counters.packets_sent - c.counters.acks_sent < 20
