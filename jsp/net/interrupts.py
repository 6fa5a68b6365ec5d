"""Ctrl-C in programs that run on gevent's hub."""

from __future__ import annotations

import os
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
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        with _signals_wake_the_hub():
            yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _signals_wake_the_hub() -> Iterator[None]:
    """Let every signal end the hub's wait, so that its Python handler runs at once.

    The hub asks Python for signals before it polls, and a signal interrupts the poll; one that comes between the two,
    or that the system hands to another thread, would be noticed at the next event only, which may be never.
    """
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = gevent.get_hub().loop.io(reader, 1, ref=False)
    if before == -1:
        watcher.start(os.read, reader, 512)
    else:
        # Somebody in this program is awake already, and their bytes are theirs.
        signal.set_wakeup_fd(before)
    try:
        yield
    finally:
        if before == -1:
            signal.set_wakeup_fd(-1)
        watcher.close()
        os.close(reader)
        os.close(writer)
