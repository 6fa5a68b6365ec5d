"""The process that keeps workers: what it does when they die, hang, cannot be started, and when it is to stop."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jsp.net import supervisor
from jsp.net.supervisor import Supervisor, fork, hear, new_line, tell
from tests.net.workers_support import PATIENCE, descendants


class Watched:
    """A supervisor in a process of its own, whose workers report by a pipe."""

    def __init__(self, workers: int, work: Callable[[int, Any, int], None], timeout: float = 0.2) -> None:
        self.line, theirs = new_line()
        self.reports, self._pen = os.pipe()

        def supervise() -> None:
            self.line.close()
            os.close(self.reports)
            Supervisor(theirs, workers, lambda number, line: work(number, line, self._pen), timeout).run()

        self.pid = fork(supervise)
        theirs.close()
        os.close(self._pen)

    def report(self, patience: float = PATIENCE) -> bytes:
        """The next bytes from workers; b"": none came, or none will."""
        ready, _, _ = select.select([self.reports], [], [], patience)
        return os.read(self.reports, 100) if ready else b""

    def reports_of(self, number: int) -> bytes:
        """So many bytes from workers, sorted."""
        got = b""
        while len(got) < number and (more := self.report()):
            got += more
        return bytes(sorted(got))

    def wait(self) -> int:
        """Its exit status."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise AssertionError("the supervisor does not end")

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.line.close()
        os.close(self.reports)


@contextmanager
def watched(*args: Any, **options: Any) -> Iterator[Watched]:
    made = Watched(*args, **options)
    try:
        yield made
    finally:
        made.close()


def obedient(number: int, line: Any, pen: int) -> None:
    """A worker that reports its number, waits for the word, and reports how long it was given."""
    os.write(pen, b"%d" % number)
    seconds, more = hear(line, 7.0)
    os.write(pen, b"s" if more and seconds == 3.0 else b"t" if not more else b"n")


def test_starts_all_and_ends_them_when_told() -> None:
    with watched(3, obedient) as it:
        assert it.reports_of(3) == b"012"
        tell(it.line, 3.0)
        assert it.reports_of(3) == b"sss"
        assert it.wait() == 0
        assert it.report() == b""  # the end of the pipe: nobody has it any more


def test_ends_workers_when_its_server_goes_without_a_word() -> None:
    with watched(2, obedient) as it:
        assert it.reports_of(2) == b"01"
        for number in (signal.SIGINT, signal.SIGTERM):
            for pid in (it.pid, *descendants(it.pid)):
                os.kill(pid, number)
        assert it.report(0.1) == b""
        it.line.close()
        assert it.reports_of(2) == b"nn"
        assert it.wait() == 0


def test_workers_notice_when_their_supervisor_is_killed() -> None:
    with watched(2, obedient) as it:
        assert it.reports_of(2) == b"01"
        os.kill(it.pid, signal.SIGKILL)
        assert it.reports_of(2) == b"tt"
        assert it.wait() == -signal.SIGKILL
        assert it.report() == b""


def test_dead_workers_are_replaced_and_those_that_die_at_once_not_without_end() -> None:
    def dies(number: int, line: Any, pen: int) -> None:
        os.write(pen, b"%d" % number)
        if number == 0:
            hear(line, 0.0)
        raise RuntimeError("cannot set up")

    with watched(2, dies) as it:
        begin = time.monotonic()
        got = b""
        while got.count(b"1") < 4:
            more = it.report()
            assert more
            got += more
        # At 0, 0.1, 0.3 and 0.7 s, or later when there is much to do.
        assert time.monotonic() - begin > 0.65
        assert got.count(b"0") == 1
        tell(it.line, 0.0)
        assert it.wait() == 0


def test_worker_that_lived_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_SETTLED", 0.0)
    monkeypatch.setattr(supervisor, "_DELAY_MIN", 1000.0)

    def brief(number: int, line: Any, pen: int) -> None:
        os.write(pen, b"x")

    with watched(1, brief) as it:
        assert it.reports_of(5)[:5] == b"xxxxx"


def _deaf(number: int, line: Any, pen: int) -> None:
    os.write(pen, b"%d" % number)
    while True:
        time.sleep(100)


def test_worker_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.1)

    with watched(2, _deaf) as it:
        assert it.reports_of(2) == b"01"
        tell(it.line, 0.05)
        assert it.wait() == 0
        assert it.report() == b""


def test_hurry_ends_a_stop_that_has_begun() -> None:
    with watched(2, _deaf) as it:
        assert it.reports_of(2) == b"01"
        tell(it.line, 1000.0)
        assert it.report(0.1) == b""
        tell(it.line, None)
        assert it.wait() == 0


@pytest.mark.parametrize("what", ["_fork", "new_line"])
def test_worker_that_cannot_be_started_is_tried_again(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home = os.getpid()
    real = getattr(supervisor, what)
    refusals = iter([True, True, False])

    def refuse() -> Any:
        if os.getpid() != home and next(refusals):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return real()

    monkeypatch.setattr(supervisor, what, refuse)
    with watched(1, obedient) as it:
        assert it.reports_of(1) == b"0"
        tell(it.line, 3.0)
        assert it.reports_of(1) == b"s"
        assert it.wait() == 0


def test_fork_keeps_signals_and_output_of_the_two_apart(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    print("before", end="")

    def child() -> None:
        print("child", end="")
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
        raise SystemExit(5)

    pid = fork(child)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    print("after")
    assert capfd.readouterr().out == "beforechildafter\n"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == handlers
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_words_on_a_line() -> None:
    ours, theirs = new_line()
    for word in (1.5, 0.0, None):
        tell(ours, word)
        assert hear(theirs, 9.0) == (word, True)
    tell(ours, -3.0)
    assert hear(theirs, 9.0) == (0.0, True)
    ours.close()
    assert hear(theirs, 9.0) == (9.0, False)
    tell(theirs, 1.0)  # nobody is there, and nothing happens
    theirs.close()
    assert hear(theirs, 9.0) == (9.0, False)
