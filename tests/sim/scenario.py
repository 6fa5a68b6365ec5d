"""A whole run out of one seed: link, configuration, traffic, accidents, and how it ends."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from jsp.config import CONGESTION, KIB, Config
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import Identity
from jsp.engine.connection import ConnectionCore
from jsp.engine.hibernation import hibernate
from jsp.engine.modes import BEST_EFFORT, RELIABLE, Mode, PartiallyReliable
from jsp.engine.states import State
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import CLIENT_SEED, SERVER_SEED, Node, World, confirmed_peer, connected


def random_link(rng: random.Random) -> LinkSpec:
    """A link with one or several faults, or none."""
    spec = LinkSpec(delay=rng.choice((0.0001, 0.005, 0.02, 0.1)))
    for fault in rng.sample(
        ("loss", "burst", "duplicate", "reorder", "corrupt", "truncate", "jitter", "rate", "ecn"), rng.randrange(4)
    ):
        if fault == "loss":
            spec.loss = rng.choice((0.01, 0.05, 0.15))
        elif fault == "burst":
            spec.burst = (0.01, 0.3)
        elif fault == "jitter":
            spec.jitter = spec.delay * rng.choice((0.1, 1.0))
        elif fault == "rate":
            spec.rate = rng.choice((50_000, 1_000_000, 10_000_000))
            spec.queue = rng.choice((8_000, 40_000, 200_000))
        elif fault == "ecn":
            # A queue that marks, a router that clears the fields, or one that drops what has them.
            spec.mark = rng.choice((None, 0, 20_000))
            spec.rate = spec.rate or 1_000_000
            spec.bleach = rng.random() < 0.3
            spec.ecn_blackhole = rng.random() < 0.2
        else:
            setattr(spec, fault, rng.choice((0.01, 0.1)))
    return spec


def random_config(rng: random.Random) -> Config:
    window = rng.choice((64 * KIB, 256 * KIB, 4096 * KIB))
    return Config(
        ciphers=rng.choice(("auto", "chacha20-poly1305", "aes-256-gcm")),
        max_datagram_size=rng.choice((None, 1200, 1452, 4000)),
        receive_window=window,
        stream_window=rng.choice((16 * KIB, 64 * KIB)),
        stream_window_max=rng.choice((64 * KIB, 1024 * KIB)),
        send_buffer=rng.choice((4 * KIB, 64 * KIB)),
        max_message=min(window, 50_000),
        connection_id_size=rng.choice((4, 8, 20)),
        max_ack_delay=rng.choice((0.005, 0.025)),
        idle_timeout=300.0,
        handshake_timeout=120.0,
        close_timeout=60.0,
        keep_alive=rng.choice((None, 5.0)),
        congestion=rng.choice(CONGESTION),
    )


def random_mode(rng: random.Random) -> Mode:
    return rng.choice(
        (
            RELIABLE,
            BEST_EFFORT,
            PartiallyReliable(ttl=rng.choice((0.01, 0.2, 5.0))),
            PartiallyReliable(max_retransmits=rng.randrange(3)),
        )
    )


def random_plan(rng: random.Random, seed: int) -> Plan:
    plan = Plan(seed)
    budget = rng.choice((2_000, 50_000, 250_000))
    for side in (0, 1):
        for _ in range(rng.randrange(4)):
            plan.streams[side].append((rng.randrange(budget), rng.random() < 0.3))
        for i in range(rng.randrange(30) if rng.random() < 0.5 else 0):
            size = rng.choice((0, 10, 100, 1100, 1300, 5_000, 40_000 if budget > 10_000 else 50))
            content = f"{side}-{i}:".encode() + rng.randbytes(size)
            plan.messages[side].append((content, random_mode(rng), rng.random() < 0.4))
            if rng.random() < 0.5:
                plan.extras[side][i] = (rng.randrange(8), rng.choice((None, "a", "b")))
    plan.reply_size = rng.randrange(budget // 4)
    plan.read_delay = rng.choice((0.0, 0.0, 0.05))
    plan.write_delay = rng.choice((0.0, 0.05, 0.5))
    return plan


def run_seed(seed: int) -> World:
    """Run the scenario of `seed`; an AssertionError names what went wrong."""
    rng = random.Random(seed)
    world = World(seed)
    mutual = rng.random() < 0.3
    up = random_link(rng)
    down = random_link(rng) if rng.random() < 0.5 else up
    moving = rng.random() < 0.3
    client_config = random_config(rng)
    if moving:
        # A silent client behind a NAT that forgot it cannot be reached by anybody.
        client_config = replace(client_config, keep_alive=2.0)
    server_config = random_config(rng)
    sizes = random.Random(f"sizes {seed}")
    narrowing = sizes.random() < 0.5
    if narrowing:
        client_config = replace(client_config, max_datagram_size=None)
        server_config = replace(server_config, max_datagram_size=None)
    client, server, c, s = connected(
        world, up, down,
        client_config=client_config, server_config=server_config,
        server_credentials=Credentials(identity=Identity.from_seed(SERVER_SEED)),
    )  # fmt: skip
    if mutual:
        c = client.connect(credentials=Credentials(identity=Identity.from_seed(CLIENT_SEED)))
        s = confirmed_peer(world, c, server)
        assert s.peer_id == Identity.from_seed(CLIENT_SEED).peer_id
    assert c.peer_id == Identity.from_seed(SERVER_SEED).peer_id
    if rng.random() < 0.3:
        for end in (c, s):
            assert end.keys.seal is not None
            end.keys.seal.update_at = rng.choice((10, 100))
    if moving:
        schedule_rebindings(world, client, rng)
    if narrowing:
        schedule_sizes(world, (up, down), (c, s), sizes)
    schedule_rests(world, (c, s), random.Random(seed))
    run_plan(client, server, c, s, random_plan(rng, seed), limit=3000.0)
    finish(world, client, server, c, s, rng)
    return world


def schedule_rebindings(world: World, client: Node, rng: random.Random) -> None:
    """The client's NAT forgets it a few times."""
    at = world.now
    for i in range(rng.randrange(1, 4)):
        at += rng.random() * 2
        host = client.alias[0] if rng.random() < 0.5 else f"203.0.113.{i}"
        world.schedule(at, lambda alias=(host, 40_000 + i): client.rebind(alias))


def schedule_sizes(world: World, links: Iterable[LinkSpec], ends: Iterable[ConnectionCore], rng: random.Random) -> None:
    """Links take larger and smaller datagrams from time to time; ICMP tells the truth, or somebody lies in it."""

    def change(spec: LinkSpec) -> None:
        spec.mtu = rng.choice((1_200, 1_252, 1_472, 1_480, 4_000, 8_972, 65_507))
        spec.icmp = rng.random() < 0.5

    def lie(end: ConnectionCore) -> None:
        if end.asleep is None:
            end.on_mtu_hint(end.path.remote, rng.randrange(10_000))

    for spec in links:
        for _ in range(rng.randrange(4)):
            world.schedule(world.now + rng.random() * 3, partial(change, spec))
    for end in ends:
        for _ in range(rng.randrange(3)):
            world.schedule(world.now + rng.random() * 2, partial(lie, end))


def schedule_rests(world: World, ends: Iterable[ConnectionCore], rng: random.Random) -> None:
    """Let the ends go without ciphers at times, and sleep if they can, as the shell does with silent ones."""

    def rest(end: ConnectionCore) -> None:
        end.keys.rest()
        hibernate(end)
        end.wake()

    for end in ends:
        for _ in range(rng.randrange(4)):
            world.schedule(world.now + rng.random() * 2, partial(rest, end))


def finish(world: World, client: Node, server: Node, c, s, rng: random.Random) -> None:  # type: ignore[no-untyped-def]
    """One side closes; both agree; nothing is left behind."""
    closer, node, other = (c, client, s) if rng.random() < 0.5 else (s, server, c)
    closer.close(world.now, 7, "done")
    node.flush(closer)
    world.run_until(lambda: closer.lifecycle.state is State.CLOSED, 1000.0)
    assert closer.lifecycle.closed is not None and closer.lifecycle.closed.code == 7
    # The other side hears of it, or (when every copy of CLOSE is lost) by a reset, or by silence.
    world.run_until(lambda: other.lifecycle.state is State.CLOSED, 2000.0)
    closed = other.lifecycle.closed
    assert closed is not None
    assert (closed.code == 7 and closed.by_peer) or closed.code in (0, 0x13), closed
    assert not closer.timers.next() < float("inf") and not other.timers.next() < float("inf")
    for core, end in ((client.core, c), (server.core, s)):
        assert end not in core.connections
        assert all(route[0] is not end for route in core._routes.values())
        assert (core.memory.held, core.memory.sharers) == (0, len(core.connections))
