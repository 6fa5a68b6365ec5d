"""HyStart++ against RFC 9406 section 4.2, round by round."""

from __future__ import annotations

import pytest

from jsp.recovery.hystart import CSS_ROUNDS, SAMPLES, HyStart


class Rounds:
    """Plays round trips: each ACK tells 1,000 bytes, and a round has `SAMPLES` ACKs unless said otherwise."""

    def __init__(self) -> None:
        self.hystart = HyStart()
        self.delivered = 0

    def play(self, *rtts: float) -> bool:
        """One round with these round trips; whether slow start is over."""
        begin = self.delivered
        over = False
        for rtt in rtts:
            self.delivered += 1000
            over = over or self.hystart.on_ack(rtt, begin, self.delivered)
        return over

    def play_even(self, rtt: float) -> bool:
        return self.play(*[rtt] * SAMPLES)


def conservative() -> Rounds:
    """Conservative slow start has just begun, with round trips of 0.115 s after some of 0.1 s."""
    rounds = Rounds()
    rounds.play_even(0.1)
    rounds.play_even(0.115)
    assert rounds.hystart.conservative
    return rounds


@pytest.mark.parametrize(
    ("before", "now", "begins"),
    [
        (0.016, 0.0199, False),  # least threshold: 4 ms
        (0.016, 0.0201, True),
        (0.08, 0.0899, False),  # an eighth
        (0.08, 0.0901, True),
        (0.4, 0.4159, False),  # at most 16 ms
        (0.4, 0.4161, True),
    ],
)
def test_a_longer_round_trip_begins_conservative_slow_start(before: float, now: float, begins: bool) -> None:
    rounds = Rounds()
    rounds.play_even(before)
    assert not rounds.play_even(now)
    assert rounds.hystart.conservative is begins
    assert rounds.hystart.growth(4000) == (1000 if begins else 4000)


def test_fewer_than_eight_samples_say_nothing() -> None:
    rounds = Rounds()
    rounds.play_even(0.05)
    rounds.play(*[0.1] * (SAMPLES - 1))
    assert not rounds.hystart.conservative
    # ACKs without a round trip are no samples.
    rounds = Rounds()
    rounds.play_even(0.05)
    rounds.play(*[0.1] * (SAMPLES - 1), 0.0, 0.0)
    assert not rounds.hystart.conservative


def test_the_shortest_of_eight_is_what_counts() -> None:
    rounds = Rounds()
    rounds.play_even(0.05)
    rounds.play(*[0.1] * (SAMPLES - 1), 0.05, *[0.1] * (SAMPLES - 1))
    assert not rounds.hystart.conservative


def test_a_queue_that_comes_late_in_a_round_shows() -> None:
    rounds = Rounds()
    rounds.play_even(0.05)
    rounds.play(*[0.05] * SAMPLES, *[0.06] * SAMPLES)
    assert rounds.hystart.conservative


def test_five_conservative_rounds_end_slow_start() -> None:
    rounds = conservative()
    for _ in range(CSS_ROUNDS - 1):
        assert not rounds.play_even(0.12)
    assert rounds.play_even(0.12)


def test_a_delay_that_passes_resumes_slow_start() -> None:
    rounds = conservative()
    # Two rounds: whether one was without a delay is known when it is over.
    assert not rounds.play_even(0.1)
    assert not rounds.play_even(0.1)
    assert not rounds.hystart.conservative
    # It counts from the beginning when the queue grows again.
    rounds.play_even(0.115)
    for _ in range(CSS_ROUNDS - 1):
        assert not rounds.play_even(0.12)
    assert rounds.play_even(0.12)


def test_a_round_of_few_samples_resumes_nothing() -> None:
    rounds = conservative()
    rounds.play(*[0.1] * (SAMPLES - 1))
    rounds.play(0.1)
    assert rounds.hystart.conservative


def test_a_delay_that_comes_back_in_each_round_stays_one() -> None:
    rounds = conservative()
    for _ in range(CSS_ROUNDS - 1):
        assert not rounds.play(*[0.1] * SAMPLES, *[0.12] * SAMPLES)
        assert rounds.hystart.conservative
    assert rounds.play(0.1)


@pytest.mark.parametrize(
    ("shortest", "now", "over"),
    [
        (0.08, 0.119, False),  # less than half
        (0.08, 0.121, True),
        (0.001, 0.0169, False),  # half, and sixteen milliseconds at least
        (0.001, 0.0171, True),
    ],
)
def test_a_standing_queue_ends_it_at_once(shortest: float, now: float, over: bool) -> None:
    rounds = Rounds()
    rounds.play_even(shortest)
    assert not rounds.play_even(shortest + 0.0161)
    assert rounds.hystart.conservative
    assert rounds.play_even(now) is over


def test_one_short_round_trip_shows_that_the_queue_is_not_standing() -> None:
    rounds = Rounds()
    rounds.play_even(0.06)
    rounds.play_even(0.07)
    assert not rounds.play(*[0.2] * (SAMPLES - 1), 0.071)
    assert rounds.play_even(0.2)
