# cython: language_level=3, annotation_typing=False, nonecheck=True
"""NewReno (RFC 9002 section 7 and appendix B)."""

from __future__ import annotations

import math

_LOSS_REDUCTION = 0.5
_MINIMUM_DATAGRAMS = 2


class NewReno:
    """Slow start, then one datagram a round trip; half the window on loss, once a round trip."""

    __slots__ = ("_credit", "_datagram", "_recovery_start", "_threshold", "window")

    def __init__(self, datagram_size: int) -> None:
        self._datagram = datagram_size
        self.window = initial_window(datagram_size)
        self._threshold = math.inf
        self._recovery_start = -math.inf
        self._credit = 0

    @property
    def slow_start(self) -> bool:
        return self.window < self._threshold

    def on_acked(self, size: int, sent_time: float, in_flight: int) -> None:
        # RFC 9002 7.8: an underused window says nothing about the path.
        if sent_time <= self._recovery_start or in_flight < self.window // 2:
            return
        if self.slow_start:
            self.window += size
            return
        self._credit += size
        if self._credit >= self.window:
            self._credit -= self.window
            self.window += self._datagram

    def on_congestion(self, sent_time: float, now: float) -> None:
        if sent_time <= self._recovery_start:
            return
        self._recovery_start = now
        self.window = max(int(self.window * _LOSS_REDUCTION), _MINIMUM_DATAGRAMS * self._datagram)
        self._threshold = self.window
        self._credit = 0

    def on_persistent_congestion(self) -> None:
        self.window = _MINIMUM_DATAGRAMS * self._datagram
        self._recovery_start = -math.inf
        self._credit = 0

    def on_datagram_size(self, size: int) -> None:
        self._datagram = size
        self.window = max(self.window, _MINIMUM_DATAGRAMS * size)


def initial_window(datagram_size: int) -> int:
    """RFC 9002 section 7.2."""
    return min(10 * datagram_size, max(14720, 2 * datagram_size))
