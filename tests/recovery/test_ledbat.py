"""LEDBAT++ against draft-irtf-iccrg-ledbat-plus-plus section 4."""

from __future__ import annotations

import math

import pytest

from jsp.recovery.ledbat import BASE_MINUTES, SLOWDOWN_RATIO, TARGET_S, Ledbat
from tests.recovery.acking import acked

MTU = 1000
BASE = 0.05


class Rounds:
    """Plays round trips: a window's worth of ACKs each, with `queued` seconds on top of the base."""

    def __init__(self, base: float = BASE) -> None:
        self.c = Ledbat(MTU)
        self.base = base
        self.now = 1.0

    def play(self, queued: float = 0.0, count: int = 1) -> None:
        for _ in range(count):
            rtt = self.base + queued
            acks = max(1, self.c.window // MTU)
            for i in range(acks):
                acked(self.c, MTU, sent=self.now, now=self.now + rtt * i / acks, rtt=rtt)
            self.now += rtt


def avoiding(window: int, base: float = BASE) -> Rounds:
    """A flow out of slow start, its first slowdown behind it."""
    rounds = Rounds(base)
    rounds.play()
    rounds.c.on_congestion(rounds.now, rounds.now)
    for slow_start in (True, False):
        while rounds.c.slow_start is not slow_start:
            rounds.play()
    rounds.c.window = window
    return rounds


@pytest.mark.parametrize(("base", "gain"), [(0.2, 1.0), (0.1, 1 / 2), (0.05, 1 / 3), (0.01, 1 / 12), (0.001, 1 / 16)])
def test_section_4_2_the_gain_is_smaller_on_short_paths(base: float, gain: float) -> None:
    rounds = Rounds(base)
    rounds.play()
    assert rounds.c.gain() == pytest.approx(gain)


def test_slow_start_grows_by_the_gain() -> None:
    rounds = Rounds()
    rounds.play()
    window = rounds.c.window
    rounds.play()
    assert rounds.c.window == pytest.approx(window * 4 / 3, rel=0.01)


def test_slow_start_ends_at_three_quarters_of_the_target() -> None:
    rounds = Rounds()
    rounds.play(count=3)
    rounds.play(0.74 * TARGET_S)
    assert rounds.c.slow_start
    rounds.play(0.77 * TARGET_S)
    assert not rounds.c.slow_start


def test_below_the_target_it_adds_the_gain_each_round_trip() -> None:
    rounds = avoiding(30_000)
    rounds.play(0.9 * TARGET_S)
    assert rounds.c.window == pytest.approx(30_000 + MTU / 3, abs=MTU / 30)


def test_above_the_target_it_gives_up_the_excess() -> None:
    rounds = avoiding(100_000)
    rounds.play(1.1 * TARGET_S)
    # W + GAIN - W (delay / target - 1), over a round trip.
    assert rounds.c.window == pytest.approx(100_000 * 0.9, rel=0.02)
    rounds = avoiding(100_000)
    rounds.play(10 * TARGET_S)
    # Half at most.
    assert 0.49 * 100_000 < rounds.c.window < 0.62 * 100_000


def test_the_delay_is_the_least_of_the_last_four() -> None:
    rounds = Rounds()
    rounds.play()
    for rtt in (0.25, 0.15, 0.35, 0.45):
        acked(rounds.c, MTU, now=rounds.now, rtt=rtt)
    assert rounds.c.queued == pytest.approx(0.1)
    acked(rounds.c, MTU, now=rounds.now, rtt=0.3)
    acked(rounds.c, MTU, now=rounds.now, rtt=0.3)
    assert rounds.c.queued == pytest.approx(0.25)


def test_the_base_is_that_of_ten_minutes() -> None:
    rounds = Rounds()
    rounds.play()
    for minute in range(BASE_MINUTES):
        assert rounds.c.base == pytest.approx(BASE)
        rounds.now = 2.0 + 60.0 * (minute + 1)
        acked(rounds.c, MTU, now=rounds.now, rtt=0.2, peak=0)
    assert rounds.c.base == pytest.approx(0.2)


def test_section_4_4_it_slows_down_after_slow_start_and_then_nine_times_as_long_as_that_took_later() -> None:
    rounds = Rounds()
    rounds.play(count=8)
    rounds.play(0.8 * TARGET_S)
    assert not rounds.c.slow_start
    window = rounds.c.window
    while not rounds.c.slow_start:
        rounds.play(0.8 * TARGET_S)
    begin = rounds.now - rounds.base
    assert rounds.c.window == 2 * MTU
    rounds.play(count=2)
    assert rounds.c.window <= 3 * MTU
    while rounds.c.slow_start:
        rounds.play()
    lasted = rounds.now - begin
    assert rounds.c.window == pytest.approx(window, rel=0.4)
    while not rounds.c.slow_start:
        rounds.play()
    assert rounds.now - begin == pytest.approx((SLOWDOWN_RATIO + 1) * lasted, rel=0.25)


def test_a_loss_halves_the_window() -> None:
    rounds = avoiding(100_000)
    rounds.c.on_congestion(rounds.now, rounds.now)
    assert rounds.c.window == 50_000


def test_a_window_that_is_not_used_does_not_grow() -> None:
    rounds = avoiding(100_000)
    for _ in range(1000):
        acked(rounds.c, MTU, sent=rounds.now, now=rounds.now, peak=40_000, rtt=BASE)
    assert rounds.c.window == 100_000


def test_persistent_congestion_starts_again_from_the_bottom() -> None:
    rounds = avoiding(100_000)
    rounds.c.on_persistent_congestion()
    assert (rounds.c.window, rounds.c.slow_start) == (2 * MTU, True)


def test_a_loss_during_a_slowdown_halves_where_it_comes_back_to() -> None:
    """It left before the slowdown began; from two datagrams on, by a datagram a round trip, would take minutes."""
    rounds = avoiding(100_000)
    while not rounds.c.slow_start:
        rounds.play(0.8 * TARGET_S)
    before = rounds.c.window
    assert before == 2 * MTU
    rounds.c.on_congestion(rounds.now, rounds.now)
    assert (rounds.c.slow_start, rounds.c.window) == (True, before)
    count = 0
    while rounds.c.slow_start:
        rounds.play()
        count += 1
    assert count < 20
    assert 40_000 < rounds.c.window < 80_000


def test_time_without_use_for_the_window_is_no_part_of_a_slowdown() -> None:
    def until_the_next(pause: float) -> float:
        rounds = avoiding(20_000)
        while not rounds.c.slow_start:
            rounds.play(0.8 * TARGET_S)
        rounds.play(count=4)
        half = pause / 2
        for i in range(int(half / 0.1)):
            acked(rounds.c, MTU, sent=rounds.now, now=rounds.now + i / 10, rtt=BASE, peak=0)
        rounds.now += 2 * half
        rounds.c.on_restart(rounds.now)
        while rounds.c.slow_start:
            rounds.play()
        begin = rounds.now
        while not rounds.c.slow_start:
            rounds.play()
        return rounds.now - begin

    assert until_the_next(600.0) == pytest.approx(until_the_next(0.0), rel=0.3)


def test_losses_that_were_none_are_undone() -> None:
    rounds = Rounds()
    rounds.play(count=3)
    window = rounds.c.window
    rounds.c.on_congestion(rounds.now, rounds.now)
    assert not rounds.c.slow_start
    rounds.c.recovery_start = -math.inf
    rounds.c.on_spurious_loss()
    assert (rounds.c.slow_start, rounds.c.window) == (True, window)
    rounds.play()
    assert rounds.c.window == pytest.approx(window * 4 / 3, rel=0.01)
    rounds.play(0.8 * TARGET_S)
    assert not rounds.c.slow_start
    grown = rounds.c.window
    rounds.c.on_spurious_loss()  # of the same event, for the second time
    assert rounds.c.window == grown
