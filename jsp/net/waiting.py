# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Greenlets that wait for something to happen on a connection."""

from __future__ import annotations

from typing import Any, Protocol

from gevent import get_hub
from gevent.hub import Waiter

_TIMED_OUT = object()


def end_watcher(watcher: Any) -> None:
    """Stop and close a watcher of the loop, if there is one."""
    if watcher is not None:
        watcher.stop()
        watcher.close()


class Woken(Protocol):
    """A `Waiter`, or what takes its place."""

    def switch(self, value: Any) -> Any:
        """Called once, in the hub."""


class Signal:
    """Something that happens again and again; wakes all who wait for it, once each time.

    A waiter must check its condition again: by the time it runs, another one may have used up the news.
    """

    __slots__ = ("_waiters", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self._waiters: list[Woken] | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next `notify`; False when `timeout` seconds passed first."""
        hub = get_hub()
        waiter: Waiter[object] = Waiter(hub)
        self.add(waiter)
        timer = None
        if timeout is not None:
            # update: from now on, not from when the loop last looked at the clock.
            timer = hub.loop.timer(max(timeout, 0.0))
            timer.start(waiter.switch, _TIMED_OUT, update=True)
        try:
            return waiter.get() is not _TIMED_OUT
        finally:
            end_watcher(timer)
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)

    def add(self, waiter: Woken) -> None:
        """Have `waiter` woken by the next `notify`: without a greenlet that waits, if it is not a `Waiter`."""
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)

    def take(self) -> list[Woken] | None:
        """Those who wait now; the caller switches to each, in the hub. `taken` counts these calls."""
        self.taken += 1
        waiters, self._waiters = self._waiters, None
        return waiters

    def notify(self) -> None:
        """Wake everybody who waits now, in the next turn of the loop."""
        waiters = self.take()
        if waiters is not None:
            run_callback = get_hub().loop.run_callback
            for waiter in waiters:
                run_callback(waiter.switch, None)
