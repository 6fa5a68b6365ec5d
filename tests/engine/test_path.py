"""The peer's address changes under a live connection."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.engine.events import PathChanged
from jsp.engine.states import State
from jsp.errors import Code
from jsp.wire import frames as f
from tests.sim.hostile import frames, seal
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import CLIENT, World, connected, pair

ELSEWHERE = ("203.0.113.7", 40_000)
OTHER_PORT = ("192.0.2.1", 40_001)
VICTIM = ("203.0.113.66", 6666)


def ping(node, core) -> None:  # type: ignore[no-untyped-def]
    core.ping()
    node.flush(core)


def intercept(client, core) -> bytes:  # type: ignore[no-untyped-def]
    """A packet of the client that does not arrive, like all that follow it."""
    taken: list[bytes] = []
    client.default_link.tap = taken.append
    client.default_link.blackhole = True
    ping(client, core)
    return taken[0]


@pytest.mark.parametrize("alias", [ELSEWHERE, OTHER_PORT])
def test_new_address_is_validated_in_one_round_trip(alias: tuple[str, int]) -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    client.rebind(alias)
    ping(client, c)
    arrived = world.now + 0.05
    world.run_until(lambda: bool(server.events(PathChanged)))
    assert world.now - arrived == pytest.approx(0.1, abs=0.001)
    assert s.paths[0].remote == alias
    assert s.paths[0].validated


def test_transfer_survives_a_rebinding_every_half_second() -> None:
    world = World(9)
    client, server, c, s = connected(
        world, LinkSpec(delay=0.02, rate=300_000, queue=30_000), client_config=Config(keep_alive=0.2)
    )
    for i in range(12):
        at = world.now + 0.5 * (i + 1)
        world.schedule(at, lambda i=i: client.rebind((f"203.0.113.{i}", 40_000 + i)))
    plan = Plan(9)
    plan.streams = [[(900_000, False)], [(900_000, False)]]
    run_plan(client, server, c, s, plan)
    assert s.paths[0].remote[0].startswith("203.0.113.")


def test_unvalidated_address_gets_at_most_three_times_what_it_sent() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    stream = c.open_stream()
    client.flush(c)
    world.run_for(0.2)
    s.streams.streams[0].send.write(bytes(500_000))
    # A packet of the client is forwarded from the victim's address; the victim never answers.
    packet = intercept(client, c)
    to_victim = 0
    link = server.default_link
    original = link.send

    def spy(now, data, deliver):  # type: ignore[no-untyped-def]
        nonlocal to_victim
        if s.paths[0].remote == VICTIM:
            to_victim += len(data)
        original(now, data, deliver)

    link.send = spy
    server.receive(packet, VICTIM)
    world.run_for(0.3)
    assert s.paths[0].remote in (VICTIM, client.address)
    assert 0 < to_victim <= 3 * len(packet) + 1200  # the old address is challenged, too
    assert stream.recv.readable() >= 0


def test_challenge_from_anywhere_is_answered_with_three_times_its_size_at_most() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    world.run_for(0.5)
    sent: list[tuple[int, tuple[str, int]]] = []
    server._send = lambda data, remote, local=None: sent.append((len(data), remote))  # type: ignore[method-assign]
    small = seal(c, frames((f.PATH_CHALLENGE,), b"question"))
    server.receive(small, VICTIM)
    server.receive(seal(c, frames((f.PATH_CHALLENGE,), b"question").ljust(1100, b"\x00")), VICTIM)
    server.receive(seal(c, frames((f.PATH_CHALLENGE,), b"question")), client.address)
    answers = [(size, remote) for size, remote in sent if size > 40]  # the others are ACKs
    assert answers == [(3 * len(small), VICTIM), (1200, VICTIM), (1200, client.address)]
    assert s.paths[0].remote == client.address


def test_forwarded_packets_do_not_keep_the_path() -> None:
    # Somebody forwards the client's packets faster than the network does; the client itself stays where it is.
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    datagrams: list[bytes] = []
    client.default_link.tap = datagrams.append
    ping(client, c)
    server.receive(datagrams[0], VICTIM)
    assert s.paths[0].remote == VICTIM
    world.run_for(1.0)
    assert s.paths[0].remote == client.address
    assert s.paths[0].validated


def test_the_address_of_before_is_asked_again_though_the_new_one_may_get_no_more() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    server.receive(intercept(client, c), VICTIM)
    world.run_for(1.2)
    assert s.paths[0].amplification_left() < 64
    assert [(challenge.address, challenge.tries) for challenge in s.paths[0].challenges] == [(VICTIM, 2), (CLIENT, 2)]


def test_address_that_never_answers_is_given_up() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05), client_config=Config(keep_alive=5.0))
    server.receive(intercept(client, c), VICTIM)
    world.run_for(3.2)
    assert s.paths[0].remote == client.address
    assert s.paths[0].validated


def test_path_without_an_address_to_go_back_to_ends_the_connection() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    packet = intercept(client, c)
    s.paths[0].validated = False
    server.receive(packet, VICTIM)
    assert s.paths[0].fallback is None
    world.run_until(lambda: s.is_closed(), 5.0)
    assert s.lifecycle.closed.code == Code.NO_VIABLE_PATH
    world.run_until(lambda: not server.core.connections, 5.0)


def test_server_may_move_as_well() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    server.rebind(("198.51.100.9", 4433))
    ping(server, s)
    world.run_until(lambda: bool(client.events(PathChanged)))
    assert c.paths[0].remote == ("198.51.100.9", 4433)


@pytest.mark.parametrize("returns", [False, True])
def test_addresses_that_change_all_the_time_send_little_to_the_validated_one(returns: bool) -> None:
    """Each packet seems to come from elsewhere (in turns from where the peer was, or from two other addresses)."""
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.01))
    world.run_for(0.5)
    challenges = 0
    original = server._send

    def spy(data: bytes, remote: tuple[str, int], local: tuple[str, int] | None = None) -> None:
        nonlocal challenges
        challenges += remote == CLIENT and len(data) == 1200
        original(data, remote)

    server._send = spy  # type: ignore[method-assign]
    world.nodes.pop(CLIENT)  # whoever is there now does not answer
    for i in range(1000):
        sources = (VICTIM, CLIENT) if returns else (VICTIM, ELSEWHERE)
        server.receive(seal(c, frames((f.PING,))), sources[i % 2])
        world.run_for(0.002)
    assert not s.is_closed()
    # A probe timeout is a second where no round trip was measured yet, as on a new host.
    assert 1 <= challenges <= 4


def test_replayed_packet_from_elsewhere_moves_nothing() -> None:
    world = World()
    client, server, c, s = connected(world)
    datagrams: list[bytes] = []
    client.default_link.tap = datagrams.append
    ping(client, c)
    world.run_for(0.5)
    server.receive(datagrams[0], VICTIM)
    assert s.paths[0].remote == client.address


def test_another_host_restarts_recovery_and_another_port_does_not() -> None:
    for alias, kept in ((OTHER_PORT, True), (ELSEWHERE, False)):
        world = World()
        client, server, c, s = connected(world)
        sampled = s.paths[0].recovery.rtt.smoothed
        client.rebind(alias)
        datagrams: list[bytes] = []
        client.default_link.tap = datagrams.append
        ping(client, c)
        server.receive(datagrams[0], alias)
        assert (s.paths[0].recovery.rtt.smoothed == sampled) is kept


def test_a_client_that_is_reached_by_both_addresses_goes_to_the_new_one() -> None:
    # Another route, no other network: what is sent to the old address still arrives.
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    client.rebind(ELSEWHERE)
    world.nodes[CLIENT] = client
    ping(client, c)
    world.run_for(0.2)
    assert s.paths[0].validated and s.paths[0].remote == ELSEWHERE
    world.run_for(5.0)
    assert s.paths[0].remote == ELSEWHERE


def test_a_silent_peer_that_is_heard_again_is_asked_at_once() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    stream = c.open_stream()
    client.flush(c)
    world.run_for(0.2)
    assert client.default_link is not None and server.default_link is not None
    client.default_link.blackhole = server.default_link.blackhole = True
    s.streams.streams[0].send.write(bytes(5000))
    server.flush(s)
    world.run_for(4.0)  # backed off to seconds
    assert s.paths[0].recovery.pto_count > 4
    client.default_link.blackhole = server.default_link.blackhole = False
    start = world.now
    ping(client, c)
    world.run_until(lambda: stream.recv.readable() == 5000)
    assert world.now - start < 0.2


@pytest.mark.parametrize("after", [0.001, 0.01, 0.02, 0.03])
def test_a_nat_that_forgets_the_client_at_the_end_of_the_handshake(after: float) -> None:
    world = World()
    client, server = pair(world, LinkSpec(delay=0.01))
    c = client.connect()
    world.run_until(lambda: c.lifecycle.state is State.OPEN)
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    stream.send.write(b"request")
    client.flush(c)
    world.run_for(after)
    client.rebind(OTHER_PORT)
    world.run_for(2.0)
    assert c.confirmed and server.accepted[0].streams.streams[0].recv.readable() == 7
