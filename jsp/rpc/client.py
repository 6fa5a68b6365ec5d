# cython: language_level=3, annotation_typing=False, nonecheck=True
"""`jsp.rpc.connect` and the client: calls that block their greenlet, any number of them on one connection.

A call is a frame out and a frame back. The caller encodes the request, writes it, and waits; answers are read in the
turn of the loop that brought them, which goes on with those whom they are for; the caller decodes its own result. So a
value that takes long to decode costs the one who asked for it, and no greenlet or timer is made for a call that has no
time limit. With `Config.spin` a caller reads the answers itself while it polls.

When the connection ends every call under way raises `jsp.ConnectionClosed`. A client is not connected again: whether
a call that got no answer was run is not known, and only its author knows whether it may be run twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import gevent
from gevent import Greenlet, get_hub, getcurrent
from gevent.hub import Waiter
from greenlet import greenlet

import jsp.rpc.codec as codec
import jsp.rpc.lanes as lanes
from jsp.config import Config
from jsp.crypto.identity import PeerId
from jsp.errors import Error, LocalError, Timeout
from jsp.net.client import AddressLike
from jsp.net.client import connect as transport_connect
from jsp.net.connection import Connection
from jsp.net.stream import Stream
from jsp.net.waiting import Signal
from jsp.rpc.calls import Future, Items
from jsp.rpc.codec import FED, MAX_FRAME, PROTOCOL, Encoder, Frame, check_max_frame
from jsp.rpc.errors import BadFrame, Unserialisable, parse_error
from jsp.rpc.lanes import Lanes, Listener, close_for, rpc_config
from jsp.rpc.sending import item_frame, send_items
from jsp.rpc.service import METHODS, MethodInfo
from jsp.rpc.session import FAILED, LOST, ClientCall, ClientSession
from jsp.rpc.slots import Slots
from jsp.rpc.windows import WINDOW

_CALL = codec.CALL
_NOTIFY = codec.NOTIFY
_STREAM = codec.STREAM
_CANCEL = codec.CANCEL
_REPLY = codec.REPLY
_END = codec.END
_CREDIT = codec.CREDIT
_FEEDS = codec.FEEDS
_LOST = LOST
_FAILED = FAILED
_SMALL = lanes.SMALL
_ITEMS = lanes.ITEMS
_WINDOW = WINDOW


def connect(
    address: AddressLike,
    *,
    config: Config | None = None,
    timeout: float | None = None,
    max_frame: int = MAX_FRAME,
    **options: Any,
) -> Client:
    """Connect to the `jsp.rpc.Server` at `address`; raises what `jsp.connect` raises.

    Args:
        address: as for `jsp.connect`.
        config: `protocols` and `max_streams` are set for RPC, the rest holds. None: the defaults, and `keep_alive`
            every 10 seconds, so that silence while a method takes its time does not end the connection.
        timeout: seconds for connecting; see `Client.timeout` for calls.
        max_frame: the largest request or reply in bytes, 1 MiB to 1 GiB.
        options: what else `jsp.connect` takes: `identity`, `trust`, `bind`.
    """
    check_max_frame(max_frame)
    connection = transport_connect(address, config=rpc_config(config), timeout=timeout, **options)
    return Client(connection, max_frame=max_frame)


class Client:
    """Calls methods of one server. Leaving a `with` block closes the connection.

    Arguments and results are what `jsp.rpc.codec` lists. One argument of a call may be an iterator: its items are then
    sent one by one, and the method gets an iterator.

    Args:
        connection: made with `jsp.connect` and the configuration of `jsp.rpc.rpc_config`; used for nothing else.
        max_frame: the largest request or reply in bytes, 1 MiB to 1 GiB.

    Attributes:
        connection: it.
        proxy: `client.proxy.add(2, 3)` is `client.call("add", 2, 3)`; names may have dots.
        timeout: seconds for calls that name no time limit of their own; None, as at first: no limit.
    """

    __slots__ = (
        "_encoder", "_greenlets", "_hub", "_lanes", "_listener", "_session", "_slots", "_spins", "connection", "proxy",
        "timeout", "__weakref__",
    )  # fmt: skip

    def __init__(self, connection: Connection, *, max_frame: int = MAX_FRAME) -> None:
        if connection.negotiated["protocol"] != PROTOCOL:
            raise LocalError(f"the connection does not speak {PROTOCOL}: make it with jsp.rpc.rpc_config()")
        self.connection = connection
        self.proxy = Proxy(self, "")
        self.timeout: float | None = None
        self._hub = get_hub()
        self._session = ClientSession()
        self._encoder = Encoder(check_max_frame(max_frame))
        self._lanes = Lanes(connection)
        self._slots = Slots()
        self._listener = Listener(max_frame, self._on_frames, self._refuse)
        self._spins = connection.core.config.spin > 0
        self._greenlets: set[Greenlet[..., Any]] = set()
        connection.on_stream = self._on_stream
        connection.on_closed = self._on_closed

    def __repr__(self) -> str:
        return f"<jsp.rpc.Client {self.connection.remote_address}{' closed' if self.closed else ''}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._lanes.end_turn()
        self.connection.__exit__(kind, error, trace)
        self._join()

    @property
    def peer(self) -> PeerId | None:
        """The server's proven identity."""
        return self.connection.peer

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self.connection.closed

    def close(self) -> None:
        """Deliver notifications, then close the connection; calls under way raise ConnectionClosed."""
        self._lanes.end_turn()
        self.connection.close()
        self._join()

    def _join(self) -> None:
        me = getcurrent()
        gevent.joinall([g for g in self._greenlets if g is not me], timeout=1.0)

    # --- calls ---------------------------------------------------------------------------------------------

    def call(self, method: str, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Call a method and return its result.

        Args:
            method: its name.
            args, kwargs: what it gets. `timeout` is ours: for a method with an argument of that name use
                `client.proxy` or `submit`, whose keywords all go to the method.
            timeout: seconds, from now to the result; None: the client's `timeout`. When they are over the method is
                stopped on the server.

        Raises:
            RemoteError: the method raised an exception.
            UnknownMethod, BadArguments, WrongCall: it was not run.
            Unserialisable, TooLarge: arguments or result cannot be carried.
            Cancelled: it was stopped on the server.
            Timeout: the time is over.
            ConnectionClosed: so is the connection; whether the method was run is not known.
        """
        return self.call_with(method, args, kwargs, timeout)

    def call_with(self, method: str, args: Any, kwargs: dict[str, Any], timeout: float | None) -> Any:
        """`call`, with the arguments in a tuple and a dict."""
        limit = self.timeout if timeout is None else timeout
        if limit is None or limit == math.inf:
            return self._call(method, args, kwargs)
        self.connection.check_hub()
        # Raised here wherever this greenlet waits: for room, for the lane, for the answer.
        timer = self._hub.loop.timer(max(limit, 0.0))
        timer.start(_expire, getcurrent(), method, limit, update=True)
        try:
            return self._call(method, args, kwargs)
        finally:
            timer.stop()
            timer.close()

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._start(_CALL, method, args, kwargs, None)
        if self._spins:
            self._spin(call)
        if not call.final:
            waiter = call.waiter = Waiter(self._hub)
            try:
                waiter.get()
            except BaseException:
                call.waiter = None
                self.cancel(call)
                raise
        return self.outcome(call)

    def _spin(self, call: ClientCall) -> None:
        """Read what comes here, as long as `Config.spin` allows."""
        listener = self._listener
        while not call.final and self.connection.spin(listener.arrived):
            listener.read()

    def notify(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Run a method without waiting for it. Nothing tells whether it ended well, or that it exists.

        Waits while too much is under way. A notification that has left runs to its end even if the client goes.
        """
        self._start(_NOTIFY, method, args, kwargs, None)

    def submit(self, method: str, /, *args: Any, **kwargs: Any) -> Future:
        """Call a method, and wait for its result later."""
        return Future(self, self._start(_CALL, method, args, kwargs, Signal()), method)

    def stream(self, method: str, /, *args: Any, **kwargs: Any) -> Items:
        """Call a method that is a generator, and iterate over its items as they come.

        The method runs ahead of its consumer by at most 1 MiB of items, and is stopped when the iterator is dropped
        or closed. Iterating raises what `call` raises; items that came before are given first.
        """
        return Items(self, self._start(_STREAM, method, args, kwargs, Signal()), method)

    def methods(self) -> list[MethodInfo]:
        """What the server offers."""
        found = self.call(METHODS)
        try:
            return [MethodInfo(str(m["name"]), str(m["signature"]), str(m["doc"]), bool(m["streams"])) for m in found]
        except (TypeError, LookupError):
            raise Unserialisable("the server's list of methods cannot be read") from None

    # --- requests ------------------------------------------------------------------------------------------

    def _start(
        self, kind: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], signal: Signal | None
    ) -> ClientCall:
        """Send a request."""
        if not isinstance(method, str):
            raise LocalError("a method is called by its name")
        session = self._session
        call_id = session.next_id()
        feed: Iterator[Any] | None = None
        try:
            frame = self._encoder.request(kind, call_id, method, args, kwargs)
        except Unserialisable as error:
            feed, args, kwargs = _split_feed(args, kwargs)
            if feed is None or kind == _NOTIFY:
                raise error
            frame = self._encoder.request(kind + _FEEDS, call_id, method, args, kwargs)
        size = codec.payload_size(frame) + (_WINDOW if feed is not None else 0)
        self._slots.acquire(size)
        lane = lanes.lane_for(frame) if feed is None else _ITEMS
        call = ClientCall(call_id, kind, size, feed is not None, lane)
        call.signal = signal if feed is None or signal is not None else Signal()
        session.open(call)
        try:
            self._lanes.send(lane, frame)
        except BaseException:
            # Perhaps it is written already; CANCEL is answered in either case, and then it is over.
            self.cancel(call)
            raise
        if feed is not None and not call.final:
            call.feeder = self._spawn(self._feed, call, feed)
        return call

    def _feed(self, call: ClientCall, items: Iterator[Any]) -> None:
        """Send the items of a streamed argument."""
        assert call.credit is not None
        try:
            send_items(items, partial(item_frame, self._encoder, call.id), call.credit, call.signal, self._lanes)
            self._lanes.send(_ITEMS, codec.bare_frame(_END, call.id))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # Whoever stops us has taken us out of the call.
            if call.feeder is not None and not self.closed:
                self.cancel(call)
                call.fail(error)
                self._wake(call)

    # --- answers -------------------------------------------------------------------------------------------

    def outcome(self, call: ClientCall) -> Any:
        """The result of a call that is over; raises what it failed with."""
        if call.final == _FAILED:
            assert call.failure is not None
            raise call.failure
        if call.final == _LOST:
            raise self.connection.closed_error()
        if call.final == _END:
            return None
        try:
            value = codec.decode(call.payload)
            if call.final == _REPLY:
                return value
            error = parse_error(value)
        except BadFrame as bad:
            self._refuse(bad)
            raise self.connection.closed_error() from bad
        raise error

    def take_item(self, call: ClientCall) -> Any:
        """The next item of a stream; there must be one."""
        assert call.inbox is not None
        payload = call.inbox.take()
        credit = call.inbox.poll_credit()
        if credit and not call.final:
            self._lanes.send(_SMALL, self._encoder.frame(_CREDIT, call.id, credit))
        try:
            return codec.decode(payload)
        except BadFrame as bad:
            self._refuse(bad)
            raise self.connection.closed_error() from bad

    def cancel(self, call: ClientCall) -> None:
        """Stop a call; does not wait. What still comes for it is passed over."""
        if call.inbox is not None:
            call.inbox.close()
        if call.final or self.closed:
            return
        self._stop_feeder(call)
        frame = codec.bare_frame(_CANCEL, call.id)
        try:
            if not self._lanes.try_send(call.lane, frame):
                self._spawn(self._send_late, call.lane, frame)
        except Error:
            pass

    def _send_late(self, lane: int, frame: bytes) -> None:
        try:
            self._lanes.send(lane, frame)
        except Error:
            pass

    def _spawn(self, function: Any, *args: Any) -> Greenlet[..., Any]:
        spawned = gevent.spawn(function, *args)
        self._greenlets.add(spawned)
        spawned.rawlink(self._greenlets.discard)
        return spawned

    # --- what comes ----------------------------------------------------------------------------------------

    def _on_stream(self, connection: Connection, stream: Stream) -> None:
        self._listener.open(stream)

    def _on_frames(self, frames: list[Frame]) -> None:
        if len(frames) > 1 and not self._spins:
            # Those who are answered together ask again together.
            self._lanes.cork_for_turn()
        for kind, call_id, payload in frames:
            call = self._session.handle_frame(kind, call_id, payload)
            if call is not None:
                if call.over:
                    self._slots.release(call.size)
                self._wake(call)

    def _wake(self, call: ClientCall) -> None:
        """Let whoever waits for news of the call have a look."""
        if call.final:
            waiter = call.waiter
            if waiter is not None:
                call.waiter = None
                self.connection.resume(waiter)
            if call.feeder is not None:
                self._stop_feeder(call)
        if call.signal is not None:
            call.signal.notify()

    def _stop_feeder(self, call: ClientCall) -> None:
        feeder, call.feeder = call.feeder, None
        if feeder is not None and feeder is not getcurrent():
            feeder.kill(block=False)

    def _refuse(self, error: BadFrame) -> None:
        close_for(self.connection, error)

    def _on_closed(self, connection: Connection) -> None:
        error = connection.closed_error()
        self._slots.close(error)
        for call in self._session.close():
            self._wake(call)


class Proxy:
    """Methods of a server as attributes; every argument goes to the method, none to the call."""

    __slots__ = ("_client", "_name")

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def __repr__(self) -> str:
        return f"<jsp.rpc.Proxy {self._name}>"

    def __getattr__(self, name: str) -> Proxy:
        if name.startswith("_"):
            # copy, pickle, inspect and the like ask for such names; methods have none of them.
            raise AttributeError(name)
        return Proxy(self._client, f"{self._name}.{name}" if self._name else name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._client.call_with(self._name, args, kwargs, None)


def _expire(caller: greenlet, method: str, limit: float) -> None:
    # Made only now: an exception costs more than the timer, and most calls are over by then.
    caller.throw(Timeout(f"{method}: no result within {limit:g} s"))


def _split_feed(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Iterator[Any] | None, tuple[Any, ...], dict[str, Any]]:
    """The streamed argument, and the arguments with `FED` in its place; None when there is no such one."""
    feeds = [a for a in (*args, *kwargs.values()) if isinstance(a, Iterator)]
    if len(feeds) != 1:
        return None, args, kwargs
    feed = feeds[0]
    args = tuple(FED if a is feed else a for a in args)
    return feed, args, {key: FED if a is feed else a for key, a in kwargs.items()}
