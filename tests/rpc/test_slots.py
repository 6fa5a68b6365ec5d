"""Room for calls: bounded, in order, and given back."""

from __future__ import annotations

import gevent
import pytest

import jsp
from jsp.rpc.codec import CALLS_MAX, HELD_MAX
from jsp.rpc.slots import Slots


def full() -> Slots:
    slots = Slots()
    for _ in range(CALLS_MAX):
        slots.acquire(10)
    return slots


def start(slots: Slots, size: int) -> gevent.Greenlet[..., None]:
    greenlet = gevent.spawn(slots.acquire, size)
    gevent.sleep(0)
    return greenlet


def test_waits_for_a_call_to_be_over() -> None:
    slots = full()
    waiting = start(slots, 10)
    assert not waiting.dead
    slots.release(10)
    waiting.get(timeout=1)
    assert (slots.calls, slots.held) == (CALLS_MAX, 10 * CALLS_MAX)


def test_waits_for_bytes_and_nobody_is_overtaken() -> None:
    slots = Slots()
    slots.acquire(HELD_MAX - 10)
    large, small = start(slots, 20), start(slots, 1)
    assert not large.dead and not small.dead
    slots.release(HELD_MAX - 10)
    gevent.joinall([large, small], timeout=1)
    assert (slots.calls, slots.held) == (2, 21)


def test_one_alone_may_be_of_any_size() -> None:
    slots = Slots()
    slots.acquire(10 * HELD_MAX)
    assert not start(slots, 1).dead


def test_who_gives_up_is_out_of_the_way() -> None:
    slots = Slots()
    slots.acquire(HELD_MAX - 10)
    large, small = start(slots, 20), start(slots, 1)
    large.kill()
    small.get(timeout=1)
    assert (slots.calls, slots.held) == (2, HELD_MAX - 9)


def test_who_gives_up_when_it_is_his_turn_gives_it_back() -> None:
    slots = full()
    first, second = start(slots, 10), start(slots, 10)
    first.kill(block=False)
    slots.release(10)
    second.get(timeout=1)
    assert (slots.calls, slots.held) == (CALLS_MAX, 10 * CALLS_MAX)


def test_the_end_of_the_connection() -> None:
    slots = full()
    waiting = start(slots, 10)
    error = jsp.ConnectionClosed("over")
    slots.close(error)
    with pytest.raises(jsp.ConnectionClosed, match="over"):
        waiting.get(timeout=1)
    with pytest.raises(jsp.ConnectionClosed, match="over"):
        slots.acquire(0)
