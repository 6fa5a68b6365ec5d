"""Greenlets that end together: when all are done, when one fails, and when somebody ends the whole."""

from __future__ import annotations

import threading
from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from jsp.transfer.crew import together
from jsp.transfer.threads import run
from tests.net.support import until

pytestmark = pytest.mark.usefixtures("no_greenlets_left")


class Waiter:
    """Waits for ever, and notes how it ended."""

    def __init__(self) -> None:
        self.running = False
        self.ended: type[BaseException] | None = None

    def __call__(self) -> None:
        self.running = True
        try:
            Event().wait()
        except BaseException as error:
            self.ended = type(error)
            raise
        finally:
            self.running = False


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        gevent.sleep(0)
        raise error

    return fail


def test_it_lasts_until_all_have_returned() -> None:
    # Each waits for the one before it, so they have to run side by side.
    events = [Event() for _ in range(4)]
    done: list[int] = []

    def member(number: int) -> Callable[[], None]:
        def work() -> None:
            events[number].wait()
            done.append(number)
            events[number + 1].set()

        return work

    together(member(2), member(1), member(0), events[0].set)
    assert done == [0, 1, 2]


def test_nobody_is_done_at_once() -> None:
    together()


def test_the_first_failure_ends_the_others() -> None:
    waiters = [Waiter(), Waiter()]
    error = ValueError("first")
    with pytest.raises(ValueError, match="first") as caught:
        together(waiters[0], failing(error), waiters[1])
    assert caught.value is error
    assert [waiter.ended for waiter in waiters] == [gevent.GreenletExit] * 2


def test_the_first_in_time_is_what_is_raised() -> None:
    event = Event()

    def late() -> None:
        event.wait()
        raise OSError("late")

    def early() -> None:
        event.set()
        raise KeyError("early")

    with pytest.raises(KeyError):
        together(late, early)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def fails_at_the_end() -> None:
        try:
            Event().wait()
        finally:
            raise OSError("while it is cleaned up")

    with pytest.raises(ValueError, match="first"):
        together(failing(ValueError("first")), fails_at_the_end, failing(KeyError("second")))
    assert capfd.readouterr().err == ""


def test_one_that_fails_at_once() -> None:
    waiter = Waiter()

    def fail() -> None:
        raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        together(fail, waiter)
    assert not waiter.running


def test_who_waits_is_killed_and_so_are_they() -> None:
    waiters = [Waiter(), Waiter()]
    whole = gevent.spawn(together, *waiters)
    until(lambda: all(waiter.running for waiter in waiters))
    whole.kill()
    assert [waiter.ended for waiter in waiters] == [gevent.GreenletExit] * 2


def test_a_timeout_around_it_ends_it() -> None:
    waiter = Waiter()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        together(waiter)
    assert waiter.ended is gevent.GreenletExit


@pytest.mark.parametrize("kills", [1, 3])
def test_none_runs_any_more_when_it_returns_however_often_it_is_killed(kills: int) -> None:
    # One is in a thread and uses a descriptor; whoever waits for `together` closes that next.
    gate, ended = threading.Event(), threading.Event()

    def in_a_thread() -> None:
        gate.wait(10)
        ended.set()

    waiter = Waiter()
    whole = gevent.spawn(together, waiter, lambda: run(in_a_thread))
    until(lambda: waiter.running)
    gevent.sleep(0.01)
    for _ in range(kills):
        whole.kill(block=False)
        gevent.sleep(0.005)
    assert not whole.dead
    gate.set()
    whole.join(5)
    assert ended.is_set() and waiter.ended is gevent.GreenletExit
    assert isinstance(whole.value, gevent.GreenletExit)


def test_a_failure_waits_for_those_in_threads() -> None:
    gate, ended = threading.Event(), threading.Event()

    def in_a_thread() -> None:
        gate.wait(10)
        ended.set()

    def fail() -> None:
        gevent.sleep(0.01)
        gevent.spawn_later(0.01, gate.set)
        raise ValueError("words")

    with pytest.raises(ValueError, match="words"):
        together(lambda: run(in_a_thread), fail)
    assert ended.is_set()


def test_who_is_killed_while_a_failure_waits_is_killed() -> None:
    gate = threading.Event()
    failed = Event()

    def wait() -> None:
        run(gate.wait, 10)

    def fail() -> None:
        gevent.sleep(0.005)
        failed.set()
        raise ValueError("words")

    whole = gevent.spawn(together, wait, fail)
    failed.wait(5)
    gevent.sleep(0.005)
    whole.kill(block=False)
    gevent.sleep(0)
    gate.set()
    whole.join(5)
    assert isinstance(whole.value, gevent.GreenletExit)
