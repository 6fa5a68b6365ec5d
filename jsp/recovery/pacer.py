# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Pacing: when may the next bytes leave (RFC 9002 section 7.7).

A token bucket that fills at a little more than one window a round trip. Its depth is at least one initial
window, and as much as the rate makes in `BURST_S`, since a loop cannot wake more often than its timer lets it:
finer pacing than that would only cost speed.
"""

from __future__ import annotations

# The hub's timer resolves about 1 ms.
BURST_S = 0.002
_BURST_DATAGRAMS = 10
_GAIN_SLOW_START = 2.0
_GAIN = 1.25


class Pacer:
    """Bytes and seconds."""

    __slots__ = ("_depth", "_rate", "_time", "_tokens")

    def __init__(self) -> None:
        self._rate = 0.0
        self._depth = 0.0
        self._tokens = 0.0
        self._time = 0.0

    def update(self, window: int, smoothed_rtt: float, slow_start: bool, datagram: int) -> None:
        """Take the path's present window and round trip."""
        self._rate = (_GAIN_SLOW_START if slow_start else _GAIN) * window / max(smoothed_rtt, 1e-6)
        fresh = not self._depth
        self._depth = max(_BURST_DATAGRAMS * datagram, self._rate * BURST_S)
        if fresh:
            self._tokens = self._depth

    def budget(self, now: float) -> int:
        """Bytes that may leave at `now`."""
        elapsed = now - self._time
        if elapsed > 0:
            self._time = now
            self._tokens += elapsed * self._rate
            if self._tokens > self._depth:
                self._tokens = self._depth
        return int(self._tokens)

    def on_sent(self, size: int) -> None:
        self._tokens -= size

    def ready_at(self, size: int) -> float:
        """When `size` bytes may leave, as of the last `budget` call."""
        # A whole burst later at most: waking for every datagram would cost more than it smooths.
        missing = min(max(size, self._depth / 2), self._depth) - self._tokens
        return self._time + max(0.0, missing / self._rate) if self._rate else self._time
