"""Lets connections that were silent for some seconds go without their ciphers.

The ciphers of a connection are 4 to 7 kilobytes of it, and made again in some 10 to 50 microseconds. One timer for
all connections of an endpoint, which runs only while one of them has ciphers: an idle endpoint stays asleep.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from jsp.engine.connection import ConnectionCore
from jsp.net import clock

_SILENCE_S = 5.0
# How exactly the last use is known, so that a busy connection is looked at but not moved each time; and how far
# apart two sweeps are at least.
_GRAIN_S = 1.0
# What one sweep takes on, for freeing ten thousand at once would hold up the others.
_AT_ONCE = 500
_NEXT_S = 0.01


class Resting:
    """The connections of an endpoint that may have ciphers, the longest silent first."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._used: dict[ConnectionCore, float] = {}
        self._timer: Any = None

    def touch(self, core: ConnectionCore) -> None:
        """`core` received or sent something, or may have."""
        now = clock.now()
        used = self._used.get(core)
        if used is not None:
            if now - used < _GRAIN_S:
                return
            del self._used[core]
        self._used[core] = now
        if self._timer is None:
            self._arm(_SILENCE_S)

    def forget(self, core: ConnectionCore) -> None:
        """`core` is over."""
        self._used.pop(core, None)

    def stop(self) -> None:
        """The endpoint is over."""
        self._used.clear()
        self._disarm()

    def _arm(self, delay: float) -> None:
        # Nobody waits for it: it must not keep a loop alive.
        self._timer = self._loop.timer(delay, ref=False)
        self._timer.start(self._sweep, update=True)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _sweep(self) -> None:
        self._disarm()
        now = clock.now()
        for core, used in list(islice(self._used.items(), _AT_ONCE)):
            if used + _SILENCE_S > now:
                self._arm(max(used + _SILENCE_S - now, _GRAIN_S))
                return
            del self._used[core]
            core.keys.rest()
        if self._used:
            self._arm(_NEXT_S)
