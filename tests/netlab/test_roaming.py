"""Connections that follow their machines from network to network, by themselves and when told to.

The cases of `test_switch` are those of iroh's switch-uplink tests, with bounds of ours instead of thirty seconds.
"""

from __future__ import annotations

import time
from collections.abc import Collection

import pytest

from tests.netlab.emulator import Direction
from tests.netlab.mobile import FAMILIES, LTE, WIFI, Mobile, client_address, server_address, why_not
from tests.netlab.talk import Deliveries, Pair, hosts, judge

pytestmark = [pytest.mark.root]
links = pytest.mark.links
WAYS = pytest.mark.parametrize("way", ["down", "up"])

HAVE = {"v4": (4,), "v6": (6,), "dual": FAMILIES}
SERVER = [server_address(family, number) for number in (1, 2) for family in FAMILIES]


def _switch_client(before: Collection[int], after: Collection[int], way: str) -> tuple[Deliveries, float, list[str]]:
    with Mobile(WIFI, LTE, families={"wifi": before, "lte": ()}) as lab:
        pair = Pair(lab, *SERVER[:2])
        pair.begin(way, 400)
        time.sleep(1.5)
        moment = time.monotonic()
        lab.down("wifi")
        lab.up("lte", after)
        got = pair.end(40)
        return got, moment, hosts(pair)


def _switch_server(before: Collection[int], after: Collection[int], way: str) -> tuple[Deliveries, float, list[str]]:
    with Mobile(WIFI, LTE, server=before) as lab:
        pair = Pair(lab, *SERVER)
        pair.begin(way, 400)
        time.sleep(1.5)
        moment = time.monotonic()
        lab.set_server(*((family, 2) for family in after))
        got = pair.end(40)
        return got, moment, [pair.client.ask("remote")[0]]


@links(seconds=7)
@WAYS
@pytest.mark.parametrize("after", HAVE)
@pytest.mark.parametrize("before", HAVE)
@pytest.mark.parametrize("side", ["client", "server"])
def test_switch(side: str, before: str, after: str, way: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    switch = _switch_client if side == "client" else _switch_server
    got, moment, seen = switch(HAVE[before], HAVE[after], way)
    # A server that is left with no address of a kind that the client is known by has to be found by the client.
    judge(got, 1 if side == "client" else 2, moment)
    expected = [client_address("lte", f) if side == "client" else server_address(f, 2) for f in HAVE[after]]
    assert seen[-1] in expected


@links(seconds=8)
@WAYS
@pytest.mark.parametrize("family", FAMILIES)
def test_wifi_goes_and_lte_takes_over(lab: Mobile, family: int, way: str) -> None:
    pair = Pair(lab, server_address(family))
    pair.begin(way, 500, 5000, 0)
    time.sleep(1)
    moment = time.monotonic()
    lab.down("wifi")
    judge(pair.end(20), 1, moment)
    assert hosts(pair) == [client_address("lte", family)]


@links(seconds=8)
@WAYS
def test_wifi_fades_and_nobody_says_so(lab: Mobile, way: str) -> None:
    # The interface stays up, with its address and the default route: only that nothing answers tells, and the other
    # network is found before anybody prefers it.
    pair = Pair(lab, server_address())
    pair.begin(way, 600)
    time.sleep(1)
    lab.links["wifi"].set_both(blackhole=1)
    moment = time.monotonic()
    time.sleep(2)
    assert hosts(pair) == [client_address("lte")]
    lab.prefer("lte")
    told = time.monotonic()
    judge(pair.end(20), 2, moment, told)
    assert hosts(pair) == [client_address("lte")]


@links(seconds=6)
@WAYS
@pytest.mark.parametrize("family", FAMILIES)
def test_migrate(lab: Mobile, family: int, way: str) -> None:
    # Both networks work, and the kernel would take the other one: nothing is lost.
    pair = Pair(lab, server_address(family))
    pair.begin(way, 400)
    time.sleep(1)
    moments = []
    for interface in ("lte", "wifi", "lte"):
        moments.append(time.monotonic())
        pair.client.ask("migrate", client_address(interface, family))
        time.sleep(0.7)
        assert hosts(pair) == [client_address(interface, family)]
    judge(pair.end(20), 0.5, *moments)
    (path,) = [path for path in pair.client.ask("paths") if path["state"] == "validated"]
    assert path["local"][0] == client_address("lte", family)


@links(seconds=16)
@WAYS
def test_an_interface_that_flaps(lab: Mobile, way: str) -> None:
    pair = Pair(lab, server_address())
    pair.begin(way, 1200)
    moments = []
    for _ in range(3):
        time.sleep(2)
        moments.append(time.monotonic())
        lab.down("wifi")
        time.sleep(1)
        moments.append(time.monotonic())
        lab.up("wifi")
    judge(pair.end(20), 1, *moments)


@links(seconds=12)
@WAYS
def test_a_lone_interface_that_flaps(lab: Mobile, way: str) -> None:
    lab.down("lte")
    pair = Pair(lab, server_address())
    pair.begin(way, 900)
    moments = []
    for _ in range(2):
        time.sleep(2)
        lab.down("wifi")
        time.sleep(1)
        moments.append(time.monotonic())
        lab.up("wifi")
    judge(pair.end(20), 2, *moments)


@links(seconds=9)
@WAYS
def test_udp_is_blocked_for_a_while(lab: Mobile, way: str) -> None:
    pair = Pair(lab, server_address())
    pair.begin(way, 600)
    time.sleep(1)
    lab.prefer("lte")
    time.sleep(1)
    lab.links["lte"].set_both(no_udp=1)
    blocked = time.monotonic()
    time.sleep(1)
    lab.links["lte"].set_both(no_udp=0)
    again = time.monotonic()
    judge(pair.end(20), 3, blocked, again)


@links(seconds=16)
@WAYS
@pytest.mark.parametrize("family", FAMILIES)
def test_two_links_carry_their_sum(family: int, way: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    # Queues of one bandwidth-delay product each, 25 and 450 kB.
    wifi = Direction(delay=10, rate=10e6, queue_bytes=25_000)
    lte = Direction(delay=60, rate=30e6, queue_bytes=450_000)
    with Mobile(wifi, lte) as lab:
        pair = Pair(lab, server_address(family))
        pair.client.ask("add_path", client_address("lte", family))
        for link in lab.links.values():
            link.reset()
        pair.begin(way, 1000, 40_000, 0)
        got = pair.end(30)
        carried = {name: link.stats()["ba" if way == "down" else "ab"] for name, link in lab.links.items()}
    # Of the second half, behind slow start; 1,200 bytes of each 1,228 are ours, 40 of them for headers.
    half = len(got.delivered) // 2
    rate = half * 40_000 * 8 / (got.delivered[-1] - got.delivered[-1 - half])
    shares = {name: figures["delivered_bytes"] * 8e-6 / got.seconds for name, figures in carried.items()}
    told = f"{rate / 1e6:.1f} Mbit/s of 40, {shares} of IP in all"
    print(told)
    assert rate > 0.9 * 40e6 * 1160 / 1228, told


@links(seconds=10)
def test_the_mtu_falls_and_nobody_says_so(lab: Mobile) -> None:
    pair = Pair(lab, server_address())
    pair.begin("down", 600, 5000)
    time.sleep(2)
    assert pair.server.ask("paths")[0]["mtu"] > 1280, "as much as the path takes is found"
    lab.links["wifi"].set_both(mtu=1280)
    moment = time.monotonic()
    judge(pair.end(20), 2, moment)
