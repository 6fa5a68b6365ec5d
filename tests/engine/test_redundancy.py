"""The same packets by several paths."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.modes import BEST_EFFORT, RELIABLE, Mode, PartiallyReliable
from jsp.engine.redundancy import ask
from tests.engine.test_datagram_sizes import read_all, write
from tests.engine.test_mobility import WIFI, open_path
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import Node, World, connected


def lossy_pair(
    world: World, scheduler: str = "lowest-rtt", datagram: int | None = 1200
) -> tuple[Node, Node, ConnectionCore, ConnectionCore]:
    config = Config(path_scheduler=scheduler, repair=False, max_datagram_size=datagram)
    client, server, c, s = connected(world, LinkSpec(delay=0.02), client_config=config)
    client.add_home(WIFI, world.link(LinkSpec(delay=0.03)))
    open_path(client, c, WIFI)
    world.run_for(1.0)
    return client, server, c, s


@pytest.mark.parametrize("scheduler", ["lowest-rtt", "redundant"])
@pytest.mark.parametrize("mode", [BEST_EFFORT, PartiallyReliable(max_retransmits=0), RELIABLE])
def test_redundant_messages_arrive_once_though_one_path_loses_them(scheduler: str, mode: Mode) -> None:
    world = World(11)
    client, server, c, s = lossy_pair(world, scheduler)
    # The quicker one loses every other datagram, the other one none.
    assert client.default_link is not None
    client.default_link.spec.loss = 0.5
    start = world.now
    got: list[bytes] = []

    def take(core: ConnectionCore, event: object) -> None:
        while (message := s.recv_messages.read()) is not None:
            got.append(message.data)

    server.handler = take
    for i in range(200):
        message = c.send_message(world.now, b"%d" % i, mode, False)
        assert message is not None
        if scheduler != "redundant":
            ask(c, message)
        client.flush(c)
        world.run_for(0.01)
    world.run_for(0.1)
    assert sorted(got, key=int) == [b"%d" % i for i in range(200)]
    assert world.now - start == pytest.approx(2.1)


def test_redundant_messages_fit_the_path_that_takes_least() -> None:
    world = World(13)
    client, server, c, s = lossy_pair(world, datagram=None)
    read_all(server)
    write(client, c, 1_000_000)
    world.run_for(2.0)
    assert max(path.mtu for path in c.paths.values()) > 10_000
    c.paths[2].set_mtu(1_200)
    assert client.default_link is not None
    client.default_link.blackhole = True
    for _ in range(20):
        message = c.send_message(world.now, bytes(200), BEST_EFFORT, False)
        assert message is not None
        ask(c, message)
    client.flush(c)
    world.run_for(0.1)
    got = 0
    while s.recv_messages.read() is not None:
        got += 1
    assert got == 20


def test_a_redundant_message_takes_no_bulk_data_with_it() -> None:
    world = World(12)
    client, server, c, s = lossy_pair(world)
    stream = c.open_stream()
    assert stream is not None and stream.send is not None
    assert client.default_link is not None
    sent: list[int] = []
    client.homes[WIFI].tap = lambda data: sent.append(len(data))
    stream.send.write(bytes(8000))
    message = c.send_message(world.now, b"urgent", RELIABLE, False, 0)
    assert message is not None
    ask(c, message)
    client.flush(c)
    assert len(sent) == 1  # the packet with the message, whatever else is in it
    world.run_for(1.0)
    assert s.streams.streams[0].recv.readable() == 8000  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(10))
def test_everything_twice_arrives_once(seed: int) -> None:
    world = World(seed)
    client, server, c, s = lossy_pair(world, "redundant")
    assert client.default_link is not None
    client.default_link.spec.loss = client.homes[WIFI].spec.loss = 0.1
    plan = Plan(seed)
    plan.streams = [[(100_000, False)], [(100_000, False)]]
    plan.messages = [
        [],
        [(b"%d %d " % (i, j) * 300, mode, False) for i in range(9) for j, mode in enumerate((RELIABLE, BEST_EFFORT))],
    ]
    run_plan(client, server, c, s, plan)


def test_numbers_are_left_out_among_copies_too() -> None:
    world = World(14)
    client, _, c, _ = lossy_pair(world, "redundant")
    # The other path is quicker, and has room for all of them.
    begin = c.paths[2].space.next_number
    for _ in range(300):
        c.send_message(world.now, b"small", BEST_EFFORT, False)
        client.flush(c)
        world.run_for(0.01)
    assert c.paths[2].space.next_number - begin >= 300
    # Whoever acknowledged blindly would be found out there, too (SPEC 10.2).
    assert [number for number in c.paths[2].space.skipped if number > begin]
