# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Pacing: when may the next bytes leave (RFC 9002 section 7.7).

A token bucket. Its depth is as much as the rate makes in `BURST_S`, since a loop cannot wake more often than its
timer lets it, and two datagrams at least: trains that are longer would overflow a shallow queue. While less than an
initial window is under way the rest of it may leave at once.
"""

from __future__ import annotations

# The hub's timer resolves about 1 ms.
BURST_S = 0.002
_BURST_DATAGRAMS = 2
_INITIAL_DATAGRAMS = 10


class Pacer:
    """Bytes and seconds."""

    __slots__ = ("_depth", "_rate", "_time", "_tokens")

    def __init__(self) -> None:
        self._rate = 0.0
        self._depth = 0.0
        self._tokens = 0.0
        self._time = 0.0

    def update(self, rate: float, datagram: int, in_flight: int) -> None:
        """Pace at `rate` bytes a second from now on, while `in_flight` bytes are under way."""
        self._rate = rate
        fresh = not self._depth
        self._depth = max(_BURST_DATAGRAMS * datagram, _INITIAL_DATAGRAMS * datagram - in_flight, rate * BURST_S)
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
        # And a byte more than asked for, or rounding would say `now` for ever.
        missing = min(max(size + 1, self._depth / 2), self._depth) - self._tokens
        return self._time + max(0.0, missing / self._rate) if self._rate else self._time
