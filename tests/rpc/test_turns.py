"""A turn of the loop is one that timers notice."""

from __future__ import annotations

import time

import gevent

from jsp.rpc.turns import give_way


def test_timers_fire_meanwhile() -> None:
    fired: list[float] = []
    timer = gevent.spawn_later(0.001, lambda: fired.append(time.monotonic()))
    deadline = time.monotonic() + 5
    while not fired and time.monotonic() < deadline:
        give_way()
    timer.kill()
    assert fired


def test_it_takes_no_time() -> None:
    begin = time.monotonic()
    for _ in range(100):
        give_way()
    assert time.monotonic() - begin < 0.1
