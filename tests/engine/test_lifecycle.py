"""Time, keys and ends of a connection."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.crypto.identity import Identity
from jsp.engine.events import Closed, PingAnswered
from jsp.engine.scheduler import Sender
from jsp.engine.states import State
from jsp.errors import Code
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import CLIENT_SEED, SERVER_SEED, World, connected

SERVER_ID = Identity.from_seed(SERVER_SEED)
CLIENT_ID = Identity.from_seed(CLIENT_SEED)


def test_ping_measures_the_round_trip() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    token = c.ping()
    client.flush(c)
    world.run_until(lambda: bool(client.events(PingAnswered)))
    answer = client.events(PingAnswered)[0]
    assert answer.token == token
    assert answer.rtt == pytest.approx(0.1)


def test_any_number_of_pings_is_answered_by_one_round_trip() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    received = s.counters.bytes_received
    tokens = [c.ping() for _ in range(3000)]
    client.flush(c)
    world.run_for(1.0)
    answers = client.events(PingAnswered)
    assert sorted({answer.token for answer in answers}) == tokens
    assert all(answer.rtt == pytest.approx(0.1) for answer in answers)
    assert s.counters.bytes_received - received < 300


def test_silence_ends_an_idle_connection_without_a_word() -> None:
    world = World()
    client, server, c, s = connected(world, client_config=Config(idle_timeout=7.0))
    sent = client.default_link.sent
    world.run_until(lambda: c.is_closed() and s.is_closed())
    assert 7.0 <= world.now < 8.0
    assert client.events(Closed)[0].code == Code.IDLE
    assert client.default_link.sent == sent
    assert not server.core.connections


def test_closed_connection_stays_for_three_of_the_timeouts_that_the_peer_answers_within() -> None:
    """RFC 9002 section 6.2.1: the delay of ACKs that counts is the one that the peer allows itself, not ours."""
    world = World()
    client, server, c, s = connected(
        world, client_config=Config(max_ack_delay=0.001), server_config=Config(max_ack_delay=0.5)
    )
    rtt = c.paths[0].recovery.rtt
    assert c.probe_timeout() == pytest.approx(rtt.probe_timeout(0.5))
    before = world.now
    c.close_now(world.now, Code.NO_ERROR, "")
    world.run_until(lambda: not client.core.connections)
    assert world.now - before >= 1.5


def test_keep_alive_keeps_it_open() -> None:
    world = World()
    client, server, c, s = connected(world, client_config=Config(idle_timeout=5.0, keep_alive=2.0))
    world.run_for(60.0)
    assert not c.is_closed()
    assert not s.is_closed()


def test_idle_connection_sets_one_timer_and_sends_nothing() -> None:
    world = World()
    client, server, c, s = connected(world)
    world.run_for(1.0)
    sent = client.default_link.sent + server.default_link.sent
    world.run_for(25.0)
    assert client.default_link.sent + server.default_link.sent == sent


def test_key_updates_go_on_under_loss_and_reordering() -> None:
    world = World(4)
    client, server, c, s = connected(world, LinkSpec(delay=0.01, loss=0.03, reorder=0.05))
    for core in (c, s):
        core.keys.seal.update_at = 20
    plan = Plan(4)
    plan.streams = [[(300_000, False)], [(300_000, False)]]
    run_plan(client, server, c, s, plan)
    assert c.keys.updates >= 2
    assert s.keys.updates >= 2
    assert c.keys.seal.phase == s.keys.open.phase


def test_used_up_keys_end_the_connection() -> None:
    world = World()
    client, server, c, s = connected(world)
    c.keys.seal.sealed = 1 << 40
    c.keys.open.phase ^= 1  # as if the peer did not follow
    c.open_stream()
    client.flush(c)
    assert client.events(Closed)[0].code == Code.AEAD_LIMIT


class Broken(Sender):
    """A sender with a bug."""

    def write_frames(self, train: object) -> bool:
        raise ZeroDivisionError


def test_bug_while_sending_ends_the_connection_in_order(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    client, server, c, s = connected(world)
    c.scheduler.add(Broken())
    transmit = c.poll_transmit(world.now)
    client._send(bytes(transmit.data), transmit.remote)
    assert c.poll_event() == Closed(Code.INTERNAL, "internal error", by_peer=False)
    assert "ZeroDivisionError" in caplog.text
    world.run_until(lambda: s.is_closed())
    assert server.events(Closed) == [Closed(Code.INTERNAL, "internal error", by_peer=True)]
    assert c.poll_transmit(world.now) is None
    c.handle_timeout(c.poll_timeout())
    assert c.lifecycle.state is State.CLOSED


def test_stateless_reset_of_a_restarted_server_is_believed() -> None:
    world = World()
    client, server, c, s = connected(world)
    server.core._routes.clear()  # as after a restart with the same identity
    c.open_stream()
    client.flush(c)
    world.run_until(lambda: c.is_closed())
    assert client.events(Closed)[0].by_peer
    assert world.now < 1.0


def test_timers_that_run_out_with_the_one_that_ends_the_connection_mean_nothing() -> None:
    world = World()
    client, server, c, s = connected(world, client_config=Config(idle_timeout=5.0, keep_alive=3.0))
    client.default_link.blackhole = True
    c.handle_timeout(world.now + 100.0)
    assert c.lifecycle.closed.code == Code.IDLE
    assert c.poll_timeout() == float("inf")


def test_connection_id_changes_after_long_silence() -> None:
    world = World()
    client, server, c, s = connected(
        world, client_config=Config(idle_timeout=None), server_config=Config(idle_timeout=None)
    )
    world.run_for(0.5)
    old = c.paths[0].remote_cids.current
    world.run_for(61.0)
    c.ping()
    client.flush(c)
    world.run_for(1.0)
    new = c.paths[0].remote_cids.current
    assert new != old
    assert old not in server.core._routes
    assert new in server.core._routes
    assert client.events(PingAnswered)


def test_quiet_client_learns_of_a_restart_by_its_first_probe() -> None:
    # The packet itself is too small to be answered by a reset; a probe is not.
    world = World()
    client, server, c, s = connected(world)
    world.run_for(1.0)
    server.core._routes.clear()
    c.open_stream().send.write(b"x")
    client.flush(c)
    begin = world.now
    world.run_until(lambda: c.is_closed())
    assert world.now - begin < 0.5
    assert c.lifecycle.closed.by_peer


def test_ping_is_answered_without_delay() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.005))
    world.run_for(1.0)
    for _ in range(20):
        c.ping()
        client.flush(c)
        world.run_for(0.5)
    assert all(event.rtt == pytest.approx(0.01) for event in client.events(PingAnswered))
    assert c.paths[0].recovery.rtt.smoothed == pytest.approx(0.01, rel=0.05)
