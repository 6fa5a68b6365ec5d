"""Lets connections that were silent for some seconds go without their ciphers, and after some more sleep.

The ciphers of a connection are 4 to 7 kilobytes of it, and made again in some 10 to 50 microseconds. What it is
kept as while it sleeps is a quarter of the rest (`engine/hibernation`); to go to sleep and to wake up takes 100 to 150
microseconds each, so it waits longer for that. One timer for all connections of an endpoint, which runs only while one
of them has something to let go of: an idle endpoint stays asleep.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from jsp.engine.connection import ConnectionCore
from jsp.engine.hibernation import hibernate
from jsp.net import clock
from jsp.net.waiting import end_watcher

# Seconds of silence before a connection goes without ciphers, and before it sleeps.
_SILENCE_S = 5.0
_LONG_SILENCE_S = 15.0
# How exactly the last use is known, so that a busy connection is looked at but not moved each time; and how far
# apart two sweeps are at least.
_GRAIN_S = 1.0
# What one sweep takes on, for ten thousand at once would hold up the others.
_REST_AT_ONCE = 500
_SLEEP_AT_ONCE = 15
_NEXT_S = 0.01


class Resting:
    """The connections of an endpoint that may have ciphers, and those without that do not sleep; of each the longest
    silent first."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._used: dict[ConnectionCore, float] = {}
        self._rested: dict[ConnectionCore, float] = {}
        self._timer: Any = None

    def touch(self, core: ConnectionCore) -> None:
        """`core` received or sent something, or may have."""
        now = clock.now()
        self._rested.pop(core, None)
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
        self._rested.pop(core, None)

    def stop(self) -> None:
        """The endpoint is over."""
        self._used.clear()
        self._rested.clear()
        self._disarm()

    def _arm(self, delay: float) -> None:
        # Nobody waits for it: it must not keep a loop alive.
        self._timer = self._loop.timer(delay, ref=False)
        self._timer.start(self._sweep, update=True)

    def _disarm(self) -> None:
        end_watcher(self._timer)
        self._timer = None

    def _sweep(self) -> None:
        self._disarm()
        now = clock.now()
        waits = [
            _take(self._used, now, _SILENCE_S, _REST_AT_ONCE, self._rest),
            _take(self._rested, now, _LONG_SILENCE_S, _SLEEP_AT_ONCE, self._sleep),
        ]
        due = [wait for wait in waits if wait is not None]
        if due:
            self._arm(min(due))

    def _rest(self, core: ConnectionCore, used: float) -> None:
        core.keys.rest()
        self._rested[core] = used

    def _sleep(self, core: ConnectionCore, _: float) -> None:
        # What is in use all the same comes back here with the next packet.
        hibernate(core)


def _take(
    waiting: dict[ConnectionCore, float], now: float, silence: float, at_once: int,
    action: Callable[[ConnectionCore, float], None],
) -> float | None:  # fmt: skip
    """Do `action` with those that were silent for long enough; how many seconds until the next one is due."""
    for core, used in list(islice(waiting.items(), at_once)):
        if used + silence > now:
            return max(used + silence - now, _GRAIN_S)
        del waiting[core]
        action(core, used)
    return _NEXT_S if waiting else None
