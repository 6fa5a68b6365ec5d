"""A client's way over TCP when UDP does not get through (docs/mobility.md; spec section 2.1).

At the beginning both run: TCP connects beside the handshake over UDP, and when it is up and UDP has had its time, all
of the handshake goes by both until the first answer. Later on TCP is what is tried when nothing answers over UDP; and
as long as TCP carries the connection, UDP is tried again and again, and taken when it answers.
"""

from __future__ import annotations

import logging
import math
import socket as stdlib_socket
import ssl
from typing import TYPE_CHECKING, Any

from jsp.engine.states import State
from jsp.engine.traffic import Endpoint as Address
from jsp.engine.traffic import Transmit
from jsp.net import clock, moving, roaming
from jsp.net.carrier import Carrier, connecting_socket
from jsp.net.carriers import Carriers
from jsp.net.tls import Tls, client_context
from jsp.net.waiting import end_watcher

if TYPE_CHECKING:
    from jsp.net.connection import Connection

log = logging.getLogger("jsp")

# How often to look after the connection, and after how many times another way is tried.
_LOOK_S = 1.0
_AGAIN_AFTER = 2
# Probe timeouts after which a path is silent.
_SILENT_AFTER = 2
# The longest pause after which to ask whether anybody is there.
_ASK_MAX_S = 8.0
# UDP has its time for an answer when this many round trips have passed, and what a handshake takes to compute.
_ROUND_TRIPS = 1.5
_COMPUTING_S = 0.002
# Datagrams of the handshake that TCP may have to send: those of the first flight, and a probe's.
_KEPT = 8


class Fallback:
    """Looks after one connection, from its first packet on.

    Attributes:
        racing: whether nothing has answered yet.
    """

    def __init__(self, conn: Connection, remote: Address, name: str) -> None:
        """`remote`: where UDP packets go; `name`: the host as the user wrote it."""
        self._conn = conn
        self._endpoint = conn._endpoint
        self._config = conn._core.config
        self._remote = remote
        port = self._config.tcp_port or remote[1]
        self._tcp_remote: Address = (remote[0], port, *remote[2:])
        self._name = name
        self._context: ssl.SSLContext | None = client_context() if self._config.tcp_fallback == "tls" else None
        self._carriers = Carriers(self._endpoint)
        self._carriers.fallback = self
        self._endpoint.carriers = self._carriers
        self._timer: Any = None
        # Looks since another way was tried, and whether TCP is the next.
        self._waited = 0
        self._tcp_next = False
        # Bytes received when the present pause began, and when to ask in it.
        self._received = 0
        self._ask_after = _LOOK_S
        # The race: what was said so far, the carrier, when either began and how long UDP has.
        self.racing = True
        self._said: list[Transmit] = []
        self._carrier: Carrier | None = None
        self._begun = self._tcp_begun = clock.now()
        self._udp_has = math.inf
        self._released = self._refused = self._renewed = False
        source = self._endpoint.socket.source_for(remote)[0]
        known = self._endpoint.core.destinations.find((source, remote[0]), self._begun)
        if known is None:
            self._begin_tcp()
        else:
            # The smoothed one would say how full a queue was when a connection last filled it.
            self._udp_has = _ROUND_TRIPS * known.minimum + _COMPUTING_S
            self._start_timer(known.minimum / 2, self._begin_tcp)

    # --- the race ------------------------------------------------------------------------------------------

    def _begin_tcp(self) -> None:
        self._stop_timer()
        self._tcp_begun = clock.now()
        self._carrier = self._connect()

    def on_sending(self, transmit: Transmit) -> None:
        """A packet leaves: TCP takes a copy while nothing has answered."""
        if not self.racing:
            if self._timer is None:
                self._start_timer(_LOOK_S, self._on_timer)
        elif self._conn._core.counters.packets_received:
            self._end_race()
        elif self._released and self._carrier is not None:
            self._carrier.send(transmit)
        elif len(self._said) < _KEPT:
            self._said.append(transmit)

    def on_up(self, carrier: Carrier) -> None:
        """Datagrams can leave by `carrier`: the handshake's do when UDP has had its time."""
        if carrier is not self._carrier or not self.racing:
            return
        now = clock.now()
        # To connect took a round trip, whatever it was before; with TLS it was more, and UDP has had its time.
        self._udp_has = min(self._udp_has, _ROUND_TRIPS * (now - self._tcp_begun) + _COMPUTING_S)
        left = self._begun + self._udp_has - now
        if left <= 0 or self._context is not None:
            self._release()
        else:
            self._start_timer(left, self._release)

    def _release(self) -> None:
        self._stop_timer()
        self._released = True
        said, self._said = self._said, []
        if self._carrier is not None:
            for transmit in said:
                self._carrier.send(transmit)

    def _end_race(self) -> None:
        """The first answer has come, and the engine goes on with what brought it."""
        self.racing = False
        self._said = []
        self._stop_timer()
        carrier, self._carrier = self._carrier, None
        if carrier is not None and self._conn._core.paths[0].local != carrier.address:
            # Not from within its own sending.
            self._endpoint.hub.loop.run_callback(self._carriers.drop, carrier)

    def on_refused(self) -> bool:
        """The kernel says that nobody listens for UDP; whether TCP may still get through."""
        if self.racing and not self._refused:
            self._refused = True
            self._udp_has = _COMPUTING_S
            if self._carrier is None:
                self._begin_tcp()
            elif self._carrier.up:
                self._release()
        return self.racing and self._carrier is not None

    # --- carriers ------------------------------------------------------------------------------------------

    def _connect(self) -> Carrier | None:
        try:
            socket = connecting_socket(self._tcp_remote)
        except OSError as error:
            log.debug("no TCP to %s: %s", self._tcp_remote, error)
            return None
        tls = None if self._context is None else Tls(self._context, _server_name(self._name))
        carrier = self._carriers.add(socket, self._tcp_remote, tls, True)
        carrier.cores.add(self._conn._core)
        return carrier

    def on_lost(self, carrier: Carrier) -> None:
        """`carrier` is gone."""
        core = self._conn._core
        if carrier is self._carrier:
            self._carrier = None
            if self._refused:
                self._conn.on_refused()
        elif core.is_closed() or core.asleep is not None:
            return
        elif not core.confirmed:
            if core.paths[0].local == carrier.address:
                self._go_on_without(carrier)
        elif any(path.local == carrier.address and path.validated for path in core.paths.values()):
            self._open_tcp()

    def _go_on_without(self, carrier: Carrier) -> None:
        """Until the handshake is over there is no other path: it goes on by TCP again, once, and then over UDP."""
        fresh = self._connect() if carrier.up and not self._renewed else None
        self._renewed = True
        path = self._conn._core.paths[0]
        if fresh is not None:
            path.place(fresh.remote, fresh.address)
        else:
            path.place(self._remote, None)
        # Nobody knows what of it was heard.
        path.recovery.give_up()
        self._conn.changed()

    # --- from one to the other -----------------------------------------------------------------------------

    def _on_timer(self) -> None:
        core = self._conn._core
        if core.lifecycle.state is State.HANDSHAKE:
            return
        if core.is_closed() or core.asleep is not None:
            self._stop_timer()
            return
        paths = [path for path in core.paths.values() if path.validated and path.recovery.pto_count < _SILENT_AFTER]
        if not all(path.reliable for path in paths):
            self._ask()
            return
        self._waited += 1
        if self._waited >= _AGAIN_AFTER:
            self._waited = 0
            # In turn, when TCP does not carry it either.
            self._tcp_next = not self._tcp_next and not paths
            if self._tcp_next:
                self._open_tcp()
            else:
                moving.begin(self._conn, self._remote, None, True)

    def _ask(self) -> None:
        """Over UDP: who only receives would not notice that nothing comes any more, so ask, some times in a pause."""
        core = self._conn._core
        if core.window.received != self._received:
            self._received = core.window.received
            self._ask_after = _LOOK_S
        if self._ask_after > _ASK_MAX_S:
            self._stop_timer()
        elif clock.now() - core.last_heard >= self._ask_after and not core.path.recovery.in_flight:
            self._ask_after *= 2
            core.control.ping_due = True
            self._conn.changed()

    def on_silence(self, conn: Connection) -> None:
        """Nothing answers over UDP: first look for another way there, then take TCP."""
        core = conn.core
        if core.lifecycle.state is not State.OPEN or all(path.reliable for path in core.paths.values()):
            return
        if self._config.migrate and core.path.recovery.pto_count <= _SILENT_AFTER:
            roaming.on_silence(conn)
            return
        self._waited = 0
        self._tcp_next = True
        self._open_tcp()

    def _open_tcp(self) -> None:
        carrier = self._connect()
        if carrier is not None:
            moving.begin(self._conn, carrier.remote, carrier.address, True)

    # --- time ----------------------------------------------------------------------------------------------

    def _start_timer(self, seconds: float, action: Any) -> None:
        self._stop_timer()
        self._timer = self._endpoint.hub.loop.timer(seconds, seconds, ref=False)
        self._timer.start(action, update=True)

    def _stop_timer(self) -> None:
        end_watcher(self._timer)
        self._timer = None

    def close(self) -> None:
        """The endpoint is over."""
        self.racing = False
        self._stop_timer()


def _server_name(host: str) -> str | None:
    """What TLS may call `host`: a name, but no address (RFC 6066 section 3)."""
    for family in (stdlib_socket.AF_INET, stdlib_socket.AF_INET6):
        try:
            stdlib_socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return None
    return host
