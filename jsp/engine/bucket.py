"""A rate that lets some things come at once: a bucket of tokens."""

from __future__ import annotations


class TokenBucket:
    """Refilled at `rate` tokens a second up to `burst`, which is how full it begins."""

    __slots__ = ("_burst", "_rate", "_time", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._tokens = burst
        self._time = 0.0

    def take(self, now: float) -> bool:
        """Take a token; False, and nothing taken, when there is none."""
        self._tokens = min(self._tokens + (now - self._time) * self._rate, self._burst)
        self._time = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
