"""A connected pair with small limits, for tests of misbehaviour."""

from __future__ import annotations

import pytest

from jsp.config import KIB, Config
from tests.sim.hostile import Pair
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected


@pytest.fixture
def ends() -> Pair:
    world = World()
    config = Config(max_streams=4, stream_window=64 * KIB, receive_window=256 * KIB, max_message=100_000)
    client, server, c, s = connected(world, LinkSpec(delay=0.01), server_config=config)
    world.run_for(0.2)
    return world, client, server, c, s
