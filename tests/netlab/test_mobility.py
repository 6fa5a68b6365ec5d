"""Connections whose network changes under way: what is delivered, and how long nothing is.

Gaps are told in every assertion, and bounded by what must not be exceeded however busy the machine is; the figures that
are aimed at are smaller.
"""

from __future__ import annotations

import time

import pytest

from tests.netlab.emulator import Direction
from tests.netlab.mobile import Mobile, client_address, server_address, why_not
from tests.netlab.talk import Pair, hosts, judge

pytestmark = [pytest.mark.root]
links = pytest.mark.links
WAYS = pytest.mark.parametrize("way", ["down", "up"])


@links(seconds=8)
@WAYS
@pytest.mark.parametrize("what", ["nat_port", "nat_host"])
def test_a_nat_that_rebinds_while_pieces_come(lab: Mobile, what: str, way: str) -> None:
    pair = Pair(lab, server_address())
    pair.begin(way, 500)
    moments = []
    for number in (1, 2, 3):
        time.sleep(1)
        lab.links["wifi"].set_both(**{what: number})
        moments.append(time.monotonic())
    judge(pair.end(20), 1, *moments)
    assert len(hosts(pair)) == 1


@links(seconds=25)
@pytest.mark.timeout(120)
@WAYS
@pytest.mark.parametrize("every", [5, 1])
@pytest.mark.parametrize("what", ["nat_port", "nat_host"])
def test_a_nat_that_rebinds_all_the_time(lab: Mobile, what: str, every: float, way: str) -> None:
    # As fast as the link is: 12 MB, some ten seconds.
    pair = Pair(lab, server_address())
    pair.begin(way, 1200, 10_000, 0)
    moments = []
    while pair.client.ask("running"):
        time.sleep(every)
        lab.links["wifi"].set_both(**{what: len(moments) + 1})
        moments.append(time.monotonic())
    assert len(moments) >= 10 / every - 1
    judge(pair.end(20), 2, *moments)


@links(seconds=40)
@pytest.mark.timeout(180)
@WAYS
@pytest.mark.parametrize("what", ["nat_port", "nat_host"])
def test_a_hundred_megabytes_over_twenty_rebindings(what: str, way: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    fast = Direction(delay=10, rate=36e6, queue_bytes=90_000)
    with Mobile(fast, fast) as lab:
        pair = Pair(lab, server_address())
        pair.begin(way, 10_000, 10_000, 0)
        moments = []
        for number in range(1, 21):
            time.sleep(1)
            lab.links["wifi"].set_both(**{what: number})
            moments.append(time.monotonic())
        assert pair.client.ask("running"), "all of them are within the transfer"
        judge(pair.end(120), 2, *moments)


@links(seconds=12)
@WAYS
def test_an_outage(lab: Mobile, way: str) -> None:
    lab.down("lte")
    pair = Pair(lab, server_address())
    pair.begin(way, 800)
    time.sleep(1)
    lab.links["wifi"].set_both(blackhole=1)
    time.sleep(3)
    lab.links["wifi"].set_both(blackhole=0)
    back = time.monotonic()
    # The probe timeout doubles while nothing comes back: it may be as long as the outage was.
    judge(pair.end(20), 6.5, back)


@links(seconds=12)
@WAYS
def test_an_interface_that_goes_for_three_seconds(lab: Mobile, way: str) -> None:
    lab.down("lte")
    pair = Pair(lab, server_address())
    pair.begin(way, 800)
    time.sleep(1)
    lab.down("wifi")
    time.sleep(3)
    lab.up("wifi")
    back = time.monotonic()
    judge(pair.end(20), 6.5, back)
    assert hosts(pair) == [client_address("wifi")]


@links(seconds=7)
@WAYS
def test_the_default_route_moves(lab: Mobile, way: str) -> None:
    # The client's socket has no address of its own: its packets leave by LTE from one moment to the next.
    pair = Pair(lab, server_address())
    pair.begin(way, 400)
    time.sleep(1.5)
    lab.prefer("lte")
    moved = time.monotonic()
    judge(pair.end(20), 1, moved)
    assert lab.links["lte"].stats()["ab"]["delivered"] > 10
