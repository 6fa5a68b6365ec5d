"""Ctrl-C in programs that run on gevent's hub."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.monkey import get_original


@contextmanager
def orderly_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in this greenlet, wherever the hub happens to be.

    Python's own handler raises in whatever runs; when that is the hub, gevent prints a page on stderr first. A handler
    that the program has set, and other threads than the main one, are left alone.
    """
    here = gevent.getcurrent()

    def interrupt(number: int, frame: object) -> None:
        if gevent.getcurrent() is here:
            raise KeyboardInterrupt
        gevent.kill(here, KeyboardInterrupt())

    in_main = get_original("threading", "current_thread")() is threading.main_thread()
    ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
