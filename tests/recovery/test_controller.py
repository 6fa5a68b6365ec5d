"""What every controller has: the window it begins with, its least, and one congestion event a round trip."""

from __future__ import annotations

import math

import pytest

from jsp.recovery.congestion import make_controller
from jsp.recovery.controller import AckSample, Controller, initial_window
from jsp.recovery.loss import LossDetector, PacketSpace
from jsp.recovery.sent import SentRun, make_run

MTU = 1200


class Told(Controller):
    """In plain Python, as users write them: notes what it is told."""

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self.events: list[float] = []
        self.acks: list[tuple[float, int, int, int, float]] = []

    def on_ack(self, sample: AckSample) -> None:
        self.acks.append((sample.now, sample.acked, sample.fresh, sample.in_flight, sample.rtt))

    def on_congestion_event(self, now: float) -> None:
        self.events.append(now)
        self.window //= 2


@pytest.mark.parametrize(
    ("datagram", "window"), [(1200, 12_000), (1472, 14_720), (1500, 14_720), (8000, 16_000), (65_507, 131_014)]
)
def test_rfc_9002_7_2_initial_window(datagram: int, window: int) -> None:
    assert initial_window(datagram) == window
    assert Told(datagram).window == window


def test_rfc_9002_7_2_the_initial_window_is_counted_anew_when_datagrams_change() -> None:
    c = Told(MTU)
    for datagram in (1472, 8000, 1200):
        c.on_datagram_size(datagram)
        assert c.window == initial_window(datagram)
    c.window += MTU
    c.on_datagram_size(1472)
    assert c.window == initial_window(1200) + MTU


def test_whoever_says_nothing_of_acks_or_losses_is_no_controller() -> None:
    with pytest.raises(NotImplementedError):
        Controller(MTU).on_ack(AckSample())
    with pytest.raises(NotImplementedError):
        Controller(MTU).on_congestion(1.0, 2.0)


def test_one_event_for_all_losses_of_a_round_trip() -> None:
    c = Told(MTU)
    for sent in (1.0, 1.2, 1.9, 2.0):
        c.on_congestion(sent, 2.0)
    assert c.events == [2.0]
    c.on_congestion(2.1, 3.0)
    assert c.events == [2.0, 3.0]


def test_persistent_congestion_leaves_the_least_and_forgets_the_event() -> None:
    c = Told(MTU)
    c.on_congestion(1.0, 2.0)
    c.on_persistent_congestion()
    assert (c.window, c.recovery_start) == (2 * MTU, -math.inf)


def test_data_leaves_a_little_faster_than_a_window_a_round_trip() -> None:
    c = Told(MTU)
    assert c.pacing_rate(0.1) == pytest.approx(2 * 12_000 / 0.1)
    c.slow_start = False
    assert c.pacing_rate(0.1) == pytest.approx(1.25 * 12_000 / 0.1)
    assert 0 < c.pacing_rate(0.0) < math.inf


def test_larger_datagrams_lift_the_least() -> None:
    c = Told(MTU)
    c.on_persistent_congestion()
    c.on_datagram_size(1400)
    assert (c.window, c.datagram, c.minimum_window()) == (2800, 1400, 2800)


def told_path(c: Controller) -> tuple[LossDetector, PacketSpace]:
    path, space = LossDetector(c), PacketSpace(0.025, False)
    path.spaces.append(space)
    path.handshake_done = True
    return path, space


def send(path: LossDetector, space: PacketSpace, count: int, at: float) -> None:
    path.on_sent(space, make_run(space.next_number, count, MTU, MTU * count, at))
    space.next_number += count


def test_an_ack_is_told_once_with_what_it_brought() -> None:
    c = make_controller(Told, MTU)
    assert isinstance(c, Told)
    path, space = told_path(c)
    for at in (1.0, 1.01, 1.02):
        send(path, space, 2, at)
    path.on_ack(space, [0], [5], 0.0, 1.2)
    # All but the last packet, in three runs; the round trip is that of the newest of them.
    assert c.acks == [(1.2, 5 * MTU, 5 * MTU, 6 * MTU, pytest.approx(0.18))]
    path.on_ack(space, [0], [5], 0.0, 1.3)
    assert len(c.acks) == 1


def test_what_left_before_a_loss_is_told_and_is_not_fresh() -> None:
    c = Told(MTU)
    path, space = told_path(c)
    send(path, space, 5, 1.0)
    path.on_ack(space, [1], [5], 0.0, 1.1)
    assert c.events == [1.1]
    assert c.acks == [(1.1, 4 * MTU, 0, 5 * MTU, pytest.approx(0.1))]
    send(path, space, 1, 1.1)
    send(path, space, 2, 1.15)
    path.on_ack(space, [5], [8], 0.0, 1.25)
    assert c.acks[-1][1:3] == (3 * MTU, 2 * MTU)


class Losing(Told):
    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self.lost: list[tuple[int, int]] = []
        self.restarts: list[float] = []

    def on_lost(self, run: SentRun, lost_since: int, now: float) -> None:
        self.lost.append((run.first, lost_since))

    def on_restart(self, now: float) -> None:
        self.restarts.append(now)


def test_losses_are_told_run_by_run_with_what_was_lost_since_they_left() -> None:
    c = Losing(MTU)
    path, space = told_path(c)
    for _ in range(3):
        send(path, space, 2, 1.0)
    path.on_ack(space, [5], [6], 0.0, 1.1)
    assert c.lost == [(0, 2 * MTU), (2, 3 * MTU)]
    send(path, space, 2, 1.2)
    path.on_ack(space, [6], [8], 0.0, 1.3)
    assert c.lost[2:] == [(3, 4 * MTU), (4, 5 * MTU)]
    assert c.acks[-1][1] == 2 * MTU


def test_a_restart_is_told_when_there_was_nothing_to_send_and_nothing_is_under_way() -> None:
    c = Losing(MTU)
    path, space = told_path(c)
    send(path, space, 1, 1.0)
    path.on_ack(space, [0], [1], 0.0, 1.1)
    send(path, space, 1, 1.1)
    path.on_app_limited()
    path.on_ack(space, [0], [2], 0.0, 1.2)
    send(path, space, 1, 5.0)
    send(path, space, 1, 5.0)
    assert c.restarts == [5.0]


def test_an_ack_that_measures_no_round_trip_says_so() -> None:
    c = Told(MTU)
    path, space = told_path(c)
    send(path, space, 1, 1.0)
    send(path, space, 1, 1.01)
    path.on_ack(space, [1], [2], 0.0, 1.1)
    path.on_ack(space, [0], [2], 0.0, 1.105)
    assert [ack[4] for ack in c.acks] == [pytest.approx(0.09), 0.0]
