# cython: language_level=3, annotation_typing=False, nonecheck=True
"""A stream as applications see it: it passes for a socket.

`recv`, `recv_into`, `send`, `sendall`, `makefile`, `shutdown`, `settimeout` and the rest do what they do on a TCP
socket, so `http.client`, `pywsgi` and the like run over it unchanged. Two things are more than a socket has:
`reset` and `priority`.
"""

from __future__ import annotations

import errno
import socket as stdlib_socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jsp.net.clock as clock
from jsp.engine.states import Receiving, Sending
from jsp.engine.streams import Stream as InnerStream
from jsp.errors import ForkedConnection, LocalError, StreamClosed, StreamReset, StreamStopped, Timeout
from jsp.net.stream_file import open_file
from jsp.net.waiting import Signal
from jsp.wire.buffer import VARINT_MAX

if TYPE_CHECKING:
    from jsp.net.connection import Connection

# Mutable data is copied in pieces of this size, so that no more than this and the send buffer is held twice.
_PIECE = 256 * 1024

# As plain integers, and members as names: looking them up in an Enum is slow.
_REFUSED_FLAGS = ~int(stdlib_socket.MSG_NOSIGNAL)

_RESET = Receiving.RESET
_OPEN = Sending.OPEN

SHUT_RD = stdlib_socket.SHUT_RD
SHUT_WR = stdlib_socket.SHUT_WR
SHUT_RDWR = stdlib_socket.SHUT_RDWR

Buffer = bytes | bytearray | memoryview


def check_code(code: int) -> None:
    """Refuse an application's error code that no frame can carry."""
    if not 0 <= code <= VARINT_MAX:
        raise LocalError(f"error code {code}: 0 to 2^62 - 1")


class Stream:
    """A reliable, ordered byte stream; in both directions unless it was opened `unidirectional`.

    Attributes:
        id: the stream's number on its connection.
        inner: the engine's side; for the library.
    """

    __slots__ = (
        "_closed", "_connection", "_io_refs", "_read_shut", "_released", "_timeout", "id", "inner", "readable",
        "writable", "__weakref__",
    )  # fmt: skip

    # What socket code looks up.
    family = stdlib_socket.AF_INET
    type = stdlib_socket.SOCK_STREAM
    proto = 0

    def __init__(self, connection: Connection, inner: InnerStream) -> None:
        self.id = inner.id
        self.inner = inner
        self.readable = Signal()
        self.writable = Signal()
        self._connection = connection
        self._timeout: float | None = None
        self._io_refs = 0
        # Closed: no new calls. Released: the files made by makefile() are closed too, and the stream is over.
        self._closed = False
        self._released = False
        self._read_shut = False

    def __repr__(self) -> str:
        return f"<jsp.Stream {self.id} of {self._connection!r}>"

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # In a forked child there is nothing to close: the connection is its parent's.
        with suppress(ForkedConnection):
            if error is None:
                self.close()
            else:
                self.reset(0)

    @property
    def connection(self) -> Connection:
        """The connection this stream belongs to."""
        return self._connection

    @property
    def priority(self) -> int:
        """Urgency of what this side sends, 0 (first) to 7 (last); 3 unless set."""
        return self.inner.send.urgency if self.inner.send is not None else 3

    @priority.setter
    def priority(self, urgency: int) -> None:
        if not 0 <= urgency <= 7:
            raise LocalError("priority: 0 (first) to 7 (last)")
        if self.inner.send is not None:
            self._connection.core.prioritize(self.inner, urgency, self.incremental)

    @property
    def incremental(self) -> bool:
        """Whether what this side sends takes turns with the other streams of its urgency (RFC 9218 section 4.2), which
        it does unless this is set to False: then it goes before those that were opened later and say the same, for
        a receiver who has no use for a part of it."""
        return self.inner.send is None or self.inner.send.incremental

    @incremental.setter
    def incremental(self, incremental: bool) -> None:
        if self.inner.send is not None:
            self._connection.core.prioritize(self.inner, self.priority, incremental)

    @property
    def compress(self) -> bool:
        """Whether what this side writes is compressed: False unless set before the first byte is written, and then in
        effect where both ends have a `Config.compression` (whose docstring says when not to). What each call writes
        can be read when it has arrived. Data that does not get smaller is sent as it is."""
        return False

    @compress.setter
    def compress(self, compress: bool) -> None:
        if compress and self._connection.core.config.compression is None:
            raise LocalError("compress: both ends need a Config with compression")

    # --- reading -------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """At least one byte and at most `bufsize`; b"" at the end.

        Raises Timeout (see `settimeout`), StreamReset when the peer abandoned the stream, ConnectionClosed.
        """
        self._check_call(flags)
        if bufsize < 0:
            raise LocalError("recv: a size below 0")
        if not bufsize or self._wait_readable() == 0:
            return b""
        data = self._take(bufsize)
        self._connection.changed_if_due()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Like `recv`, into `buffer`; returns how many bytes."""
        self._check_call(flags)
        view = memoryview(buffer).cast("B")
        if nbytes < 0:
            raise LocalError("recv_into: a size below 0")
        return self.read_into(view[:nbytes] if nbytes else view)

    def _check_call(self, flags: int) -> None:
        if flags & _REFUSED_FLAGS:
            raise OSError(errno.EOPNOTSUPP, f"a stream's calls have no flags (given: {flags:#x})")
        if self._closed:
            raise StreamClosed("the stream is closed")

    def read_into(self, view: memoryview) -> int:
        """`recv_into` for files made by `makefile`, which outlive `close`."""
        if not len(view) or self._wait_readable() == 0:
            return 0
        size = self._take_into(view)
        self._connection.changed_if_due()
        return size

    def _take(self, limit: int) -> bytes:
        return self._connection._core.read(self.inner, limit)

    def _take_into(self, view: memoryview) -> int:
        return self._connection._core.read_into(self.inner, view)

    def has_news(self) -> bool:
        """Whether `recv` would not wait: there are bytes, it is the end, or the connection's."""
        recv = self.inner.recv
        return recv is None or recv.readable() > 0 or recv.reset_code >= 0 or recv.at_end() or self._connection.closed

    def _wait_readable(self, deadline: float | None = None) -> int:
        """How many bytes can be read, waiting for the first (till `deadline`, if the call has one); 0 at the end of
        the stream."""
        connection = self._connection
        connection.check_hub()
        recv = self.inner.recv
        if recv is None:
            raise StreamStopped(f"stream {self.id} is for writing only")
        while True:
            if self._released:
                raise StreamClosed("the stream is closed")
            if self._read_shut:
                return 0
            size = recv.readable()
            if size:
                return size
            if recv.state is _RESET or recv.reset_code >= 0:
                code = recv.take_reset()
                raise StreamReset(f"the peer abandoned the stream (code {code})", code)
            if recv.at_end():
                return 0
            if connection.closed:
                raise connection.closed_error()
            deadline = self._wait(self.readable, deadline, "nothing to read")

    def _wait(self, signal: Signal, deadline: float | None, what: str) -> float | None:
        if self._timeout != 0 and self._connection.spin(signal):
            return deadline
        if self._timeout is None:
            signal.wait()
            return None
        now = clock.now()
        if deadline is None:
            deadline = now + self._timeout
        if self._timeout == 0:
            raise BlockingIOError(errno.EAGAIN, what)
        if now >= deadline or not signal.wait(deadline - now):
            raise Timeout(f"{what} within {self._timeout:g} s")
        return deadline

    # --- writing -------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send some of `data`, at least one byte; returns how many. Raises Timeout, StreamStopped, ConnectionClosed."""
        self._check_call(flags)
        return self.write_some(memoryview(data).cast("B"))

    def write_some(self, view: memoryview) -> int:
        """`send` for files made by `makefile`, which outlive `close`."""
        if not len(view):
            return 0
        size = min(len(view), self._wait_writable())
        self._write(bytes(view[:size]))
        return size

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send all of `data`, waiting whenever the send buffer is full; the timeout is for the whole call.

        Raises as `send` does. How much of `data` was sent, or still will be, is not known then, as with sockets.
        """
        self._check_call(flags)
        deadline = clock.now() + self._timeout if self._timeout else None
        if type(data) is bytes:
            # Immutable, so the engine can keep the very same bytes until they are acknowledged.
            if data:
                self._wait_writable(deadline)
                self._write(data)
                if len(data) > self._limit():
                    self._wait_writable(deadline)
            return
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._wait_writable(deadline)
            self._write(bytes(view[start : start + _PIECE]))

    def _write(self, data: bytes) -> None:
        assert self.inner.send is not None
        self.inner.send.write(data)
        self._connection.changed()

    def _limit(self) -> int:
        return self._connection._core.config.send_buffer

    def _wait_writable(self, deadline: float | None = None) -> int:
        """Bytes that the send buffer takes, waiting until there is room (till `deadline`, if the call has one)."""
        connection = self._connection
        connection.check_hub()
        send = self.inner.send
        if send is None:
            raise StreamStopped(f"stream {self.id} is for reading only")
        while True:
            if self._released:
                raise StreamClosed("the stream is closed")
            if send.stop_code >= 0:
                raise StreamStopped(f"the peer reads no more (code {send.stop_code})", send.stop_code)
            if send.state is not _OPEN:
                raise StreamStopped("the stream was shut down for writing")
            if connection.closed or connection.closing:
                raise connection.closed_error()
            room = self._limit() - send.unsent()
            if room > 0:
                return room
            connection._core.streams.want_writable(self.inner)
            deadline = self._wait(self.writable, deadline, "the send buffer stayed full")

    # --- ends ----------------------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """End one direction: SHUT_WR sends the end of the stream, SHUT_RD stops reading."""
        self._connection.check_hub()
        if self._closed:
            raise StreamClosed("the stream is closed")
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise LocalError("shutdown: SHUT_RD, SHUT_WR or SHUT_RDWR")
        if how in (SHUT_WR, SHUT_RDWR) and self.inner.send is not None:
            self.inner.send.finish()
        if how in (SHUT_RD, SHUT_RDWR):
            self._stop_reading()
        self._connection.changed()

    def _stop_reading(self, code: int = 0) -> None:
        self._read_shut = True
        if self.inner.recv is not None:
            self.inner.recv.stop(code)
            self._connection.core.streams.touch(self.inner)
        self._connection.wake(self.readable)

    def reset(self, error_code: int = 0) -> None:
        """Abandon the stream: what is not yet delivered is lost, and the peer's calls raise StreamReset."""
        check_code(error_code)
        self._connection.check_hub()
        if self._released:
            return
        if self.inner.send is not None:
            self.inner.send.reset(error_code)
            self._connection.core.streams.touch(self.inner)
        self._release(error_code)

    def close(self) -> None:
        """Send the end of the stream and read no more. Waits for files made by `makefile`, as sockets do."""
        self._connection.check_hub()
        self._closed = True
        if self._io_refs <= 0 and not self._released:
            self._release()

    def _release(self, code: int = 0) -> None:
        connection = self._connection
        connection.check_hub()
        self._closed = self._released = True
        if self.inner.send is not None and not connection.closed:
            self.inner.send.finish()
        self._stop_reading(code)
        connection.wake(self.writable)
        connection.release(self)
        connection.changed()

    def detach(self) -> int:
        raise OSError(errno.EOPNOTSUPP, "a stream has no file descriptor to give away")

    # --- what sockets have ---------------------------------------------------------------------------------

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that each later call may wait; None: for ever; 0: do not wait (BlockingIOError)."""
        if timeout is not None and timeout < 0:
            raise LocalError("timeout: seconds from 0 on, or None")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    @property
    def timeout(self) -> float | None:
        """What `settimeout` has set."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        return self._timeout != 0

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "a stream shares its connection's socket and has no file descriptor of its own")

    def getpeername(self) -> tuple[Any, ...]:
        return self._connection.remote_address

    def getsockname(self) -> tuple[Any, ...]:
        return self._connection.local_address

    def setsockopt(self, level: int, option: int, value: Any, *rest: Any) -> None:
        """TCP_NODELAY, SO_KEEPALIVE and their like are accepted: a stream has no Nagle, and needs no probes."""

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        return 0 if not buflen else bytes(buflen)

    def makefile(
        self,
        mode: str = "r",
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """A file over the stream, as `socket.makefile` gives; closing the stream waits for it."""
        self._io_refs += 1
        try:
            return open_file(self, mode, buffering, encoding, errors, newline)
        except BaseException:
            self._io_refs -= 1
            raise

    def drop_file(self) -> None:
        """A file made by `makefile` was closed."""
        self._io_refs -= 1
        if self._closed and self._io_refs <= 0 and not self._released:
            self._release()
