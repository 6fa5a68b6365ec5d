"""A window that an earlier connection had: when it is tried, how far, and what a loss then does."""

from __future__ import annotations

import pytest

from jsp.recovery.controller import AckSample, Controller, initial_window
from jsp.recovery.cubic import Cubic
from jsp.recovery.ledbat import Ledbat
from jsp.recovery.newreno import NewReno
from jsp.recovery.resume import RECONNAISSANCE, UNVALIDATED, VALIDATING, CarefulResume, Known

RTT = 0.1
DATAGRAM = 1200
WINDOW = 400_000
INITIAL = initial_window(DATAGRAM)


class Story:
    """ACKs to a controller that has a window to resume."""

    def __init__(self, controller: Controller | None = None, rtt: float = RTT) -> None:
        known = Known()
        known.rtt = known.minimum = RTT
        known.window = WINDOW
        self.known = known
        self.controller = controller or NewReno(DATAGRAM)
        self.resume = CarefulResume(known)
        self.delivered = 0
        self.now = 10.0
        self.rtt = rtt

    def ack(self, size: int, in_flight: int = -1, *, sent: float = 0.0, largest: int = 0, following: int = 10) -> bool:
        sample = AckSample()
        self.delivered += size
        sample.now = self.now
        sample.acked = size
        sample.fresh = size if sent > self.controller.recovery_start else 0
        sample.in_flight = sample.peak = self.controller.window if in_flight < 0 else in_flight
        sample.remaining = sample.in_flight - size
        sample.rtt = self.rtt
        sample.delivered = self.delivered
        self.controller.on_ack(sample)
        return self.resume.on_ack(self.controller, sample, self.rtt, largest, following)

    def jump(self) -> None:
        assert not self.ack(INITIAL)
        assert self.resume.phase == UNVALIDATED

    def lose(self) -> None:
        self.controller.on_congestion(self.now, self.now + 0.001)
        self.now += 0.002


def test_nothing_happens_before_an_initial_window_has_arrived() -> None:
    story = Story()
    assert not story.ack(INITIAL - 1)
    assert story.resume.phase == RECONNAISSANCE
    assert story.controller.window == 2 * INITIAL - 1
    assert story.resume.paced_at(1e9, RTT) == 1e9
    assert not story.ack(1)
    assert (story.resume.phase, story.controller.window) == (UNVALIDATED, WINDOW // 2)
    # A window a round trip, not two as in slow start.
    assert story.resume.paced_at(1e9, RTT) == pytest.approx(WINDOW / 2 / RTT)


@pytest.mark.parametrize("rtt", [RTT * 0.49, RTT * 10.1])
def test_another_round_trip_is_another_path(rtt: float) -> None:
    story = Story(rtt=rtt)
    assert story.ack(INITIAL)
    assert story.controller.window == 2 * INITIAL


def test_a_loss_before_is_the_end_of_it() -> None:
    story = Story()
    story.lose()
    assert story.ack(INITIAL)
    assert story.controller.window < INITIAL


def test_who_has_little_to_send_does_not_need_it_now() -> None:
    story = Story()
    assert not story.ack(INITIAL, in_flight=INITIAL // 4)
    assert story.resume.phase == RECONNAISSANCE


def test_who_measures_the_path_does_not_take_it() -> None:
    story = Story(Ledbat(DATAGRAM))
    assert story.ack(INITIAL)
    assert story.controller.window <= 2 * INITIAL


def test_the_window_is_held_until_all_that_it_let_out_has_arrived() -> None:
    story = Story()
    story.jump()
    story.now += RTT / 2
    assert not story.ack(5_000, in_flight=100_000, largest=5, following=80)
    assert story.controller.window == WINDOW // 2
    assert not story.ack(5_000, in_flight=190_000, largest=10, following=170)
    assert story.resume.phase == VALIDATING
    assert story.controller.window == 190_000
    assert not story.ack(150_000, in_flight=190_000, largest=168, following=300)
    assert story.controller.window == 190_000
    assert story.ack(2_000, in_flight=190_000, largest=169, following=310)
    assert story.controller.slow_start


def test_what_is_not_used_within_a_round_trip_is_given_back() -> None:
    story = Story()
    story.jump()
    story.now += RTT
    story.ack(1_200, in_flight=2_400, largest=9, following=10)
    assert story.controller.window == 2 * INITIAL


@pytest.mark.parametrize("make", [Cubic, NewReno])
def test_datagrams_that_grow_meanwhile_fit_the_window(make: type[Controller]) -> None:
    story = Story(make(DATAGRAM))
    story.known.window = 8 * INITIAL
    story.resume = CarefulResume(story.known)
    story.jump()
    story.controller.on_datagram_size(65_507)
    assert not story.ack(5_000, in_flight=20_000, largest=5, following=80)
    assert story.controller.window == 2 * 65_507


@pytest.mark.parametrize("make", [Cubic, NewReno])
@pytest.mark.parametrize("arrived", [0, 60_000])
def test_a_loss_leaves_half_of_what_arrived(make: type[Controller], arrived: int) -> None:
    story = Story(make(DATAGRAM))
    story.jump()
    story.now += RTT
    if arrived:
        assert not story.ack(arrived, in_flight=190_000, largest=10, following=170)
    story.lose()
    assert story.ack(1_200, in_flight=100_000, largest=30, following=170)
    assert story.controller.window == max(INITIAL, (arrived + 1_200) // 2)
    assert not story.controller.slow_start
    assert story.known.window == story.controller.window
    # And it grows from there as after any loss, not back to what was only tried.
    before = story.controller.window
    for _ in range(20):
        story.now += 0.01
        sample = AckSample()
        sample.now, sample.rtt, sample.acked, sample.fresh = story.now, RTT, before // 10, before // 10
        sample.in_flight = sample.peak = story.controller.window
        story.controller.on_ack(sample)
    assert before < story.controller.window < before + 6 * DATAGRAM


def test_when_everything_is_lost_the_smallest_window_stays() -> None:
    story = Story()
    story.jump()
    story.controller.on_persistent_congestion()
    assert story.ack(1_200, in_flight=1_200, largest=200, following=201)
    assert story.controller.window < INITIAL
