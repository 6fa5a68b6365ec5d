"""Greenlets for handlers: as many at once as a pool allows, stopped in order, used again for what is over soon."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, NamedTuple

import gevent
from gevent import Greenlet
from gevent.pool import Pool

from jsp.net import clock
from jsp.net.connection import Connection

log = logging.getLogger("jsp")

# Seconds for what was killed to end, and for `finish`, which then follows.
_GRACE = 1.0
# Greenlets kept for later. One is enough for any number of handlers that do not wait.
_IDLE_MAX = 32


class _Task(NamedTuple):
    """What `Spawner.spawn` was called with."""

    function: Callable[..., None]
    args: tuple[Any, ...]
    done: Callable[[], None] | None
    certain: bool


class _Lent:
    """Work for a greenlet that is used again. Takes the place of a greenlet that waits (`waiting.Woken`): it is run
    in the turn of the endpoint that brought it, without a round through the loop."""

    __slots__ = ("_function", "_spawner", "done")

    def __init__(self, spawner: Spawner, function: Callable[[], None], done: Callable[[], None]) -> None:
        self._spawner = spawner
        self._function = function
        self.done = done

    def switch(self, _: Any) -> None:
        """Begin. In the hub."""
        self._spawner.employ(self)

    def run(self) -> None:
        """Do it, as in a greenlet of its own as far as context variables are concerned."""
        try:
            Context().run(self._function)
        finally:
            self.done()


class _Worker(Greenlet):  # type: ignore[type-arg]  # it has parameters for type checkers only
    """A greenlet that does one piece of work after the other. To make one costs system calls: its stack of frames."""

    def __init__(self, spawner: Spawner, work: _Lent) -> None:
        super().__init__()
        self._spawner = spawner
        self.work: _Lent | None = work

    def _run(self) -> None:
        spawner = self._spawner
        # Not kept while idle: it leads to a connection.
        while (work := self.work) is not None:
            self.work = None
            spawner.greenlets.add(self)
            try:
                work.run()
            finally:
                del work
                spawner.greenlets.discard(self)
            if not spawner.has_place():
                return
            spawner.idle.append(self)
            # Until `employ` has more, or `stop` ends it.
            gevent.get_hub().switch()


class Spawner:
    """Starts greenlets, at most as many at once as its pool has room for; the others wait their turn.

    Attributes:
        greenlets: those that have not ended, but for idle ones.
        idle: those that wait for more work.
        bounded: whether there is a pool.
    """

    def __init__(self, pool: Pool | None) -> None:
        self._pool = pool
        self.bounded = pool is not None
        self._waiting: deque[_Task] = deque()
        self._starter: Greenlet[..., Any] | None = None
        self._certain: set[Greenlet[..., Any]] = set()
        self._stopping = False
        self.greenlets: set[Greenlet[..., Any]] = set()
        self.idle: list[_Worker] = []

    def full(self) -> bool:
        """Whether what is spawned now has to wait."""
        return self._pool is not None and (bool(self._waiting) or self._pool.full())

    def spawn(
        self, function: Callable[..., None], *args: Any, done: Callable[[], None] | None = None, certain: bool = False
    ) -> None:
        """Run `function(*args)` in a greenlet of its own, now or when there is room.

        `done` is called, in the hub, when it has ended, and also when it was not run because of `stop`; what is
        `certain` is run nevertheless.
        """
        task = _Task(function, args, done, certain)
        if self._stopping:
            self._settle(task)
        elif self.full():
            self._waiting.append(task)
            if not self._starter:
                self._starter = gevent.spawn(self._start_waiting)
        else:
            self._start(task, self._pool)

    def lend(self, function: Callable[[], None], connection: Connection, done: Callable[[], None]) -> None:
        """Like `spawn`, for what is over soon: without a pool, in a greenlet that may have done the like before. In the
        turn of the endpoint of `connection`, and `done` is called in that greenlet."""
        if self.bounded:
            self.spawn(function, done=done)
        else:
            connection.resume(_Lent(self, function, done))

    def employ(self, work: _Lent) -> None:
        """Have `work` done now, until it waits for something. In the hub."""
        if self._stopping:
            work.done()
            return
        if self.idle:
            worker = self.idle.pop()
            worker.work = work
        else:
            worker = _Worker(self, work)
        worker.switch()

    def has_place(self) -> bool:
        """Whether a greenlet that is done shall stay for more."""
        return not self._stopping and len(self.idle) < _IDLE_MAX

    def _start(self, task: _Task, pool: Pool | None) -> None:
        greenlet = Greenlet(task.function, *task.args)
        self.greenlets.add(greenlet)
        if task.certain:
            self._certain.add(greenlet)
        if pool is not None:
            pool.start(greenlet)  # type: ignore[arg-type]  # any result will do
        else:
            greenlet.start()
        greenlet.rawlink(partial(self._on_done, task))

    def _on_done(self, task: _Task, greenlet: Greenlet[..., Any]) -> None:
        self.greenlets.discard(greenlet)
        self._certain.discard(greenlet)
        if task.done is not None:
            task.done()

    def _start_waiting(self) -> None:
        # The pool may be shared, so that only itself knows when it has room.
        assert self._pool is not None
        while self._waiting:
            self._pool.wait_available()
            if not self._pool.full():
                self._start(self._waiting.popleft(), self._pool)

    def _settle(self, task: _Task) -> None:
        """Nothing is begun any more but what is certain, for which there need not be room."""
        if task.certain:
            self._start(task, None)
        elif task.done is not None:
            task.done()

    def stop(self, timeout: float) -> None:
        """Start nothing that still waits, give what runs `timeout` seconds, then kill it.

        What is certain may take a second more. The greenlet that calls this is left alone; so are others that do
        not end when they are killed.
        """
        self._stopping = True
        try:
            if self._starter is not None:
                self._starter.kill(block=False)
                self._starter = None
            while self._waiting:
                self._settle(self._waiting.popleft())
            self._join(timeout)
            gevent.killall(self._others() - self._certain, block=False)
            self._join(_GRACE)
            late = self._others() & self._certain
            gevent.killall(late, block=False)
            self._join(_GRACE if late else 0.0)
        except BaseException:
            # The caller does not want to wait any longer (gevent.Timeout, Ctrl-C).
            gevent.killall(self._others() - self._certain, block=False)
            raise
        finally:
            idle, self.idle = self.idle, []
            gevent.killall(idle, block=False)
            self._stopping = False
        if self._others():
            log.warning("%d handler(s) do not end although they were killed", len(self._others()))

    def _others(self) -> set[Greenlet[..., Any]]:
        return self.greenlets - {gevent.getcurrent()}

    def _join(self, timeout: float) -> None:
        """Wait until all have ended, also those that follow on them, for at most `timeout` seconds."""
        deadline = clock.now() + timeout
        while (running := self._others()) and (left := deadline - clock.now()) > 0:
            gevent.joinall(list(running), timeout=left)
