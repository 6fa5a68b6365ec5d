"""Which of several paths data takes."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.engine.connection import ConnectionCore
from tests.engine.test_mobility import WIFI, open_path, with_home
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import World, connected


@pytest.mark.parametrize("scheduler", ["lowest-rtt", "weighted"])
def test_two_links_of_different_speed_are_bonded(scheduler: str) -> None:
    """10 Mbit/s, 20 ms and 30 Mbit/s, 120 ms: at least nine tenths of their sum."""
    world = World(1)
    config = Config(congestion="bbr", path_scheduler=scheduler)
    client, server, c, s = connected(
        world, LinkSpec(delay=0.01, rate=1_250_000, queue=50_000), LinkSpec(delay=0.01), client_config=config
    )
    client.add_home(WIFI, world.link(LinkSpec(delay=0.06, rate=3_750_000, queue=400_000)))
    server.links[WIFI] = world.link(LinkSpec(delay=0.06))
    world.run_for(0.5)
    path = open_path(client, c, WIFI)
    path.weight = 3.0
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    client.flush(c)
    got = 0

    def feed(core: ConnectionCore, event: object) -> None:
        assert stream is not None and stream.send is not None
        while stream.send.unsent() < 1 << 20:
            stream.send.write(bytes(65_536))
        c.streams.want_writable(stream)

    def take(core: ConnectionCore, event: object) -> None:
        nonlocal got
        for each in list(s.streams.streams.values()):
            got += len(s.read(each, 1 << 30))

    client.handler, server.handler = feed, take
    feed(c, None)
    client.flush(c)
    world.run_for(4.0)
    before = got
    world.run_for(4.0)
    assert (got - before) / 4 > 0.9 * 5_000_000 * 1160 / 1200  # less headers


def test_the_slow_path_does_not_hold_up_a_small_request() -> None:
    world = World(2)
    client, server, c, s = with_home(world, 0.01, LinkSpec(delay=0.3))
    open_path(client, c, WIFI)
    world.run_for(2.0)
    assert c.path is c.paths[0]
    sent = c.paths[2].space.next_number
    for _ in range(20):
        stream = c.open_stream(True)
        assert stream is not None and stream.send is not None
        stream.send.write(b"request")
        stream.send.finish()
        client.flush(c)
        world.run_for(0.05)
    assert c.paths[2].space.next_number == sent


def test_a_path_for_need_only_is_not_used_until_needed() -> None:
    world = World(6)
    client, server, c, s = with_home(world, 0.05, LinkSpec(delay=0.005))
    path = open_path(client, c, WIFI)
    world.run_until(lambda: path.validated)
    assert c.mobility is not None
    c.mobility.set_status(c, path, backup=True)
    client.flush(c)
    world.run_until(lambda: s.paths[path.id].peer_backup)
    before = path.space.next_number, s.paths[path.id].space.next_number
    plan = Plan(6)
    plan.streams = [[(100_000, False)], [(100_000, False)]]
    run_plan(client, server, c, s, plan)
    # What it owes itself goes by it: acknowledgements of what had come before.
    assert path.space.next_number - before[0] < 8 and s.paths[path.id].space.next_number - before[1] < 8
    assert client.default_link is not None and server.default_link is not None
    client.default_link.blackhole = server.default_link.blackhole = True
    stream = c.open_stream()
    client.flush(c)
    world.run_until(lambda: stream.id in s.streams.streams)  # type: ignore[union-attr]
    c.mobility.set_status(c, path, backup=False)
    client.flush(c)
    world.run_until(lambda: not s.paths[path.id].peer_backup)


def test_weights_share_what_neither_path_is_too_slow_for() -> None:
    world = World(9)
    client, server, c, s = with_home(world, 0.02, LinkSpec(delay=0.02), client_config=Config(path_scheduler="weighted"))
    path = open_path(client, c, WIFI)
    path.weight = 3.0
    world.run_for(0.5)
    plan = Plan(9)
    plan.streams = [[], [(3_000_000, True)]]
    run_plan(client, server, c, s, plan)
    one, two = c.paths[0].recovery.rate.delivered, path.recovery.rate.delivered
    assert 2.0 < two / one < 4.0
