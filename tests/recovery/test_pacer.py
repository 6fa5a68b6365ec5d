"""The pacer: never faster than its rate in the long run, never more than its burst at once, never stuck."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jsp.recovery.pacer import BURST_S, Pacer
from tests.profiles import examples

MTU = 1200


def pacer_of(window: int = 120_000, rtt: float = 0.1, slow_start: bool = False, datagram: int = MTU) -> Pacer:
    pacer = Pacer()
    pacer.update(window, rtt, slow_start, datagram)
    return pacer


def rate_of(window: int, rtt: float, slow_start: bool) -> float:
    return (2.0 if slow_start else 1.25) * window / rtt


def depth_of(rate: float, datagram: int = MTU) -> float:
    return max(10 * datagram, rate * BURST_S)


def test_the_first_burst_is_ten_datagrams() -> None:
    pacer = pacer_of(window=12_000)
    assert pacer.budget(5.0) == 10 * MTU
    pacer.on_sent(10 * MTU)
    assert pacer.budget(5.0) == 0


def test_a_fast_path_bursts_for_two_milliseconds() -> None:
    pacer = pacer_of(window=10_000_000, rtt=0.01)
    rate = rate_of(10_000_000, 0.01, False)
    assert pacer.budget(1.0) == pytest.approx(rate * BURST_S, abs=1)


@pytest.mark.parametrize("slow_start", [True, False])
def test_the_budget_comes_back_at_the_rate(slow_start: bool) -> None:
    pacer = pacer_of(slow_start=slow_start)
    rate = rate_of(120_000, 0.1, slow_start)
    pacer.budget(1.0)
    pacer.on_sent(10 * MTU)
    assert pacer.budget(1.002) == pytest.approx(rate * 0.002, abs=1)
    assert pacer.budget(100.0) == 10 * MTU


def test_what_was_sent_regardless_is_paid_back() -> None:
    pacer = pacer_of()
    pacer.budget(1.0)
    pacer.on_sent(20 * MTU)
    assert pacer.budget(1.0) == -10 * MTU
    assert pacer.budget(1.0 + 0.0081) > 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    pacer = pacer_of()
    pacer.budget(1.0)
    pacer.on_sent(5 * MTU)
    assert pacer.budget(1.0) == pacer.budget(0.5) == 5 * MTU


def test_a_round_trip_of_nothing_is_survived() -> None:
    pacer = pacer_of(rtt=0.0)
    assert pacer.budget(1.0) > 0
    pacer.on_sent(10_000_000)
    assert pacer.ready_at(MTU) >= 1.0


def test_a_pacer_that_knows_no_rate_does_not_wait() -> None:
    pacer = Pacer()
    pacer.budget(3.0)
    assert pacer.ready_at(MTU) == 3.0


WINDOWS = st.integers(2400, 50_000_000)
RTTS = st.floats(1e-5, 2.0)


@examples(80)
@given(WINDOWS, RTTS, st.booleans(), st.lists(st.floats(1e-6, 0.05), min_size=1, max_size=60))
def test_in_the_long_run_no_more_than_rate_and_one_burst(
    window: int, rtt: float, slow_start: bool, waits: list[float]
) -> None:
    pacer = pacer_of(window, rtt, slow_start)
    rate = rate_of(window, rtt, slow_start)
    sent, now = 0, 10.0
    for wait in waits:
        budget = pacer.budget(now)
        assert budget <= depth_of(rate) + 1
        if budget >= MTU:
            size = budget // MTU * MTU
            pacer.on_sent(size)
            sent += size
        now += wait
    assert sent <= (now - 10.0) * rate + depth_of(rate) + 1


@examples(150)
@given(WINDOWS, RTTS, st.booleans(), st.integers(1200, 9000), st.floats(0, 1e6), st.integers(0, 200_000))
def test_when_the_pacer_says_ready_it_is(
    window: int, rtt: float, slow_start: bool, datagram: int, now: float, sent: int
) -> None:
    pacer = pacer_of(window, rtt, slow_start, datagram)
    pacer.budget(now)
    pacer.on_sent(sent)
    assume(pacer.budget(now) < datagram)
    ready = pacer.ready_at(datagram)
    assert ready > now
    assert pacer.budget(ready) >= datagram
    # Not later than the whole bucket needs.
    rate = rate_of(window, rtt, slow_start)
    assert ready - now <= (depth_of(rate, datagram) + sent) / rate + 1e-6


@examples(60)
@given(WINDOWS, RTTS, st.booleans(), st.floats(0, 1e5))
def test_a_sender_that_waits_as_told_gets_its_rate_and_is_never_stuck(
    window: int, rtt: float, slow_start: bool, start: float
) -> None:
    pacer = pacer_of(window, rtt, slow_start)
    rate = rate_of(window, rtt, slow_start)
    now, sent = start, 0
    for _ in range(200):
        pacer.update(window, rtt, slow_start, MTU)
        budget = pacer.budget(now)
        if budget < MTU:
            later = pacer.ready_at(MTU)
            assert later > now
            now = later
            continue
        size = budget // MTU * MTU
        pacer.on_sent(size)
        sent += size
    assert sent >= (now - start) * rate * 0.99 - 2 * MTU


def test_a_changed_rate_changes_what_comes_back_and_not_what_is_there() -> None:
    pacer = pacer_of()
    pacer.budget(1.0)
    pacer.on_sent(8 * MTU)
    pacer.update(1_200_000, 0.1, False, MTU)
    assert pacer.budget(1.0) == 2 * MTU
    assert pacer.budget(1.0001) == pytest.approx(2 * MTU + rate_of(1_200_000, 0.1, False) * 0.0001, abs=1)
