"""Peers that come again begin with what was learnt of the way to them (docs/spec.md section 10.3 and 11)."""

from __future__ import annotations

import pytest

from jsp.config import MIB, Config
from jsp.crypto.credentials import Credentials
from jsp.engine.connection import ConnectionCore
from jsp.engine.states import State
from jsp.recovery.destinations import Destinations
from tests.sim.link import LinkSpec
from tests.sim.world import CLIENT, Node, World, confirmed_peer, pair

DATAGRAM = 1452


class Visits:
    """A client that connects to one server again and again. `link` can be changed between two visits."""

    def __init__(self, link: LinkSpec, congestion: str = "cubic", datagram: int | None = DATAGRAM) -> None:
        config = Config(
            max_datagram_size=datagram, congestion=congestion, stream_window=16 * MIB, send_buffer=64 * MIB,
            idle_timeout=300.0, handshake_timeout=60.0,
        )  # fmt: skip
        self.world = World(1)
        self.up, self.down = link, LinkSpec(delay=link.delay, rate=link.rate, queue=link.queue)
        self.client, self.server = pair(self.world, self.up, self.down, config, config)

    def connect(self) -> tuple[ConnectionCore, ConnectionCore]:
        c = self.client.connect()
        return c, confirmed_peer(self.world, c, self.server)

    def transfer(self, size: int, download: bool = False) -> tuple[float, int]:
        """Connect, send `size` bytes one way, close: seconds, and packets lost."""
        began = self.world.now
        c, s = self.connect()
        sender, receiver = ((self.server, s), (self.client, c)) if download else ((self.client, c), (self.server, s))
        node, core = sender
        stream = core.open_stream()
        assert stream is not None and stream.send is not None
        stream.send.write(bytes(size))
        stream.send.finish()
        node.flush(core)
        left = [size]
        self.world.run_until(lambda: read(*receiver, left) == 0, 300.0)
        seconds = self.world.now - began
        self.world.run_until(lambda: not core.paths[0].recovery.in_flight, 300.0)
        lost = core.paths[0].recovery.packets_lost
        self.close(c)
        return seconds, lost

    def close(self, c: ConnectionCore) -> None:
        c.close(self.world.now, 0, "")
        self.client.flush(c)
        self.world.run_until(lambda: c.lifecycle.state is State.CLOSED)


def read(node: Node, core: ConnectionCore, left: list[int]) -> int:
    for stream in list(core.streams.streams.values()):
        left[0] -= len(core.read(stream, MIB))
    node.flush(core)
    return left[0]


def fast(delay: float = 0.05) -> LinkSpec:
    return LinkSpec(delay=delay, rate=12_500_000, queue=1_250_000)


@pytest.mark.parametrize("download", [False, True])
@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
def test_a_second_transfer_takes_fewer_round_trips(congestion: str, download: bool) -> None:
    visits = Visits(fast(), congestion)
    first, _ = visits.transfer(3_000_000, download)
    second, lost = visits.transfer(1_000_000, download)
    visits.client.core.destinations = visits.server.core.destinations = Destinations()
    stranger, _ = visits.transfer(1_000_000, download)
    assert second < stranger - 0.199, "two round trips at least"
    assert second < first
    assert not lost


@pytest.mark.parametrize("congestion", ["cubic", "newreno"])
@pytest.mark.parametrize("change", ["rate", "queue", "loss"])
def test_nothing_collapses_where_the_way_has_become_ten_times_worse(congestion: str, change: str) -> None:
    visits = Visits(fast(), congestion)
    visits.transfer(20_000_000)
    known = next(iter(visits.client.core.destinations._known.values())).window
    assert known > 800_000
    if change == "rate":
        visits.up.rate, visits.up.queue = 1_250_000, 125_000
    elif change == "queue":
        visits.up.queue = 30_000
    else:
        visits.up.loss = 0.02
    size = 3_000_000
    again, lost = visits.transfer(size)
    visits.client.core.destinations = visits.server.core.destinations = Destinations()
    stranger, lost_by_stranger = visits.transfer(size)
    # What was sent on trust may be lost, once: half of what was known.
    assert lost <= lost_by_stranger + known // 2 // DATAGRAM
    assert again < 1.3 * stranger


def test_a_longer_way_gets_no_window_on_trust() -> None:
    visits = Visits(fast(0.005))
    visits.transfer(20_000_000)
    visits.up.delay = visits.down.delay = 0.1
    c, _ = visits.connect()
    assert c.paths[0].recovery.resume is not None
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    stream.send.write(bytes(300_000))
    visits.client.flush(c)
    visits.world.run_until(lambda: c.paths[0].recovery.resume is None)
    assert c.paths[0].recovery.controller.window < 60_000


def test_datagrams_that_outgrow_what_is_in_use_of_the_old_window_still_leave() -> None:
    visits = Visits(LinkSpec(delay=0.001), datagram=None)
    visits.transfer(100_000)
    next(iter(visits.client.core.destinations._known.values())).window = 2_400_000
    c, s = visits.connect()
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    left = [200_000]
    for _ in range(40):
        stream.send.write(bytes(5_000))
        visits.client.flush(c)
        visits.world.run_for(0.0005)
        read(visits.server, s, left)
    visits.world.run_until(lambda: read(visits.server, s, left) == 0, 5.0)
    assert c.paths[0].mtu == 65_507


def test_a_lost_first_packet_is_sent_again_in_time() -> None:
    visits = Visits(LinkSpec(delay=0.02))
    visits.close(visits.connect()[0])
    link = visits.client.default_link
    assert link is not None
    began = visits.world.now
    link.blackhole = True
    visits.client.connect()
    link.blackhole = False
    visits.world.run_until(lambda: bool(visits.server.accepted[1:]))
    # Three times the least guess (a second without it), and half a round trip.
    assert visits.world.now - began == pytest.approx(0.17, abs=0.002)


def test_what_is_learnt_stays_with_the_host_and_the_interface() -> None:
    visits = Visits(fast())
    visits.transfer(3_000_000)
    server = visits.server.address
    known = visits.client.core.connect(visits.world.now, 0.0, server, Credentials())
    assert known.paths[0].recovery.rtt.smoothed == pytest.approx(0.1, rel=0.5)
    for remote, source in ((server, "192.0.2.77"), (("198.51.100.2", 4433), "")):
        core = visits.client.core.connect(visits.world.now, 0.0, remote, Credentials(), source)
        assert core.paths[0].recovery.rtt.smoothed == 0.333
        assert core.paths[0].recovery.resume is None


def test_strangers_teach_nothing() -> None:
    visits = Visits(LinkSpec(delay=0.02))
    c = visits.client.connect()
    visits.world.run_until(lambda: bool(visits.server.accepted))
    c.close_now(visits.world.now, 2, "")
    visits.client.flush(c)
    visits.world.run_for(5.0)
    assert not len(visits.server.core.destinations)
    assert not len(visits.client.core.destinations)
    visits.close(visits.connect()[0])
    assert list(visits.server.core.destinations._known) == [("", CLIENT[0])]
