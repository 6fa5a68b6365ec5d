"""How large datagrams become over the virtual network, and what happens where they do not pass any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jsp.config import CONGESTION, KIB, Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.hibernation import hibernate
from jsp.engine.modes import BEST_EFFORT, RELIABLE
from jsp.engine.mtu_search import BASE, STEP_DIVISOR
from jsp.engine.traffic import StreamReadable
from tests.engine.test_mobility import WIFI, open_path
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import SERVER, Node, World, connected

BULK = Config(stream_window=4096 * KIB, send_buffer=64 * KIB)


def bulk(spec: LinkSpec, config: Config = BULK, seed: int = 1) -> tuple[World, Node, ConnectionCore, ConnectionCore]:
    """A client that goes on sending to a server that goes on reading."""
    world = World(seed)
    client, server, c, s = connected(world, spec, LinkSpec(delay=spec.delay), client_config=config, server_config=BULK)
    read_all(server)
    write(client, c, 60_000_000)
    return world, client, c, s


def read_all(node: Node) -> None:
    """Let `node` read what comes, and throw it away."""

    def read(core: ConnectionCore, event: object) -> None:
        if isinstance(event, StreamReadable):
            core.read(core.streams.streams[event.stream_id], 1 << 30)

    node.handler = read


def write(node: Node, core: ConnectionCore, size: int) -> None:
    sender = core.open_stream(True).send
    sender.write(bytes(size))
    sender.finish()
    node.flush(core)


@pytest.mark.parametrize("congestion", CONGESTION)
def test_a_path_without_bounds_is_filled_by_the_largest_datagrams(congestion: str) -> None:
    config = replace(BULK, congestion=congestion)
    world, _, c, _ = bulk(LinkSpec(delay=0.005, rate=50_000_000, queue=1_000_000), config)
    world.run_until(lambda: c.paths[0].mtu == 65_507, 10.0)
    assert c.paths[0].recovery.controller.datagram == 65_507


@pytest.mark.parametrize("mtu", [1_252, 1_400, 1_472, 4_000])
def test_the_size_of_a_path_is_found_while_data_flows(mtu: int) -> None:
    world, _, c, _ = bulk(LinkSpec(delay=0.01, rate=2_000_000, queue=60_000, mtu=mtu))
    world.run_until(lambda: c.paths[0].search is not None and c.paths[0].search.is_complete(), 10.0)
    path = c.paths[0]
    assert mtu - path.mtu <= path.mtu // STEP_DIVISOR
    assert c.paths[0].mtu <= mtu


def test_probes_are_no_sign_of_congestion() -> None:
    world, _, c, _ = bulk(LinkSpec(delay=0.01, rate=4_000_000, queue=100_000_000, mtu=1_300))
    for _ in range(100):
        world.run_for(0.01)
        recovery = c.paths[0].recovery
        assert recovery.packets_lost == 0
        assert recovery.controller.recovery_start == float("-inf")
        assert recovery.reordering.packets == 3
    assert BASE < c.paths[0].mtu <= 1_300


def test_a_fixed_size_is_not_searched() -> None:
    world, _, c, _ = bulk(LinkSpec(delay=0.005, rate=2_000_000), replace(BULK, max_datagram_size=1_452))
    world.run_for(1.0)
    assert c.paths[0].mtu == 1_452
    assert c.paths[0].search is None


def test_nothing_is_searched_where_datagrams_may_be_fragmented() -> None:
    world = World()
    client, server, _, _ = connected(world, LinkSpec(delay=0.005))
    client.core.whole_datagrams = False
    c = client.connect()
    world.run_until(lambda: c.confirmed)
    write(client, c, 1_000_000)
    world.run_for(1.0)
    assert c.paths[0].mtu == BASE


def test_small_messages_search_nothing_and_an_idle_connection_sends_nothing() -> None:
    world = World()
    client, _, c, _ = connected(world, LinkSpec(delay=0.005))
    for _ in range(50):
        for _ in range(3):
            c.send_message(world.now, bytes(900), RELIABLE, False)
        client.flush(c)
        world.run_for(0.02)
    assert c.paths[0].search is None
    write(client, c, 100_000)
    world.run_for(1.0)
    assert c.paths[0].mtu > BASE
    sent = client.default_link.sent
    world.run_for(20.0)
    assert client.default_link.sent == sent


def test_a_lost_probe_keeps_nobody_awake_and_is_tried_again() -> None:
    world = World()
    spec = LinkSpec(delay=0.005, mtu=1_300)
    client, _, c, _ = connected(world, spec, LinkSpec(delay=0.005))
    c.send_message(world.now, bytes(3_000), RELIABLE, False)
    client.flush(c)
    world.run_for(1.0)
    path = c.paths[0]
    assert [run.size for run in path.space.sent.runs] == [0]
    assert not path.recovery.in_flight
    assert hibernate(c)
    spec.mtu = 1_472
    c.wake()
    for _ in range(3):
        c.send_message(world.now, bytes(5_000), RELIABLE, False)
        client.flush(c)
        world.run_for(1.0)
    assert c.paths[0].mtu == 1_472


def test_a_shorter_path_is_left_by_the_window_as_it_was() -> None:
    world, _, c, _ = bulk(LinkSpec(delay=0.01, mtu=65_507))
    recovery = c.paths[0].recovery
    before = 0
    while c.paths[0].mtu < 65_507:
        before = recovery.controller.window
        world.step()
    # RFC 8899 section 3: larger datagrams do not widen the window.
    assert recovery.controller.window <= before + 65_507


# --- black holes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("icmp", [False, True])
@pytest.mark.parametrize("congestion", CONGESTION)
@pytest.mark.parametrize(("before", "after"), [(1_472, 1_252), (8_972, 1_472), (65_507, 1_200)])
def test_a_path_that_takes_less_all_at_once_is_left_within_three_timeouts(
    before: int, after: int, congestion: str, icmp: bool
) -> None:
    spec = LinkSpec(delay=0.01, rate=20_000_000, queue=800_000, mtu=before, icmp=icmp)
    world, client, c, s = bulk(spec, replace(BULK, congestion=congestion))
    path = c.paths[0]
    world.run_until(lambda: path.mtu == before, 20.0)
    timeout = path.probe_timeout()
    spec.mtu = after
    begin, received = world.now, s.counters.bytes_received
    world.run_until(lambda: path.mtu <= after, 20.0)
    assert world.now - begin <= 3 * timeout + 0.02
    world.run_until(lambda: after - path.mtu <= path.mtu // STEP_DIVISOR, 1.0 - (world.now - begin))
    world.run_for(0.2)
    assert s.counters.bytes_received - received > 30_000


def test_icmp_spares_the_timeout() -> None:
    spec = LinkSpec(delay=0.05, rate=2_000_000, queue=60_000, mtu=1_472, icmp=True)
    world, _, c, _ = bulk(spec)
    path = c.paths[0]
    world.run_until(lambda: path.mtu == 1_472, 20.0)
    world.run_for(0.5)
    spec.mtu = 1_300
    begin = world.now
    world.run_until(lambda: path.mtu < 1_472, 20.0)
    assert world.now - begin < 0.05 + path.recovery.rtt.longest() + 0.02
    assert path.recovery.pto_count == 0
    world.run_until(lambda: path.mtu == 1_300, 1.0)


def test_forged_icmp_costs_a_probe_and_nothing_else() -> None:
    world, client, c, _ = bulk(LinkSpec(delay=0.01, rate=2_000_000, queue=60_000, mtu=1_472))
    path = c.paths[0]
    world.run_until(lambda: path.search is not None and path.search.is_complete(), 20.0)
    for told in (68, 576, 1_200, 1_300, 1_400, 65_000):
        assert c.on_mtu_hint(SERVER, told) == (1_200 <= told < 1_472)
        assert not c.on_mtu_hint(("198.51.100.9", 1), told) or path.search.due
        client.flush(c)
        for _ in range(20):
            world.run_for(0.01)
            assert path.mtu == 1_472


def test_our_own_interface_shrinks() -> None:
    world, client, c, s = bulk(LinkSpec(delay=0.01, rate=2_000_000, queue=300_000))
    client.interface = 8_000
    path = c.paths[0]
    world.run_until(lambda: path.search is not None and path.search.is_complete(), 10.0)
    assert 7_880 < path.mtu <= 8_000
    client.interface = 1_300
    begin = world.now
    world.run_until(lambda: path.mtu <= 1_300, 1.0)
    world.run_until(lambda: path.mtu > 1_280, 1.0)
    assert world.now - begin < 0.5
    received = s.counters.bytes_received
    world.run_for(0.2)
    assert s.counters.bytes_received > received + 100_000


def test_a_burst_of_losses_costs_two_round_trips_of_small_datagrams() -> None:
    world, client, c, _ = bulk(LinkSpec(delay=0.01, rate=2_000_000, queue=60_000, mtu=1_472))
    path = c.paths[0]
    world.run_until(lambda: path.mtu == 1_472, 10.0)
    world.run_for(0.3)
    client.default_link.blackhole = True
    world.run_until(lambda: path.recovery.pto_count == 2, 5.0)
    assert path.mtu == BASE
    client.default_link.blackhole = False
    world.run_until(lambda: path.recovery.pto_count == 0, 5.0)
    begin = world.now
    world.run_until(lambda: path.mtu == 1_472, 1.0)
    assert world.now - begin < 0.1


def test_timeouts_are_answered_in_datagrams_that_pass_everywhere() -> None:
    spec = LinkSpec(delay=0.01, mtu=8_972)
    world, client, c, _ = bulk(spec)
    path = c.paths[0]
    world.run_until(lambda: path.mtu == 8_972, 10.0)
    client.default_link.blackhole = True
    sizes: list[int] = []
    world.run_until(lambda: path.recovery.pto_count == 1, 5.0)
    client.default_link.tap = lambda data: sizes.append(len(data))
    world.run_until(lambda: path.recovery.pto_count == 3, 5.0)
    assert len(sizes) >= 4
    assert max(sizes) == BASE


@pytest.mark.parametrize("seed", range(6))
def test_what_was_cut_for_large_datagrams_is_cut_again(seed: int) -> None:
    """Streams and messages arrive whole, whatever the path takes from moment to moment."""
    world = World(seed)
    spec = LinkSpec(delay=0.005, rate=20_000_000, queue=600_000)
    client, server, c, s = connected(world, spec, spec, client_config=BULK, server_config=BULK)
    plan = Plan(seed)
    plan.streams = [[(1_500_000, True)], [(3_000_000, True), (200_000, False)]]
    for side in (0, 1):
        for i in range(60):
            content = f"{side}-{i}:".encode() + world.random.randbytes(world.random.choice((900, 7_000, 60_000)))
            plan.messages[side].append((content, RELIABLE if i % 3 else BEST_EFFORT, i % 2 == 0))
    mtus = []
    for i in range(60):

        def change(mtu: int = world.random.choice((1_200, 1_252, 1_472, 8_972, 65_507))) -> None:
            spec.mtu = mtu
            mtus.append(c.paths[0].mtu)

        world.schedule(world.now + 0.05 * i, change)
    run_plan(client, server, c, s, plan)
    assert len(set(mtus)) > 2


def test_another_network_is_searched_anew() -> None:
    world = World()
    spec = LinkSpec(delay=0.01, rate=4_000_000, queue=200_000)
    client, server, c, s = connected(world, spec, spec, client_config=BULK, server_config=BULK)
    c.open_stream()
    client.flush(c)
    world.run_for(0.1)
    s.streams.streams[0].send.write(bytes(8_000_000))
    server.flush(s)
    path = s.paths[0]
    world.run_until(lambda: path.mtu == 8_972, 10.0)
    client.rebind((client.address[0], 4_444))
    c.ping()
    client.flush(c)
    world.run_until(lambda: path.remote[1] == 4_444, 1.0)
    assert path.mtu >= 8_972  # another port: the same network
    spec.mtu = 1_300
    client.rebind(("203.0.113.9", 4_444))
    c.ping()
    client.flush(c)
    world.run_until(lambda: path.remote[0] == "203.0.113.9", 1.0)
    assert path.mtu == BASE
    world.run_until(lambda: path.search is not None and path.search.is_complete(), 10.0)
    assert 1_280 < path.mtu <= 1_300


def test_what_goes_by_all_paths_fits_each_of_them() -> None:
    world = World(3)
    spec = LinkSpec(delay=0.01, rate=1_000_000, queue=100_000, mtu=1_472)
    config = replace(BULK, path_scheduler="redundant")
    client, server, c, _ = connected(world, spec, LinkSpec(delay=0.01), client_config=config, server_config=BULK)
    read_all(server)
    narrow = world.link(replace(spec, mtu=1_300))
    client.add_home(WIFI, narrow)
    open_path(client, c, WIFI)
    write(client, c, 60_000_000)
    world.run_until(lambda: all(1_280 < path.mtu <= 1_300 or path.id == 0 for path in c.paths.values()), 10.0)
    assert client.default_link is not None
    sizes: dict[str, list[int]] = {"wide": [], "narrow": []}
    client.default_link.tap = lambda data: sizes["wide"].append(len(data))
    narrow.tap = lambda data: sizes["narrow"].append(len(data))
    world.run_for(1.0)
    # Both carry all, or what only one carried would have come by no other way.
    assert sum(sizes["narrow"]) > 0.8 * sum(sizes["wide"]) > 400_000
