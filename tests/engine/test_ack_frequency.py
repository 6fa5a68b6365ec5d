"""Senders of much ask for fewer ACKs, and for more when they need them (docs/spec.md section 10.2)."""

from __future__ import annotations

import pytest

from jsp.config import MIB, Config
from jsp.engine import hibernation
from jsp.engine.ack_frequency import PACKETS_MAX
from jsp.engine.hibernation import hibernate, is_quiet
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected

DATAGRAM = 1452
SIZE = 20_000_000  # slow start, in which more ACKs are wanted, is over soon


class Transfer:
    """A client that sends `size` bytes on one stream, and a server that reads them."""

    def __init__(self, link: LinkSpec, size: int, congestion: str = "cubic", asked: bool = True) -> None:
        config = Config(max_datagram_size=DATAGRAM, congestion=congestion, stream_window=16 * MIB, send_buffer=64 * MIB)
        self.world = World(1)
        back = LinkSpec(delay=link.delay)
        self.client, self.server, self.c, self.s = connected(
            self.world, link, back, client_config=config, server_config=config
        )
        if not asked:
            self.c.paths[0].peer_min_ack_delay = 0.0
        self.left = size
        stream = self.c.open_stream()
        assert stream is not None and stream.send is not None
        stream.send.write(bytes(size))
        self.client.flush(self.c)

    def run(self, limit: float = 60.0) -> float:
        """Read all of it; acknowledgements a megabyte."""
        before, size = self.s.counters.acks_sent, self.left
        self.world.run_until(lambda: self.read() <= 0, limit)
        return (self.s.counters.acks_sent - before) / size * 1e6

    def read(self) -> int:
        for stream in list(self.s.streams.streams.values()):
            self.left -= len(self.s.read(stream, MIB))
        self.server.flush(self.s)
        return self.left


@pytest.mark.parametrize("congestion", ["cubic", "bbr", "newreno"])
def test_a_large_window_is_acknowledged_by_a_fraction_of_the_acks_and_no_later(congestion: str) -> None:
    link = LinkSpec(delay=0.02, rate=12_500_000, queue=500_000)
    often, seldom = Transfer(link, SIZE, congestion, asked=False), Transfer(link, SIZE, congestion)
    assert 5 * seldom.run() < often.run()
    assert seldom.world.now < 1.05 * often.world.now
    asked = seldom.c.paths[0].ack_frequency
    assert asked is not None and 2 < asked.packets <= PACKETS_MAX
    acks = seldom.s.paths[0].space.acks
    assert (acks.packets, acks.reordering) == (asked.packets, 1)
    # A quarter of the round trip, and both ends know it.
    assert acks.max_delay == pytest.approx(seldom.c.paths[0].recovery.peer_max_ack_delay, abs=1e-6)
    assert 0.01 <= acks.max_delay <= 0.025


def test_nobody_is_asked_while_the_window_is_small() -> None:
    transfer = Transfer(LinkSpec(delay=0.01, rate=1_000_000, queue=20_000), 1_000_000)
    transfer.run()
    assert transfer.c.paths[0].ack_frequency is None
    assert transfer.s.paths[0].space.acks.packets == 2


def test_a_window_that_shrank_gets_its_acks_again() -> None:
    transfer = Transfer(LinkSpec(delay=0.02, rate=12_500_000, queue=500_000), 20_000_000)
    c, s = transfer.c, transfer.s
    transfer.world.run_until(lambda: transfer.read() < 15_000_000)
    assert s.paths[0].space.acks.packets > 4
    link = transfer.client.default_link
    assert link is not None
    link.blackhole = True
    transfer.world.run_for(3.0)
    link.blackhole = False
    transfer.world.run_until(lambda: transfer.read() > 0 and s.paths[0].space.acks.packets == 2)
    assert s.paths[0].space.acks.max_delay == 0.025
    assert c.paths[0].recovery.peer_max_ack_delay == 0.025


def test_a_wish_that_was_lost_is_repeated() -> None:
    transfer = Transfer(LinkSpec(delay=0.02, rate=12_500_000, queue=500_000), 8_000_000)
    c, s = transfer.c, transfer.s
    link = transfer.client.default_link
    assert link is not None
    transfer.world.run_until(lambda: c.paths[0].ack_frequency is not None)
    link.blackhole = True
    transfer.world.run_for(0.01)
    link.blackhole = False
    transfer.run()
    asked = c.paths[0].ack_frequency
    assert asked is not None and not asked.due
    assert s.paths[0].space.acks.packets == asked.packets


def test_where_packets_overtake_each_other_only_late_ones_are_told_at_once() -> None:
    transfer = Transfer(LinkSpec(delay=0.02, rate=12_500_000, queue=500_000, reorder=0.01), 8_000_000)
    per_megabyte = transfer.run()
    assert transfer.c.paths[0].recovery.reordering.late
    assert transfer.s.paths[0].space.acks.reordering == min(transfer.c.paths[0].recovery.reordering.packets, 128)
    assert per_megabyte < 150


def test_a_probe_is_answered_at_once_whatever_it_carries() -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.01))
    world.run_for(1.0)
    link = client.default_link
    assert link is not None
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    stream.send.write(b"lost at first")
    link.blackhole = True
    client.flush(c)
    link.blackhole = False
    world.run_until(lambda: c.paths[0].recovery.pto_count > 0)
    probed = world.now
    world.run_until(lambda: not c.paths[0].recovery.in_flight)
    assert world.now - probed < 0.0201
    assert s.streams.streams


def test_another_path_is_acknowledged_as_if_nothing_had_been_asked() -> None:
    transfer = Transfer(LinkSpec(delay=0.02, rate=12_500_000, queue=500_000), SIZE)
    transfer.run()
    first, mobility = transfer.c.paths[0], transfer.c.mobility
    assert mobility is not None
    assert first.recovery.peer_max_ack_delay < 0.02
    second = mobility.open(transfer.c, ("203.0.113.7", 40_000), None, False, transfer.world.now)
    assert second is not None
    assert second.recovery.peer_max_ack_delay == 0.025


def test_what_was_asked_for_outlasts_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    # This is not the connection that later ones should be compressed against.
    monkeypatch.setattr(hibernation, "_sample", [])
    transfer = Transfer(LinkSpec(delay=0.02, rate=12_500_000, queue=500_000), 4_000_000)
    transfer.run()
    ends = ((transfer.client, transfer.c), (transfer.server, transfer.s))
    for node, end in ends:
        for stream in list(end.streams.streams.values()):
            assert stream.send is not None and stream.recv is not None
            stream.send.finish()
            stream.recv.stop(0)
            end.streams.release(stream)
        node.flush(end)
    transfer.world.run_until(lambda: all(is_quiet(end) for _, end in ends))
    asked = transfer.c.paths[0].ack_frequency
    assert asked is not None
    was = asked.packets, asked.delay, transfer.s.paths[0].space.acks.packets
    for _, end in ends:
        assert hibernate(end)
        end.wake()
    asked = transfer.c.paths[0].ack_frequency
    assert asked is not None
    assert (asked.packets, asked.delay, transfer.s.paths[0].space.acks.packets) == was
    # And it is still about this path's window.
    transfer.c.paths[0].recovery.controller.window = 20 * DATAGRAM
    asked.update(DATAGRAM)
    assert (asked.packets, asked.due) == (2, True)
