"""The process between a server and its workers: starts them, starts them again when they die, ends them.

It has no hub: it only waits for workers to end, for the clock, and for a word on `line`, a socket to the server. The
word is a number of seconds to stop in; the end of the line means that the server's process is no more. Workers, in
turn, hang on such a line each. SIGTERM and SIGINT often reach all processes of a program at once; only the server's
answers them.

Since workers descend from this process they all begin with what the program was when it started the server, whatever
it has opened and become since.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket as stdlib_socket
import struct
import sys
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from gevent.monkey import get_original

from jsp.net import clock

log = logging.getLogger("jsp")

# Seconds a worker gets beyond what it was told to stop in, before it is killed.
GRACE = 5.0
# A worker that dies younger than this died at once; the next one waits, twice as long each time.
_SETTLED = 5.0
_DELAY_MIN = 0.1
_DELAY_MAX = 10.0

_SECONDS = struct.Struct("d")
_AT_ONCE = -1.0
_OURS = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
# BSDs have a socket option instead; what Python does by default, to ignore SIGPIPE, covers them.
_NO_SIGNAL = getattr(stdlib_socket, "MSG_NOSIGNAL", 0)

# As they are, whether or not the program is monkey-patched: gevent's would run the hub.
_fork = get_original("os", "fork")
_waitpid = get_original("os", "waitpid")
_set_signal = get_original("signal", "signal")


def _ignore(number: int, frame: object) -> None:
    """A handler that does nothing, unlike SIG_IGN, which programs that a worker starts would inherit."""


def new_line() -> tuple[Any, Any]:
    """Two ends of a line between two processes; each sees the other's end."""
    pair: tuple[Any, Any] = get_original("socket", "socketpair")()
    return pair


def tell(line: Any, seconds: float | None) -> None:
    """Tell the process at the other end to stop within `seconds`, None: at once. Nothing happens if it is gone."""
    try:
        line.send(_SECONDS.pack(_AT_ONCE if seconds is None else max(0.0, seconds)), _NO_SIGNAL)
    except OSError:
        return


def hear(line: Any, otherwise: float) -> tuple[float | None, bool]:
    """What `tell` said, and whether the line goes on: its end means `otherwise`."""
    try:
        word = line.recv(_SECONDS.size)
    except OSError:
        word = b""
    if len(word) != _SECONDS.size:
        return otherwise, False
    seconds = _SECONDS.unpack(word)[0]
    return (None if seconds < 0 else seconds), True


def fork(child: Callable[[], None]) -> int:
    """Run `child` in a new process, with signals held back until its `on_signals`; the process id. OSError if refused.

    The child ends when `child` returns, without any of the program's own ends: those are the parent's.
    """
    # What is still in buffers would be written by both.
    _flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
    try:
        pid = int(_fork())
        if pid == 0:
            _run(child, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _run(child: Callable[[], None], mask: Collection[int]) -> NoReturn:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        _set_signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGTERM):
            _set_signal(number, _ignore)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        child()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("process %d of the server failed", os.getpid())
    finally:
        _flush()
        os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue


class _Worker:
    """A worker's place: the process that has it, or when there will be one."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.line: Any = None
        self.born = 0.0
        self.delay = 0.0
        self.due = 0.0


class Supervisor:
    """What the process does.

    Args:
        line: to the server.
        workers: how many to keep.
        work: what worker n does, called with n and its line; the worker ends when it returns.
        timeout: seconds for workers to end in when the server goes without a word.
    """

    def __init__(self, line: Any, workers: int, work: Callable[[int, Any], None], timeout: float) -> None:
        self._line = line
        self._workers = [_Worker(number) for number in range(workers)]
        self._work = work
        self._timeout = timeout
        self._deadline: float | None = None
        self._woken, self._waker = os.pipe()

    def run(self) -> None:
        """Keep workers until told to stop, and until all have ended."""
        # Greenlets of the program that are garbage here must not run their last lines here.
        gc.freeze()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        # A handler is needed for a signal to be written there.
        _set_signal(signal.SIGCHLD, _ignore)
        poll = get_original("select", "poll")()
        poll.register(self._line, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while self._deadline is None or any(worker.pid for worker in self._workers):
            now = clock.now()
            if self._deadline is None:
                for worker in self._workers:
                    if not worker.pid and worker.due <= now:
                        self._start(worker)
            elif self._deadline <= now:
                self._kill()
            ready = [fd for fd, _ in poll.poll(self._patience())]
            if self._woken in ready:
                os.read(self._woken, 4096)
            if self._line.fileno() in ready:
                seconds, more = hear(self._line, self._timeout)
                if not more:
                    poll.unregister(self._line)
                self._stop(seconds)
            self._reap()

    def _patience(self) -> float | None:
        """Milliseconds until something is due."""
        due = [self._deadline] if self._deadline is not None else [w.due for w in self._workers if not w.pid]
        return max(0.0, min(due) - clock.now()) * 1000 + 1 if due else None

    def _start(self, worker: _Worker) -> None:
        worker.born = clock.now()
        try:
            ours, theirs = new_line()
            try:
                worker.pid = fork(lambda: self._become(worker, theirs, ours))
            except OSError:
                ours.close()
                raise
            finally:
                theirs.close()
        except OSError as error:
            self._put_off(worker)
            log.error("cannot start worker %d: %s; tried again in %.1f s", worker.number, error.strerror, worker.delay)
        else:
            worker.line = ours

    def _become(self, worker: _Worker, line: Any, other_end: Any) -> None:
        """In the new process: what the supervisor holds must not outlive it here."""
        other_end.close()
        self._line.close()
        for end in (self._woken, self._waker):
            os.close(end)
        for each in self._workers:
            if each.line is not None:
                each.line.close()
        self._work(worker.number, line)

    def _put_off(self, worker: _Worker) -> None:
        now = clock.now()
        young = now - worker.born < _SETTLED
        worker.delay = min(_DELAY_MAX, max(_DELAY_MIN, 2 * worker.delay)) if young else 0.0
        worker.due = now + worker.delay

    def _reap(self) -> None:
        while True:
            try:
                pid, status = _waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for worker in self._workers:
                if worker.pid == pid:
                    self._on_end(worker, os.waitstatus_to_exitcode(status))

    def _on_end(self, worker: _Worker, code: int) -> None:
        pid, worker.pid = worker.pid, 0
        worker.line.close()
        worker.line = None
        if self._deadline is None:
            self._put_off(worker)
            how = f"by signal {-code}" if code < 0 else f"with status {code}"
            log.warning(
                "worker %d (process %d) ended %s; the next one starts in %.1f s", worker.number, pid, how, worker.delay
            )

    def _stop(self, seconds: float | None) -> None:
        deadline = clock.now() + (seconds + GRACE if seconds is not None else 0.0)
        if self._deadline is None:
            for worker in self._workers:
                if worker.line is not None:
                    tell(worker.line, seconds)
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.pid:
                log.info("worker %d (process %d) has not ended; it is killed", worker.number, worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
        self._deadline = clock.now() + GRACE
