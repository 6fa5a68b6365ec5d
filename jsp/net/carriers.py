"""The TCP connections of an endpoint, and the port that a server takes them at (spec section 2.1).

Who says nothing that belongs to a connection is let go of after the time that a handshake may take, or at once when
there are too many of them, the oldest first. So who only holds TCP connections open holds a few of them.
"""

from __future__ import annotations

import logging
import os
import socket as stdlib_socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jsp.engine.traffic import UDP, Transmit, carrier_of
from jsp.engine.traffic import Endpoint as Address
from jsp.errors import BadPacket
from jsp.net.carrier import Carrier
from jsp.net.tls import Tls, server_context
from jsp.net.udp import AF_INET6, family_of, new_socket
from jsp.net.waiting import end_watcher

if TYPE_CHECKING:
    from jsp.net.endpoint import Endpoint
    from jsp.net.fallback import Fallback

log = logging.getLogger("jsp")

_BACKLOG = 1024
# TCP connections taken before others have a turn.
_ACCEPTED_AT_ONCE = 16
# How long to take no more when the system has no room for them.
_PAUSE_S = 0.1


class Carriers:
    """Attributes:
    endpoint: whose they are.
    fallback: a client's, which decides when there is one.
    hand_over: a worker's: gives a socket to another worker if it is for a connection there (first datagram, descriptor,
        bytes that came, remote address); whether it did.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.fallback: Fallback | None = None
        self.hand_over: Callable[[bytes, int, bytes, Address], bool] | None = None
        self.loop: Any = endpoint.hub.loop
        self._carriers: dict[Address, Carrier] = {}
        # Those that are no connection's yet, the oldest first; and when each accepted one is looked at.
        self._strangers: dict[Carrier, None] = {}
        self._timers: dict[Carrier, Any] = {}
        self._socket: Any = None
        self._reader: Any = None
        self._pause: Any = None
        self._context: ssl.SSLContext | None = None

    def add(self, socket: Any, remote: Address, tls: Tls | None, connecting: bool) -> Carrier:
        """Serve a socket."""
        carrier = Carrier(self, socket, remote, tls, connecting)
        self._carriers[carrier.address] = carrier
        return carrier

    def send(self, transmit: Transmit) -> bool:
        """Send what goes by a carrier, or would if it were there; False: UDP's affair (it may go by both)."""
        if self.fallback is not None:
            self.fallback.on_sending(transmit)
        if carrier_of(transmit.local) == UDP:
            return False
        assert transmit.local is not None
        carrier = self._carriers.get(transmit.local)
        if carrier is not None:
            carrier.send(transmit)
        return True

    def on_up(self, carrier: Carrier) -> None:
        """Datagrams can leave by `carrier`."""
        if self.fallback is not None:
            self.fallback.on_up(carrier)

    def may_still_answer(self) -> bool:
        """UDP was refused; whether there may be an answer by a carrier all the same."""
        return self.fallback is not None and self.fallback.on_refused()

    # --- the end of one ------------------------------------------------------------------------------------

    def lose(self, carrier: Carrier) -> None:
        """`carrier` is gone, and whatever has a path on it must not wait to find out."""
        if carrier.address not in self._carriers:
            return
        cores = carrier.cores
        self.drop(carrier)
        for core in cores:
            if core.is_closed():
                continue
            core.wake()
            for path in core.paths.values():
                if path.local == carrier.address:
                    if core.mobility is not None:
                        core.mobility.on_lost_address(core, path)
                    else:
                        path.recovery.pto_count += 1
            self.endpoint.changed(core)
        if self.fallback is not None:
            self.fallback.on_lost(carrier)

    def drop(self, carrier: Carrier) -> None:
        """Close `carrier`, which nobody needs."""
        self._carriers.pop(carrier.address, None)
        self._strangers.pop(carrier, None)
        end_watcher(self._timers.pop(carrier, None))
        carrier.close()

    def keep(self, used: set[Address | None]) -> None:
        """Close all whose address is not among `used`."""
        for carrier in list(self._carriers.values()):
            if carrier.address not in used:
                self.drop(carrier)

    # --- a server's port -----------------------------------------------------------------------------------

    def listen(self, socket: Any, tls: bool) -> None:
        """Take TCP connections from `socket`, which becomes ours."""
        self._socket = socket
        self._context = server_context() if tls else None
        self._reader = self.loop.io(socket.fileno(), 1)
        self._reader.start(self._on_connection)

    def _on_connection(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                # Not `accept`, which makes a gevent socket in a program that is monkey-patched.
                number, remote = self._socket._accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                self._make_room(error)
                return
            self._accept(number, remote)

    def _accept(self, number: int, remote: Address) -> Carrier | None:
        """Serve the TCP connection that is open file `number`."""
        socket = new_socket(self._socket.family, stdlib_socket.SOCK_STREAM, number)
        try:
            socket.setblocking(False)
            carrier = self.add(socket, remote, None if self._context is None else Tls(self._context), False)
        except OSError:
            socket.close()
            return None
        self._strangers[carrier] = None
        self._look_later(carrier)
        if len(self._strangers) > self.endpoint.core.config.max_half_open:
            self.drop(next(iter(self._strangers)))
        return carrier

    def take_over(self, number: int, data: bytes, remote: Address) -> None:
        """A TCP connection for one of our connections came to another worker, and `data` on it."""
        if self._context is not None or self._socket.fileno() < 0:
            os.close(number)
            return
        carrier = self._accept(number, remote)
        if carrier is not None:
            # Not for us either: it stays all the same.
            hand_over, self.hand_over = self.hand_over, None
            try:
                carrier.feed(data)
            except BadPacket:
                self.drop(carrier)
            finally:
                self.hand_over = hand_over

    def _make_room(self, error: OSError) -> None:
        """The system gives no more sockets now."""
        log.warning("a TCP connection cannot be taken: %s", error)
        if self._strangers:
            self.drop(next(iter(self._strangers)))
        self._reader.stop()
        self._pause = self.loop.timer(_PAUSE_S)
        self._pause.start(self._go_on, update=True)

    def _go_on(self) -> None:
        self._pause.close()
        self._pause = None
        self._reader.start(self._on_connection)

    def on_taken(self, carrier: Carrier) -> None:
        """Something was taken from `carrier`."""
        if carrier in self._strangers and carrier.is_used():
            del self._strangers[carrier]

    def _look_later(self, carrier: Carrier) -> None:
        patience = self.endpoint.core.config.handshake_timeout
        timer = self._timers[carrier] = self.loop.timer(patience, patience)
        timer.start(self._look, carrier, update=True)

    def _look(self, carrier: Carrier) -> None:
        if not carrier.is_used():
            self.drop(carrier)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close everything."""
        if self.fallback is not None:
            self.fallback.close()
        self.keep(set())
        end_watcher(self._pause)
        if self._reader is not None:
            end_watcher(self._reader)
            self._socket.close()

    def leave_to_parent(self) -> None:
        """In a forked child: let go of all sockets, and watch nothing."""
        if self.fallback is not None:
            self.fallback.close()
        for timer in (*self._timers.values(), self._pause):
            if timer is not None:
                timer.stop()
        for carrier in self._carriers.values():
            carrier.leave_to_parent()
        if self._reader is not None:
            self._reader.stop()
            self._socket.close()


def listening_socket(host: str, port: int) -> Any:
    """A socket that takes TCP connections. OSError says why when there can be none."""
    socket = new_socket(family_of(host), stdlib_socket.SOCK_STREAM)
    try:
        socket.setblocking(False)
        if os.name == "posix":
            # What is left of connections from before must not keep a server from starting.
            socket.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
        if family_of(host) == AF_INET6:
            socket.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, 0)
        socket.bind((host, port))
        socket.listen(_BACKLOG)
    except OSError as error:
        socket.close()
        raise OSError(error.errno, f"cannot listen on TCP {host or '*'}:{port}: {error.strerror}") from None
    return socket
