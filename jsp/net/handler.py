"""Handler classes: one instance a connection, one greenlet a running method, none while nothing happens.

The life of a handler: `setup`, then `handle_stream` for each stream (each in a greenlet of its own) and
`handle_message` for each message (one at a time), then, when the connection is over and the others have returned,
`finish`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakSet

import gevent
from gevent import Greenlet
from gevent.pool import Pool

from jsp.crypto.identity import PeerId
from jsp.engine.message import Message
from jsp.errors import Code, ConnectionClosed, Error, StreamClosed, StreamReset, StreamStopped
from jsp.net import clock
from jsp.net.connection import Connection
from jsp.net.stream import Stream

log = logging.getLogger("jsp")

# A peer that goes away in the middle is not the handler's mistake.
_PEER_GONE = (ConnectionClosed, StreamReset, StreamStopped, StreamClosed)

# Factories whose clients send what nobody takes: each is worth one line in the log.
_told: WeakSet[Callable[[Connection], Handler]] = WeakSet()

# Seconds for what was killed to end, and for `finish`, which then follows.
_GRACE = 1.0


class Handler:
    """Base of handler classes; override what you need.

    A class may call `conn.accept_stream` or `conn.recv` itself instead of having `handle_stream` or `handle_message`.
    Until it first does, streams and messages it has no method for are reset and dropped when no method is running.

    Attributes:
        conn: the connection.
        peer: the peer's proven identity, or None for a client without one.
    """

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.peer: PeerId | None = conn.peer

    def setup(self) -> None:
        """The connection is open. An error here closes it."""

    def handle_stream(self, stream: Stream) -> None:
        """The peer opened `stream`. It is closed when this returns and reset when it raises."""

    def handle_message(self, message: Message) -> None:
        """A message arrived."""

    def finish(self) -> None:
        """The connection is over. Always runs, after all other methods have returned."""


class _Task(NamedTuple):
    """What `Spawner.spawn` was called with."""

    function: Callable[..., None]
    args: tuple[Any, ...]
    done: Callable[[], None] | None
    certain: bool


class Spawner:
    """Starts greenlets, at most as many at once as its pool has room for; the others wait their turn.

    Attributes:
        greenlets: those that have not ended.
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


class HandlerRunner:
    """Runs one handler over the life of its connection."""

    def __init__(self, factory: Callable[[Connection], Handler], spawner: Spawner) -> None:
        self._factory = factory
        self._spawner = spawner
        self._handler: Handler | None = None
        self._running = 0
        self._streams: list[Stream] = []
        self._ready = False
        self._messages_running = False
        self._finished = False
        self.connection: Connection | None = None

    def start(self, connection: Connection) -> None:
        """The connection is open."""
        self.connection = connection
        kind = self._factory
        if _overrides(kind, "handle_stream"):
            connection.on_stream = self._on_stream
        if _overrides(kind, "handle_message"):
            connection.on_messages = self._on_messages
        connection.on_untaken = self._drop_untaken
        connection.on_closed = self._maybe_finish
        if _begins_at_once(kind) and not self._spawner.bounded:
            self._running += 1
            self._setup()
            self._on_done()
        else:
            self._spawn(self._setup)

    def _spawn(self, function: Callable[..., None], *args: Any) -> None:
        self._running += 1
        self._spawner.spawn(function, *args, done=self._on_done)

    def _on_done(self) -> None:
        self._running -= 1
        assert self.connection is not None
        self._drop_untaken(self.connection)
        self._maybe_finish(self.connection)

    def _drop_untaken(self, connection: Connection) -> None:
        if self._running or not self._ready or connection.closed or not connection.drop_untaken():
            return
        if self._factory not in _told:
            _told.add(self._factory)
            log.warning("%s does not take the streams or messages that clients send it", self._factory)

    def _setup(self) -> None:
        assert self.connection is not None
        try:
            self._handler = self._factory(self.connection)
            self._handler.setup()
        except Exception as error:
            _log(error, "setup", self.connection)
            self.connection.abort(int(Code.INTERNAL), "")
            return
        self._ready = True
        while self._streams:
            self._on_stream(self.connection, self._streams.pop(0))
        if self.connection.core.recv_messages.ready:
            self._on_messages(self.connection)

    def _on_stream(self, connection: Connection, stream: Stream) -> None:
        if self._ready:
            self._spawn(self._stream, stream)
        else:
            self._streams.append(stream)

    def _stream(self, stream: Stream) -> None:
        assert self._handler is not None
        try:
            self._handler.handle_stream(stream)
        except Exception as error:
            _log(error, "handle_stream", stream.connection)
            stream.reset(int(Code.INTERNAL))
        except BaseException:
            stream.reset(int(Code.INTERNAL))
            raise
        else:
            stream.close()

    def _on_messages(self, connection: Connection) -> None:
        if self._ready and connection.on_messages is not None and not self._messages_running:
            self._messages_running = True
            self._spawn(self._messages)

    def _messages(self) -> None:
        assert self._handler is not None and self.connection is not None
        try:
            while (message := self.connection.take_message()) is not None:
                try:
                    self._handler.handle_message(message)
                except Exception as error:
                    _log(error, "handle_message", self.connection)
        finally:
            self._messages_running = False

    def _maybe_finish(self, connection: Connection) -> None:
        if self._running or self._finished or not connection.closed:
            return
        self._finished = True
        # They lead from the connection back here: a cycle, and what is in one is freed late and dearly.
        connection.on_untaken = connection.on_closed = None
        if connection.on_stream is not None:
            connection.on_stream = _over
        if connection.on_messages is not None:
            connection.on_messages = _over
        if self._handler is not None and _overrides(type(self._handler), "finish"):
            self._spawner.spawn(self._finish, certain=True)

    def _finish(self) -> None:
        assert self._handler is not None and self.connection is not None
        try:
            self._handler.finish()
        except Exception as error:
            _log(error, "finish", self.connection)


def _over(connection: Connection, *_: Stream) -> None:
    """What a connection has in the place of a runner that has finished."""


def _overrides(kind: Any, method: str) -> bool:
    return getattr(kind, method, None) is not getattr(Handler, method)


def _begins_at_once(kind: Any) -> bool:
    """Whether nothing of the user's runs before the first stream or message, so that nothing can wait."""
    return isinstance(kind, type) and not _overrides(kind, "__init__") and not _overrides(kind, "setup")


def _log(error: Exception, where: str, connection: Connection) -> None:
    if isinstance(error, _PEER_GONE):
        log.info("%s: %s", where, error)
    elif isinstance(error, Error):
        log.warning("%s: %s", where, error)
    else:
        log.exception("%s failed (peer %s)", where, connection.remote_address[0])
