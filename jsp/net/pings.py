"""Greenlets that wait for the answer to a PING."""

from __future__ import annotations

from typing import Any

from gevent.hub import Waiter

from jsp.errors import Timeout

Waiters = dict[int, "Waiter[float]"]


def wait(hub: Any, waiters: Waiters, token: int, timeout: float | None) -> float:
    """The round trip that `PingAnswered` brings for `token`, in seconds; Timeout after `timeout` seconds."""
    waiter: Waiter[float] = Waiter(hub)
    waiters[token] = waiter
    timer = None
    if timeout is not None:
        timer = hub.loop.timer(timeout)
        timer.start(waiter.throw, Timeout(f"no answer to a ping within {timeout:g} s"), update=True)
    try:
        return waiter.get()
    finally:
        waiters.pop(token, None)
        if timer is not None:
            timer.stop()
            timer.close()


def on_answered(hub: Any, waiters: Waiters, token: int, rtt: float) -> None:
    """Let the one who waits for `token` go on, if anybody does."""
    waiter = waiters.pop(token, None)
    if waiter is not None:
        hub.loop.run_callback(waiter.switch, rtt)


def give_up(hub: Any, waiters: Waiters, error: Exception) -> None:
    """There will be no answers: raise `error` in all who wait."""
    for waiter in waiters.values():
        hub.loop.run_callback(waiter.throw, error)
    waiters.clear()
