# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Greenlets that run methods: started at once, used again, bounded, stoppable.

A method starts inside the turn that brought its request, without a round through the loop: the hub, which read it,
switches to a worker directly. A method that never waits - most are like that - is over when its worker goes on to the
next call; when there is none it has switched back and is there for later, and nothing was scheduled or made. When a
method does wait, that leads back to the hub too; that worker finishes on its own and is not used again. A greenlet that
starts a call, because the end of another made room for it, goes on through a callback that it left for that case.

So greenlets that never waited are shared by calls one after another, as threads of a pool are: a `gevent.local` that
a method leaves behind is seen by a later one, while context variables start empty for each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Protocol

from gevent import get_hub, getcurrent
from greenlet import GreenletExit, greenlet

from jsp.net import clock
from jsp.net.waiting import Signal
from jsp.rpc.session import ServedCall

# One is enough for any number of methods that do not wait; more are idle only when several readers are at it.
_IDLE_MAX = 8

# What is told to stop gets this long to do so: a method may have things to put in order.
_STOP_TIMEOUT = 1.0


class Work(Protocol):
    """What a worker can be given to do instead of a call."""

    def work(self, worker: Worker) -> None:
        """Do it, in the greenlet of `worker`, and return at once when its `starter` is gone."""


class Worker(greenlet):
    """A greenlet that runs methods.

    Attributes:
        call: what it runs now.
        starter: the greenlet to switch back to when its work is done; None once that has waited.
    """

    __slots__ = ("call", "starter")

    def __init__(self, run: Callable[[ServedCall], None], hub: greenlet) -> None:
        super().__init__(run, hub)
        self.call: ServedCall | None = None
        self.starter: greenlet | None = None


class Workers:
    """All greenlets that run the methods of one server.

    Args:
        execute: runs one call to its end; raises nothing but what shall end the program.
        limit: how many calls may run at once; further ones wait in the order they came. None: any number.
    """

    __slots__ = ("_backlog", "_busy", "_ended", "_execute", "_idle", "_limit", "_stopping")

    def __init__(self, execute: Callable[[ServedCall], None], limit: int | None = None) -> None:
        self._execute = execute
        self._limit = limit
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._backlog: deque[ServedCall] = deque()
        self._ended = Signal()
        self._stopping = False

    def start(self, call: ServedCall) -> None:
        """Run `call` now, until it waits or is over, or later when too many are running."""
        self._employ(call)

    def lead(self, work: Work) -> None:
        """Have a worker do `work` now, until it waits or is over."""
        self._employ(work)

    def _employ(self, job: ServedCall | Work) -> None:
        hub = get_hub()
        worker = self._idle.pop() if self._idle else Worker(self._work, hub)
        starter = worker.starter = getcurrent()
        resume = None if starter is hub else hub.loop.run_callback(starter.switch)
        try:
            worker.switch(job)
        finally:
            if resume is not None:
                resume.stop()
            worker.starter = None

    def _work(self, job: ServedCall | Work) -> None:
        worker = getcurrent()
        assert isinstance(worker, Worker)
        try:
            while True:
                if isinstance(job, ServedCall):
                    self.run(worker, job)
                else:
                    job.work(worker)
                starter = worker.starter
                if starter is None or self._stopping or len(self._idle) >= _IDLE_MAX:
                    return
                self._idle.append(worker)
                job = starter.switch()
        finally:
            self._busy.discard(worker)
            self._ended.notify()

    def run(self, worker: Worker, call: ServedCall) -> None:
        """Run `call` in the greenlet that calls this, `worker`; or later, when too many are running."""
        if self._limit is not None and len(self._busy) >= self._limit:
            self._backlog.append(call)
            return
        self._busy.add(worker)
        self._run(worker, call)
        while self._backlog and not self._stopping:
            self._run(worker, self._backlog.popleft())
        self._busy.discard(worker)

    def _run(self, worker: Worker, call: ServedCall) -> None:
        if call.over:
            return
        worker.call = call
        call.worker = worker
        try:
            Context().run(self._execute, call)
        finally:
            worker.call = None
            call.worker = None

    def cancel(self, call: ServedCall) -> None:
        """Raise GreenletExit in the method of `call` where it waits; nothing if it is over by then."""
        get_hub().loop.run_callback(self._throw, call)

    def _throw(self, call: ServedCall) -> None:
        # The method may have ended since, and its worker be busy with what follows.
        if call.worker is not None and call.stoppable:
            call.worker.throw(GreenletExit)

    def alive(self) -> bool:
        """Whether there are greenlets."""
        return bool(self._busy or self._idle)

    def spare(self) -> None:
        """The call that is running here, if there is one, shall not be stopped any more: it is what stops the rest."""
        me = getcurrent()
        if isinstance(me, Worker) and me.call is not None:
            me.call.stoppable = False
            # Nor is its greenlet there for others afterwards.
            me.starter = None

    def stop(self, timeout: float) -> None:
        """Start nothing that waits, give what runs `timeout` seconds to end, then stop it."""
        self._stopping = True
        for call in self._backlog:
            call.over = True
        self._backlog.clear()
        try:
            self._wait(timeout)
            for worker in self._busy:
                if worker.call is not None:
                    self.cancel(worker.call)
            for worker in self._idle:
                get_hub().loop.run_callback(worker.throw, GreenletExit)
            self._idle.clear()
            self._wait(_STOP_TIMEOUT)
        finally:
            # The caller may be interrupted, and stop once more.
            self._stopping = False

    def _wait(self, timeout: float) -> None:
        """Wait until all are over but who is asking, for at most `timeout` seconds."""
        deadline = clock.now() + timeout
        me = getcurrent()
        while any(worker is not me for worker in self._busy) and clock.now() < deadline:
            self._ended.wait(deadline - clock.now())
