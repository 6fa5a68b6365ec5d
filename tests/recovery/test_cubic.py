"""CUBIC against the formulas of RFC 9438."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.recovery.controller import AckSample
from jsp.recovery.cubic import BETA, DEEP_QUEUE, C, Cubic
from jsp.recovery.hystart import CSS_ROUNDS, SAMPLES
from tests.profiles import examples
from tests.recovery.acking import acked

MTU = 1000
RTT = 0.1


def after_loss(window: int, now: float = 10.0) -> Cubic:
    """A controller whose window was `window` bytes when it lost something at `now`."""
    c = Cubic(MTU)
    c.window = window
    c.on_congestion(now - RTT, now)
    return c


def round_trip(c: Cubic, now: float, rtt: float = RTT) -> float:
    """A window's worth of ACKs, evenly over a round trip from `now` on; when it is over."""
    count = max(1, c.window // MTU)
    for i in range(count):
        acked(c, MTU, sent=now + rtt * i / count - rtt / 2, now=now + rtt * i / count, rtt=rtt)
    return now + rtt


def test_a_loss_takes_three_tenths() -> None:
    c = after_loss(1_000_000)
    assert c.window == 700_000
    assert not c.slow_start
    # Once a round trip.
    c.on_congestion(9.99, 10.05)
    assert c.window == 700_000
    c.on_congestion(10.01, 10.1)
    assert c.window == pytest.approx(490_000, abs=1)


def test_the_window_never_falls_below_two_datagrams() -> None:
    c = Cubic(MTU)
    for i in range(30):
        c.on_congestion(float(i), i + 0.5)
    assert c.window == 2 * MTU


def test_the_curve_is_that_of_figure_1() -> None:
    c = after_loss(1_000_000)
    # K = cbrt((W_max - cwnd_epoch) / C), in datagrams.
    k = (300 / C) ** (1 / 3)
    assert c.window_at(0.0) == pytest.approx(700_000)
    assert c.window_at(k) == pytest.approx(1_000_000)
    assert c.window_at(k + 2) == pytest.approx(1_000_000 + C * 8 * MTU)
    assert c.window_at(k - 2) == pytest.approx(1_000_000 - C * 8 * MTU)


def test_the_window_follows_the_curve_a_round_trip_ahead() -> None:
    c = after_loss(1_000_000)
    now = begin = 10.2
    while now < 20.0:
        now = round_trip(c, now)
        assert c.window == pytest.approx(c.window_at(now - begin), rel=0.02)
    assert c.window > 1_000_000


def test_the_window_does_not_grow_by_more_than_half_a_round_trip() -> None:
    c = after_loss(100_000)
    now = round_trip(c, 10.2)
    window = c.window
    round_trip(c, now + 1000.0)
    assert 1.4 * window < c.window <= 1.66 * window


def test_where_reno_would_be_faster_the_window_is_renos() -> None:
    """Short round trips: the curve takes seconds, Reno adds a datagram each time (section 4.3)."""
    c = after_loss(100_000)
    now = 10.2
    for _ in range(100):
        now = round_trip(c, now, 0.001)
    alpha = 3 * (1 - BETA) / (1 + BETA)
    # Up to the window before the loss by `alpha` a round trip, one datagram from there on.
    until = round(30 / alpha)
    assert c.window == pytest.approx(100_000 + (100 - until) * MTU, rel=0.05)


def test_fast_convergence_makes_room_for_newcomers() -> None:
    c = after_loss(1_000_000)
    c.on_congestion(10.1, 10.2)
    # Lost at 700,000, below the last maximum: the next is taken to be lower still.
    assert c.window == pytest.approx(490_000, abs=1)
    k = ((700_000 * (1 + BETA) / 2 - 490_000) / MTU / C) ** (1 / 3)
    assert c.window_at(k) == pytest.approx(700_000 * (1 + BETA) / 2)


def test_slow_start_doubles_the_window_each_round_trip() -> None:
    c = Cubic(MTU)
    for expected in (20_000, 40_000, 80_000):
        for _ in range(c.window // MTU):
            acked(c, MTU)
        assert c.window == expected


def hystart_round(c: Cubic, rtt: float, delivered: int) -> int:
    for i in range(SAMPLES):
        sample = AckSample()
        sample.now, sample.acked, sample.fresh, sample.rtt = 1.0, MTU, MTU, rtt
        sample.peak, sample.prior_delivered, sample.delivered = c.window, delivered, delivered + MTU * (i + 1)
        c.on_ack(sample)
    return delivered + MTU * SAMPLES


def test_rfc_9438_4_10_slow_start_ends_without_a_loss_when_round_trips_grow() -> None:
    c = Cubic(MTU)
    delivered = hystart_round(c, 0.05, 0)
    delivered = hystart_round(c, 0.05, delivered)
    assert c.window == 10_000 + 16 * MTU
    delivered = hystart_round(c, 0.07, delivered)
    before = c.window
    for _ in range(CSS_ROUNDS):
        delivered = hystart_round(c, 0.08, delivered)
    assert not c.slow_start
    assert c.window <= before + CSS_ROUNDS * SAMPLES * MTU // 4 + MTU
    # K is 0: the curve begins flat, at this window.
    assert c.window_at(0.0) == pytest.approx(c.window, abs=2 * MTU)
    assert c.window_at(1.0) - c.window_at(0.0) == pytest.approx(C * MTU)


def test_packets_from_before_the_loss_do_not_open_the_window() -> None:
    c = after_loss(100_000)
    for _ in range(100):
        acked(c, MTU, sent=10.0, now=10.05)
    assert c.window == 70_000


def rounds_after_loss(count: int) -> tuple[Cubic, float]:
    """So many round trips after a loss, and when that is."""
    c, now = after_loss(1_000_000), 10.2
    for _ in range(count):
        now = round_trip(c, now)
    return c, now


def test_rfc_9438_5_8_time_in_which_the_window_is_not_used_does_not_count() -> None:
    c, _ = rounds_after_loss(10)
    other, later = rounds_after_loss(5)
    half = other.window
    for i in range(1000):
        acked(other, MTU, sent=later, now=later + i / 100, peak=other.window // 2 - 1)
    assert other.window == half
    later += 9.99
    for _ in range(5):
        later = round_trip(other, later)
    assert other.window == pytest.approx(c.window, rel=0.01)


def test_rfc_9438_5_8_nor_does_time_in_which_there_was_nothing_to_send() -> None:
    c, _ = rounds_after_loss(10)
    other, later = rounds_after_loss(5)
    half = other.window
    later += 60.0
    other.on_restart(later)
    later = round_trip(other, later)
    assert other.window < 1.1 * half
    for _ in range(4):
        later = round_trip(other, later)
    assert other.window == pytest.approx(c.window, rel=0.01)


def test_a_loss_that_was_none_leaves_slow_start_its_watch_for_queues() -> None:
    c = Cubic(MTU)
    delivered = hystart_round(c, 0.05, 0)
    window = c.window
    c.on_congestion(1.0, 1.1)
    c.recovery_start = -math.inf
    c.on_spurious_loss()
    assert (c.slow_start, c.window) == (True, window)
    delivered = hystart_round(c, 0.05, delivered)
    delivered = hystart_round(c, 0.07, delivered)
    for _ in range(CSS_ROUNDS):
        delivered = hystart_round(c, 0.08, delivered)
    assert not c.slow_start


def test_behind_a_deep_queue_the_curve_stands_still_and_goes_on_when_it_is_gone() -> None:
    c, other = after_loss(100_000), after_loss(100_000)
    now = later = 10.2
    for _ in range(50):
        now, later = round_trip(c, now), round_trip(other, later)
    assert c.window > 100_000  # past the last loss
    before = c.window
    for _ in range(30):
        now = round_trip(c, now, DEEP_QUEUE * RTT + 0.01)
    # Reno's datagram a round trip, and what the curve looks ahead.
    assert before < c.window <= before + 35 * MTU
    for _ in range(30):
        now, later = round_trip(c, now), round_trip(other, later)
    assert c.window == pytest.approx(other.window, rel=0.25)


def test_a_longer_path_is_no_deep_queue_after_two_losses() -> None:
    c = after_loss(100_000)
    now = 10.2
    for _ in range(5):
        now = round_trip(c, now)
    for _ in range(2):
        c.on_congestion(now, now)
        now = round_trip(c, now + 1, 6 * RTT)
    grown = [c.window]
    for _ in range(20):
        now = round_trip(c, now, 6 * RTT)
        grown.append(c.window)
    assert grown[-1] > grown[0] + 100 * MTU


def test_persistent_congestion_starts_again_from_the_bottom() -> None:
    c = after_loss(1_000_000)
    c.on_persistent_congestion()
    assert c.window == 2 * MTU
    assert c.slow_start
    while c.slow_start:
        acked(c, MTU, sent=20.0, now=20.0)
    assert c.window == 700_000


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ack", "ack", "ack", "loss", "collapse"]), st.integers(1, 90_000), st.floats(0, 1)),
    max_size=60,
)


@examples(100)
@given(EVENTS)
def test_the_window_keeps_its_bounds_whatever_happens(events: list[tuple[str, int, float]]) -> None:
    c = Cubic(MTU)
    now = 0.0
    for event, size, ago in events:
        now += 0.1
        before = c.window
        if event == "ack":
            acked(c, min(size, c.window), sent=now - ago, now=now, rtt=0.05)
            assert before <= c.window <= before + max(size, 2 * MTU)
        elif event == "loss":
            c.on_congestion(now - ago, now)
            assert c.window in (before, max(int(before * BETA), 2 * MTU))
        else:
            c.on_persistent_congestion()
        assert c.window >= 2 * MTU
        assert isinstance(c.window, int)


def test_larger_datagrams_take_the_same_curve_faster() -> None:
    larger, same = Cubic(MTU), Cubic(MTU)
    for c in (larger, same):
        c.window = 1_000_000
        c.on_congestion(1.0, 1.1)
        for now in (1.2, 3.0, 5.0):
            acked(c, MTU, sent=now, now=now, rtt=0.1)
    larger.on_datagram_size(8 * MTU)
    assert larger.window == same.window
    assert [larger.window_at(t / 2) for t in range(6)] == pytest.approx([same.window_at(t) for t in range(6)])
    # A second of the one is two seconds of the other, from where both are now.
    acked(larger, larger.window, sent=6.0, now=6.0, rtt=0.1)
    acked(same, same.window, sent=7.0, now=7.0, rtt=0.2)
    assert larger.window == pytest.approx(same.window, abs=2)
    assert larger.window > 701_000


def test_conservative_slow_start_is_paced_like_congestion_avoidance() -> None:
    c = Cubic(MTU)
    delivered = hystart_round(c, RTT, 0)
    assert c.pacing_rate(RTT) == pytest.approx(2 * c.window / RTT)
    hystart_round(c, 1.2 * RTT, delivered)
    assert c.slow_start
    assert c.pacing_rate(RTT) == pytest.approx(1.25 * c.window / RTT)
