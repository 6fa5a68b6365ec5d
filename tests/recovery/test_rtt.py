"""The round-trip estimate against RFC 9002 section 5, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.recovery.rtt import GRANULARITY_S, RttEstimator


def test_before_a_sample_the_guess_is_a_third_of_a_second() -> None:
    rtt = RttEstimator()
    assert (rtt.smoothed, rtt.variance, rtt.sampled) == (0.333, 0.1665, False)
    # RFC 9002 6.2.2: the first probe goes out after about a second.
    assert rtt.probe_timeout(0.0) == pytest.approx(0.999)


def test_the_first_sample_is_taken_as_it_is() -> None:
    rtt = RttEstimator()
    rtt.update(0.1, 0.02)
    assert (rtt.latest, rtt.minimum, rtt.smoothed, rtt.variance) == (0.1, 0.1, 0.1, 0.05)
    assert rtt.probe_timeout(0.025) == pytest.approx(0.1 + 0.2 + 0.025)


def test_further_samples_are_smoothed_less_the_delay_of_the_peer() -> None:
    rtt = RttEstimator()
    rtt.update(0.1, 0.0)
    rtt.update(0.2, 0.02)
    # adjusted 0.18; variance 3/4 * 0.05 + 1/4 * |0.1 - 0.18|; smoothed 7/8 * 0.1 + 1/8 * 0.18
    assert rtt.latest == 0.2
    assert rtt.variance == pytest.approx(0.0575)
    assert rtt.smoothed == pytest.approx(0.11)
    rtt.update(0.08, 0.0)
    # variance 3/4 * 0.0575 + 1/4 * 0.03; smoothed 7/8 * 0.11 + 1/8 * 0.08
    assert rtt.minimum == 0.08
    assert rtt.variance == pytest.approx(0.050625)
    assert rtt.smoothed == pytest.approx(0.10625)


def test_a_delay_that_would_leave_less_than_the_minimum_leaves_the_minimum() -> None:
    """Unlike RFC 9002 5.3, which then takes the whole sample."""
    rtt = RttEstimator()
    rtt.update(0.1, 0.0)
    rtt.update(0.12, 0.05)
    assert rtt.smoothed == pytest.approx(0.1)
    assert rtt.variance == pytest.approx(3 / 4 * 0.05)
    rtt.update(0.16, 0.05)
    assert rtt.smoothed == pytest.approx(7 / 8 * 0.1 + 1 / 8 * 0.11)


def test_the_minimum_knows_no_delay() -> None:
    rtt = RttEstimator()
    for sample in (0.3, 0.2, 0.25):
        rtt.update(sample, 0.1)
    assert rtt.minimum == 0.2


def test_losses_wait_nine_eighths_of_the_longer_round_trip() -> None:
    rtt = RttEstimator()
    rtt.update(0.1, 0.0)
    assert rtt.loss_delay(9 / 8) == pytest.approx(0.1125)
    rtt.update(0.2, 0.0)
    assert rtt.loss_delay(9 / 8) == pytest.approx(0.225)
    rtt.update(0.05, 0.0)
    assert rtt.loss_delay(9 / 8) == pytest.approx(9 / 8 * rtt.smoothed)


def test_nothing_is_faster_than_the_granularity() -> None:
    rtt = RttEstimator()
    for _ in range(200):
        rtt.update(1e-6, 0.0)
    assert rtt.loss_delay(9 / 8) == GRANULARITY_S
    assert rtt.probe_timeout(0.0) == pytest.approx(1e-6 + GRANULARITY_S)


def test_a_new_path_forgets_everything() -> None:
    rtt = RttEstimator()
    rtt.update(0.1, 0.0)
    rtt.reset(0.05)
    assert (rtt.smoothed, rtt.variance, rtt.minimum, rtt.sampled) == (0.05, 0.025, 0.0, False)
    rtt.update(0.2, 0.0)
    assert (rtt.smoothed, rtt.minimum) == (0.2, 0.2)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=40))
def test_estimates_stay_among_the_samples(samples: list[tuple[float, float]]) -> None:
    rtt = RttEstimator()
    for sample, delay in samples:
        rtt.update(sample, delay)
    values = [sample for sample, _ in samples]
    assert rtt.minimum == min(values)
    assert min(values) - 1e-9 <= rtt.smoothed <= max(values) + 1e-9
    assert 0 <= rtt.variance <= max(values)
    assert rtt.probe_timeout(0.0) >= rtt.smoothed + GRANULARITY_S
