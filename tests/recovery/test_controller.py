"""What every controller has: the window it begins with, its least, and one congestion event a round trip."""

from __future__ import annotations

import math

import pytest

from jsp.recovery.congestion import make_controller
from jsp.recovery.controller import AckSample, Controller, initial_window
from jsp.recovery.loss import LossDetector, PacketSpace
from jsp.recovery.sent import make_run

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


def test_an_ack_that_measures_no_round_trip_says_so() -> None:
    c = Told(MTU)
    path, space = told_path(c)
    send(path, space, 1, 1.0)
    send(path, space, 1, 1.01)
    path.on_ack(space, [1], [2], 0.0, 1.1)
    path.on_ack(space, [0], [2], 0.0, 1.105)
    assert [ack[4] for ack in c.acks] == [pytest.approx(0.09), 0.0]
