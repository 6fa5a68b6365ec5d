"""Paths that come and go under a live connection."""

from __future__ import annotations

import random

import pytest

from jsp.config import Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import PathChanged, PathGone, PathOpened, PathSilent
from jsp.engine.path import Path
from jsp.errors import Code
from jsp.wire import path_frames
from jsp.wire.buffer import Writer
from jsp.wire.frames import push_new_cid
from tests.sim.hostile import seal
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import SERVER, Address, Node, World, connected

WIFI: Address = ("192.0.2.50", 50_001)
LTE: Address = ("203.0.113.9", 50_002)


def open_path(
    node: Node, core: ConnectionCore, local: Address, remote: Address = SERVER, replaces: bool = False
) -> Path:
    assert core.mobility is not None
    path = core.mobility.open(core, remote, local, replaces, node.world.now)
    assert path is not None
    node.flush(core)
    return path


def with_home(
    world: World, delay: float = 0.02, up: LinkSpec | None = None, **kwargs: object
) -> tuple[Node, Node, ConnectionCore, ConnectionCore]:
    """A connection, and a second address of the client with a link of its own."""
    client, server, c, s = connected(world, LinkSpec(delay=delay), **kwargs)  # type: ignore[arg-type]
    client.add_home(WIFI, world.link(up or LinkSpec(delay=delay)))
    world.run_for(1.0)
    return client, server, c, s


def test_a_path_is_open_after_one_round_trip_and_used_by_both() -> None:
    world = World()
    client, server, c, s = with_home(world, 0.05)
    start = world.now
    path = open_path(client, c, WIFI)
    world.run_until(lambda: path.validated)
    assert world.now - start == pytest.approx(0.1, abs=0.001)
    world.run_until(lambda: s.paths[path.id].validated)
    assert world.now - start == pytest.approx(0.15, abs=0.001)
    assert server.events(PathOpened) == [PathOpened(path.id)]
    assert server.events(PathChanged) == [PathChanged(path.id, WIFI)]
    # Connection ids are another path's: nothing on the new one says that it belongs to the same connection.
    assert path.remote_cids.current not in (c.paths[0].remote_cids.current, c.paths[0].local_cids.active[0])


def test_migration_leaves_the_old_path_and_goes_on() -> None:
    world = World(3)
    client, server, c, s = with_home(world)
    plan = Plan(3)
    plan.streams = [[(400_000, False)], [(400_000, False)]]
    world.schedule(world.now + 0.1, lambda: open_path(client, c, WIFI, replaces=True))
    run_plan(client, server, c, s, plan)
    world.run_for(5.0)
    assert list(c.paths) == list(s.paths) == [2]
    assert s.path.remote == WIFI
    assert client.events(PathGone) == server.events(PathGone) == [PathGone(0)]
    # The ids of the old path lead nowhere any more, and one more path may be opened.
    assert c.mobility is not None and c.mobility.can_open(c, False)


def test_migration_when_the_old_network_is_gone() -> None:
    world = World(4)
    client, server, c, s = with_home(world, 0.05)
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    client.flush(c)
    world.run_for(0.5)
    assert client.default_link is not None and server.default_link is not None
    client.default_link.blackhole = True
    stream.send.write(bytes(50_000))
    client.flush(c)
    path = open_path(client, c, WIFI, replaces=True)
    gone = world.now
    world.run_until(lambda: s.streams.streams[0].recv.readable() == 50_000)  # type: ignore[union-attr]
    # One round trip to validate, then what was under way is sent at once, in as many round trips as slow start takes.
    assert world.now - gone < 0.45
    assert c.path is path


def test_a_migration_that_nobody_answers_leaves_everything_as_it_was() -> None:
    world = World()
    client, server, c, s = with_home(world)
    client.homes[WIFI].blackhole = True
    path = open_path(client, c, WIFI, replaces=True)
    world.run_until(lambda: client.events(PathGone) == [PathGone(path.id)])
    assert list(c.paths) == [0] and c.path is c.paths[0]
    c.ping()
    client.flush(c)
    world.run_for(1.0)
    assert not c.is_closed() and not s.is_closed()
    # The server knows of no other id for the next try, which takes the same one.
    client.homes[WIFI].blackhole = False
    again = open_path(client, c, WIFI, replaces=True)
    world.run_for(2.0)
    assert again is path and list(c.paths) == list(s.paths) == [path.id]


def test_a_migration_starts_anew_from_where_it_is_wanted_last() -> None:
    world = World()
    client, server, c, s = with_home(world)
    client.homes[WIFI].blackhole = True
    first = open_path(client, c, WIFI, replaces=True)
    world.run_for(0.1)
    client.add_home(LTE, world.link(LinkSpec()))
    assert open_path(client, c, LTE, replaces=True) is first
    world.run_for(2.0)
    assert list(c.paths) == list(s.paths) == [first.id] and s.path.remote == LTE


def test_a_path_of_the_peer_that_was_not_validated_may_come_back() -> None:
    world = World()
    client, server, c, s = with_home(world, client_config=Config(keep_alive=5.0))
    server.links[WIFI] = world.link(LinkSpec())
    server.links[WIFI].blackhole = True
    open_path(client, c, WIFI, replaces=True)
    world.run_until(lambda: bool(client.events(PathGone)))
    world.run_for(20.0)
    assert list(s.paths) == [0, 2] and not s.paths[2].validated
    client.add_home(LTE, world.link(LinkSpec()))
    open_path(client, c, LTE, replaces=True)
    world.run_for(2.0)
    assert list(c.paths) == list(s.paths) == [2] and s.path.remote == LTE and not c.is_closed()


@pytest.mark.parametrize("seed", range(20))
def test_two_paths_with_loss_carry_everything(seed: int) -> None:
    world = World(seed)
    rng = random.Random(seed)
    client, server, c, s = with_home(
        world,
        rng.choice((0.005, 0.05)),
        LinkSpec(delay=0.03, loss=rng.choice((0.0, 0.05)), rate=2_000_000, queue=60_000),
    )
    assert client.default_link is not None
    client.default_link.spec.rate = 300_000
    open_path(client, c, WIFI)
    plan = Plan(seed)
    plan.streams = [[(700_000, False)], [(700_000, False), (50_000, True)]]
    run_plan(client, server, c, s, plan)
    assert c.paths[2].space.next_number > 50


def test_when_one_of_two_paths_falls_silent_the_other_takes_over() -> None:
    world = World(5)
    client, server, c, s = with_home(world, 0.02, LinkSpec(delay=0.05))
    open_path(client, c, WIFI)
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    client.flush(c)
    world.run_for(1.0)
    assert client.default_link is not None and server.default_link is not None
    client.default_link.blackhole = server.default_link.blackhole = True
    stream.send.write(b"x" * 1000)
    client.flush(c)
    start = world.now
    world.run_until(lambda: s.streams.streams[0].recv.readable() == 1000)  # type: ignore[union-attr]
    assert world.now - start < 0.3
    assert c.path is c.paths[2]
    client.default_link.blackhole = server.default_link.blackhole = False
    world.run_until(lambda: c.path is c.paths[0])


def test_servers_open_paths_too() -> None:
    world = World(7)
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    elsewhere: Address = ("198.51.100.77", 9000)
    server.add_home(elsewhere, world.link(LinkSpec(delay=0.02)))
    world.run_for(0.5)
    path = open_path(server, s, elsewhere, client.address, replaces=True)
    assert path.id == 1
    world.run_until(lambda: list(c.paths) == [1] and list(s.paths) == [1])
    assert c.path.remote == elsewhere


def test_no_more_paths_than_either_side_keeps() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(), client_config=Config(max_paths=3))
    world.run_for(0.5)
    client.add_home(WIFI, world.link(LinkSpec()))
    client.add_home(LTE, world.link(LinkSpec()))
    open_path(client, c, WIFI)
    world.run_for(0.5)
    assert c.mobility is not None
    # The last place is for migration, after which there is room again.
    assert c.mobility.open(c, SERVER, LTE, False, world.now) is None
    open_path(client, c, LTE, replaces=True)
    world.run_for(1.0)
    assert list(c.paths) == list(s.paths) == [4]
    assert c.mobility.can_open(c, False)


def test_a_peer_that_keeps_one_path_is_offered_none() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(), client_config=Config(max_paths=1))
    world.run_for(0.5)
    assert c.mobility is not None and s.mobility is not None
    assert not c.mobility.can_open(c, True) and not s.mobility.can_open(s, True)
    assert s.mobility._offer is None and c.mobility._offer is None


def test_forged_packets_for_the_next_path_open_none() -> None:
    world = World()
    client, server, c, s = with_home(world)
    assert c.mobility is not None and c.mobility._offered is not None
    cid = c.mobility._offered[0]
    for i in range(50):
        server.receive(bytes((0x80,)) + cid + random.Random(i).randbytes(60), WIFI)
    assert list(s.paths) == [0]
    open_path(client, c, WIFI)
    world.run_for(0.5)
    assert list(s.paths) == [0, 2] and s.paths[2].validated


def test_the_only_path_is_not_abandoned() -> None:
    world = World()
    client, server, c, s = with_home(world)
    writer = Writer(bytearray(64))
    path_frames.push_path_abandon(writer, 0, 0)
    server.receive(seal(c, bytes(writer.buffer[: writer.pos])), client.address)
    assert not s.paths[0].closing and not s.is_closed()


def test_a_path_that_was_abandoned_unheard_is_the_next_one() -> None:
    world = World()
    client, server, c, s = with_home(world)
    client.homes[WIFI].blackhole = True
    path = open_path(client, c, WIFI)
    assert c.mobility is not None
    assert c.mobility.abandon(c, path, 0, world.now)
    client.flush(c)
    world.run_for(1.0)
    assert list(c.paths) == list(s.paths) == [0]
    client.add_home(LTE, world.link(LinkSpec()))
    assert open_path(client, c, LTE) is path
    world.run_for(1.0)
    assert s.paths[path.id].validated


def test_the_id_of_a_path_that_the_peer_gave_up_unheard_is_used_up() -> None:
    world = World()
    client, server, c, s = with_home(world)
    writer = Writer(bytearray(64))
    path_frames.push_path_abandon(writer, 2, 0)
    server.receive(seal(c, bytes(writer.buffer[: writer.pos])), client.address)
    assert c.mobility is not None and s.mobility is not None
    world.run_for(0.5)
    assert list(s.paths) == [0] and s.mobility._offer is not None
    assert server.core._routes[s.mobility._offer[0]] == (s, 4)


def test_frames_about_paths_that_are_not_there_are_passed_over() -> None:
    world = World()
    client, server, c, s = with_home(world)
    writer = Writer(bytearray(64))
    assert path_frames.push_path_abandon(writer, 77, 5)
    assert path_frames.push_path_status(writer, 77, 1, True)
    server.receive(seal(c, bytes(writer.buffer[: writer.pos])), client.address)
    assert not s.is_closed() and list(s.paths) == [0]


def test_two_ids_for_the_next_path_are_a_violation() -> None:
    world = World()
    client, server, c, s = with_home(world)
    writer = Writer(bytearray(100))
    push_new_cid(writer, 1, 0, 0, b"abcd", bytes(16))
    server.receive(seal(c, bytes(writer.buffer[: writer.pos])), client.address)
    assert s.lifecycle.closed is not None and s.lifecycle.closed.code == Code.PROTOCOL_VIOLATION


def test_silence_on_every_path_is_told() -> None:
    world = World()
    client, server, c, s = with_home(world)
    assert client.default_link is not None
    client.default_link.blackhole = True
    c.open_stream()
    client.flush(c)
    world.run_until(lambda: bool(client.events(PathSilent)))


def test_keys_change_on_all_paths() -> None:
    world = World(8)
    client, server, c, s = with_home(world)
    open_path(client, c, WIFI)
    world.run_for(0.5)
    for end in (c, s):
        assert end.keys.seal is not None
        end.keys.seal.update_at = 50
    plan = Plan(8)
    plan.streams = [[(500_000, False)], [(500_000, False)]]
    run_plan(client, server, c, s, plan)
    assert c.keys.updates and s.keys.updates


def test_back_on_a_network_its_window_is_remembered() -> None:
    world = World(13)
    client, server, c, s = with_home(world, 0.05, LinkSpec(delay=0.05))
    client.add_home(LTE, world.link(LinkSpec(delay=0.05)))
    open_path(client, c, WIFI, replaces=True)
    plan = Plan(13)
    plan.streams = [[], [(2_000_000, True)]]
    run_plan(client, server, c, s, plan)
    assert c.path.recovery.controller.window > 500_000
    open_path(client, c, LTE, replaces=True)
    world.run_for(2.0)
    again = open_path(client, c, WIFI, replaces=True)
    assert again.recovery.resume is not None


def test_what_a_silent_path_has_is_sent_again_when_another_one_answers() -> None:
    world = World(14)
    client, server, c, s = with_home(world, 0.02, LinkSpec(delay=0.05))
    open_path(client, c, WIFI)
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    client.flush(c)
    world.run_for(1.0)
    assert client.default_link is not None
    client.default_link.blackhole = client.homes[WIFI].blackhole = True
    stream.send.write(bytes(30_000))
    client.flush(c)
    world.run_for(3.0)
    assert all(path.recovery.pto_count > 2 for path in c.paths.values())
    client.homes[WIFI].blackhole = False
    world.run_until(lambda: s.streams.streams[0].recv.readable() == 30_000, 30.0)  # type: ignore[union-attr]


def test_short_acks_count_while_another_path_is_tried_that_nobody_answers() -> None:
    world = World()
    client, server, c, s = with_home(world, 0.02)
    stream = c.open_stream()

    def ask() -> None:
        stream.send.write(bytes(1000))
        client.flush(c)
        # The answer brings the acknowledgement.
        world.run_until(lambda: bool(s.streams.streams and s.streams.streams[0].recv.readable()))
        s.read(s.streams.streams[0], 10_000)
        s.streams.streams[0].send.write(b"answer")
        server.flush(s)
        world.run_for(0.0201)
        assert not c.paths[0].recovery.in_flight

    for _ in range(3):
        ask()
    client.homes[WIFI].blackhole = True
    open_path(client, c, WIFI)
    for _ in range(3):
        ask()
