"""The engine's part in going over TCP: who decides by which carrier a handshake goes, and what rebindings may do."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import PathChanged
from jsp.engine.states import State
from jsp.recovery.carried import CARRIED_DATAGRAM, Carried
from tests.sim.carried import connect_tcp
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import CLIENT, SERVER, Node, World, confirmed_peer, connected, pair

TCP = LinkSpec(delay=0.01, queue=1 << 40)


def blocked(world: World) -> tuple[Node, Node]:
    """A client and a server whose UDP does not pass."""
    client, server = pair(world, LinkSpec(delay=0.01))
    for node in (client, server):
        assert node.default_link is not None
        node.default_link.blackhole = True
    return client, server


def race(world: World, client: Node, server: Node) -> ConnectionCore:
    """Connect, and have all that the client says go over TCP, too, until something is answered."""
    ours, theirs = connect_tcp(world, client, server, TCP)
    link = client.default_link
    assert link is not None

    def also(data: bytes) -> None:
        if not core or not core[0].counters.packets_received:
            client._send(data, theirs, ours)

    core: list[ConnectionCore] = []
    link.tap = also
    core.append(client.connect())
    return core[0]


def test_a_handshake_over_tcp_alone_takes_as_long_as_over_udp() -> None:
    world = World(1)
    client, server = blocked(world)
    c = race(world, client, server)
    s = confirmed_peer(world, c, server)
    assert world.now < 0.05
    for end in (c, s):
        path = end.paths[0]
        assert path.reliable and path.recovery.reliable and path.validated and path.mtu == CARRIED_DATAGRAM
        assert isinstance(path.recovery.controller, Carried)
    # Nothing was sent twice over TCP: the client's two datagrams, the server's flight, and what ends the handshake.
    assert c.counters.packets_duplicate == s.counters.packets_duplicate == 0
    plan = Plan(1)
    plan.streams = [[(900_000, False)], [(900_000, False)]]
    run_plan(client, server, c, s, plan)
    assert c.path.recovery.packets_lost == s.path.recovery.packets_lost == 0


def test_udp_answers_first_although_the_server_has_heard_both() -> None:
    world = World(2)
    client, server = pair(world, LinkSpec(delay=0.005))
    ours, theirs = connect_tcp(world, client, server, TCP)
    said: list[bytes] = []
    assert client.default_link is not None
    client.default_link.tap = said.append
    c = client.connect()
    # The copies come while the answer over UDP is on its way back, and TCP is given up when it is there.
    world.run_until(lambda: bool(server.accepted) and server.accepted[0].counters.packets_sent > 2)
    for data in said[:2]:
        server.receive(data, ours, local=theirs)
    assert server.accepted[0].paths[0].reliable
    client.drop_home(ours)
    s = confirmed_peer(world, c, server)
    assert not c.paths[0].reliable and not s.paths[0].reliable and s.paths[0].remote == CLIENT
    plan = Plan(2)
    plan.streams = [[(100_000, False)], [(100_000, False)]]
    run_plan(client, server, c, s, plan)


def test_what_comes_over_tcp_first_is_not_taken_away_by_udp() -> None:
    world = World(3)
    client, server = pair(world, LinkSpec(delay=0.2))
    c = race(world, client, server)
    s = confirmed_peer(world, c, server)
    assert c.paths[0].reliable and s.paths[0].reliable
    # What comes over UDP when all is said begins something that nobody goes on with.
    world.run_for(11.0)
    assert c.paths[0].reliable and s.paths[0].reliable and server.core.connections == {s}


def test_where_tcp_breaks_a_handshake_goes_on_over_udp() -> None:
    world = World(7)
    client, server = pair(world, LinkSpec(delay=0.01))
    ours, theirs = connect_tcp(world, client, server, TCP)
    said: list[bytes] = []
    assert client.default_link is not None
    client.default_link.tap = said.append
    client.default_link.blackhole = True
    c = client.connect()
    for data in said[:2]:
        server.receive(data, ours, local=theirs)
    # The answer goes by a TCP connection that is broken.
    client.drop_home(ours)
    client.default_link.blackhole = False
    s = confirmed_peer(world, c, server)
    assert not c.paths[0].reliable and not s.paths[0].reliable and s.paths[0].validated and world.now < 4


def copied_over_tcp(world: World) -> tuple[Node, Node, ConnectionCore, ConnectionCore, list[bytes]]:
    """A connection, and a copy of a packet by TCP: it was faster, and answers no challenge.

    Last of all, what the client sends by UDP.
    """
    client, server, c, s = connected(world, LinkSpec(delay=0.01))
    stranger, theirs = connect_tcp(world, client, server, TCP)
    seen: list[bytes] = []
    assert client.default_link is not None
    client.default_link.tap = seen.append
    c.ping()
    client.flush(c)
    client.drop_home(stranger)
    server.receive(seen[0], stranger, local=theirs)
    return client, server, c, s, seen


def test_a_copy_of_a_packet_over_tcp_moves_nobody() -> None:
    world = World(4)
    _, _, _, s, _ = copied_over_tcp(world)
    assert s.paths[0].reliable and not s.paths[0].validated
    world.run_until(lambda: s.paths[0].validated)
    assert not s.paths[0].reliable and s.paths[0].remote == CLIENT and s.paths[0].mtu == 1200


@pytest.mark.parametrize("moves", [CLIENT, ("192.0.2.1", 40_001)])
def test_what_was_under_way_over_tcp_does_not_fill_the_window_of_udp(moves: tuple[str, int]) -> None:
    """Back at the address of before, and at one that is to be validated."""
    world = World(6)
    client, server, c, s, seen = copied_over_tcp(world)
    stream = s.open_stream()
    assert stream is not None and stream.send is not None
    stream.send.write(bytes(500_000))
    recovery = s.paths[0].recovery
    s.paths[0].validated = True
    server.flush(s)
    assert recovery.in_flight > 100_000
    c.ping()
    client.flush(c)
    server.receive(seen[-1], moves)
    assert not s.paths[0].reliable
    assert recovery.in_flight <= recovery.controller.window


def test_from_udp_to_tcp_and_back_with_everything_under_way() -> None:
    world = World(5)
    client, server, c, s = connected(world, LinkSpec(delay=0.02), client_config=Config(max_paths=2))
    ours, theirs = connect_tcp(world, client, server, TCP)
    world.run_for(1.0)

    def move(local: object, remote: object) -> None:
        assert c.mobility is not None
        assert c.mobility.open(c, remote, local, True, world.now) is not None  # type: ignore[arg-type]
        client.flush(c)

    world.schedule(world.now + 0.1, lambda: move(ours, theirs))
    world.schedule(world.now + 1.0, lambda: move(None, SERVER))
    plan = Plan(5)
    plan.streams = [[(3_000_000, False)], [(3_000_000, False)]]
    plan.write_delay = 1.5
    run_plan(client, server, c, s, plan)
    world.run_for(2.0)
    assert [path.reliable for path in c.paths.values()] == [path.reliable for path in s.paths.values()] == [False]
    assert [event.path_id for event in client.events(PathChanged)] == [2, 4]


def test_path_0_stays_where_it_is_until_the_handshake_is_confirmed() -> None:
    world = World(8)
    client, server = pair(world, LinkSpec(delay=0.02))
    c = client.connect()
    world.run_until(lambda: c.lifecycle.state is State.OPEN)
    # What says that the server has taken it does not arrive.
    assert server.default_link is not None and c.mobility is not None and not c.confirmed
    server.default_link.blackhole = True
    world.run_until(lambda: c.paths[0].recovery.pto_count > 1)
    assert c.mobility.open(c, ("203.0.113.1", 9), None, True, world.now) is None
    server.default_link.blackhole = False
    world.run_until(lambda: c.confirmed)
    assert c.paths[0].remote == SERVER


def test_the_only_path_starts_anew_when_it_is_silent_and_no_other_can_be_opened() -> None:
    world = World(6)
    client, server, c, s = connected(world, LinkSpec(delay=0.02), client_config=Config(max_paths=1))
    stream = c.open_stream()
    assert stream is not None and stream.send is not None and c.mobility is not None
    world.run_for(1.0)
    assert c.mobility.open(c, SERVER, None, True, world.now) is None
    for node in (client, server):
        assert node.default_link is not None
        node.default_link.blackhole = True
    stream.send.write(bytes(50_000))
    client.flush(c)
    world.run_for(1.0)
    before = c.paths[0].remote_cids.current
    ours, theirs = connect_tcp(world, client, server, TCP)
    assert c.mobility.open(c, theirs, ours, True, world.now) is c.paths[0]
    client.flush(c)
    start = world.now
    world.run_until(lambda: s.streams.streams[0].recv.readable() == 50_000)  # type: ignore[union-attr]
    assert world.now - start < 0.1 and s.paths[0].reliable
    world.run_until(lambda: c.paths[0].validated)
    # Nobody who watches both networks can tell by the connection id.
    assert c.paths[0].remote_cids.current != before
    # And when nobody answers there either, it is still there to be tried elsewhere.
    client.drop_home(ours)
    assert c.mobility.open(c, SERVER, None, True, world.now) is None
    c.ping()
    client.flush(c)
    world.run_until(lambda: c.paths[0].recovery.pto_count > 0)
    assert c.mobility.open(c, SERVER, None, True, world.now) is c.paths[0]
    client.flush(c)
    world.run_for(10.0)
    assert not c.is_closed()
