# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The pump: socket to engine to socket, one lazy timer a connection, waiters woken once a batch.

Three entrances: the socket is readable, a timer fires, the application did something (`changed`). One exit:
`_turn`, which switches to those who were woken and then flushes, so that what they say leaves together with the
acknowledgement of what they heard. A batch ends with its turn at once; for the others the loop calls it.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import get_hub
from gevent.hub import Hub

import jsp.net.clock as clock
from jsp.config import Config
from jsp.crypto.credentials import Credentials
from jsp.engine.builder import Train
from jsp.engine.connection import ConnectionCore
from jsp.engine.endpoint import EndpointCore
from jsp.engine.timers import NEVER
from jsp.engine.traffic import Endpoint as Address
from jsp.engine.traffic import Received, Transmit
from jsp.errors import Code
from jsp.net.connection import Connection
from jsp.net.resting import Resting
from jsp.net.udp import UdpSocket
from jsp.net.waiting import Signal, Woken, end_watcher
from jsp.recovery.destinations import Destinations
from jsp.wire.buffer import PacketBuffer

if TYPE_CHECKING:
    from jsp.net.carrier import Carrier
    from jsp.net.carriers import Carriers

log = logging.getLogger("jsp")

# Batches taken off the socket before others have a turn.
_BATCHES = 8
# Bytes below which a datagram is hardly one of several: those of a handshake and of bulk data are longer.
_SHORT = 1000
# When the socket is readable so soon after a turn, it was so all the time.
_BUSY_S = 3e-5
# Switches of one turn: those woken may wake others, and the loop must come to its timers.
_WOKEN_MAX = 1000
# Who polls the socket (`spin`) lets others have their turn after this long.
_SPINNING_MAX_S = 0.005
# What ICMP says of sizes is heard so often: anybody can write it, and each costs a look at all connections.
_HINT_EVERY_S = 0.1
# How exactly it is known when a connection was last in use.
_NOTED_EVERY_S = 0.5

_all: weakref.WeakSet[Endpoint] = weakref.WeakSet()
# Working space, 200 kB of it: for each hub and not for each endpoint, as a client has one for every connection.
# Nothing stays in it from one batch or train to the next. And what a connection learns of the way to a host, which
# its client's next one, with an endpoint of its own, begins with.
_kept: weakref.WeakKeyDictionary[Hub, tuple[PacketBuffer, Train, Destinations]] = weakref.WeakKeyDictionary()


def _working_space(hub: Hub) -> tuple[PacketBuffer, Train, Destinations]:
    kept = _kept.get(hub)
    if kept is None:
        kept = _kept[hub] = (PacketBuffer(), Train(), Destinations())
    return kept


def _close_in_child() -> None:
    # A forked child must not read or answer its parent's packets.
    for endpoint in list(_all):
        endpoint.leave_to_parent()


os.register_at_fork(after_in_child=_close_in_child)


class Endpoint:
    """One UDP socket and its connections, on the hub of the thread that made it.

    A client's may have further sockets, one for each path that it opened from another address (`add_socket`).

    Attributes:
        core: the engine's side.
        socket: the socket.
        hub: the hub whose loop it is on.
        closed: whether `close` was called, or this is a forked child's copy.
        accept: called with each connection that a client makes.
        carriers: what goes over TCP, if something may.
    """

    __slots__ = (
        "_dirty", "_hinted", "_mistakes", "_others", "_reader", "_resting", "_shells", "_slots", "_turn_due", "_turned",
        "_unsent", "_woken", "_writer", "accept", "carriers", "closed", "core", "hub", "socket", "watch", "__weakref__",
    )  # fmt: skip

    def __init__(
        self, socket: UdpSocket, config: Config, credentials: Credentials | None = None, reset_secret: bytes = b""
    ) -> None:
        self.socket = socket
        self.hub = get_hub()
        self._slots, train, destinations = _working_space(self.hub)
        self.core = EndpointCore(config, clock.entropy, credentials, reset_secret, train, destinations)
        self.core.whole_datagrams = socket.whole
        self.closed = False
        self.accept: Callable[[Connection], None] | None = None
        # What sees networks come and go.
        self.watch: Any = None
        self.carriers: Carriers | None = None
        self._shells: dict[ConnectionCore, Connection] = {}
        self._dirty: dict[ConnectionCore, None] = {}
        # Whether `_turn` will run: it is scheduled, or the end of the batch being taken.
        self._turn_due = False
        # When the last one was.
        self._turned = 0.0
        self._woken: deque[Woken] = deque()
        self._unsent: Transmit | None = None
        self._mistakes = 0
        self._hinted = 0.0
        loop = self.hub.loop
        self._resting = Resting(loop)
        self._reader = loop.io(socket.fileno(), 1)
        self._reader.start(self._on_readable)
        self._writer: Any = None
        # Further sockets, and what watches them, by the address that paths have as theirs.
        self._others: dict[Address, tuple[UdpSocket, Any]] = {}
        _all.add(self)

    # --- further sockets -----------------------------------------------------------------------------------

    def add_socket(self, socket: UdpSocket) -> None:
        """Serve `socket`, too: what leaves from its address leaves by it."""
        reader = self.hub.loop.io(socket.fileno(), 1)
        reader.start(self._on_readable, socket)
        self._others[socket.address] = (socket, reader)

    def keep_sockets(self, used: set[Address | None]) -> None:
        """Close the further sockets whose address is not among `used`."""
        if self.carriers is not None:
            self.carriers.keep(used)
        for address in [address for address in self._others if address not in used]:
            socket, reader = self._others.pop(address)
            end_watcher(reader)
            if self._unsent is not None and self._unsent.local == address:
                # What waits for it is lost, as packets are; the others have their turn.
                self._unsent = None
                self._stop_writer()
                self.hub.loop.run_callback(self._flush)
            socket.close()

    def _socket_of(self, transmit: Transmit) -> UdpSocket:
        if transmit.local is None or not self._others:
            return self.socket
        other = self._others.get(transmit.local)
        return self.socket if other is None else other[0]

    # --- connections ---------------------------------------------------------------------------------------

    def connect(self, remote: Address, credentials: Credentials) -> Connection:
        """Start a connection to `remote`."""
        source = self.socket.source_for(remote)[0]
        core = self.core.connect(clock.now(), clock.wall_time(), remote, credentials, source)
        shell = self._shells[core] = Connection(core, self)
        self.changed(core)
        return shell

    def connections(self) -> list[Connection]:
        """The live connections."""
        return list(self._shells.values())

    def changed(self, core: ConnectionCore) -> None:
        """The connection may have something to send: flush it when this turn of the loop is over."""
        self._dirty[core] = None
        if not self._turn_due:
            self._schedule()

    def wake(self, signal: Signal) -> None:
        """Let those who wait for `signal` go on, when what is going on here is over."""
        waiters = signal.take()
        if waiters is not None:
            self._woken += waiters
            if not self._turn_due:
                self._schedule()

    def resume(self, waiter: Woken) -> None:
        """Let one who waits go on, likewise."""
        self._woken.append(waiter)
        if not self._turn_due:
            self._schedule()

    def spin(self, signal: Signal, seconds: float) -> bool:
        """Poll the socket for at most `seconds`, or until `signal` is given; whether it was. Not in the hub.

        Others have their turn every few milliseconds all the same: by then it is not given, and the caller waits.
        """
        taken = signal.taken
        now = clock.now()
        if now - self._turned > _SPINNING_MAX_S:
            return False
        end = now + seconds
        self._flush()
        while signal.taken == taken:
            if self.closed or clock.now() >= end:
                return False
            received = self.socket.receive(self._slots)
            if received is not None:
                self._take(received)
        return True

    def _schedule(self) -> None:
        self._turn_due = True
        self.hub.loop.run_callback(self._turn)

    def _turn(self) -> None:
        """Those who were woken go on, each until it waits again; then what is to be sent is."""
        woken = self._woken
        try:
            for _ in range(_WOKEN_MAX):
                if not woken:
                    break
                woken.popleft().switch(None)
        finally:
            self._turn_due = False
            if woken:
                self._schedule()
        self._flush()
        self._turned = clock.now()

    # --- in ------------------------------------------------------------------------------------------------

    def _on_readable(self, socket: UdpSocket | None = None) -> None:
        self._turn_due = True
        try:
            self._receive(self.socket if socket is None else socket)
        finally:
            self._turn()

    def _receive(self, socket: UdpSocket) -> None:
        """Take what has come, up to `_BATCHES` batches.

        After a pause a short one is seldom the first of several, and to be told so costs a system call.
        """
        more = clock.now() - self._turned < _BUSY_S
        for _ in range(_BATCHES):
            received = socket.receive(self._slots)
            if received is None:
                break
            if socket is not self.socket:
                received.local = socket.address
            more = more or received.size >= _SHORT
            self._take(received)
            if self.closed or not more:
                break
        if self.socket.refused:
            self._on_refused()
        if socket.hints:
            self._on_hints(socket)

    def take_from(self, carrier: Carrier) -> None:
        """What came by a carrier."""
        self._turn_due = True
        try:
            while (received := carrier.receive(self._slots)) is not None:
                carrier.cores.update(self._take(received))
                if self.closed:
                    return
            assert self.carriers is not None
            self.carriers.on_taken(carrier)
        finally:
            self._turn()

    def _take(self, received: Received) -> list[ConnectionCore]:
        """What is in the kept buffer, if anything; whose it was. A mistake of ours costs this batch, and not the port
        its reader."""
        if received.size:
            try:
                return self._take_batch(received)
            except Exception:
                self._on_mistake()
        return []

    def _take_batch(self, received: Received) -> list[ConnectionCore]:
        core = self.core
        try:
            touched = core.handle_datagram(clock.now(), clock.wall_time(), self._slots, received)
        finally:
            # Whatever else happens: a connection without a shell would have nobody to set its timer.
            self._take_accepted()
        try:
            for connection in touched:
                shell = self._shells.get(connection)
                if shell is not None:
                    shell.dispatch()
        finally:
            for connection in touched:
                self.changed(connection)
            while (reply := core.poll_transmit()) is not None:
                if self.carriers is None or not self.carriers.send(reply):
                    self._socket_of(reply).send(reply)
        return touched

    def handle_passed_on(self, data: bytes, received: Received) -> None:
        """A batch for us that came to another worker of our port."""
        if self.closed:
            return
        self._slots.data[: len(data)] = data
        self._take(received)

    def _on_mistake(self) -> None:
        self._mistakes += 1
        # Whoever found out how to provoke it shall not fill the disk: the 1st, 2nd, 4th, 8th ... is logged.
        if self._mistakes & (self._mistakes - 1) == 0:
            log.exception("internal error: a batch of datagrams is dropped (number %d)", self._mistakes)

    def _take_accepted(self) -> None:
        while self.core.accepted:
            core = self.core.accepted.popleft()
            shell = self._shells[core] = Connection(core, self)
            if self.accept is not None:
                self.accept(shell)

    def _on_refused(self) -> None:
        self.socket.refused = False
        if self.accept is not None:
            return  # a server is left by clients all the time
        for shell in self.connections():
            shell.on_refused()

    def _on_hints(self, socket: UdpSocket) -> None:
        """ICMP says that datagrams were too large: see whether that is so."""
        hints, socket.hints = socket.hints, ()
        now = clock.now()
        if now < self._hinted + _HINT_EVERY_S:
            return
        self._hinted = now
        for core in list(self._shells):
            for remote, size in hints:
                if core.on_mtu_hint(remote, size):
                    self.changed(core)

    # --- time ----------------------------------------------------------------------------------------------

    def on_timer(self, shell: Connection) -> None:
        """The timer of `shell` fired: early, when its deadline moved on meanwhile."""
        if self.closed:
            return
        shell.disarm()
        shell.armed_for = NEVER
        if shell._core.poll_timeout() <= clock.now():
            shell._core.handle_timeout(clock.now())
            shell.dispatch()
            self.changed(shell._core)
        else:
            self._arm(shell)

    def _arm(self, shell: Connection) -> None:
        deadline = shell._core.poll_timeout()
        if deadline >= shell.armed_for or self.closed:
            return
        left = deadline - clock.now()
        if left <= 0 and self._unsent is not None:
            # What is due waits for the socket, and `_on_writable` comes back here.
            return
        shell.armed_for = deadline
        shell.disarm()
        timer = shell.timer = self.hub.loop.timer(max(left, 1e-4))
        timer.start(self.on_timer, shell, update=True)

    # --- out -----------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self.closed:
            return
        dirty, self._dirty = self._dirty, {}
        for core in dirty:
            try:
                self.flush(core)
            except Exception:
                self._give_up(core)

    def _give_up(self, core: ConnectionCore) -> None:
        """A mistake of ours in one connection must not cost the others their turn."""
        core.wake()
        log.exception("internal error; the connection to %s is closed", core.path.remote)
        if not core.is_closed():
            core.close_now(clock.now(), Code.INTERNAL, "")
            self.changed(core)
            return
        core.on_drained()
        self.core.forget_if_over(core)
        self._resting.forget(core)
        shell = self._shells.pop(core, None)
        if shell is not None:
            shell.on_forgotten()

    def flush(self, core: ConnectionCore) -> None:
        """Send what may be sent now, hand out what that brought about, set the timer. Nothing once closed."""
        if self.closed:
            return
        now = clock.now()
        while self._unsent is None:
            transmit = core.poll_transmit(now)
            if transmit is None:
                if core.poll_timeout() > now:
                    break
                core.handle_timeout(now)
                continue
            if self.carriers is None or not self.carriers.send(transmit):
                socket = self._socket_of(transmit)
                if not socket.send(transmit):
                    self._wait_writable(transmit)
                elif socket.too_large:
                    core.on_too_large(transmit, socket.too_large)
            now = clock.now()
        if now - core.keys.noted > _NOTED_EVERY_S:
            core.keys.noted = now
            self._resting.touch(core)
        shell = self._shells.get(core)
        if self.socket.refused:
            self.hub.loop.run_callback(self._on_refused)
        if self.socket.hints:
            self.hub.loop.run_callback(self._on_hints, self.socket)
        if self._unsent is not None and core not in self._dirty:
            self._dirty[core] = None
        if shell is not None:
            shell.dispatch()
            self._arm(shell)
        if self.core.forget_if_over(core):
            self._resting.forget(core)
            self._shells.pop(core, None)
            if shell is not None:
                shell.on_forgotten()

    def _wait_writable(self, transmit: Transmit) -> None:
        # The buffer is shared, so what could not leave is kept as a copy.
        data = bytes(transmit.data)
        self._unsent = Transmit(transmit.remote, data, transmit.segment_size, transmit.local, transmit.ecn)
        self._writer = self.hub.loop.io(self._socket_of(transmit).fileno(), 2)
        self._writer.start(self._on_writable)

    def _on_writable(self) -> None:
        unsent = self._unsent
        if unsent is not None and not self._socket_of(unsent).send(unsent):
            return
        self._unsent = None
        self._stop_writer()
        self._flush()

    def _stop_writer(self) -> None:
        end_watcher(self._writer)
        self._writer = None

    def close(self) -> None:
        """Close the socket; connections that are still open are over without a word to their peers."""
        if self.closed:
            return
        self.closed = True
        if self.watch is not None:
            self.watch.stop()
        self._resting.stop()
        self._reader.stop()
        self._reader.close()
        self._stop_writer()
        if self.carriers is not None:
            self.carriers.close()
        self.keep_sockets(set())
        self.socket.close()
        for shell in self.connections():
            shell.on_forgotten()
        self._shells.clear()
        self._dirty.clear()

    def leave_to_parent(self) -> None:
        """In a forked child: let go of the socket. The loop must not watch it any more; nothing is sent."""
        self.closed = True
        self._resting.stop()
        self._reader.stop()
        if self._writer is not None:
            self._writer.stop()
        if self.carriers is not None:
            self.carriers.leave_to_parent()
        for socket, reader in self._others.values():
            reader.stop()
            socket.close()
        self.socket.close()
