# cython: language_level=3, annotation_typing=False, nonecheck=True
"""A connection as applications see it: blocking calls, one greenlet each, any number of them at once.

A call first tries what can be done at once, then waits on a signal and tries again. Nothing is decided here: the
engine's `ConnectionCore` holds all state, and `dispatching` turns its events into signals.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jsp.crypto.guard as guard
import jsp.net.clock as clock
import jsp.net.dispatching as dispatching
import jsp.net.here as here
import jsp.net.receipt as receipts
from jsp.coding.zstd import Coding, agree
from jsp.crypto.credentials import Presented
from jsp.crypto.identity import PeerId
from jsp.crypto.provider import chosen
from jsp.engine import redundancy
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed
from jsp.engine.message import Message
from jsp.engine.modes import RELIABLE, Mode
from jsp.engine.scheduler import DEFAULT_URGENCY, URGENCIES
from jsp.engine.states import Moved, State
from jsp.engine.streams import Stream as InnerStream
from jsp.engine.timers import NEVER
from jsp.errors import (
    Code,
    ConnectionClosed,
    ForkedConnection,
    LocalError,
    ProtocolViolation,
    Timeout,
    WrongHub,
)
from jsp.net import coded, moving, pings
from jsp.net.outcome import closed_error
from jsp.net.receipt import Receipt
from jsp.net.report import ConnectionStats, PathInfo, explain, path_infos, plain, snapshot
from jsp.net.stream import Stream, check_code
from jsp.net.waiting import Signal, Woken, end_watcher

if TYPE_CHECKING:
    from jsp.net.endpoint import Endpoint

_URGENCIES = URGENCIES


class Connection:
    """An encrypted connection to one peer. Made by `jsp.connect` or handed out by a `jsp.Server`.

    It belongs to the thread that made it; calls from another one raise `WrongHub`. Leaving a `with` block closes
    it: orderly, or at once when an exception is on its way.

    """

    __slots__ = (
        "_asked", "_closing", "_coding", "_core", "_endpoint", "_forgotten", "_hub", "_incoming", "_may_code",
        "_message_arrived", "_moved", "_pings", "_refusal", "_room", "_stream_arrived", "_streams", "_thread",
        "armed_for", "on_closed", "on_connected", "on_messages", "on_presented", "on_silent", "on_stream",
        "on_untaken", "owns_endpoint", "pinned", "remotes", "timer", "tries", "wanted_way", "__weakref__",
    )  # fmt: skip

    def __init__(self, core: ConnectionCore, endpoint: Endpoint) -> None:
        self._core = core
        self.timer: Any = None
        self.armed_for = NEVER
        self.on_connected: Callable[[Connection], None] | None = None
        self.on_presented: Callable[[Connection, Presented], None] | None = None
        self.on_stream: Callable[[Connection, Stream], None] | None = None
        self.on_messages: Callable[[Connection], None] | None = None
        self.on_untaken: Callable[[Connection], None] | None = None
        self.on_silent: Callable[[Connection], None] | None = None
        self.on_closed: Callable[[Connection], None] | None = None
        # Whether the application said where it is, so that other routes do not move it.
        self.owns_endpoint = self.pinned = False
        # How often another way was looked for, and which is wanted as soon as it is possible; where else the peer is.
        self.tries = 0
        self.wanted_way: tuple[str, tuple[Any, ...]] | None = None
        self.remotes: tuple[tuple[Any, ...], ...] = ()
        self._endpoint = endpoint
        self._hub = endpoint.hub
        self._thread = here.thread()
        self._streams: dict[int, Stream] = {}
        self._incoming: list[Stream] = []
        self._stream_arrived = Signal()
        self._message_arrived = Signal()
        # Open, or over: both end some waiting. Likewise with what the peer's limits hold up.
        self._moved = Signal()
        self._room = Signal()
        self._pings: pings.Waiters = {}
        self._asked = self._closing = self._forgotten = False
        self._may_code = core.config.compression is not None
        self._coding: Coding | None = None
        self._refusal = ""

    def __repr__(self) -> str:
        return f"<jsp.Connection {self._core.lifecycle.state.name.lower()} {self.remote_address}>"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        # In a forked child there is nothing to close: the connection is its parent's.
        with suppress(ForkedConnection):
            if error is None:
                self.close()
            else:
                self.abort(int(Code.NO_ERROR), "")

    # --- who and what --------------------------------------------------------------------------------------

    @property
    def core(self) -> ConnectionCore:
        """The engine's side, awake; for the library, and where speed matters only for what may be asleep."""
        core = self._core
        if core.asleep is not None:
            core.wake()
            # So that it will be let go to sleep again.
            self._endpoint.changed(core)
        return core

    @property
    def peer(self) -> PeerId | None:
        """The peer's proven identity; None for a client that has none."""
        return self._core.peer_id

    @property
    def negotiated(self) -> dict[str, Any]:
        """What the handshake settled: "kem", "cipher", "signature", "protocol", "compression", "resumed",
        "early_data"; and, which is nobody's business but ours, what seals the packets here: "provider"."""
        compression = None if self.coding() is None else "zstd"
        settled = {"compression": compression, "resumed": False, "early_data": False}
        return {**self._core.negotiated, **settled, "provider": chosen().name}

    @property
    def remote_address(self) -> tuple[Any, ...]:
        """Where the peer is now (it may move)."""
        return plain(self.core.path.remote)

    @property
    def local_address(self) -> tuple[Any, ...]:
        """Where we are."""
        local = self.core.path.local
        return plain(local) if local else self._own_address()

    def _own_address(self) -> tuple[Any, ...]:
        """Where the endpoint's own socket is."""
        return self._endpoint.socket.source_for(self.remote_address)

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._core.is_closed()

    @property
    def closing(self) -> bool:
        """Whether `close` was called: nothing more can be written."""
        return self._closing

    @property
    def paths(self) -> list[PathInfo]:
        """The live paths."""
        return path_infos(self.core, self._own_address())

    def stats(self) -> ConnectionStats:
        """Counters and the state of the path, as plain numbers."""
        return snapshot(self.core)

    def explain(self) -> str:
        """One paragraph: what limits this connection now, and which path it uses."""
        return explain(self.core)

    add_path = moving.add_path
    migrate = moving.migrate
    remove_path = moving.remove_path

    # --- streams -------------------------------------------------------------------------------------------

    def open_stream(self, unidirectional: bool = False, timeout: float | None = None) -> Stream:
        """A new stream, announced to the peer at once. Waits while the peer allows no more of them.

        Raises ConnectionClosed, or Timeout after `timeout` seconds.
        """
        deadline = self.deadline(timeout)
        while True:
            self._check_usable()
            inner = self.core.open_stream(unidirectional)
            if inner is not None:
                stream = self._streams[inner.id] = self.make_stream(inner)
                self.changed()
                return stream
            self.changed()
            self.wait_for(self._room, deadline, "the peer allows no more streams for now")

    def accept_stream(self, timeout: float | None = None) -> Stream:
        """The next stream that the peer opened. Raises ConnectionClosed, or Timeout after `timeout` seconds."""
        self.check_hub()
        if self.on_stream is not None:
            raise LocalError("this connection's streams go to its handler's handle_stream")
        self._asked = True
        deadline = self.deadline(timeout)
        while not self._incoming:
            self._check_open()
            self.wait_for(self._stream_arrived, deadline, "no stream was opened by the peer")
        return self._incoming.pop(0)

    # --- messages ------------------------------------------------------------------------------------------

    def send(
        self,
        data: bytes | bytearray | memoryview,
        mode: Mode = RELIABLE,
        ordered: bool = False,
        timeout: float | None = None,
        priority: int = DEFAULT_URGENCY,
        key: Hashable | None = None,
        compress: bool = False,
        redundant: bool = False,
    ) -> Receipt:
        """Send a message: it arrives whole or not at all. Waits while the queue is full.

        Args:
            data: at most the peer's `Config.max_message` bytes; MessageTooLarge otherwise.
            mode: `jsp.RELIABLE`, `jsp.PartiallyReliable(...)` or `jsp.BEST_EFFORT`.
            ordered: keep the order among ordered messages of the same kind.
            timeout: seconds to wait for room in the queue; Timeout after that.
            priority: urgency, 0 (first) to 7 (last), among messages and streams. Inside one urgency streams and
                messages take turns, and among messages the earliest `ttl` goes first. Ordered ones are as urgent
                as the most urgent of those that wait.
            key: only the latest message of those with an equal key matters: it replaces an older one that still
                waits, in its place, and one that is under way is not sent again. Never on the wire.
            redundant: send it by all paths at once, when there are several (docs/mobility.md).
            compress: if both ends have a `Config.compression` (whose docstring says when not to) and it gets smaller.

        Returns a receipt, which tells what became of the message.
        """
        if not 0 <= priority < _URGENCIES:
            raise LocalError("priority: 0 (first) to 7 (last)")
        content = data if type(data) is bytes else bytes(data)
        self._check_usable()
        if compress or self._may_code:
            content = coded.outgoing(self, content, compress)
        core = self._core
        core.wake()
        deadline = None
        # Only what may run out of time asks what time it is.
        now = 0.0 if mode is RELIABLE else clock.now()
        message = core.send_message(now, content, mode, ordered, priority, key)
        while message is None:
            if deadline is None:
                deadline = self.deadline(timeout)
            self.changed()
            self.wait_for(self._room, deadline, "the message queue stayed full")
            self._check_usable()
            message = core.send_message(now, content, mode, ordered, priority, key)
        if redundant:
            redundancy.ask(core, message)
        self._endpoint.changed(core)
        return receipts.make_receipt(self, message)

    def recv(self, timeout: float | None = None) -> Message:
        """The next message. Raises ConnectionClosed, or Timeout after `timeout` seconds."""
        self.check_hub()
        if self.on_messages is not None:
            raise LocalError("this connection's messages go to its handler's handle_message")
        self._asked = True
        deadline = self.deadline(timeout)
        while True:
            message = self.take_message()
            if message is not None:
                return message
            self._check_open()
            self.wait_for(self._message_arrived, deadline, "no message came")

    def take_message(self) -> Message | None:
        """The next message if there is one now."""
        if self._core.asleep is not None:
            return None
        message = self._core.recv_messages.read()
        if message is not None:
            self.changed_if_due()
            if self._may_code:
                return coded.incoming(self, message)
        return message

    def drop_untaken(self) -> bool:
        """Reset streams and drop messages that have no handler, unless somebody ever called `accept_stream` or `recv`.

        They would be held until the peer's credit is used up. Returns whether there were any.
        """
        found = False
        while self._incoming and not self._asked:
            self._incoming.pop(0).reset(int(Code.REFUSED))
            found = True
        while self.on_messages is None and not self._asked and self.take_message() is not None:
            found = True
        return found

    # --- other calls ---------------------------------------------------------------------------------------

    def ping(self, timeout: float | None = 10.0) -> float:
        """A round trip in seconds. Raises Timeout or ConnectionClosed."""
        self._check_usable()
        token = self.core.ping()
        self.changed()
        return pings.wait(self._hub, self._pings, token, timeout)

    def close(self, code: int = 0, reason: str = "") -> None:
        """Deliver what was written (for at most `Config.close_timeout`), then close. Harmless when closed.

        Args:
            code: the application's own number for the peer to see, 0 to 2^62 - 1.
            reason: words for the peer, who gets the first 64 bytes of them.
        """
        check_code(code)
        self.check_hub()
        if not self._closing and not self._core.is_closed():
            self._closing = True
            self.core.close(clock.now(), code, reason)
            self._endpoint.flush(self._core)
        while not self._core.is_closed():
            self._moved.wait()
        # CLOSE leaves now: the program may end with this call.
        self._endpoint.flush(self._core)

    def abort(self, code: int = 0, reason: str = "") -> None:
        """Close at once; what is not yet delivered is lost."""
        check_code(code)
        self.check_hub()
        self._closing = True
        self._core.close_now(clock.now(), code, reason, application=True)
        self._endpoint.flush(self._core)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the connection is over; False after `timeout` seconds."""
        self.check_hub()
        deadline = self.deadline(timeout)
        while not self._core.is_closed():
            left = None if deadline is None else deadline - clock.now()
            if left is not None and left <= 0:
                return False
            self._moved.wait(left)
        return True

    # --- for streams ---------------------------------------------------------------------------------------

    def changed(self) -> None:
        """There may be something to send."""
        self._endpoint.changed(self._core)

    def resume(self, waiter: Woken) -> None:
        """Let one who waits go on when what is going on here is over."""
        self._endpoint.resume(waiter)

    def spin(self, signal: Signal) -> bool:
        """Before waiting for `signal`: poll for it, if the configuration says so; whether it was given."""
        seconds: float = self._core.config.spin
        return seconds > 0 and self._endpoint.spin(signal, seconds)

    def wake(self, signal: Signal) -> None:
        """Let those who wait for `signal` go on."""
        self._endpoint.wake(signal)

    def changed_if_due(self) -> None:
        """After reading: tell the peer of new credit when it is time to."""
        if self._core.has_credit_to_tell():
            self._endpoint.changed(self._core)

    def closed_error(self) -> ConnectionClosed:
        """The error that tells why the connection is over."""
        return closed_error(self._core, self._refusal)

    def release(self, stream: Stream) -> None:
        """The application has let go of `stream`."""
        self._streams.pop(stream.id, None)
        self._core.streams.release(stream.inner)

    def make_stream(self, inner: InnerStream) -> Stream:
        """What applications get for a stream of the engine."""
        coding = self.coding() if self._may_code else None
        return Stream(self, inner) if coding is None else coded.CodedStream(self, inner, coding)

    def coding(self) -> Coding | None:
        """How compressed data is coded, if the handshake settled that there may be some."""
        if self._coding is None and self._may_code:
            self._coding = agree(self._core.config.compression, self._core.peer_compression)
        return self._coding

    def fail(self, violation: ProtocolViolation) -> None:
        """The peer broke a rule."""
        self._core.fail(clock.now(), violation)
        self._after_verdict()

    # --- waiting -------------------------------------------------------------------------------------------

    def deadline(self, timeout: float | None) -> float | None:
        """When `timeout` seconds from now are over."""
        return None if timeout is None else clock.now() + timeout

    def wait_for(self, signal: Signal, deadline: float | None, what: str) -> None:
        """Wait for `signal`; Timeout, saying `what`, at `deadline`."""
        left = None if deadline is None else deadline - clock.now()
        if left is not None and left <= 0:
            raise Timeout(what)
        if not self.spin(signal):
            signal.wait(left)

    def check_hub(self) -> None:
        """Raise WrongHub in another thread than the connection's, ForkedConnection in a forked child."""
        guard.check_fork(self._endpoint.core.owner)
        if here.thread() != self._thread:
            raise WrongHub("this connection belongs to another thread; use it there, or make one here")

    def _check_open(self) -> None:
        if self._core.is_closed():
            raise self.closed_error()

    def _check_usable(self) -> None:
        self.check_hub()
        if self._core.is_closed() or self._closing:
            raise self.closed_error()

    def wait_connected(self, deadline: float | None) -> bool:
        """For `connect`: wait until the handshake is over either way; False when `deadline` came first."""
        while self._core.lifecycle.state is State.HANDSHAKE:
            left = None if deadline is None else deadline - clock.now()
            if left is not None and left <= 0:
                return False
            self._moved.wait(left)
        # The last flight of the handshake leaves before anybody can close the connection.
        self._endpoint.flush(self._core)
        return True

    # --- what the engine tells -----------------------------------------------------------------------------

    def dispatch(self) -> None:
        """Hand out the engine's events. Runs in the hub: wakes, never waits."""
        dispatching.dispatch(self)

    def accept_peer(self) -> None:
        """The trust policy welcomes the peer."""
        if not self._core.is_closed():
            self._core.accept_peer(clock.now())
            self._after_verdict()

    def refuse_peer(self, error: ProtocolViolation) -> None:
        """The trust policy does not."""
        self._core.close_now(clock.now(), error.code, error.reason)
        self._after_verdict()

    def _after_verdict(self) -> None:
        self.dispatch()
        self.changed()

    def on_refused(self) -> None:
        """The kernel says that nobody listens at the peer's port: believed only before anybody answered."""
        carriers = self._endpoint.carriers
        if carriers is not None and carriers.may_still_answer():
            return
        if self._core.lifecycle.state is State.HANDSHAKE and not self._core.counters.packets_received:
            self._refusal = "nobody listens there (port unreachable)"
            text = Closed(Code.REFUSED, self._refusal, by_peer=False)
            self._core.end(clock.now(), Moved.VANISHED, text)
            self.dispatch()
            self.changed()

    def disarm(self) -> None:
        """Drop the loop's timer for this connection."""
        end_watcher(self.timer)
        self.timer = None

    def on_forgotten(self) -> None:
        """The engine has nothing more to do for this connection."""
        if self._forgotten:
            return
        self._forgotten = True
        self.disarm()
        if not self._core.is_closed():
            text = "the endpoint was closed"
            self._core.end(clock.now(), Moved.VANISHED, Closed(Code.NO_ERROR, text, by_peer=False))
            self.dispatch()
        if self.owns_endpoint:
            self._endpoint.close()
