"""The share of bytes that a path loses."""

from __future__ import annotations

import random

from jsp.recovery.loss_rate import LossRate, is_queueing
from jsp.recovery.rate import DeliveryRate
from jsp.recovery.rtt import RttEstimator


def measured(smoothed: float, minimum: float) -> RttEstimator:
    rtt = RttEstimator()
    rtt.update(minimum, 0.0)
    rtt.smoothed = smoothed
    return rtt


CALM = measured(0.02, 0.02)
FULL = measured(0.04, 0.02)


def lose(rate: DeliveryRate, loss: LossRate, share: float, packets: int, rtt: RttEstimator = CALM) -> float:
    """Send `packets` of 250 bytes over a path that loses `share` of them."""
    chance = random.Random(1)
    for _ in range(packets):
        if chance.random() < share:
            rate.lost += 250
        else:
            rate.delivered += 250
        loss.update(rate, rtt, 0)
    return loss.value


def test_nothing_is_said_before_there_is_a_sample() -> None:
    rate, loss = DeliveryRate(), LossRate()
    assert lose(rate, loss, 1.0, 30) == 0.0
    assert lose(rate, loss, 1.0, 3) == 1.0


def test_it_finds_the_rate_and_follows_it() -> None:
    rate, loss = DeliveryRate(), LossRate()
    assert abs(lose(rate, loss, 0.2, 2000) - 0.2) < 0.05
    assert lose(rate, loss, 0.0, 4000) < 0.01
    assert abs(lose(rate, loss, 0.1, 4000) - 0.1) < 0.04


def test_one_burst_makes_no_lossy_path() -> None:
    rate, loss = DeliveryRate(), LossRate()
    lose(rate, loss, 0.0, 2000)
    assert lose(rate, loss, 1.0, 10) <= 0.02


def test_what_turns_up_late_was_not_lost() -> None:
    rate, loss = DeliveryRate(), LossRate()
    late = 0
    for i in range(2000):
        rate.lost += 250
        # Found out when a few more were taken for lost.
        late += 250 if i >= 5 else 0
        rate.delivered += 2250
        loss.update(rate, CALM, late)
    assert loss.value < 0.001


def test_a_longer_round_trip_is_a_queue() -> None:
    assert not is_queueing(measured(0.024, 0.02))
    assert not is_queueing(measured(0.119, 0.1))
    assert is_queueing(measured(0.026, 0.02))
    assert is_queueing(measured(0.126, 0.1))


def test_what_a_full_queue_loses_does_not_count() -> None:
    rate, loss = DeliveryRate(), LossRate()
    lose(rate, loss, 0.0, 1000)
    assert lose(rate, loss, 0.3, 1000, FULL) == 0.0
    assert lose(rate, loss, 0.0, 1000) == 0.0
    assert lose(rate, loss, 0.2, 2000) > 0.15
