"""Repairs where they pay, none where they do not, and what they achieve."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import Config
from jsp.engine import hibernation
from jsp.engine.modes import BEST_EFFORT, PartiallyReliable
from jsp.engine.out_message import OUTCOMES
from jsp.engine.send_repair import share_of_repairs, transmissions
from tests.sim.dated import DatedRun, Traffic, run_dated
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected

LOSSY = Config(congestion="bbr", max_datagram_size=1452)
# The paths of the target: 500 messages a second, 20 % of all datagrams lost, a round trip of 20 ms.
TARGET = LinkSpec(delay=0.01, loss=0.2)
CLEAN = LinkSpec(delay=0.01)


# --- when it pays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spare", "again", "times"),
    [(0.04, 0.026, 2), (0.045, 0.0135, 4), (0.03, 0.051, 1), (0.005, 0.1135, 1), (-0.001, 0.126, 0)],
)
def test_how_often_a_message_can_be_sent_in_time(spare: float, again: float, times: int) -> None:
    assert transmissions(spare, again) == times


def test_no_repairs_without_loss_or_where_retransmission_is_enough() -> None:
    assert share_of_repairs(0.0, 1, 10) == 0
    assert share_of_repairs(0.009, 1, 10) == 0
    assert share_of_repairs(0.2, 4, 10) == 0
    assert share_of_repairs(0.2, 0, 10) == 0  # too late for anything
    assert share_of_repairs(0.05, 2, 10) == 0
    assert share_of_repairs(0.1, 2, 10) > 0.1


@given(st.floats(0, 1), st.integers(0, 10), st.integers(1, 30))
def test_repairs_are_half_of_the_messages_at_most(loss: float, times: int, width: int) -> None:
    share = share_of_repairs(loss, times, width)
    assert share == 0 or loss <= share <= 0.5 or share == 0.5
    assert share <= share_of_repairs(loss, min(times, 1), width) or not times


# --- what it achieves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_target(seed: int) -> None:
    """99 % in time for 60 % more bytes than on a clean path at most."""
    traffic = Traffic(count=2500)
    plain = run_dated(seed, traffic, CLEAN, config=LOSSY)
    got = run_dated(seed, traffic, TARGET, config=LOSSY)
    assert plain.in_time == traffic.count
    assert got.in_time >= 0.99 * traffic.count
    assert got.sent_bytes <= 1.6 * plain.sent_bytes
    assert got.recovered


def test_retransmission_alone_does_not_achieve_that() -> None:
    config = Config(congestion="bbr", max_datagram_size=1452, repair=False)
    traffic = Traffic(count=2500)
    got = run_dated(1, traffic, TARGET, config=config)
    assert not got.repairs
    assert got.in_time < 0.98 * traffic.count


def test_late_messages_become_few_where_nothing_can_be_sent_again() -> None:
    traffic, link = Traffic(count=2000), LinkSpec(delay=0.02, loss=0.05)
    without = run_dated(1, traffic, link, config=Config(congestion="bbr", repair=False))
    got = run_dated(1, traffic, link, config=Config(congestion="bbr"))
    assert traffic.count - got.in_time < 0.3 * (traffic.count - without.in_time)
    assert got.sent_bytes < 1.3 * without.sent_bytes


def test_large_messages_have_repairs_in_packets_of_their_own() -> None:
    traffic, link = Traffic(count=1000, gap=0.01, sizes=(1000,)), LinkSpec(delay=0.02, loss=0.05)
    without = run_dated(1, traffic, link, config=Config(congestion="bbr", repair=False))
    got = run_dated(1, traffic, link, config=Config(congestion="bbr"))
    assert got.recovered > 10
    assert got.in_time > without.in_time


def test_messages_of_one_packet_have_no_repairs() -> None:
    """What would get lost together with them is of no use, and the next packet comes too late."""
    traffic = Traffic(count=3000, gap=0.04, burst=3)
    assert run_dated(1, traffic, LinkSpec(delay=0.02, loss=0.1), config=LOSSY).repairs < 0.01 * traffic.count


@pytest.mark.parametrize(("seed", "burst", "recovered"), [(1, 30, 100), (2, 100, 50)])
def test_bursts_of_several_packets_are_repaired_by_those_behind(seed: int, burst: int, recovered: int) -> None:
    """Nor does BBR take the losses of bursts for all that the path bears, and choke what follows."""
    traffic, link = Traffic(count=3000, gap=0.05, burst=burst), LinkSpec(delay=0.02, loss=0.1)
    without = run_dated(seed, traffic, link, config=Config(congestion="bbr", repair=False))
    got = run_dated(seed, traffic, link, config=Config(congestion="bbr"))
    assert got.recovered > recovered
    assert got.in_time > without.in_time


@pytest.mark.parametrize(
    ("traffic", "link"),
    [
        (Traffic(count=2000, bursts=20, pause=0.5), TARGET),
        (Traffic(count=2000, bursts=20, pause=0.5), LinkSpec(delay=0.02, loss=0.05)),
        (Traffic(count=1000, bursts=1, pause=0.03), LinkSpec(delay=0.02, loss=0.1)),
        (Traffic(count=1000, bursts=1, pause=0.1), TARGET),
    ],
)
def test_the_last_message_before_a_pause_has_a_repair(traffic: Traffic, link: LinkSpec) -> None:
    without = run_dated(1, traffic, link, config=Config(congestion="bbr", repair=False))
    got = run_dated(1, traffic, link, config=Config(congestion="bbr"))
    assert 1 - got.last_in_time < 0.75 * (1 - without.last_in_time)
    # A message of 200 bytes is one of 212 in a repair.
    assert got.repair_bytes <= 0.5 * 212 * traffic.count


def test_repairs_behind_a_last_message_wait_for_its_acknowledgement() -> None:
    """Where the round trip leaves time for that, they go only for what is not known to be there."""
    traffic = Traffic(count=400, bursts=20, pause=0.5, ttl=0.2)
    repairs = run_dated(1, traffic, LinkSpec(delay=0.01, loss=0.05), config=LOSSY).repairs
    assert repairs < 20 / 4


@pytest.mark.parametrize("retransmits", [0, 1])
def test_what_a_repair_brings_back_is_not_reported_lost(retransmits: int) -> None:
    """The loss is known sooner than what follows from a repair; only the deadline tells that nothing does."""
    got = run_dated(1, Traffic(count=1000, retransmits=retransmits), TARGET, config=LOSSY)
    assert got.recovered > 100
    assert not got.lost_in_vain


def test_ordered_messages_do_not_wait_for_repairs_of_one_that_is_given_up() -> None:
    traffic = Traffic(count=1000, retransmits=0, ordered=True)
    assert run_dated(1, traffic, TARGET, config=LOSSY).in_time > 0.87 * traffic.count


@pytest.mark.parametrize(
    ("traffic", "link"),
    [
        (Traffic(count=500, gap=0.03, sizes=(3000,)), LinkSpec(delay=0.02, loss=0.05)),
        (Traffic(count=300, gap=0.033, sizes=(20_000,), ttl=0.15), LinkSpec(delay=0.05, loss=0.02)),
    ],
)
def test_messages_in_fragments_have_repairs_of_their_own(traffic: Traffic, link: LinkSpec) -> None:
    without = run_dated(1, traffic, link, config=replace(LOSSY, repair=False))
    got = run_dated(1, traffic, link, config=LOSSY)
    assert traffic.count - got.in_time < 0.5 * (traffic.count - without.in_time)
    assert got.recovered > 30
    assert got.repair_bytes <= 0.5 * traffic.sizes[0] * traffic.count


def test_messages_in_fragments_that_may_not_be_sent_again_are_not_reported_lost() -> None:
    traffic = Traffic(count=300, gap=0.03, sizes=(3000,), retransmits=0)
    got = run_dated(1, traffic, LinkSpec(delay=0.02, loss=0.1), config=LOSSY)
    assert got.recovered > 20 and not got.lost_in_vain


# --- where there are none -------------------------------------------------------------------------------------------


def test_clean_links_have_no_repairs() -> None:
    for traffic in (Traffic(), Traffic(burst=10, gap=0.02, sizes=(20, 1100)), Traffic(count=200, bulk=True)):
        assert not run_dated(1, traffic, CLEAN).repair_bytes


def test_round_trips_that_leave_time_have_no_repairs() -> None:
    got = run_dated(1, Traffic(count=2000), LinkSpec(delay=0.005, loss=0.2), config=LOSSY)
    assert got.repairs <= 1, "one behind the last message"
    assert got.in_time >= 0.99 * 2000


def test_messages_without_a_deadline_worth_it_have_no_repairs() -> None:
    assert not run_dated(1, Traffic(count=500, ttl=2.0), TARGET, config=LOSSY).repairs


@pytest.mark.parametrize("congestion", ["cubic", "bbr", "newreno"])
def test_a_queue_that_overflows_has_no_repairs(congestion: str) -> None:
    """A bulk stream fills the queue of a bandwidth-delay product; what is lost there tells to send less."""
    link = LinkSpec(delay=0.02, rate=1_000_000, queue=40_000)
    config = Config(congestion=congestion)
    traffic = Traffic(count=1000, gap=0.005, bulk=True)
    got = run_dated(1, traffic, link, LinkSpec(delay=0.02), config)
    without = run_dated(1, traffic, link, LinkSpec(delay=0.02), Config(congestion=congestion, repair=False))
    assert not got.repairs
    assert got.bulk_bytes > 0.98 * without.bulk_bytes


@pytest.mark.parametrize("congestion", ["cubic", "bbr"])
def test_a_bulk_stream_beside_is_not_starved(congestion: str) -> None:
    link = LinkSpec(delay=0.02, rate=2_000_000, queue=80_000, loss=0.05)
    traffic = Traffic(count=1000, gap=0.005, bulk=True)
    runs = [
        sum(
            run_dated(seed, traffic, link, config=Config(congestion=congestion, repair=on)).bulk_bytes
            for seed in (1, 2)
        )
        for on in (True, False)
    ]
    assert runs[0] > 0.85 * runs[1]


def test_a_peer_that_takes_none_gets_none() -> None:
    world = World()
    _, _, c, s = connected(world, server_config=Config(repair=False))
    assert c.send_messages.repair is None and s.send_messages.repair is None


def test_it_goes_on_after_hibernation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hibernation, "_sample", [])  # made by the first connection that sleeps
    run = DatedRun(1, Traffic(count=1000), TARGET, None, LOSSY)
    first = run.run().repairs
    run.world.run_until(lambda: hibernation.is_quiet(run.c) and hibernation.is_quiet(run.s))
    for end in (run.c, run.s):
        assert hibernation.hibernate(end)
        end.wake()
    assert not run.s.window.spare
    assert run.c.send_messages.repair.path is run.c.paths[0]
    run.sent.clear()
    run.got.clear()
    second = run.run()
    assert first and second.repairs > first + 100
    assert second.in_time >= 0.98 * 1000


def test_best_effort_messages_are_not_taken_for_those_that_repairs_may_bring() -> None:
    # Their ids are of a count of their own: equal ones say nothing.
    world = World()
    client, server, c, s = connected(world, CLEAN)
    repair = c.send_messages.repair
    assert repair is not None and client.default_link is not None
    dated = c.send_message(world.now, b"dated", PartiallyReliable(ttl=60.0), False)
    client.default_link.blackhole = True
    client.flush(c)
    best = c.send_message(world.now, bytes(3000), BEST_EFFORT, False)
    client.flush(c)
    assert dated is not None and best is not None and dated.id == best.id
    repair._protected[dated.id] = dated
    client.default_link.blackhole = False
    c.ping()
    client.flush(c)
    world.run_for(1.0)
    assert OUTCOMES[best.outcome] == "lost"
