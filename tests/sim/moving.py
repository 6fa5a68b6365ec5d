"""A client whose networks come and go, out of a seed: it opens paths, migrates, loses addresses; everything arrives."""

from __future__ import annotations

import random
from dataclasses import replace

from jsp.config import PATH_SCHEDULERS
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import PathSilent
from jsp.engine.states import State
from tests.sim.link import LinkSpec
from tests.sim.scenario import finish, random_config, random_link, random_plan, schedule_rests
from tests.sim.traffic import run_plan
from tests.sim.world import SERVER, Address, Node, World, connected


class Mover:
    """Moves the client's end of a connection about among networks, of which one at least is always there.

    `client` says which end moves; the server may as well.
    """

    def __init__(self, world: World, node: Node, peer: Node, core: ConnectionCore, rng: random.Random) -> None:
        self.world, self.node, self.peer, self.core, self.rng = world, node, peer, core, rng
        self.count = 0
        node.handler = self.on_event

    def on_event(self, core: ConnectionCore, event: object) -> None:
        """As the shell does: silence everywhere makes it look for another way."""
        if isinstance(event, PathSilent) and core is self.core and self.node.homes:
            used = [path.local for path in core.paths.values()]
            free = [address for address in self.node.homes if address not in used]
            self.open(self.rng.choice(free) if free else self.add(), True)

    def add(self) -> Address:
        """A network more."""
        self.count += 1
        address = (f"203.0.113.{self.count}", 41_000 + self.count)
        self.node.add_home(address, self.world.link(random_link(self.rng)))
        self.peer.links[address] = self.world.link(random_link(self.rng))
        return address

    def open(self, address: Address, replaces: bool) -> None:
        """A path from there, if there may be one more."""
        assert self.core.mobility is not None
        self.core.wake()
        if not self.core.is_closed():
            remote = SERVER if self.peer.address == SERVER else self.core.path.remote
            self.core.mobility.open(self.core, remote, address, replaces, self.world.now)

    def move(self) -> None:
        """Something changes."""
        core, rng = self.core, self.rng
        if core.lifecycle.state is not State.OPEN:
            return
        core.wake()
        assert core.mobility is not None
        kind = rng.randrange(6)
        homes = list(self.node.homes)
        if kind < 3 or not homes:
            self.open(self.add(), rng.random() < 0.6)
        elif kind == 3 and len(homes) > 1:
            # Pulled out: whatever was on it is lost from now on.
            self.node.drop_home(homes[0])
        elif kind == 4:
            path = rng.choice(list(core.paths.values()))
            if core.mobility.can_leave(core, path):
                core.mobility.abandon(core, path, 0, self.world.now)
        else:
            core.mobility.set_status(core, rng.choice(list(core.paths.values())), rng.random() < 0.5)
        self.node.flush(core)
        if kind < 3 and rng.random() < 0.3 and self.node.default_link is not None:
            self.node.default_link.blackhole = True


def run_moving(seed: int) -> World:
    """Run the scenario of `seed`; an AssertionError names what went wrong."""
    rng = random.Random(f"{seed} moving")
    world = World(seed)
    config = replace(
        random_config(rng), keep_alive=2.0, path_scheduler=rng.choice(PATH_SCHEDULERS), max_paths=rng.choice((2, 4, 8))
    )
    client, server, c, s = connected(
        world, random_link(rng), LinkSpec(delay=0.01), client_config=config,
        server_config=replace(random_config(rng), keep_alive=2.0),
    )  # fmt: skip
    mover = Mover(world, client, server, c, rng)
    at = world.now
    for _ in range(rng.randrange(1, 10)):
        at += rng.random() * rng.choice((0.1, 1.0, 4.0))
        world.schedule(at, mover.move)
    schedule_rests(world, (c, s), random.Random(seed))
    run_plan(client, server, c, s, random_plan(rng, seed), limit=3000.0)
    finish(world, client, server, c, s, rng)
    return world
