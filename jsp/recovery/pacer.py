# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Pacing: when may the next bytes leave (RFC 9002 section 7.7).

A token bucket. Its depth is as much as the rate makes in `BURST_S`, since a loop cannot wake more often than its
timer lets it, and two datagrams at least: trains that are longer would overflow a shallow queue. While less than an
initial window is under way the rest of it may leave at once.

Where even two datagrams are too many for the queue, they leave one by one, and what a late timer left over is made up
for at twice the rate.
"""

from __future__ import annotations

from jsp.recovery.controller import initial_window

# The hub's timer resolves about 1 ms.
BURST_S = 0.002
_BURST_DATAGRAMS = 2


class Pacer:
    """Bytes and seconds."""

    __slots__ = ("_alone_at", "_datagram", "_depth", "_rate", "_time", "_tokens")

    def __init__(self) -> None:
        self._rate = 0.0
        # One by one: bytes of a datagram, and when the next one may leave.
        self._datagram = 0
        self._alone_at = 0.0
        self._depth = 0.0
        self._tokens = 0.0
        self._time = 0.0

    def update(self, rate: float, datagram: int, in_flight: int, trains: bool) -> None:
        """Pace at `rate` bytes a second from now on, while `in_flight` bytes are under way.

        `trains`: whether datagrams may leave together.
        """
        self._rate = rate
        self._datagram = 0 if trains else datagram
        fresh = not self._depth
        initial = initial_window(datagram) - in_flight if trains else 0
        self._depth = max(_BURST_DATAGRAMS * datagram, initial, rate * BURST_S)
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
        if self._datagram:
            return min(int(self._tokens), self._datagram) if self._time >= self._alone_at else 0
        return int(self._tokens)

    def on_sent(self, size: int) -> None:
        self._tokens -= size
        if self._datagram:
            self._alone_at = self._time + size / (2 * self._rate)

    def ready_at(self, size: int) -> float:
        """When `size` bytes may leave, as of the last `budget` call."""
        # A whole burst later at most: waking for every datagram would cost more than it smooths.
        # And a byte more than asked for, or rounding would say `now` for ever.
        wanted = size + 1 if self._datagram else min(max(size + 1, self._depth / 2), self._depth)
        ready = self._time + max(0.0, (wanted - self._tokens) / self._rate) if self._rate else self._time
        return max(ready, self._alone_at) if self._datagram else ready
