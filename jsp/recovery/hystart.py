# cython: language_level=3, annotation_typing=False, nonecheck=True
"""HyStart++: leave slow start when round trips grow, before the queue overflows (RFC 9406).

A round trip that is an eighth longer than in the round before begins conservative slow start, which grows at a
quarter of the speed and looks whether that was a passing delay. When it was none for five rounds, slow start is over.

Two things are added. All round trips are looked at, eight in a row at a time, not only the shortest of a round: what is
paced leaves the queue empty between two rounds, so that one is the last to grow. And as five more rounds, each with a
quarter more, overflow most queues, it ends where eight in a row are half (and 16 ms) longer than the shortest of all:
the link is full then, and leaving costs nothing.
"""

from __future__ import annotations

NEVER = float("inf")
MIN_RTT_THRESHOLD_S = 0.004
MAX_RTT_THRESHOLD_S = 0.016
RTT_DIVISOR = 8
SAMPLES = 8
CSS_GROWTH_DIVISOR = 4
CSS_ROUNDS = 5
_NEVER, _LOW, _HIGH, _DIVISOR, _SAMPLES = NEVER, MIN_RTT_THRESHOLD_S, MAX_RTT_THRESHOLD_S, RTT_DIVISOR, SAMPLES
_GROWTH, _ROUNDS = CSS_GROWTH_DIVISOR, CSS_ROUNDS
STANDING_QUEUE = 1.5
_STANDING = STANDING_QUEUE


class HyStart:
    """Attributes:
    conservative: whether the window grows at a quarter of the speed.
    """

    __slots__ = (
        "_baseline", "_eight", "_last_rtt", "_looked", "_queued", "_round_end", "_rounds", "_rtt", "_samples",
        "_shortest", "conservative",
    )  # fmt: skip

    def __init__(self) -> None:
        self.conservative = False
        self._baseline = _NEVER
        # The shortest: of the round before, of this one, of the present eight, of all.
        self._last_rtt = self._rtt = self._eight = self._shortest = _NEVER
        self._round_end = 0
        self._rounds = 0
        self._samples = 0
        # Whether this round has had eight, and eight as long as those that began conservative slow start.
        self._looked = self._queued = False

    def growth(self, acked: int) -> int:
        """Bytes by which `acked` bytes that arrived widen the window."""
        return acked // _GROWTH if self.conservative else acked

    def on_ack(self, rtt: float, prior_delivered: int, delivered: int) -> bool:
        """An ACK with the round trip `rtt` (0: none); the others as in `AckSample`. True: slow start is over."""
        if prior_delivered >= self._round_end:
            if self._is_over():
                return True
            self._round_end = delivered
            self._last_rtt = self._rtt
            self._rtt = self._eight = _NEVER
            self._samples = 0
            self._queued = self._looked = False
        if rtt > 0:
            self._rtt = min(self._rtt, rtt)
            self._eight = min(self._eight, rtt)
            self._shortest = min(self._shortest, rtt)
            self._samples += 1
        if self._samples < _SAMPLES or self._last_rtt == _NEVER:
            return False
        eight = self._eight
        self._eight = _NEVER
        self._samples = 0
        self._looked = True
        if self.conservative:
            self._queued = self._queued or eight >= self._baseline
            return eight >= max(_STANDING * self._shortest, self._shortest + _HIGH)
        if eight >= self._last_rtt + max(_LOW, min(self._last_rtt / _DIVISOR, _HIGH)):
            self._baseline = eight
            self._rounds = 0
            self.conservative = self._queued = True
        return False

    def _is_over(self) -> bool:
        """A round is over: has it been the last of conservative slow start, or shown that there is no need of it?"""
        if not self.conservative:
            return False
        self._rounds += 1
        if self._looked:
            self.conservative = self._queued
        return self.conservative and self._rounds >= _ROUNDS
