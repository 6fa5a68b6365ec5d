"""Connections that sleep: nothing in use goes to sleep, and whatever happens next finds them as they were."""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import replace

import pytest

from jsp.config import Config
from jsp.engine import hibernation
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed, MessagesReadable, PingAnswered
from jsp.engine.hibernation import hibernate
from jsp.engine.modes import BEST_EFFORT, RELIABLE, PartiallyReliable
from jsp.engine.states import State
from jsp.errors import Code
from jsp.recovery.newreno import NewReno
from tests.profiles import DEEP
from tests.sim.link import LinkSpec
from tests.sim.scenario import random_config, random_link, random_mode
from tests.sim.world import Node, World, connected


def settled(world: World, *ends: ConnectionCore) -> None:
    """Let what is under way come to its end."""
    world.run_until(lambda: all(hibernation.is_quiet(end) for end in ends), 400.0)


def put_to_sleep(world: World, *ends: ConnectionCore) -> None:
    settled(world, *ends)
    for end in ends:
        end.keys.rest()
        assert hibernate(end)
        assert hibernate(end), "asleep already"
        assert end.asleep is not None


def written(conn: ConnectionCore) -> bytes:
    """All of a connection that sleep can touch."""
    return hibernation._write(conn)


def exchange(world: World, sender: Node, conn: ConnectionCore, receiver: Node, other: ConnectionCore) -> None:
    """A message that arrives, and a stream that both sides are done with."""
    content = world.random.randbytes(world.random.randrange(5000))
    conn.wake()
    stream = conn.open_stream(unidirectional=True)
    assert stream is not None and stream.send is not None
    stream.send.write(content)
    stream.send.finish()
    conn.streams.release(stream)
    conn.send_message(world.now, content, RELIABLE, ordered=True)
    sender.flush(conn)
    got: list[bytes] = []

    def arrived() -> bool:
        if other.asleep is not None:
            return False
        message = other.recv_messages.read()
        if message is not None:
            got.append(message.data)
        incoming = other.streams.streams.get(stream.id)
        if incoming is not None and incoming.recv.at_end() and incoming.recv.readable() == 0:
            other.streams.release(incoming)
        elif incoming is not None:
            read.extend(other.read(incoming, 1 << 20))
        receiver.flush(other)
        return bool(got) and len(read) == len(content) and stream.id not in other.streams.streams

    read = bytearray()
    world.run_until(arrived, 400.0)
    assert got == [content] and read == content


def test_what_sleeps_is_small_and_the_same_afterwards() -> None:
    world = World()
    client, server, c, s = connected(world)
    exchange(world, client, c, server, s)
    settled(world, c, s)
    before = written(c), written(s)
    put_to_sleep(world, c, s)
    assert max(len(c.asleep), len(s.asleep)) < 600 < 2000 < len(before[0])
    assert c.paths is None and c.streams is None
    for end, was in zip((c, s), before, strict=True):
        end.wake()
        end.wake()
        assert end.asleep is None
        assert written(end) == was
    exchange(world, server, s, client, c)


def test_threads_keep_apart() -> None:
    worlds = [World(seed) for seed in range(4)]
    ends = [(world, *connected(world)[2:]) for world in worlds]
    for world, c, s in ends:
        settled(world, c, s)
    wrong: list[object] = []

    def nap(c: ConnectionCore, s: ConnectionCore) -> None:
        try:
            for _ in range(100):
                for end in (c, s):
                    assert hibernate(end)
                    end.wake()
                    assert end.paths[0].local_cids.active[0] == end.scid
        except BaseException as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=nap, args=(c, s)) for _, c, s in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_a_packet_wakes_and_nothing_is_sent_before() -> None:
    world = World()
    config = Config(idle_timeout=None)
    client, server, c, s = connected(world, client_config=config, server_config=config)
    put_to_sleep(world, c, s)
    assert c.poll_transmit(world.now) is None and c.poll_event() is None
    assert not c.is_closed() and c.asleep
    world.run_for(1000.0)
    assert c.asleep and s.asleep
    exchange(world, client, c, server, s)
    assert s.asleep is None


def test_timers_wake() -> None:
    world = World()
    config = Config(idle_timeout=40.0)
    client, server, c, s = connected(world, client_config=replace(config, keep_alive=15.0), server_config=config)
    put_to_sleep(world, c, s)
    at = c.poll_timeout()
    assert world.now < at <= world.now + 15.0
    world.run_for(14.0)
    assert c.asleep and s.asleep
    # The keep-alive wakes both, and they are connected for as long as it goes on.
    world.run_for(2.0)
    assert c.asleep is None and s.asleep is None
    for _ in range(10):
        put_to_sleep(world, c, s)
        world.run_for(20.0)
    assert not c.is_closed() and not s.is_closed()
    put_to_sleep(world, s)
    client.default_link = world.link(LinkSpec(loss=1.0))
    world.run_for(60.0)
    assert [closed.code for closed in server.events(Closed)] == [Code.IDLE]


@pytest.mark.parametrize("sides", ["client", "server", "both"])
def test_either_side_may_close_the_other_in_its_sleep(sides: str) -> None:
    world = World()
    client, server, c, s = connected(world)
    put_to_sleep(world, *{"client": (c,), "server": (s,), "both": (c, s)}[sides])
    c.wake()
    c.close(world.now, 9, "enough")
    client.flush(c)
    world.run_until(lambda: s.lifecycle.state is State.CLOSED)
    assert server.events(Closed) == [Closed(9, "enough", by_peer=True, application=True)]
    world.run_until(lambda: c.lifecycle.state is State.CLOSED)
    assert not client.core.connections and not client.core._routes and not server.core._routes


def test_a_stateless_reset_ends_one_that_sleeps() -> None:
    world = World()
    client, server, c, s = connected(world)
    settled(world, c, s)
    (token,) = c.paths[0].remote_cids.reset_tokens
    put_to_sleep(world, c)
    client.receive(bytes((0xB1,)) + world.random.randbytes(40) + token, server.address)
    assert [closed.by_peer for closed in client.events(Closed)] == [True]


def test_an_old_packet_with_a_long_header_does_no_harm() -> None:
    world = World()
    client, server, c, s = connected(world)
    put_to_sleep(world, s)
    server.receive(
        bytes((0xE0,)) + (0x4A535001).to_bytes(4, "big") + bytes((4,)) + s.scid + bytes(1200), c.paths[0].local
    )
    assert not s.is_closed()
    version_negotiation = bytes((0xC0,)) + bytes(4) + bytes((4,)) + c.scid + b"\x00" + b"\x0a\x0a\x0a\x0a"
    put_to_sleep(world, c)
    client.receive(version_negotiation, server.address)
    assert c.asleep and not c.is_closed()


def test_a_ping_is_answered_in_sleep() -> None:
    world = World()
    client, server, c, s = connected(world)
    put_to_sleep(world, c, s)
    c.wake()
    token = c.ping()
    client.flush(c)
    world.run_until(lambda: bool(client.events(PingAnswered)))
    assert client.events(PingAnswered)[0].token == token


def test_what_is_in_use_stays_awake() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    assert not hibernate(c), "the handshake's last packets are on their way"
    settled(world, c, s)
    c.send_message(world.now, b"x", RELIABLE, ordered=False)
    assert not hibernate(c), "a message waits to be sent"
    client.flush(c)
    assert not hibernate(c), "a message is not acknowledged"
    world.run_until(lambda: bool(server.events(MessagesReadable)))
    world.run_for(2.0)
    assert hibernate(c)
    assert not hibernate(s), "a message waits to be read"
    assert s.recv_messages.read() is not None
    assert hibernate(s)
    c.wake()
    stream = c.open_stream()
    client.flush(c)
    world.run_for(2.0)
    assert not hibernate(c) and not hibernate(s), "a stream is open"
    assert stream is not None and stream.send is not None and stream.recv is not None
    c.close(world.now, 0, "")
    assert not hibernate(c), "it lingers"
    c.close_now(world.now, 0, "")
    assert not hibernate(c), "it is over"


def test_a_handshake_stays_awake() -> None:
    world = World()
    client = Node(world, ("192.0.2.1", 50000))
    client.default_link = world.link(LinkSpec(loss=1.0))
    c = client.connect()
    world.run_for(0.01)
    assert not hibernate(c)


def test_a_controller_of_the_users_keeps_its_connection_awake() -> None:
    world = World()
    config = Config(congestion=lambda size: NewReno(size))
    client, server, c, s = connected(world, client_config=config)
    settled(world, c, s)
    assert not hibernate(c)
    assert hibernate(s)


@pytest.mark.parametrize("seed", range(200 if DEEP else 25))
def test_life_goes_on_between_sleeps(seed: int) -> None:
    """Any link and configuration, moves and key updates: each exchange arrives, whoever slept meanwhile."""
    rng = random.Random(seed)
    world = World(seed)
    client, server, c, s = connected(
        world, random_link(rng), random_link(rng),
        client_config=replace(random_config(rng), idle_timeout=None, keep_alive=rng.choice((None, 20.0))),
        server_config=replace(random_config(rng), idle_timeout=None),
    )  # fmt: skip
    ends = [(client, c, server, s), (server, s, client, c)]
    for end in (c, s):
        assert end.keys.seal is not None
        end.keys.seal.update_at = rng.choice((20, 1 << 30))
    for round_ in range(6):
        exchange(world, *rng.choice(ends))
        for _, end, _, _ in ends:
            end.wake()
            end.send_message(
                world.now, b"whatever", rng.choice((BEST_EFFORT, PartiallyReliable(ttl=0.01))), ordered=False
            )
            end.send_message(world.now, b"or other", random_mode(rng), ordered=False)
        for node, end, _, _ in ends:
            node.flush(end)
        for _ in range(100):
            world.run_for(1.0)
            for end in (c, s):
                while end.recv_messages.read() is not None:
                    pass
            if hibernation.is_quiet(c) and hibernation.is_quiet(s):
                break
        put_to_sleep(world, *rng.choice(((c,), (s,), (c, s))))
        if rng.random() < 0.3:
            client.rebind((rng.choice((client.alias[0], f"203.0.113.{round_}")), 41_000 + round_))
            c.wake()
            c.ping()
            client.flush(c)
        world.run_for(rng.choice((0.1, 10.0, 100.0)))
        assert not c.is_closed() and not s.is_closed()
