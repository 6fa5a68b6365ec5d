"""Disk work in threads: its result or exception, the hub that goes on meanwhile, and calls that nobody leaves alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from jsp.transfer.threads import run
from tests.net.support import until


class Slow:
    """A call in a thread that ends when the test says so.

    Attributes:
        gate: lets it end.
        begun, ended: whether it has.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = False
        self.ended = False

    def __call__(self) -> str:
        self.begun = True
        self.gate.wait(10)
        self.ended = True
        return "done"


@pytest.fixture
def slow() -> Iterator[Slow]:
    call = Slow()
    yield call
    call.gate.set()
    until(lambda: call.ended or not call.begun)


def test_result_and_arguments_pass() -> None:
    assert run(lambda *args, **kwargs: (args, kwargs), 1, [2], key=3) == ((1, [2]), {"key": 3})
    assert run(threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize("result", [None, 0, False, b"", ValueError("a result")], ids=repr)
def test_results_are_results_whatever_they_look_like(result: Any) -> None:
    assert run(lambda: result) is result


@pytest.mark.parametrize("error", [OSError(28, "full"), StopIteration(), TimeoutError(), AssertionError("x")], ids=repr)
def test_an_exception_is_the_callers_and_nobody_elses(error: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run(fail)
    assert caught.value is error
    assert any(entry.name == "fail" for entry in caught.traceback), "the traceback says where"
    assert capfd.readouterr().err == ""


def test_the_hub_goes_on_meanwhile(slow: Slow) -> None:
    waiting = gevent.spawn(run, slow)
    until(lambda: slow.begun)
    assert not waiting.dead
    assert run(lambda: "another thread") == "another thread"
    slow.gate.set()
    assert waiting.get(timeout=5) == "done"


def test_who_is_killed_waits_for_the_call(slow: Slow) -> None:
    # It uses descriptors that will be closed.
    waiting = gevent.spawn(run, slow)
    until(lambda: slow.begun)
    for _ in range(3):
        waiting.kill(block=False)
        gevent.sleep(0.005)
        assert not waiting.dead
    slow.gate.set()
    waiting.join(5)
    assert slow.ended
    assert isinstance(waiting.value, gevent.GreenletExit)


def test_a_timeout_is_late_but_not_forgotten(slow: Slow) -> None:
    gevent.spawn_later(0.03, slow.gate.set)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.005):
        run(slow)
    assert slow.ended


def test_who_is_killed_before_the_call_begins_is_gone_at_once() -> None:
    called: list[int] = []
    waiting = gevent.spawn(run, called.append, 1)
    waiting.kill()
    assert waiting.dead and not called


def test_many_at_once() -> None:
    # More than the pool has threads.
    jobs = [gevent.spawn(run, lambda n=n: n * n) for n in range(50)]
    gevent.joinall(jobs, timeout=5)
    assert [job.value for job in jobs] == [n * n for n in range(50)]
