"""A client whose UDP gets through at times only, out of a seed: it goes over TCP meanwhile, and everything arrives.

TCP is a link that loses nothing and keeps order, between a pair of addresses of its own, and is sometimes gone.
"""

from __future__ import annotations

import random
from dataclasses import replace

from jsp.engine.connection import ConnectionCore
from jsp.engine.states import State
from tests.sim.link import LinkSpec
from tests.sim.scenario import finish, random_config, random_link, random_plan, schedule_rests
from tests.sim.traffic import run_plan
from tests.sim.world import SERVER, Address, Node, World, confirmed_peer, pair

AGAIN_S = 2.0
TLS_OR_TCP = ("tcp", "tls")


def connect_tcp(world: World, client: Node, server: Node, spec: LinkSpec, number: int = 1) -> tuple[Address, Address]:
    """A TCP connection between the two; both its addresses, the client's first."""
    kind = TLS_OR_TCP[number % 2]
    ours: Address = ("192.0.2.1", 50_000 + number, kind, number)  # type: ignore[assignment]  # as carriers have them
    theirs: Address = ("198.51.100.1", 4433, kind, number)  # type: ignore[assignment]
    client.add_home(ours, world.link(spec))
    server.add_home(theirs, world.link(spec))
    return ours, theirs


class Faller:
    """The client's side of `jsp.net.fallback`, on virtual time."""

    def __init__(self, world: World, client: Node, server: Node, rng: random.Random) -> None:
        self.world, self.client, self.server, self.rng = world, client, server, rng
        self.count = 0
        self.core: ConnectionCore | None = None
        self.tcp_next = False

    def tcp(self) -> tuple[Address, Address]:
        """One more TCP connection."""
        self.count += 1
        rate = self.rng.choice((None, 100_000, 2_000_000))
        delay = self.rng.choice((0.001, 0.02, 0.1))
        jitter = delay * self.rng.choice((0.0, 1.0))
        spec = LinkSpec(delay=delay, jitter=jitter, rate=rate, queue=1 << 40)
        return connect_tcp(self.world, self.client, self.server, spec, self.count)

    def race(self, after: float) -> None:
        """What the client says goes by TCP, too, from `after` on, until something answers."""
        said: list[bytes] = []
        ours, theirs = self.tcp()
        link = self.client.default_link
        assert link is not None
        link.tap = said.append

        def racing() -> bool:
            return self.core is not None and not self.core.counters.packets_received

        def release() -> None:
            while said and racing():
                self.client._send(said.pop(0), theirs, ours)
            link.tap = also

        def also(data: bytes) -> None:
            if racing():
                self.client._send(data, theirs, ours)

        self.world.schedule(after, release)

    def open(self, local: Address | None, remote: Address) -> None:
        core = self.core
        if core is not None and core.lifecycle.state is State.OPEN and core.mobility is not None:
            core.mobility.open(core, remote, local, True, self.world.now)

    def again(self) -> None:
        """Now and then: UDP is tried while it does not carry the connection, and TCP in turn when nothing does."""
        core = self.core
        if core is None or core.is_closed():
            return
        self.world.schedule(self.world.now + AGAIN_S, self.again)
        core.wake()
        answering = [path.reliable for path in core.paths.values() if path.validated and not path.recovery.pto_count]
        if core.confirmed and False not in answering:
            self.tcp_next = not self.tcp_next and not answering
            self.open(*(self.tcp() if self.tcp_next else (None, SERVER)))
            self.client.flush(core)

    def toggle(self) -> None:
        """UDP passes, or does not; or a TCP connection breaks without a word."""
        links = [link for link in (self.client.default_link, self.server.default_link) if link is not None]
        kind = self.rng.randrange(5)
        if kind == 0 and self.client.homes:
            self.client.drop_home(self.rng.choice(list(self.client.homes)))
        elif kind == 1:
            self.rng.choice(links).blackhole = True
        else:
            for link in links:
                link.blackhole = kind < 4


def run_carried(seed: int) -> World:
    """Run the scenario of `seed`; an AssertionError names what went wrong."""
    rng = random.Random(f"{seed} carried")
    world = World(seed)
    client, server = pair(
        world, random_link(rng), random_link(rng),
        client_config=replace(random_config(rng), keep_alive=2.0),
        server_config=replace(random_config(rng), keep_alive=2.0),
    )  # fmt: skip
    faller = Faller(world, client, server, rng)
    for link in (client.default_link, server.default_link):
        assert link is not None
        link.blackhole = rng.random() < 0.4
    faller.race(rng.choice((0.0, 0.05, 0.5)))
    c = faller.core = client.connect()
    s = confirmed_peer(world, c, server)
    faller.again()
    at = world.now
    for _ in range(rng.randrange(8)):
        at += rng.random() * rng.choice((0.1, 1.0, 5.0))
        world.schedule(at, faller.toggle)
    schedule_rests(world, (c, s), random.Random(seed))
    run_plan(client, server, c, s, random_plan(rng, seed), limit=3000.0)
    for link in (client.default_link, server.default_link):
        assert link is not None
        link.blackhole = False
    finish(world, client, server, c, s, rng)
    return world
