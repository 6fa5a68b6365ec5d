"""Key updates over a connection: when they are due, followed, refused; and nothing twice because of one."""

from __future__ import annotations

import gc

import pytest

from jsp.crypto.protection import LongKeys
from jsp.crypto.suites import SEAL_BYTES_LIMIT
from jsp.engine.connection import ConnectionCore
from jsp.engine.keying import HandshakeLevel, Keying
from jsp.errors import Code
from jsp.wire import frames as f
from tests.sim.hostile import Pair, closed_with, frames, seal, send_frames
from tests.sim.world import Node, World, confirmed_peer, connected, pair

PING = frames((f.PING,))
QUIET = frames((f.ACK, 0, 0, 0, 0, 0))  # asks for nothing


def update(core: ConnectionCore) -> None:
    """The peer of the tests starts an update, whatever the rules say."""
    assert core.keys.seal is not None and core.keys.open is not None
    core.keys.seal.update()
    core.keys.open.update_allowed = True


def packet(world: World, node: Node, core: ConnectionCore, payload: bytes = PING) -> None:
    send_frames(node, core, payload)
    world.run_for(0.03)


# --- ours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["packets", "bytes", "time"])
def test_keys_are_renewed_when_they_have_done_enough(ends: Pair, reason: str) -> None:
    world, client, server, c, s = ends
    assert c.keys.updates == 0
    if reason == "packets":
        c.keys.seal.update_at = c.keys.seal.sealed
    elif reason == "bytes":
        c.keys.seal.sealed_bytes = SEAL_BYTES_LIMIT
    else:
        c.keys.renew_at = world.now + 1.0
        c.ping()
        client.flush(c)
        world.run_for(1.0)
        assert c.keys.updates == 0
    c.ping()
    client.flush(c)
    world.run_for(1.0)
    assert (c.keys.updates, s.keys.updates) == (1, 1)
    assert c.keys.seal.phase == c.keys.open.phase == s.keys.seal.phase == 1
    assert c.keys.seal.sealed_bytes < 10_000
    assert c.keys.renew_at == pytest.approx(world.now + 3600, abs=2)
    c.keys.seal.update_at = 1 << 20
    c.ping()
    client.flush(c)
    world.run_for(1.0)
    assert c.keys.updates == 1


# --- the peer's ------------------------------------------------------------------------------------------------------


def test_updates_with_time_between_them_are_followed(ends: Pair) -> None:
    world, client, server, c, s = ends
    packet(world, client, c)
    for n in range(1, 5):
        update(c)
        packet(world, client, c)
        world.run_for(0.3)
        assert s.keys.updates == n
    assert not s.is_closed()
    assert not c.is_closed()


def test_updates_that_a_loss_has_moved_together_are_followed(ends: Pair) -> None:
    """The peer waits from when it heard of the last one, which may be long before its packets get through."""
    world, client, server, c, s = ends
    server.default_link.blackhole = True
    packet(world, client, c)
    for _ in range(3):
        update(c)
        send_frames(client, c, PING)
        world.run_for(0.0005)
    world.run_for(0.1)
    assert s.keys.updates == 3
    assert not s.is_closed()


def test_n81_updates_one_after_the_other_end_the_connection(ends: Pair) -> None:
    """Each is acknowledged, though the peer does not wait for that."""
    world, client, server, c, s = ends
    server.default_link.blackhole = True
    packet(world, client, c)
    for _ in range(500):
        update(c)
        send_frames(client, c, PING)
        world.run_for(0.0005)
    world.run_for(0.1)
    assert closed_with(server) == Code.KEY_UPDATE
    assert 2 <= s.keys.updates <= 10


def test_n81_an_update_before_the_last_one_was_acknowledged_ends_the_connection(ends: Pair) -> None:
    world, client, server, c, s = ends
    packet(world, client, c)
    update(c)
    packet(world, client, c, QUIET)
    assert s.keys.updates == 1
    world.run_for(1.0)
    update(c)
    packet(world, client, c, QUIET)
    assert closed_with(server) == Code.KEY_UPDATE


def test_n81_an_update_before_the_handshake_is_confirmed_ends_the_connection() -> None:
    world = World()
    client, server = pair(world)
    c = client.connect()
    world.run_until(lambda: c.keys.seal is not None)
    assert not c.confirmed
    update(c)
    packet(world, client, c)
    world.run_for(0.1)
    assert closed_with(server) == Code.KEY_UPDATE


def test_n81_old_keys_under_a_number_above_the_update_are_dropped(ends: Pair) -> None:
    world, client, server, c, s = ends
    packet(world, client, c)
    number = c.paths[0].space.next_number
    old = seal(c, PING, number + 5)
    update(c)
    packet(world, client, c)
    taken, dropped = s.counters.packets_received, s.counters.packets_dropped
    server.receive(old, client.address)
    assert (s.counters.packets_received, s.counters.packets_dropped) == (taken, dropped + 1)
    assert s.keys.updates == 1


def test_n48_a_packet_that_comes_again_across_an_update_is_dropped() -> None:
    world = World()
    client, server, c, s = connected(world)
    world.run_for(0.2)
    before = send_frames(client, c, frames((f.STREAM, 0), b"once"))
    world.run_for(0.1)
    update(c)
    after = send_frames(client, c, PING)
    world.run_for(0.02)
    assert s.keys.updates == 1
    taken = s.counters.packets_received
    for datagram in (before, after, before):
        server.receive(datagram, client.address)
    assert s.counters.packets_duplicate == 3
    world.run_for(3.0)
    # Their keys are forgotten by now.
    server.receive(before, client.address)
    assert s.counters.packets_dropped == 1
    assert s.counters.packets_received - taken <= 1
    assert s.streams.streams[0].recv.readable() == 4


# --- ciphers at rest -------------------------------------------------------------------------------------------------


def test_a_connection_rests_at_any_moment_and_goes_on(ends: Pair) -> None:
    world, client, server, c, s = ends
    for n in range(1, 9):
        for core in (c, s):
            core.keys.rest()
        if n % 3 == 0:
            update(c)
            c.keys.rest()
        packet(world, client, c)
        for core in (c, s):
            core.keys.rest()
        c.ping()
        client.flush(c)
        # With a rest between what leaves and what arrives.
        for core in (c, s):
            core.keys.rest()
        world.run_for(0.3)
    assert s.keys.updates == 2
    assert c.keys.seal.phase == s.keys.open.phase == 0
    assert s.keys.open.forgeries == c.keys.open.forgeries == 0
    assert not s.is_closed() and not c.is_closed()


def test_a_connection_without_keys_rests_as_well() -> None:
    world = World()
    client, _ = pair(world)
    core = client.connect()
    core.keys.rest()
    world.run_until(lambda: core.confirmed, 5.0)


def test_the_keys_of_the_handshake_are_gone_after_it() -> None:
    def count() -> int:
        gc.collect()
        return sum(isinstance(o, (Keying, HandshakeLevel, LongKeys)) for o in gc.get_objects())

    before = count()
    world = World()
    client, server = pair(world)
    core = client.connect()
    assert count() >= before + 4
    confirmed_peer(world, core, server)
    world.run_for(1.0)
    assert count() == before
