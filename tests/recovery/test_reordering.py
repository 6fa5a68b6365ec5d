"""Packets that were late and not lost: thresholds that learn, events that are undone."""

from __future__ import annotations

import pytest

from jsp.recovery.cubic import Cubic
from jsp.recovery.ledbat import Ledbat
from jsp.recovery.newreno import NewReno
from jsp.recovery.reordering import (
    CALM_EVENTS,
    PACKET_THRESHOLD,
    PACKET_THRESHOLD_MAX,
    TIME_THRESHOLD,
    TIME_THRESHOLD_MAX,
    Reordering,
)
from jsp.recovery.sent import SentRun, make_run
from tests.recovery.acking import acked
from tests.recovery.flows import MBIT, Bottleneck
from tests.recovery.test_loss import Story, confirmed

SIZE = 1200


def run_of(first: int, count: int = 1, time: float = 1.0) -> SentRun:
    return make_run(first, count, SIZE, SIZE * count, time)


# --- the thresholds ------------------------------------------------------------------------------------------------


def test_what_came_late_would_have_been_waited_for_the_next_time() -> None:
    r = Reordering()
    assert (r.packets, r.time) == (PACKET_THRESHOLD, TIME_THRESHOLD)
    r.on_lost([run_of(10)], True, 1.1, 0.1)
    assert r.on_ack([10, 5], [20, 10], 1.15, 0.1)
    # Acknowledged when 19 was: nine packets later, after one and a half round trips.
    assert r.packets == 10
    assert r.time == pytest.approx(1.5)
    assert r.late == 1


def test_thresholds_are_bounded() -> None:
    r = Reordering()
    r.on_lost([run_of(10)], True, 1.1, 0.1)
    r.on_ack([0], [5000], 1.35, 0.1)
    assert (r.packets, r.time) == (PACKET_THRESHOLD_MAX, TIME_THRESHOLD_MAX)


def test_thresholds_never_shrink_below_what_was_learnt() -> None:
    r = Reordering()
    r.on_lost([run_of(10), run_of(30)], True, 1.1, 0.1)
    r.on_ack([10], [29], 1.15, 0.1)
    r.on_ack([30], [33], 1.12, 0.1)
    assert (r.packets, r.time) == (19, pytest.approx(1.5))


def test_after_sixteen_events_without_one_they_are_as_they_were() -> None:
    r = Reordering()
    r.on_lost([run_of(10)], True, 1.1, 0.1)
    r.on_ack([10], [20], 1.15, 0.1)
    for i in range(CALM_EVENTS - 1):
        r.on_lost([run_of(100 * i + 100)], True, 2.0 + i, 0.1)
        r.on_lost([run_of(100 * i + 101)], False, 2.0 + i, 0.1)
    assert r.packets == 10
    r.on_lost([run_of(10_000)], True, 100.0, 0.1)
    assert (r.packets, r.time) == (PACKET_THRESHOLD, TIME_THRESHOLD)


def test_what_was_lost_long_ago_is_forgotten() -> None:
    r = Reordering()
    r.on_lost([run_of(10)], True, 1.1, 0.1)
    assert r.waits()
    assert not r.on_ack([10], [20], 2.0, 0.1)
    assert (r.late, r.waits()) == (0, False)


def test_memory_is_bounded() -> None:
    r = Reordering()
    for i in range(10_000):
        r.on_lost([run_of(2 * i)], False, 1.0, 0.1)
    r.on_ack([0], [20_000], 1.0, 0.1)
    assert r.late == 64


# --- congestion events ---------------------------------------------------------------------------------------------


def test_an_event_is_none_when_all_of_it_has_arrived() -> None:
    r = Reordering()
    r.on_lost([run_of(10, 3)], True, 1.1, 0.1)
    r.on_lost([run_of(15)], False, 1.11, 0.1)
    assert not r.on_ack([10], [12], 1.15, 0.1)
    assert not r.on_ack([10], [13], 1.15, 0.1)
    assert r.on_ack([10], [20], 1.15, 0.1)
    assert not r.on_ack([10], [20], 1.15, 0.1)


def test_what_was_lost_before_the_event_does_not_speak_for_it() -> None:
    r = Reordering()
    r.on_lost([run_of(10)], True, 1.1, 0.1)
    r.on_lost([run_of(20), run_of(22)], True, 1.2, 0.1)
    assert not r.on_ack([20, 10], [21, 11], 1.21, 0.1)
    assert r.on_ack([20], [30], 1.22, 0.1)


@pytest.mark.parametrize("kind", [NewReno, Cubic, Ledbat])
def test_the_window_is_what_it_was(kind: type[NewReno] | type[Cubic] | type[Ledbat]) -> None:
    c = kind(SIZE)
    c.window = 100_000
    c.on_congestion(1.0, 2.0)
    assert c.window < 80_000
    c.on_spurious_loss()
    assert c.window == 100_000
    # Once; and what has grown past it stays.
    c.on_congestion(3.0, 4.0)
    c.window = 150_000
    c.on_spurious_loss()
    assert c.window == 150_000


def test_rfc_9438_4_9_2_cubic_goes_on_along_the_curve_it_was_on() -> None:
    c, undisturbed = Cubic(SIZE), Cubic(SIZE)
    for each in (c, undisturbed):
        each.window = 1_000_000
        each.on_congestion(1.0, 2.0)
        for i in range(200):
            acked(each, SIZE, sent=2.0 + i / 100, now=2.1 + i / 100, rtt=0.1)
    c.on_congestion(4.0, 4.1)
    c.recovery_start = 2.0
    c.on_spurious_loss()
    for each in (c, undisturbed):
        for i in range(200):
            acked(each, SIZE, sent=5.0 + i / 100, now=5.1 + i / 100, rtt=0.1)
    assert c.window == undisturbed.window


# --- on a path -----------------------------------------------------------------------------------------------------


def grown() -> Story:
    story = confirmed(0.1)
    story.path.controller.window = 100 * SIZE
    return story


def test_a_late_packet_gives_the_window_back() -> None:
    story = grown()
    window = story.path.controller.window
    story.send(10, at=1.0)
    story.ack(*range(2, 11), at=1.1)
    assert story.lost == [1]
    assert story.path.controller.window < window
    story.ack(*range(1, 11), at=1.12)
    assert story.path.controller.window == window
    assert (story.path.reordering.late, story.path.reordering.packets) == (1, 10)
    assert (story.path.reordering.late_bytes, story.path.packets_lost) == (SIZE, 1)
    # And the next one as late is waited for.
    story.send(10, at=2.0)
    story.ack(*range(12, 20), at=2.1)
    assert story.lost == [1]
    story.ack(*range(11, 21), at=2.11)
    assert story.lost == [1]
    story.assert_books_balance()


def test_a_real_loss_after_an_undone_one_counts() -> None:
    story = grown()
    window = story.path.controller.window
    story.send(10, at=1.0)
    story.ack(*range(2, 6), at=1.1)
    story.ack(*range(1, 6), at=1.11)
    assert story.path.controller.window == window
    story.ack(*range(1, 6), 10, at=1.13)
    assert story.path.controller.window == window
    story.timeout()
    assert story.lost == [1, 6, 7, 8, 9]
    assert story.path.controller.window < window


def test_a_handshake_packet_teaches_nothing() -> None:
    story = Story(handshake=True)
    story.send(10, at=0.0)
    story.ack(*range(1, 10), at=0.1)
    assert story.lost == [0]
    assert not story.path.reordering.waits()


@pytest.mark.parametrize("name", ["newreno", "cubic"])
def test_a_path_that_reorders_is_filled_all_the_same(name: str) -> None:
    """One packet in a hundred takes up to half a round trip longer."""
    link = Bottleneck(11, 20 * MBIT, 0.04, 200_000)
    link.there.spec.reorder = 0.01
    flow = link.add(name)
    # A held-back packet is up to four one-way delays late: the bound of two round trips catches most.
    (share,) = link.measure(15.0, since=5.0)
    assert share >= 0.9
    assert flow.path.reordering.packets > PACKET_THRESHOLD
