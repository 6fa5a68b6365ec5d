# cython: language_level=3, annotation_typing=False, nonecheck=True
"""HyStart++: leave slow start when round trips grow, before the queue overflows (RFC 9406).

A round trip that is an eighth longer than in the round before begins conservative slow start, which grows at a
quarter of the speed and looks whether that was a passing delay. When it was none for five rounds, slow start is over.

The RFC's five rounds treble the window once more, however long they have become. Here they end when all round trips of
one are twice the shortest: the queue then holds as much as the path, and leaving costs nothing.
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
STANDING_QUEUE = 2.0
_STANDING = STANDING_QUEUE


class HyStart:
    """Attributes:
    conservative: whether the window grows at a quarter of the speed.
    """

    __slots__ = ("_baseline", "_last_rtt", "_round_end", "_rounds", "_rtt", "_samples", "_shortest", "conservative")

    def __init__(self) -> None:
        self.conservative = False
        self._baseline = _NEVER
        self._last_rtt = self._rtt = _NEVER
        self._round_end = 0
        self._rounds = 0
        self._samples = 0
        self._shortest = _NEVER

    def growth(self, acked: int) -> int:
        """Bytes by which `acked` bytes that arrived widen the window."""
        return acked // _GROWTH if self.conservative else acked

    def on_ack(self, rtt: float, prior_delivered: int, delivered: int) -> bool:
        """An ACK with the round trip `rtt` (0: none); the others as in `AckSample`. True: slow start is over."""
        if prior_delivered >= self._round_end:
            if self.conservative:
                self._rounds += 1
                if self._rounds >= _ROUNDS:
                    return True
            self._round_end = delivered
            self._last_rtt = self._rtt
            self._rtt = _NEVER
            self._samples = 0
        if rtt > 0:
            self._rtt = min(self._rtt, rtt)
            self._shortest = min(self._shortest, rtt)
            self._samples += 1
        if self._samples < _SAMPLES or self._last_rtt == _NEVER:
            return False
        if not self.conservative:
            if self._rtt >= self._last_rtt + max(_LOW, min(self._last_rtt / _DIVISOR, _HIGH)):
                self._baseline = self._rtt
                self.conservative = True
                self._rounds = 0
        elif self._rtt < self._baseline:
            self._baseline = _NEVER
            self.conservative = False
        else:
            return self._rtt >= max(_STANDING * self._shortest, self._shortest + _HIGH)
        return False
