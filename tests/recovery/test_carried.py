"""A path that TCP carries: nothing is lost on the way, paced, or sent again because of time."""

from __future__ import annotations

import pytest

from jsp.recovery.carried import CARRIED_DATAGRAM, Carried
from jsp.recovery.loss import RELIABLE_PROBE_MIN_S, LossDetector, PacketSpace
from jsp.recovery.sent import make_run

SIZE = CARRIED_DATAGRAM


class Owner:
    """Remembers what became of its packets."""

    def __init__(self) -> None:
        self.acked: list[int] = []
        self.lost: list[int] = []

    def on_acked(self, number: int, _: object) -> None:
        self.acked.append(number)

    def on_lost(self, number: int, _: object) -> None:
        self.lost.append(number)


def carried() -> tuple[LossDetector, PacketSpace, Owner]:
    recovery = LossDetector(Carried(SIZE))
    recovery.reliable = recovery.handshake_done = True
    space = PacketSpace(0.025, False)
    recovery.spaces.append(space)
    return recovery, space, Owner()


def send(recovery: LossDetector, space: PacketSpace, owner: Owner, count: int, now: float) -> None:
    for _ in range(count):
        recovery.on_sent(space, make_run(space.next_number, 1, SIZE, SIZE, now, [(owner, space.next_number, 0)]))
        space.next_number += 1


def test_what_an_ack_passes_over_is_sent_again_and_nothing_else() -> None:
    recovery, space, owner = carried()
    send(recovery, space, owner, 5, 0.0)
    window = recovery.controller.window
    # The third one arrived, and its receiver could do nothing with it.
    recovery.on_ack(space, [3, 0], [4, 2], 0.0, 0.05)
    assert (owner.acked, owner.lost) == ([0, 1, 3], [2])
    assert recovery.controller.window == window and recovery.in_flight == SIZE
    assert space.loss_time == float("inf")


def test_silence_asks_once_and_offers_nothing_again() -> None:
    recovery, space, owner = carried()
    send(recovery, space, owner, 2, 0.0)
    recovery.on_ack(space, [0], [1], 0.0, 0.01)
    # What leaves meanwhile does not put it off.
    send(recovery, space, owner, 1, 0.9)
    recovery.update_deadline(0.9, False, False)
    assert recovery.deadline == pytest.approx(0.01 + RELIABLE_PROBE_MIN_S)
    recovery.on_timeout(recovery.deadline)
    assert (recovery.pto_count, space.probes, owner.lost) == (1, 1, [])
    recovery.update_deadline(1.01, False, False)
    assert recovery.deadline == pytest.approx(1.01 + 2 * RELIABLE_PROBE_MIN_S)


def test_what_tcp_takes_leaves_at_once() -> None:
    recovery, space, owner = carried()
    assert recovery.allowance(SIZE, 0.0) == recovery.controller.window == recovery.available()
    send(recovery, space, owner, 100, 0.0)
    assert recovery.allowance(SIZE, 0.0) == recovery.controller.window - 100 * SIZE
    recovery.held = True
    assert recovery.allowance(SIZE, 0.0) == recovery.available() == 0
