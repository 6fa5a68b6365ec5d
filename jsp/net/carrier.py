"""One TCP connection that carries datagrams (spec section 2.1), perhaps inside TLS.

Nothing here blocks, and nothing is ever refused: what the socket does not take is kept, in order, and what would be too
much is dropped, as a network would. While something is kept the engine sends no more (`LossDetector.held`).
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
import sys
from itertools import count
from typing import TYPE_CHECKING, Any

from jsp.engine.connection import ConnectionCore
from jsp.engine.traffic import Endpoint as Address
from jsp.engine.traffic import Received, Transmit
from jsp.errors import BadPacket
from jsp.net.framing import Deframer, frame
from jsp.net.tls import Tls
from jsp.net.udp import family_of, new_socket
from jsp.net.waiting import end_watcher
from jsp.wire.buffer import PacketBuffer

if TYPE_CHECKING:
    from jsp.net.carriers import Carriers

_READ = 1 << 16
_NOT_SENT_LOW_WATER = 25  # linux/tcp.h: TCP_NOTSENT_LOWAT
_NOT_SENT_MAX = 128 << 10
# More than the engine sends before it is told to wait.
_WAITING_MAX = 1 << 20
_NOT_NOW = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.EINPROGRESS)
_numbers = count(1)


class Carrier:
    """Attributes:
    address, remote: ours and the peer's: host, port, what carries ("tcp" or "tls"), and a number nobody else has.
    cores: the connections that something came for.
    up: whether datagrams can leave.
    gone: whether it is over.
    """

    __slots__ = (
        "_carriers", "_connecting", "_deframer", "_reader", "_socket", "_tls", "_waiting", "_waiting_size", "_writer",
        "address", "cores", "gone", "remote", "up",
    )  # fmt: skip

    def __init__(self, carriers: Carriers, socket: Any, remote: Address, tls: Tls | None, connecting: bool) -> None:
        """`socket` becomes ours. `connecting`: it will be writable when it is connected."""
        self._carriers = carriers
        self._socket = socket
        self._tls = tls
        self._connecting = connecting
        kind, number = "tcp" if tls is None else "tls", next(_numbers)
        self.address: Address = (*socket.getsockname()[:2], kind, number)
        self.remote: Address = (*remote[:2], kind, number)
        self.cores: set[ConnectionCore] = set()
        self.up = tls is None and not connecting
        self.gone = False
        self._deframer = Deframer()
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._writer: Any = None
        socket.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            # What TCP cannot send yet shall wait where what is more urgent can still overtake it.
            socket.setsockopt(stdlib_socket.IPPROTO_TCP, _NOT_SENT_LOW_WATER, _NOT_SENT_MAX)
        self._reader = carriers.loop.io(socket.fileno(), 1)
        self._reader.start(self._on_readable)
        if connecting:
            self._watch_writable()

    # --- in ------------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        """One piece, so that nobody else waits long for its turn."""
        try:
            data = self._socket.recv(_READ)
            answer = b""
            if data and self._tls is not None:
                data, answer = self._tls.open(data)
                self._write(answer)
                self._see_whether_up()
            elif not data:
                self.gone = True
            self.feed(data)
        except OSError as error:
            self.gone = self.gone or error.errno not in _NOT_NOW
        except BadPacket:
            self.gone = True
        if self.gone:
            self._carriers.lose(self)

    def feed(self, data: bytes) -> None:
        """Bytes came. BadPacket when they are no datagrams."""
        self._deframer.feed(data)
        if self._carriers.hand_over is not None and self._tls is None and not self.cores:
            first = self._deframer.first()
            if not first or self._carriers.hand_over(first, self._socket.fileno(), self._deframer.rest(), self.remote):
                self.gone = bool(first)
                return
        self._carriers.endpoint.take_from(self)

    def receive(self, slots: PacketBuffer) -> Received | None:
        """The next datagrams that came, into `slots`. BadPacket when they are none."""
        size, segment = self._deframer.take(slots.data)
        return Received(size, segment, self.remote, self.address) if size else None

    # --- out -----------------------------------------------------------------------------------------------

    def send(self, transmit: Transmit) -> None:
        """Send datagrams, now or when the socket takes them."""
        if self._waiting_size > _WAITING_MAX or self.gone:
            return
        data = frame(transmit)
        self._write(data if self._tls is None else self._tls.seal(data))

    def _write(self, data: bytes) -> None:
        if not data:
            return
        sent = 0
        if not self._waiting and not self._connecting:
            try:
                sent = self._socket.send(data)
            except OSError as error:
                if error.errno not in _NOT_NOW:
                    self._fail()
                    return
        if sent < len(data):
            self._waiting.append(data[sent:])
            self._waiting_size += len(data) - sent
            self._hold(True)
            self._watch_writable()

    def _hold(self, held: bool) -> None:
        """Tell those who send here to wait, or to go on."""
        for core in self.cores:
            if core.asleep is None:
                for path in core.paths.values():
                    if path.local == self.address:
                        path.recovery.held = held
                if not held:
                    self._carriers.endpoint.changed(core)

    def _fail(self) -> None:
        """It is over, as will be told when nobody is in the middle of something."""
        self.gone = True
        self._carriers.loop.run_callback(self._carriers.lose, self)

    def _watch_writable(self) -> None:
        if self._writer is None:
            self._writer = self._carriers.loop.io(self._socket.fileno(), 2)
            self._writer.start(self._on_writable)

    def _on_writable(self) -> None:
        if self._connecting:
            if self._socket.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR):
                self._carriers.lose(self)
                return
            self._connecting = False
            if self._tls is not None:
                self._waiting.insert(0, self._tls.begin())
            self._see_whether_up()
        waiting, self._waiting, self._waiting_size = b"".join(self._waiting), [], 0
        self._stop_writer()
        self._write(waiting)
        if not self._waiting:
            self._hold(False)

    def _see_whether_up(self) -> None:
        if not self.up and (self._tls is None or self._tls.up):
            self.up = True
            self._carriers.on_up(self)

    # --- the end -------------------------------------------------------------------------------------------

    def is_used(self) -> bool:
        """Whether a connection has a path here."""
        self.cores = {core for core in self.cores if not core.is_closed()}
        for core in self.cores:
            # One that sleeps is not woken for that.
            if core.asleep is not None or any(path.local == self.address for path in core.paths.values()):
                return True
        return False

    def _stop_writer(self) -> None:
        end_watcher(self._writer)
        self._writer = None

    def close(self) -> None:
        """Let go of it. Harmless when that was done."""
        if self._socket.fileno() < 0:
            return
        self.gone = True
        end_watcher(self._reader)
        self._stop_writer()
        self._socket.close()
        self.cores = set()

    def leave_to_parent(self) -> None:
        """In a forked child, whose loop must not watch its parent's socket."""
        self._reader.stop()
        if self._writer is not None:
            self._writer.stop()
        self._socket.close()


def connecting_socket(remote: Address) -> Any:
    """A socket that is being connected to `remote`. OSError when there is no way."""
    socket = new_socket(family_of(remote[0]), stdlib_socket.SOCK_STREAM)
    try:
        socket.setblocking(False)
        failed = socket.connect_ex(remote)
        if failed and failed not in _NOT_NOW:
            raise OSError(failed, os.strerror(failed))
    except BaseException:
        socket.close()
        raise
    return socket
