"""Handler classes: one instance a connection, one greenlet a running method, none while nothing happens.

The life of a handler: `setup`, then `handle_stream` for each stream (each in a greenlet of its own) and
`handle_message` for each message (one at a time), then, when the connection is over and the others have returned,
`finish`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from jsp.crypto.identity import PeerId
from jsp.engine.message import Message
from jsp.errors import Code, ConnectionClosed, Error, StreamClosed, StreamReset, StreamStopped
from jsp.net.connection import Connection
from jsp.net.spawning import Spawner
from jsp.net.stream import Stream

log = logging.getLogger("jsp")

# A peer that goes away in the middle is not the handler's mistake.
_PEER_GONE = (ConnectionClosed, StreamReset, StreamStopped, StreamClosed)

# Factories whose clients send what nobody takes: each is worth one line in the log.
_told: WeakSet[Callable[[Connection], Handler]] = WeakSet()


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
            self._running += 1
            self._spawner.lend(self._messages, connection, self._on_done)

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
