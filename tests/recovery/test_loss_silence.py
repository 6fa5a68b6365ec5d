"""Who sends all the time, and nobody answers; and what holds after a long silence."""

from __future__ import annotations

import pytest

from tests.recovery.test_loss import PEER_DELAY, confirmed


def test_who_sends_all_the_time_puts_a_probe_off_once() -> None:
    story = confirmed(0.1)
    for i in range(20):
        story.send(at=1.0 + i / 10)
        if story.path.pto_count:
            break
        if story.path.deadline <= 1.0 + i / 10:
            story.timeout()
    assert 1.0 + i / 10 == pytest.approx(1.0 + 2 * (0.3 + PEER_DELAY), abs=0.2)


def test_after_persistent_congestion_the_path_may_be_longer() -> None:
    story = confirmed(0.1)
    assert story.path.rtt.minimum == pytest.approx(0.1)
    for i in range(1, 7):
        story.send(at=0.1 + 0.3 * i)
    story.ack(6, at=story.now + 0.15)
    assert story.path.rtt.minimum == pytest.approx(0.15)
