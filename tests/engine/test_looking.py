"""How a client notices that nothing comes any more, and looks for its peer at several addresses."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.deadlines import LULL_BYTES
from jsp.engine.events import PathSilent
from jsp.engine.timers import LULL, NEVER
from tests.engine.test_datagram_sizes import read_all, write
from tests.engine.test_mobility import LTE, WIFI, open_path, with_home
from tests.sim.link import LinkSpec
from tests.sim.world import SERVER, Node, World, connected


def download(size: int, **config: bool) -> tuple[World, Node, ConnectionCore]:
    """A client that has read `size` bytes, over a link with a round trip of 40 ms."""
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02), client_config=Config(**config))  # type: ignore[arg-type]
    read_all(client)
    write(server, s, size)
    world.run_until(lambda: c.window.received == size)
    return world, client, c


def test_who_only_receives_notices_that_nothing_comes_any_more() -> None:
    world, client, c = download(100_000)
    assert client.default_link is not None
    client.default_link.blackhole = True
    world.run_for(1.0)
    assert client.events(PathSilent)


@pytest.mark.parametrize(("size", "migrate"), [(100_000, False), (LULL_BYTES - 1, True)])
def test_who_stays_anyway_or_received_little_does_not_ask(size: int, migrate: bool) -> None:
    world, client, c = download(size, migrate=migrate)
    world.run_for(0.1)
    sent = c.counters.packets_sent
    world.run_for(5.0)
    assert (c.counters.packets_sent, c.timers.deadlines[LULL]) == (sent, NEVER)


def test_a_pause_costs_one_packet_and_its_answer() -> None:
    world, client, c = download(100_000)
    world.run_for(0.05)
    sent, heard = c.counters.packets_sent, c.counters.packets_received
    world.run_for(5.0)
    assert c.counters.packets_sent - sent <= 2
    assert c.counters.packets_received - heard == 1
    assert not client.events(PathSilent)


def test_credit_that_went_to_an_address_of_before_comes_all_the_same() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    write(client, c, 1_000_000)
    world.run_for(0.5)
    assert not c.path.recovery.in_flight, "all that may be sent has arrived"
    client.rebind(("203.0.113.7", 7))
    read_all(server)
    s.read(s.streams.streams[2], 1 << 30)
    server.flush(s)
    world.run_until(lambda: s.window.received == 1_000_000, 2.0)


def test_who_waits_for_credit_asks_more_and_more_seldom() -> None:
    world = World()
    client, _, c, _ = connected(world, LinkSpec(delay=0.02))
    write(client, c, 1_000_000)
    world.run_for(0.5)
    sent = c.counters.packets_sent
    world.run_for(25.0)
    assert 6 <= c.counters.packets_sent - sent <= 10
    world.run_for(600.0)
    assert c.counters.packets_sent - sent <= 72
    assert not c.is_closed()


def test_where_the_peer_answers_first_is_where_the_path_goes() -> None:
    world = World()
    client, server, c, s = with_home(world)
    path = open_path(client, c, LTE)
    path.ask_at(SERVER, WIFI, bytes(8))
    path.ask_at(("198.51.100.99", 4), LTE, bytes(range(8)))
    client.flush(c)
    world.run_until(lambda: path.validated)
    assert (path.remote, path.local, path.challenges) == (SERVER, WIFI, [])
    world.run_until(lambda: s.paths[path.id].validated)
    assert s.paths[path.id].remote == WIFI
