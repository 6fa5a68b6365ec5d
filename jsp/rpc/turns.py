"""Giving way to others in work that never waits by itself.

`gevent.sleep(0)` lets those greenlets run that are ready, but as long as some are, gevent's loop looks at neither
sockets nor timers. A timer of no time at all is one turn of the loop.
"""

from __future__ import annotations

from gevent import get_hub


def give_way() -> None:
    """Let the loop have a turn: sockets are read, timers fire, others run."""
    hub = get_hub()
    timer = hub.loop.timer(0.0)
    try:
        hub.wait(timer)
    finally:
        timer.close()
