"""What is kept of the ways to hosts, and for how long."""

from __future__ import annotations

import pytest

from jsp.recovery.cubic import Cubic
from jsp.recovery.destinations import KEPT, LIFETIME_S, RTT_MIN_S, Destinations
from jsp.recovery.loss import LossDetector
from jsp.recovery.rtt import INITIAL_RTT_S

ROUTE = ("192.0.2.1", "198.51.100.1")


def detector(window: int = 0, *, rtt: float = 0.1, slow_start: bool = False, lost: int = 0) -> LossDetector:
    """The end of a connection; `rtt` 0: it never measured one."""
    recovery = LossDetector(Cubic(1200))
    if rtt:
        recovery.rtt.update(rtt, 0.0)
    recovery.controller.window = window or recovery.controller.window
    recovery.controller.slow_start = slow_start
    recovery.packets_lost = lost
    return recovery


def window_after(*ends: LossDetector) -> int:
    destinations = Destinations()
    for recovery in ends:
        destinations.learn(ROUTE, recovery, 0.0)
    known = destinations.find(ROUTE, 0.0)
    assert known is not None
    return known.window


def test_a_stranger_begins_with_guesses() -> None:
    recovery = detector(rtt=0)
    Destinations().recall(ROUTE, recovery, 0.0)
    assert (recovery.rtt.smoothed, recovery.rtt.sampled, recovery.resume) == (INITIAL_RTT_S, False, None)


def test_who_comes_again_begins_with_what_was_learnt() -> None:
    destinations = Destinations()
    destinations.learn(ROUTE, detector(500_000, rtt=0.1), 0.0)
    recovery = detector(rtt=0)
    destinations.recall(ROUTE, recovery, 1.0)
    assert (recovery.rtt.smoothed, recovery.rtt.sampled) == (0.1, False)
    assert recovery.controller.window == 12_000, "only tried, and later"
    assert recovery.resume is not None


def test_a_very_short_round_trip_is_no_patience_for_a_handshake() -> None:
    destinations = Destinations()
    destinations.learn(ROUTE, detector(500_000, rtt=0.0001), 0.0)
    recovery = detector(rtt=0)
    destinations.recall(ROUTE, recovery, 1.0)
    assert recovery.rtt.smoothed == RTT_MIN_S


def test_a_small_window_is_nothing_to_try() -> None:
    destinations = Destinations()
    destinations.learn(ROUTE, detector(24_000), 0.0)
    recovery = detector(rtt=0)
    destinations.recall(ROUTE, recovery, 1.0)
    assert recovery.resume is None


def test_who_never_measured_teaches_nothing() -> None:
    destinations = Destinations()
    destinations.learn(ROUTE, detector(500_000, rtt=0), 0.0)
    assert destinations.find(ROUTE, 0.0) is None


@pytest.mark.parametrize(
    ("ends", "window"),
    [
        ([detector(400_000)], 400_000),
        ([detector(400_000, slow_start=True)], 200_000),
        ([detector(400_000), detector(900_000, lost=7)], 900_000),
        ([detector(400_000), detector(12_000)], 400_000),
        ([detector(400_000), detector(12_000, lost=1)], 206_000),
    ],
    ids=["as it was", "slow start has gone twice as far", "more", "had little to send", "lost some"],
)
def test_the_window_that_is_kept(ends: list[LossDetector], window: int) -> None:
    assert window_after(*ends) == window


def test_what_is_old_is_not_believed() -> None:
    destinations = Destinations()
    destinations.learn(ROUTE, detector(400_000), 0.0)
    assert destinations.find(ROUTE, LIFETIME_S) is not None
    assert destinations.find(ROUTE, LIFETIME_S + 1) is None
    destinations.learn(ROUTE, detector(30_000), LIFETIME_S + 1)
    known = destinations.find(ROUTE, LIFETIME_S + 1)
    assert known is not None and known.window == 30_000


def test_the_hosts_longest_unheard_of_are_forgotten() -> None:
    destinations = Destinations()
    recovery = detector(400_000)
    for i in range(KEPT + 10):
        destinations.learn(("", str(i)), recovery, float(i) / 100)
        destinations.learn(("", "0"), recovery, float(i) / 100)
    assert len(destinations) == KEPT
    assert destinations.find(("", "0"), 11.0) is not None
    assert destinations.find(("", "1"), 11.0) is None
    assert destinations.find(("", str(KEPT + 9)), 11.0) is not None
