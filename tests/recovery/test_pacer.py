"""The pacer: never faster than its rate in the long run, never more than its burst at once, never stuck."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jsp.recovery.pacer import BURST_S, Pacer
from tests.profiles import examples

MTU = 1200


def pacer_of(rate: float = 1_500_000, datagram: int = MTU, in_flight: int = 1 << 20, trains: bool = True) -> Pacer:
    pacer = Pacer()
    pacer.update(rate, datagram, in_flight, trains)
    return pacer


def depth_of(rate: float, datagram: int = MTU) -> float:
    return max(2 * datagram, rate * BURST_S)


def test_while_little_is_under_way_the_rest_of_an_initial_window_may_leave() -> None:
    pacer = pacer_of(in_flight=0)
    assert pacer.budget(5.0) == 10 * MTU
    pacer.on_sent(10 * MTU)
    assert pacer.budget(5.0) == 0
    pacer.update(1_500_000, MTU, 10 * MTU, True)
    assert pacer.budget(6.0) == 3000
    pacer.update(1_500_000, MTU, 4 * MTU, True)
    assert pacer.budget(7.0) == 6 * MTU


def test_otherwise_two_datagrams_may_leave_together() -> None:
    assert pacer_of(rate=100_000).budget(5.0) == 2 * MTU


def test_a_fast_path_bursts_for_two_milliseconds() -> None:
    assert pacer_of(rate=1.25e9).budget(1.0) == pytest.approx(1.25e9 * BURST_S, abs=1)


def test_the_budget_comes_back_at_the_rate() -> None:
    pacer = pacer_of()
    pacer.budget(1.0)
    pacer.on_sent(3000)
    assert pacer.budget(1.001) == pytest.approx(1500, abs=1)
    assert pacer.budget(100.0) == 3000


def test_what_was_sent_regardless_is_paid_back() -> None:
    pacer = pacer_of()
    pacer.budget(1.0)
    pacer.on_sent(15_000)
    assert pacer.budget(1.0) == -12_000
    assert pacer.budget(1.0 + 0.0081) > 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    pacer = pacer_of()
    pacer.budget(1.0)
    pacer.on_sent(1000)
    assert pacer.budget(1.0) == pacer.budget(0.5) == 2000


def test_one_by_one_nothing_leaves_together_and_what_is_late_is_made_up_for() -> None:
    pacer = pacer_of(rate=1_200_000, in_flight=0, trains=False)
    assert pacer.budget(1.0) == MTU
    pacer.on_sent(MTU)
    assert pacer.budget(1.0) == 0
    # Half a millisecond is twice the rate, at which the second datagram of the bucket follows.
    assert pacer.ready_at(MTU) == pytest.approx(1.0005)
    assert pacer.budget(1.0004) == 0
    assert pacer.budget(1.00051) == MTU
    sent, now = 0, 2.0
    while now < 12.0:
        now = max(pacer.ready_at(MTU), now + 1e-4)
        while pacer.budget(now) >= MTU:
            pacer.on_sent(MTU)
            sent += 1
    assert sent == pytest.approx(10_000, abs=3)


def test_a_pacer_that_knows_no_rate_does_not_wait() -> None:
    pacer = Pacer()
    pacer.budget(3.0)
    assert pacer.ready_at(MTU) == 3.0


RATES = st.floats(1e3, 1e8)


@examples(80)
@given(RATES, st.lists(st.floats(1e-6, 0.05), min_size=1, max_size=60))
def test_in_the_long_run_no_more_than_rate_and_one_burst(rate: float, waits: list[float]) -> None:
    pacer = pacer_of(rate)
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
@given(RATES, st.integers(1200, 9000), st.floats(0, 1e6), st.integers(0, 400_000))
def test_when_the_pacer_says_ready_it_is(rate: float, datagram: int, now: float, sent: int) -> None:
    pacer = pacer_of(rate, datagram)
    pacer.budget(now)
    pacer.on_sent(sent)
    assume(pacer.budget(now) < datagram)
    ready = pacer.ready_at(datagram)
    assert ready > now
    assert pacer.budget(ready) >= datagram
    # Not later than the whole bucket needs.
    assert ready - now <= (depth_of(rate, datagram) + sent + 1) / rate + 1e-6


@examples(60)
@given(RATES, st.floats(0, 1e5))
def test_a_sender_that_waits_as_told_gets_its_rate_and_is_never_stuck(rate: float, start: float) -> None:
    pacer = pacer_of(rate)
    now, sent = start, 0
    for _ in range(200):
        pacer.update(rate, MTU, 1 << 20, True)
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
    pacer.on_sent(2000)
    pacer.update(15_000_000, MTU, 1 << 20, True)
    assert pacer.budget(1.0) == 1000
    assert pacer.budget(1.0001) == pytest.approx(2500, abs=1)


def test_jumbo_datagrams_have_the_initial_window_of_rfc_9002() -> None:
    assert pacer_of(datagram=9000, in_flight=0).budget(5.0) == 18_000
    assert pacer_of(datagram=4000, in_flight=0).budget(5.0) == 14_720
