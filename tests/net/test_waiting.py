"""Signals: who waits is woken once, and may be something else than a greenlet."""

from __future__ import annotations

from typing import Any

import gevent

from jsp.net.waiting import Signal
from tests.net.support import echo_connection, until


class Counter:
    """Counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0

    def switch(self, value: Any) -> None:
        self.woken += 1


def test_each_is_woken_once() -> None:
    signal, counter = Signal(), Counter()
    signal.add(counter)
    waiting = gevent.spawn(signal.wait, 5)
    gevent.sleep(0)
    signal.notify()
    signal.notify()
    assert waiting.get(timeout=1)
    assert counter.woken == 1 and signal.taken == 2
    signal.add(counter)
    signal.notify()
    gevent.sleep(0)
    assert counter.woken == 2


def test_waiting_ends_when_its_time_is_over() -> None:
    signal, counter = Signal(), Counter()
    signal.add(counter)
    assert not signal.wait(0.001)
    signal.notify()
    gevent.sleep(0)
    assert counter.woken == 1


def test_what_arrives_wakes_it_in_the_hub() -> None:
    with echo_connection() as conn:
        stream, counter = conn.open_stream(), Counter()
        stream.readable.add(counter)
        stream.sendall(b"x")
        until(lambda: counter.woken)
        assert stream.has_news() and stream.recv(100) == b"x"
