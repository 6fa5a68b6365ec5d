"""Futures and streams of items, as their owners see them."""

from __future__ import annotations

import threading

import gevent
import pytest

import jsp
import jsp.rpc
from tests.rpc.support import Bench, pair, until


def test_result_waits_and_can_be_asked_again() -> None:
    bench = Bench()
    with pair(bench) as client:
        future = client.submit("wait", "x")
        assert not future.done() and "under way" in repr(future)
        with pytest.raises(jsp.Timeout, match="wait: no result within"):
            future.result(0.01)
        with pytest.raises(jsp.Timeout):
            future.result(0)
        waiters = [gevent.spawn(future.result) for _ in range(3)]
        gevent.sleep(0)
        bench.gate.set()
        assert [w.get(timeout=5) for w in waiters] == ["x"] * 3
        assert future.done() and future.result(0) == "x" and "done" in repr(future)
        assert not future.cancel()
        assert bench.log == ["x done"], "a time limit of result() stops nothing"


def test_a_failure_is_the_same_each_time() -> None:
    with pair() as client:
        future = client.submit("fail", "x")
        errors = []
        for _ in range(2):
            with pytest.raises(jsp.rpc.RemoteError) as caught:
                future.result(1)
            errors.append(caught.value)
        assert errors[0] is errors[1]


def test_cancel_stops_the_method_and_wakes_who_waits() -> None:
    bench = Bench()
    with pair(bench) as client:
        future = client.submit("wait", "x")
        waiting = gevent.spawn(future.result)
        until(lambda: bench.running)
        assert future.cancel()
        assert not future.cancel()
        assert future.done()
        with pytest.raises(jsp.rpc.Cancelled):
            waiting.get(timeout=5)
        with pytest.raises(jsp.rpc.Cancelled):
            future.result()
        until(lambda: bench.log == ["x GreenletExit"])


def test_cancel_of_a_call_that_has_just_been_answered() -> None:
    with pair() as client:
        for _ in range(20):
            future = client.submit("add", 1)
            gevent.sleep(0)
            future.cancel()
        assert client.call("add", 1) == 2
        until(lambda: not client._session.calls)


def test_items_are_an_iterator() -> None:
    with pair() as client:
        items = client.stream("count", 3)
        assert iter(items) is items and repr(items) == "<jsp.rpc.Items of count>"
        assert [next(items), *items] == [0, 1, 2]
        with pytest.raises(StopIteration):
            next(items)


def test_items_that_came_before_an_error_are_given_first() -> None:
    with pair() as client:
        items = client.stream("drip", 3)
        until(lambda: items._call.inbox is not None and items._call.inbox.payloads)
        client.connection.abort()
        assert next(items) == 0
        with pytest.raises(jsp.ConnectionClosed):
            next(items)
        assert list(items) == []


def test_dropped_in_another_thread() -> None:
    """The collector may run anywhere; from there the method cannot be stopped, and nothing may break."""
    bench = Bench()
    with pair(bench) as client:
        held = [client.stream("drip", 3)]
        assert next(held[0]) == 0
        thread = threading.Thread(target=held.clear)
        thread.start()
        while thread.is_alive():
            gevent.sleep(0.01)
        assert client.call("add", 1) == 2
    until(lambda: bench.log == ["GreenletExit"])


def test_closing_wakes_the_greenlet_that_waits_for_an_item() -> None:
    with pair() as client:
        items = client.stream("drip", 3)
        got: list[int] = []
        consumer = gevent.spawn(lambda: [got.append(item) for item in items])
        until(lambda: got == [0])
        items.close()
        consumer.get(timeout=5)
        assert got == [0]
