"""Greenlets that run methods: at once, used again, bounded, stopped."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from jsp.rpc.codec import CALL
from jsp.rpc.session import ServedCall
from jsp.rpc.workers import Worker, Workers
from tests.rpc.support import until


def call_of(method: Callable[[], Any]) -> ServedCall:
    return ServedCall(1, CALL, b"", method)


def execute(call: ServedCall) -> None:
    call.stoppable = True
    try:
        call.owner()
    except gevent.GreenletExit:
        pass
    finally:
        call.stoppable = False
        call.over = True


def start_all(workers: Workers, *calls: ServedCall) -> None:
    """Start calls one after another, as a reader would."""

    def reader() -> None:
        for call in calls:
            workers.start(call)

    run(reader)


def run(function: Callable[..., Any], *args: Any) -> Any:
    """As a reader would: in a greenlet of its own."""
    return gevent.spawn(function, *args).get(timeout=5)


def test_a_method_that_does_not_wait_is_over_when_start_returns() -> None:
    workers = Workers(execute)
    seen: list[Any] = []

    def reader() -> None:
        for i in range(3):
            workers.start(call_of(lambda i=i: seen.append((i, gevent.getcurrent()))))  # type: ignore[misc]
            assert len(seen) == i + 1

    run(reader)
    assert len({greenlet for _, greenlet in seen}) == 1, "it is used again"
    assert isinstance(seen[0][1], Worker)
    workers.stop(0)
    gevent.sleep(0)
    assert seen[0][1].dead


def test_a_method_that_waits_lets_its_starter_go_on() -> None:
    workers = Workers(execute)
    order: list[str] = []

    def method() -> None:
        order.append("begins")
        gevent.sleep(0.01)
        order.append("ends")

    def reader() -> None:
        for _ in range(3):
            workers.start(call_of(method))
        order.append("reader")
        gevent.sleep(0.05)

    run(reader)
    assert order == ["begins"] * 3 + ["reader"] + ["ends"] * 3
    workers.stop(0)


def test_the_starter_is_woken_only_by_what_it_waits_for() -> None:
    """A callback left behind by `start` would end the reader's next wait early."""
    workers = Workers(execute)

    def reader() -> float:
        for method in (lambda: None, lambda: gevent.sleep(0), lambda: gevent.sleep(0.005)):
            workers.start(call_of(method))
        begin = gevent.get_hub().loop.now()
        Event().wait(0.05)
        return float(gevent.get_hub().loop.now() - begin)

    assert run(reader) > 0.04


def test_calls_above_the_limit_wait_in_order() -> None:
    workers = Workers(execute, limit=2)
    gates = [Event() for _ in range(5)]
    begun: list[int] = []

    def method(i: int) -> None:
        begun.append(i)
        gates[i].wait()

    def bound(i: int) -> Callable[[], None]:
        return lambda: method(i)

    start_all(workers, *(call_of(bound(i)) for i in range(5)))
    assert begun == [0, 1]
    gates[1].set()
    until(lambda: begun == [0, 1, 2])
    gates[0].set()
    gates[2].set()
    until(lambda: begun == [0, 1, 2, 3, 4])
    for gate in gates:
        gate.set()
    workers.stop(1)


def test_what_is_over_before_its_turn_is_not_run() -> None:
    workers = Workers(execute, limit=1)
    gate = Event()
    ran: list[str] = []
    dropped = call_of(lambda: ran.append("dropped"))
    start_all(workers, call_of(gate.wait), dropped, call_of(lambda: ran.append("run")))
    dropped.over = True
    gate.set()
    until(lambda: ran)
    assert ran == ["run"]
    workers.stop(0)


def test_cancel_stops_the_method_that_was_meant() -> None:
    workers = Workers(execute)
    log: list[str] = []

    def method() -> None:
        try:
            gevent.sleep(10)
        finally:
            log.append("stopped")

    waiting, quick = call_of(method), call_of(lambda: None)
    start_all(workers, waiting, quick)
    workers.cancel(quick)
    gevent.sleep(0)
    assert not log and not waiting.over
    workers.cancel(waiting)
    workers.cancel(waiting)
    until(lambda: waiting.over)
    assert log == ["stopped"]
    workers.stop(0)


def test_context_variables_start_empty_for_each_call() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    workers = Workers(execute)
    seen: list[int | None] = []

    def method() -> None:
        seen.append(variable.get(None))
        variable.set(1)
        gevent.sleep(0)
        seen.append(variable.get(None))

    start_all(workers, call_of(method), call_of(method))
    until(lambda: len(seen) == 4)
    assert sorted(seen, key=str) == [1, 1, None, None]
    workers.stop(0)


def test_stop_gives_time_and_then_stops() -> None:
    workers = Workers(execute)
    log: list[str] = []

    def method(name: str, seconds: float) -> None:
        try:
            gevent.sleep(seconds)
            log.append(f"{name} done")
        except gevent.GreenletExit:
            log.append(f"{name} stopped")
            raise

    calls = [call_of(lambda: method("short", 0.02)), call_of(lambda: method("long", 10))]
    start_all(workers, *calls)
    workers.stop(0.1)
    assert log == ["short done", "long stopped"]
    assert all(call.over for call in calls)


def test_stop_starts_nothing_that_waits() -> None:
    workers = Workers(execute, limit=1)
    ran: list[int] = []
    start_all(workers, call_of(lambda: gevent.sleep(10)), call_of(lambda: ran.append(1)))
    workers.stop(0)
    assert not ran


def test_a_method_may_stop_its_own_workers() -> None:
    workers = Workers(execute)
    call = call_of(lambda: workers.stop(0.01))
    start_all(workers, call)
    until(lambda: call.over)
