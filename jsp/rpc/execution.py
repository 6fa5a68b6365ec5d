# cython: language_level=3, annotation_typing=False, nonecheck=True
"""One call on the server, from its request to the frame that ends it.

`execute` runs in a greenlet of its own. Whatever the method does - return, raise, stream, be stopped - exactly one
frame ends the call, unless the connection is gone. While the method runs it can be stopped; while that last frame
waits to leave it cannot, or the client would never learn the end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from gevent import getcurrent
from greenlet import GreenletExit

import jsp.rpc.codec as codec
import jsp.rpc.lanes as lanes
from jsp.crypto.identity import PeerId
from jsp.errors import Error, LocalError
from jsp.net.connection import Connection
from jsp.net.waiting import Signal
from jsp.rpc.codec import (
    CREDIT,
    END,
    ERROR,
    FED,
    NOTIFY,
    REPLY,
    STREAM,
    Encoder,
)
from jsp.rpc.errors import BadFrame, ErrorCode, TooLarge, Unserialisable, fields_of, words_of
from jsp.rpc.lanes import ITEMS, SMALL, SMALL_MAX, Lanes, close_for
from jsp.rpc.sending import item_frame, send_items
from jsp.rpc.service import Method, Service
from jsp.rpc.session import ServedCall, ServerSession
from jsp.rpc.workers import Worker, Workers

log = logging.getLogger("jsp.rpc")

_NOTIFY = NOTIFY
_STREAM = STREAM
_REPLY = REPLY
_ERROR = ERROR
_END = END
_ITEMS = ITEMS
_SMALL_MAX = SMALL_MAX

# Letters of a name nobody knows that are sent back.
_NAME_SHOWN = 100


class Served:
    """A client's connection, as calls see it: their `owner`.

    Attributes:
        connection: it.
        session: its calls.
        lanes: where frames to the client go.
        encoder: makes them.
        service: what it may call.
        workers: who runs that.
        debug: whether tracebacks are sent.
    """

    __slots__ = ("_starting", "connection", "debug", "encoder", "lanes", "service", "session", "workers")

    def __init__(self, connection: Connection, service: Service, workers: Workers, max_frame: int, debug: bool) -> None:
        self.connection = connection
        self.session = ServerSession(self)
        self.lanes = Lanes(connection)
        self.encoder = Encoder(max_frame)
        self.service = service
        self.workers = workers
        self.debug = debug
        self._starting = False

    def start_waiting(self) -> None:
        """Start the calls that waited for others to be over, as far as they may."""
        # Those that are over at once come here too; the loop that is running sees to what they make room for.
        if self._starting:
            return
        self._starting = True
        try:
            while (call := self.session.poll_start()) is not None:
                self.workers.start(call)
        finally:
            self._starting = False

    def finish(self, call: ServedCall) -> None:
        """The call is over."""
        self.session.finish(call)
        if call.signal is not None:
            # Somebody may still wait for items of its streamed argument.
            call.signal.notify()
        self.start_waiting()

    def refusal(self, call_id: int, code: ErrorCode, words: str) -> bytes:
        """An ERROR frame of the server's own."""
        return self.encoder.frame(_ERROR, call_id, (code, code.name, words, None))


class CallError(Exception):
    """A call that the server does not run, or whose outcome it cannot send."""

    __slots__ = ("code",)

    def __init__(self, code: ErrorCode, words: str) -> None:
        super().__init__(words)
        self.code = code


def caller() -> PeerId | None:
    """Who called the method that is running: the proven identity, or None for a client that has none.

    Raises LocalError outside of a method's own greenlet.
    """
    worker = getcurrent()
    if not isinstance(worker, Worker) or worker.call is None:
        raise LocalError("caller() is for methods that a client has called, in their own greenlet")
    peer: PeerId | None = worker.call.owner.connection.peer
    return peer


def execute(call: ServedCall) -> None:
    """Run a call. Raises nothing but KeyboardInterrupt and SystemExit."""
    served: Served = call.owner
    try:
        frame = _outcome(call, served)
    except (KeyboardInterrupt, SystemExit):
        served.finish(call)
        raise
    except BadFrame as error:
        close_for(served.connection, error)
        served.finish(call)
        return
    _end(call, served, frame)


def _outcome(call: ServedCall, served: Served) -> bytes:
    """The frame that ends the call. Raises BadFrame, KeyboardInterrupt, SystemExit."""
    name = "?"
    try:
        name, args, kwargs = _read(call)
        return _run(call, served, _find(call, served.service, name), args, kwargs)
    except (KeyboardInterrupt, SystemExit, BadFrame):
        raise
    except GreenletExit:
        return served.refusal(call.id, ErrorCode.CANCELLED, f"{name} was stopped")
    except CallError as error:
        if call.kind == _NOTIFY:
            log.warning("notification %.64r: %.200r", name, str(error))
        return served.refusal(call.id, error.code, words_of(error))
    except BaseException as error:
        # gevent.Timeout is not an Exception, and still the method's own affair.
        log.log(logging.WARNING if call.kind == _NOTIFY else logging.INFO, "%.64r raised", name, exc_info=error)
        return served.encoder.frame(_ERROR, call.id, fields_of(error, served.debug))


def _read(call: ServedCall) -> tuple[str, list[Any], dict[str, Any]]:
    payload, call.payload = call.payload, b""
    try:
        name, args, kwargs = codec.decode_request(payload, call.feeds)
    except (TooLarge, Unserialisable) as error:
        raise _unsendable("the request", error) from None
    if call.feeds:
        incoming = Incoming(call)
        args = [incoming if a is FED else a for a in args]
        kwargs = {key: incoming if a is FED else a for key, a in kwargs.items()}
    return name, args, kwargs


def _find(call: ServedCall, service: Service, name: str) -> Method:
    method = service.find(name)
    if method is None:
        raise CallError(ErrorCode.UNKNOWN_METHOD, f"there is no method {name[:_NAME_SHOWN]!r}")
    if method.streams != (call.kind == _STREAM):
        text = "streams its items: use stream()" if method.streams else "does not stream: use call()"
        raise CallError(ErrorCode.WRONG_CALL, f"{name} {text}")
    return method


def _run(call: ServedCall, served: Served, method: Method, args: list[Any], kwargs: dict[str, Any]) -> bytes:
    call.stoppable = True
    try:
        result = method.function(*args, **kwargs)
        if call.kind == _STREAM:
            _stream(call, served, result)
    except TypeError as error:
        mismatch = method.mismatch(args, kwargs)
        if mismatch:
            raise CallError(ErrorCode.BAD_ARGUMENTS, mismatch) from error
        raise
    finally:
        call.stoppable = False
    if call.kind == _NOTIFY:
        return codec.done_frame(call.id)
    if call.kind == _STREAM:
        return codec.bare_frame(_END, call.id)
    try:
        return served.encoder.frame(_REPLY, call.id, result)
    except (TooLarge, Unserialisable) as error:
        raise _unsendable("the result", error) from None


def _stream(call: ServedCall, served: Served, items: Iterator[Any]) -> None:
    """Send the items of a generator."""

    def encode(item: Any) -> bytes:
        try:
            return item_frame(served.encoder, call.id, item)
        except (TooLarge, Unserialisable) as error:
            raise _unsendable("an item", error) from None

    assert call.credit is not None
    send_items(items, encode, call.credit, _signal(call), served.lanes)


def _unsendable(what: str, error: TooLarge | Unserialisable) -> CallError:
    code = ErrorCode.TOO_LARGE if isinstance(error, TooLarge) else ErrorCode.UNSERIALISABLE
    return CallError(code, f"{what}: {error}")


def _signal(call: ServedCall) -> Signal:
    signal: Signal | None = call.signal
    if signal is None:
        signal = call.signal = Signal()
    return signal


def _end(call: ServedCall, served: Served, frame: bytes) -> None:
    """Send the frame that ends the call."""
    lane = _ITEMS if call.kind == _STREAM else lanes.lane_for(frame)
    if len(frame) > _SMALL_MAX:
        served.session.charge(call, len(frame))
    try:
        served.lanes.send(lane, frame)
    except Error:
        # The connection is gone; there is nobody to tell.
        pass
    finally:
        served.finish(call)


class Incoming:
    """The streamed argument of a call, for the method: an iterator over what the client sends."""

    __slots__ = ("_call",)

    def __init__(self, call: ServedCall) -> None:
        self._call = call

    def __iter__(self) -> Incoming:
        return self

    def __next__(self) -> Any:
        call = self._call
        inbox = call.inbox
        assert inbox is not None
        while not inbox.payloads:
            if inbox.ended:
                raise StopIteration
            _signal(call).wait()
        payload = inbox.take()
        credit = inbox.poll_credit()
        served: Served = call.owner
        if credit:
            served.lanes.send(SMALL, served.encoder.frame(CREDIT, call.id, credit))
        try:
            return codec.decode(payload)
        except BadFrame as error:
            close_for(served.connection, error)
            raise
