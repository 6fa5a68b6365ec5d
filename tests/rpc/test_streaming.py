"""Streams of items through client and server: both directions, back-pressure, and every way to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

import jsp
import jsp.rpc
from jsp.rpc.windows import ITEM_MAX, WINDOW
from tests.rpc.support import Bench, pair, quiet, serving, until


def test_streams_in_every_direction() -> None:
    with pair() as client:
        assert list(client.stream("count", 5)) == [0, 1, 2, 3, 4]
        assert client.call("total", iter([1, 2, 3]), start=4) == 10
        assert client.call("total", start=1, numbers=(i for i in range(5))) == 11
        assert client.submit("total", iter([5])).result() == 5
        assert list(client.stream("doubled", iter([1, 2, 3]))) == [2, 4, 6]
        assert list(client.stream("count", 0)) == []
        assert quiet(client)


def test_a_conversation_item_by_item() -> None:
    with pair() as client:
        replies: jsp.rpc.Items

        def numbers() -> Iterator[int]:
            last = 1
            yield last
            for _ in range(4):
                last = next(replies) + 1
                yield last

        replies = client.stream("doubled", numbers())
        until(lambda: quiet(client))
        assert next(replies) == 2 * (2 * (2 * (2 * 3 + 1) + 1) + 1)


def test_more_items_than_a_window_both_ways() -> None:
    chunk = bytes(100_000)
    with pair() as client:
        items = client.stream("count", 40, size=len(chunk))
        assert all(item == chunk for item in items)
        assert sum(client.stream("doubled", iter(range(20_000)))) == 2 * sum(range(20_000))


def test_the_server_runs_ahead_by_a_window_at_most() -> None:
    bench = Bench()
    with pair(bench) as client:
        items = client.stream("count", 100, size=100_000)
        next(items)
        gevent.sleep(0.05)
        made = len(bench.log)
        assert made <= WINDOW // 100_000 + 2
        gevent.sleep(0.02)
        assert len(bench.log) == made
        assert sum(1 for _ in items) == 99


def stop_by_break(client: jsp.rpc.Client) -> None:
    for _ in client.stream("drip", 5):
        break


def stop_by_close(client: jsp.rpc.Client) -> None:
    items = client.stream("drip", 5)
    next(items)
    items.close()
    items.close()
    assert list(items) == []


def stop_by_with(client: jsp.rpc.Client) -> None:
    with client.stream("drip", 5) as items:
        next(items)


def stop_by_error(client: jsp.rpc.Client) -> None:
    try:
        for item in client.stream("drip", 5):
            raise KeyError(item)
    except KeyError:
        pass


@pytest.mark.parametrize("stop", [stop_by_break, stop_by_close, stop_by_with, stop_by_error])
def test_the_method_stops_when_its_consumer_does(stop: Callable[[jsp.rpc.Client], None]) -> None:
    bench = Bench()
    with pair(bench) as client:
        stop(client)
        until(lambda: bench.log == ["GreenletExit"])
        until(lambda: quiet(client))


def test_a_generator_that_waits_for_credit_is_closed() -> None:
    bench = Bench()
    with pair(bench) as client:
        with client.stream("count", 100, size=ITEM_MAX - 100) as items:
            next(items)
        until(lambda: bench.log and bench.log[-1] == "closed")
        assert len(bench.log) < 10


def test_time_limit_of_items() -> None:
    with pair() as client:
        items = client.stream("drip", 2)
        items.timeout = 0.02
        assert next(items) == 0
        with pytest.raises(jsp.Timeout, match="no item"):
            next(items)
        client.timeout = 5
        assert client.stream("count", 1).timeout == 5


@pytest.mark.parametrize(("size", "error"), [(ITEM_MAX, jsp.rpc.TooLarge), (0, jsp.rpc.Unserialisable)])
def test_items_that_cannot_be_sent(size: int, error: type[Exception]) -> None:
    service = jsp.rpc.Service()

    @service.method
    def bad() -> Iterator[Any]:
        yield 1
        yield bytes(size) if size else object()

    @service.method
    def swallow(numbers: Iterator[Any]) -> int:
        return sum(1 for _ in numbers)

    with serving(service) as server, jsp.rpc.connect(server.url) as client:
        items = client.stream("bad")
        assert next(items) == 1
        with pytest.raises(error, match="an item"):
            next(items)
        assert list(items) == []
        with pytest.raises(error):
            client.call("swallow", iter([1, bytes(size) if size else object()]))
        until(lambda: quiet(client))


def broken() -> Iterator[int]:
    yield 1
    raise KeyError("mine")


def test_an_argument_that_breaks_off_fails_its_call() -> None:
    with pair() as client:
        with pytest.raises(KeyError, match="mine"):
            client.call("total", broken())
        with pytest.raises(KeyError, match="mine"):
            client.submit("total", broken()).result()
        with pytest.raises(KeyError, match="mine"):
            list(client.stream("doubled", broken()))
        until(lambda: quiet(client))
        assert client.call("add", 1) == 2


@pytest.mark.parametrize("error", [gevent.Timeout(1), jsp.ConnectionClosed("another one"), gevent.GreenletExit()])
def test_an_argument_may_break_off_in_any_way(error: BaseException) -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise error

    with pair() as client:
        with pytest.raises(type(error)):
            client.call("total", breaks(), timeout=5)
        with pytest.raises(type(error)):
            client.submit("total", breaks()).result(5)
        until(lambda: quiet(client))


def test_who_waits_for_an_argument_hears_that_the_call_is_over() -> None:
    left: list[gevent.Greenlet[..., Any]] = []
    service = jsp.rpc.Service()

    @service.method
    def leave(numbers: Iterator[int]) -> None:
        left.append(gevent.spawn(list, numbers))
        gevent.sleep(0)

    def slow() -> Iterator[int]:
        gevent.sleep(10)
        yield 1

    with serving(service) as server, jsp.rpc.connect(server.url) as client:
        client.call("leave", slow())
        assert left[0].get(timeout=5) == []


def test_an_argument_is_closed_when_its_method_is_over() -> None:
    log: list[str] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
                gevent.sleep(0.001)
        finally:
            log.append("closed")

    with pair() as client:
        with pytest.raises(jsp.rpc.BadArguments):
            client.call("add", endless(), 1, 2, 3)
        until(lambda: log == ["closed"])
