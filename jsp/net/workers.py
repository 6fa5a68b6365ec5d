"""The worker processes of one server: `Crew` is what its own process sees of them, `Berth` what a worker has.

The server's process binds all sockets and keeps them. So a worker that dies leaves its socket, with what has
arrived there, to the next one, and the kernel's numbers for sockets stay those of the workers. It starts one process,
the supervisor, which starts the workers (`supervisor.py`): whatever becomes of the program afterwards, blocked or
busy, workers are kept, and one that starts late has not got the program's open files.
"""

from __future__ import annotations

import logging
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gevent import get_hub
from gevent._hub_local import get_hub_if_exists, set_hub
from gevent.monkey import get_original

from jsp.config import Config
from jsp.engine.sharing import WORKERS_MAX
from jsp.errors import LocalError
from jsp.net import clock, steering, supervisor
from jsp.net.endpoint import Endpoint
from jsp.net.udp import UdpSocket
from jsp.net.waiting import Signal

log = logging.getLogger("jsp")

# Seconds the supervisor gets to end, beyond those that it gives its workers.
_GRACE = supervisor.GRACE + 5.0

_all: weakref.WeakSet[Crew | Berth] = weakref.WeakSet()
_abandoned: list[Any] = []


def _leave_in_child() -> None:
    # A forked child must not keep a line to or from the supervisor open, or listen to it, or keep the port.
    for each in list(_all):
        each.leave_to_parent()


os.register_at_fork(after_in_child=_leave_in_child)


def check_workers(workers: int) -> int:
    """`workers` if there can be so many. LocalError says what is wrong."""
    if not isinstance(workers, int) or isinstance(workers, bool) or not 1 <= workers <= WORKERS_MAX:
        raise LocalError(f"workers: a number of processes from 1 to {WORKERS_MAX}, not {workers!r}")
    if workers > 1 and not hasattr(os, "fork"):
        raise LocalError("workers: this system cannot fork processes")
    return workers


def share_of(config: Config, workers: int) -> Config:
    """One worker's part of what a server may hold and take in all.

    `max_half_open` is not divided: it bounds what a flood costs, and as it is keeps one address from filling a worker.
    """
    rate = config.rate_limit
    return replace(
        config,
        max_connections=max(1, config.max_connections // workers),
        memory_limit=max(config.receive_window, config.memory_limit // workers),
        rate_limit=rate / workers if rate is not None else None,
    )


def check_loop() -> None:
    """LocalError when processes cannot be forked from under the loop of this thread's hub."""
    if type(get_hub().loop).__module__.startswith("gevent.libuv"):
        # Workers that leave such a loop behind were seen to crash.
        raise LocalError("workers: not with gevent's libuv loop; set GEVENT_LOOP=libev-cext")


class Berth:
    """A worker's place: its number, its socket, and the line that says when to stop. In its process only."""

    def __init__(self, number: int, socket: UdpSocket, mailboxes: steering.Mailboxes, line: Any) -> None:
        self.number = number
        self.socket = socket
        self._mailboxes = mailboxes
        self._line = line
        self._over = False

    def serve(self, endpoint: Endpoint, stopped: Signal, stop: Callable[[float], None], otherwise: float) -> None:
        """Serve until told to stop, then call `stop` with the seconds there are for it, `otherwise` if none are said.

        Ends, too, when `endpoint` is closed, which `stopped` tells.
        """
        self._exchange = steering.Exchange(endpoint, self._mailboxes, self.number)
        self._watcher = endpoint.hub.loop.io(self._line.fileno(), 1)
        self._watcher.start(self._on_line, stopped)
        _all.add(self)
        while not self._over and not endpoint.closed:
            stopped.wait()
        # Connections that end still need what others pass on.
        stop((supervisor.hear(self._line, otherwise)[0] or 0.0) if self._over else otherwise)
        self._exchange.close()

    def _on_line(self, stopped: Signal) -> None:
        self._over = True
        self._watcher.stop()
        stopped.notify()

    def leave_to_parent(self) -> None:
        """In a child that a handler forked: what is said to the worker is not for it."""
        self._watcher.stop()
        self._exchange.close()
        self._line.close()
        self._mailboxes.close()


class Crew:
    """Workers and their supervisor, as the process sees them that started them, on the hub of one of its threads.

    Attributes:
        address: where they listen.
        closed: whether `close` was called, or this is a forked child's copy.
        hub: the hub that `stop` must be called from.
    """

    def __init__(
        self, sockets: list[UdpSocket], work: Callable[[Berth], None], timeout: float, on_lost: Callable[[], None]
    ) -> None:
        """Start a worker for each of `sockets`, which become ours.

        `work` is called in each worker process, which ends when it returns. `timeout`: seconds workers have to end
        when this process goes without a word. `on_lost`: called in the hub if the supervisor ends unasked.
        """
        self.address = sockets[0].address
        self.closed = False
        self.hub = get_hub()
        self._sockets = sockets
        self._work = work
        self._timeout = timeout
        self._on_lost = on_lost
        self._stopping = False
        self._ended = Signal()
        self._mailboxes: steering.Mailboxes | None = None
        self._line: Any = None
        self._pid = 0
        try:
            self._mailboxes = steering.Mailboxes(len(sockets))
            if not steering.attach(sockets[0], len(sockets)):
                log.info("the kernel does not steer datagrams to workers: they pass on what is another's")
            self._start()
        except BaseException:
            self._close_files()
            raise
        line: Any = self._line
        self._watcher = self.hub.loop.io(line.fileno(), 1)
        self._watcher.start(self._on_end)
        _all.add(self)

    def _start(self) -> None:
        self._line, theirs = supervisor.new_line()
        try:
            self._pid = supervisor.fork(lambda: self._supervise(theirs))
        finally:
            theirs.close()

    def _supervise(self, line: Any) -> None:
        """In the supervisor's process."""
        self._line.close()
        supervisor.Supervisor(line, len(self._sockets), self._become, self._timeout).run()

    def _become(self, number: int, line: Any) -> None:
        """In a worker's process."""
        _forget_hub()
        for other, socket in enumerate(self._sockets):
            if other != number:
                socket.close()
        assert self._mailboxes is not None
        self._work(Berth(number, self._sockets[number], self._mailboxes, line))

    def _on_end(self) -> None:
        # The supervisor says nothing, so this is the end of the line.
        self._watcher.stop()
        self._reap()
        self._ended.notify()
        if not self._stopping:
            self._on_lost()

    def _reap(self, patience: float = _GRACE) -> None:
        """Wait for the supervisor, whose end is near, without the hub; kill it if it does not come."""
        pid, self._pid = self._pid, 0
        waitpid, sleep = get_original("os", "waitpid"), get_original("time", "sleep")
        end = clock.now() + patience
        try:
            while pid and not waitpid(pid, os.WNOHANG)[0]:
                if clock.now() > end:
                    os.kill(pid, signal.SIGKILL)
                sleep(0.001)
        except (ChildProcessError, ProcessLookupError):
            return  # somebody else waits for all children, as gevent does when it watches one

    def stop(self, seconds: float) -> None:
        """Let workers stop as a server does in `seconds`; then no process is left."""
        self._stopping = True
        try:
            if self._pid:
                supervisor.tell(self._line, seconds)
            deadline = clock.now() + seconds + _GRACE
            while self._pid and (left := deadline - clock.now()) > 0:
                self._ended.wait(left)
            self._reap(0.0)
        except BaseException:
            # The caller does not want to wait any longer (gevent.Timeout, Ctrl-C).
            supervisor.tell(self._line, None)
            self._reap(1.0)
            raise

    def close(self) -> None:
        """Let go of the port and of the supervisor, which ends if it has not."""
        if self.closed:
            return
        self.closed = True
        self._watcher.stop()
        self._watcher.close()
        self._close_files()

    def leave_to_parent(self) -> None:
        """In a forked child: the workers are its parent's."""
        self.closed = True
        self._pid = 0
        self._watcher.stop()
        self._close_files()

    def _close_files(self) -> None:
        for socket in self._sockets:
            socket.close()
        if self._line is not None:
            self._line.close()
        if self._mailboxes is not None:
            self._mailboxes.close()


def _forget_hub() -> None:
    """In a worker's process: begin without the hub, the loop and the greenlets of the program that started the server.

    They must never run here. The hub is kept, for a greenlet that is collected is run to its end.
    """
    hub = get_hub_if_exists()
    if hub is not None:
        _abandoned.append(hub)
        set_hub(None)  # type: ignore[arg-type]  # as gevent itself does it
        hub.loop.destroy()
