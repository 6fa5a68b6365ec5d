"""Delivery rate samples, worked out by hand (draft-cheng-iccrg-delivery-rate-estimation section 3)."""

from __future__ import annotations

import pytest

from jsp.recovery.controller import AckSample
from jsp.recovery.rate import DeliveryRate
from jsp.recovery.sent import SentRun, make_run

SIZE = 1000
RTT = 0.1


class Path:
    """A sender's books of runs on a path with a round trip of `RTT`."""

    def __init__(self) -> None:
        self.rate = DeliveryRate()
        self.in_flight = 0

    def send(self, at: float, count: int = 1) -> SentRun:
        run = make_run(0, count, SIZE, SIZE * count, at)
        self.rate.on_sent(run, self.in_flight)
        self.in_flight += run.total
        return run

    def ack(self, at: float, *runs: SentRun) -> AckSample:
        sample = AckSample()
        sample.now = at
        sample.acked = sum(run.total for run in runs)
        self.in_flight -= sample.acked
        sample.remaining = self.in_flight
        self.rate.on_acked(runs[-1], sample, RTT - 1e-6)
        return sample


def test_a_window_in_a_round_trip() -> None:
    path = Path()
    runs = [path.send(i / 100) for i in range(10)]
    rates = [path.ack(RTT + i / 100, run).rate for i, run in enumerate(runs)]
    # The first packet saw nothing but itself arrive in a round trip, the last one all ten in a little more.
    assert rates[0] == pytest.approx(1000 / 0.1)
    assert rates[9] == pytest.approx(10_000 / 0.19)


def test_the_rate_of_a_steady_flow_is_its_rate() -> None:
    path = Path()
    runs, rate = [], 0.0
    for i in range(60):
        runs.append(path.send(i / 100))
        if i >= 10:
            rate = path.ack(i / 100, runs[i - 10]).rate
    assert rate == pytest.approx(SIZE * 100)


def test_acks_that_bunch_up_on_the_way_do_not_raise_the_rate() -> None:
    """All arrive at once after having been held: the interval is that of sending, or a round trip at least."""
    path = Path()
    runs = [path.send(i / 100) for i in range(20)]
    path.ack(0.2, *runs[:2])
    samples = [path.ack(0.2 + i * 1e-4, run) for i, run in enumerate(runs[2:])]
    assert max(sample.rate for sample in samples) <= SIZE * 100 * 1.2


def test_what_says_less_than_a_round_trip_says_nothing() -> None:
    path = Path()
    assert path.ack(0.05, path.send(0.0)).rate == 0.0


def test_after_silence_the_books_start_anew() -> None:
    path = Path()
    path.ack(0.1, path.send(0.0))
    sample = path.ack(5.1, path.send(5.0))
    assert sample.rate == pytest.approx(SIZE / 0.1)
    assert (sample.prior_delivered, sample.delivered) == (1000, 2000)


def test_packets_sent_while_there_was_too_little_to_send_are_marked() -> None:
    path = Path()
    first = path.send(0.0)
    path.rate.on_app_limited(path.in_flight)
    second = path.send(0.01)
    assert not path.ack(0.1, first).app_limited
    third = path.send(0.1)
    assert path.ack(0.11, second).app_limited
    # All of that time has arrived: what leaves now is not marked any more.
    fourth = path.send(0.11)
    assert path.ack(0.2, third).app_limited
    assert not path.ack(0.21, fourth).app_limited


def test_a_sample_tells_what_was_under_way_and_lost_since() -> None:
    path = Path()
    path.send(0.0, 3)
    run = path.send(0.01, 2)
    path.rate.lost += 700
    sample = path.ack(0.11, run)
    assert (sample.prior_in_flight, sample.lost_since) == (5000, 700)


def test_parts_of_a_run_remember_the_same() -> None:
    path = Path()
    path.ack(0.1, path.send(0.0))
    path.rate.lost = 5
    path.rate.on_app_limited(0)
    run = path.send(0.2, 10)
    front = run.take(4)
    for name in ("app_limited", "delivered", "delivered_time", "first_sent", "in_flight", "lost", "time"):
        assert getattr(front, name) == getattr(run, name), name
    assert path.ack(0.3, front).rate == pytest.approx(4000 / 0.1)


def test_the_peak_is_of_the_last_two_or_three_round_trips() -> None:
    """Also where ACKs come together and the pacer has not let anything leave for them yet (RFC 9002 section 7.8)."""
    path = Path()
    first = [path.send(i / 1000) for i in range(10)]
    for i, run in enumerate(first):
        assert path.ack(RTT + i / 1000, run).peak == 10 * SIZE
    second = [path.send(RTT + 0.02 + i / 100) for i in range(4)]
    assert [path.ack(2 * RTT + 0.02 + i / 100, run).peak for i, run in enumerate(second)] == [10_000, 9000, 9000, 9000]
    alone = [path.ack(start + RTT, path.send(start)).peak for start in (0.4, 0.6, 0.8, 1.0)]
    assert alone == [9000, 3000, 1000, 1000]
