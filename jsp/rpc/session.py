# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Both halves of jsp-rpc/1 as machines: which calls are under way, what a frame means for them. Sans-I/O.

`ClientSession` numbers calls and notes what came for them; `ServerSession` admits calls and decides when one may
start. Frames go in by `handle_frame` and its like, which return the call that has news and raise BadFrame where the
peer breaks a rule. Greenlets, streams and encoding are the business of `client.py` and `server.py`; a call carries
what they need as plain attributes, so that news costs no look-up.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import jsp.rpc.bounds as bounds
from jsp.rpc.bounds import VALUE_COST, VALUES_MAX
from jsp.rpc.codec import (
    CALL,
    CALLS_MAX,
    CREDIT,
    END,
    ERROR,
    FEEDS,
    HELD_MAX,
    ITEM,
    NOTIFY,
    REPLY,
    STREAM,
    check_bare,
    decode_credit,
)
from jsp.rpc.errors import BadFrame, CloseCode
from jsp.rpc.windows import WINDOW, Credit, Inbox

_COST_MAX = VALUES_MAX * VALUE_COST

_CALL = CALL
_NOTIFY = NOTIFY
_STREAM = STREAM
_REPLY = REPLY
_ERROR = ERROR
_ITEM = ITEM
_END = END
_CREDIT = CREDIT
_FEEDS = FEEDS
_CALLS_MAX = CALLS_MAX
_HELD_MAX = HELD_MAX
_WINDOW = WINDOW
_VALUE_COST = VALUE_COST

# What a call came to, beside REPLY, ERROR and END: the connection ended first, or something failed on this side.
LOST = -1
FAILED = -2

_LOST = LOST
_FAILED = FAILED


class ClientCall:
    """A call that a client made.

    Attributes:
        id: its number.
        kind: CALL, NOTIFY or STREAM.
        size: what it counts against `HELD_MAX`.
        final: 0 while under way; then REPLY, ERROR, END, LOST or FAILED.
        over: whether the server has said so; after FAILED it has yet to.
        payload: the payload of REPLY or ERROR.
        failure: the exception of FAILED.
        inbox: the items of a STREAM.
        credit: what may be sent of a streamed argument.
        lane, waiter, signal, feeder: for the shell; see `client.py`.
    """

    __slots__ = (
        "credit", "failure", "feeder", "final", "id", "inbox", "kind", "lane", "over", "payload", "signal", "size",
        "waiter",
    )  # fmt: skip

    def __init__(self, call_id: int, kind: int, size: int, feeds: bool, lane: int) -> None:
        self.id = call_id
        self.kind = kind
        self.size = size
        self.final = 0
        self.over = False
        self.payload: bytes | None = b""
        self.failure: BaseException | None = None
        self.inbox = Inbox() if kind == _STREAM else None
        self.credit = Credit() if feeds else None
        self.lane = lane
        self.waiter: Any = None
        self.signal: Any = None
        self.feeder: Any = None

    def fail(self, error: BaseException) -> None:
        """Something on this side makes the call fail; the server is told to stop it, and has yet to say that it is."""
        self.failure = error
        self.final = _FAILED


class ClientSession:
    """The calls of one client.

    Attributes:
        calls: those under way, by id.
    """

    __slots__ = ("_last", "calls")

    def __init__(self) -> None:
        self.calls: dict[int, ClientCall] = {}
        self._last = 0

    def next_id(self) -> int:
        """A number that no call under way has, and none had for long."""
        last = (self._last + 1) & 0xFFFFFFFF
        while last in self.calls:
            last = (last + 1) & 0xFFFFFFFF
        self._last = last
        return last

    def open(self, call: ClientCall) -> None:
        """The request of `call` is about to leave."""
        self.calls[call.id] = call

    def handle_frame(self, kind: int, call_id: int, payload: bytes | None) -> ClientCall | None:
        """A frame from the server. Returns the call it is for, unless that is over and gone. Raises BadFrame."""
        call = self.calls.get(call_id)
        if call is None:
            # The end of a call that was cancelled can overtake what was said of it on other lanes.
            if not _REPLY <= kind <= _CREDIT:
                raise BadFrame(f"frame kind {kind} is not a server's")
            return None
        if kind == _REPLY and call.kind != _STREAM:
            self._finish(call, _REPLY, payload)
        elif kind == _ITEM and call.inbox is not None:
            call.inbox.push(payload)
        elif kind == _ERROR:
            self._finish(call, _ERROR, payload)
        elif kind == _END and call.kind == _STREAM:
            check_bare(payload)
            self._finish(call, _END, b"")
        elif kind == _CREDIT and call.credit is not None:
            call.credit.grant(decode_credit(payload))
        else:
            raise BadFrame(f"frame kind {kind} for a call of kind {call.kind}")
        return call

    def _finish(self, call: ClientCall, final: int, payload: bytes | None) -> None:
        del self.calls[call.id]
        call.over = True
        if not call.final:
            call.final = final
            call.payload = payload

    def close(self) -> list[ClientCall]:
        """The connection is over; returns the calls that were under way."""
        calls = list(self.calls.values())
        self.calls.clear()
        for call in calls:
            call.final = _LOST
        return calls


class ServedCall:
    """A call that a server was asked for.

    Attributes:
        id: its number.
        kind: CALL, NOTIFY or STREAM.
        feeds: whether one of its arguments is streamed.
        payload: the request; emptied by who decodes it.
        size: what it counts against `HELD_MAX`.
        cost: what it takes in memory at most: its arguments, later its result; 0 while that is not known.
        started: whether it may have begun to run.
        over: whether it was finished, or cancelled before it started.
        inbox: the items of its streamed argument.
        credit: what may be sent of its own items.
        owner, worker, stoppable, signal: for the shell; see `execution.py`.
    """

    __slots__ = (
        "cost", "credit", "feeds", "id", "inbox", "kind", "over", "owner", "payload", "signal", "size", "started",
        "stoppable", "worker",
    )  # fmt: skip

    def __init__(self, call_id: int, kind: int, payload: bytes, owner: Any) -> None:
        feeds = kind > _FEEDS
        self.id = call_id
        self.kind = kind - _FEEDS if feeds else kind
        self.feeds = feeds
        self.payload = payload
        self.size = len(payload) + (_WINDOW if feeds else 0)
        self.cost = 0
        self.started = False
        self.over = False
        self.inbox = Inbox() if feeds else None
        self.credit = Credit() if self.kind == _STREAM else None
        self.owner = owner
        self.worker: Any = None
        self.stoppable = False
        self.signal: Any = None


class ServerSession:
    """The calls of one client, on the server.

    Calls start in the order they came, as long as what runs takes at most 128 MB of memory: arguments once unpacked,
    and results that the client is slow to take. One that takes more runs alone.

    Args:
        owner: what calls carry as `owner`.

    Attributes:
        calls: those under way, by id.
    """

    __slots__ = ("_cost", "_held", "_owner", "_waiting", "calls")

    def __init__(self, owner: Any = None) -> None:
        self.calls: dict[int, ServedCall] = {}
        self._owner = owner
        self._held = 0
        self._cost = 0
        self._waiting: deque[ServedCall] = deque()

    def handle_request(self, kind: int, call_id: int, payload: bytes) -> ServedCall | None:
        """CALL, NOTIFY or STREAM. Returns the call if it may start now, else it waits. Raises BadFrame."""
        calls = self.calls
        if call_id in calls:
            raise BadFrame(f"call {call_id} is under way already")
        if len(calls) >= _CALLS_MAX:
            raise BadFrame(f"more than {CALLS_MAX} calls at once", CloseCode.LIMIT)
        call = ServedCall(call_id, kind, payload, self._owner)
        if self._held and self._held + call.size > _HELD_MAX:
            raise BadFrame(f"requests of more than {HELD_MAX} bytes at once", CloseCode.LIMIT)
        calls[call_id] = call
        self._held += call.size
        if self._waiting or not self._can_start(call):
            self._waiting.append(call)
            return None
        call.started = True
        return call

    def handle_frame(self, kind: int, call_id: int, payload: bytes | None) -> ServedCall | None:
        """ITEM, END or CREDIT. Returns the call that has news, unless it is over and gone. Raises BadFrame."""
        call = self.calls.get(call_id)
        if call is None:
            if not _ITEM <= kind <= _CREDIT:
                raise BadFrame(f"frame kind {kind} is not a client's")
            return None
        if kind == _ITEM and call.inbox is not None and not call.inbox.ended:
            call.inbox.push(payload)
        elif kind == _END and call.inbox is not None and not call.inbox.ended:
            check_bare(payload)
            call.inbox.ended = True
        elif kind == _CREDIT and call.credit is not None:
            call.credit.grant(decode_credit(payload))
        else:
            raise BadFrame(f"frame kind {kind} for a call of kind {call.kind}")
        return call

    def handle_cancel(self, call_id: int, payload: bytes | None) -> ServedCall | None:
        """CANCEL. Returns the call if it has started and has to be stopped; else it is over. Raises BadFrame."""
        check_bare(payload)
        call = self.calls.get(call_id)
        if call is None or call.started:
            return call
        self.finish(call)
        return None

    def poll_start(self) -> ServedCall | None:
        """The next call that may start, if there is one. Ask again after it, and after `finish` and `close`."""
        while self._waiting:
            call = self._waiting[0]
            if not call.over and not self._can_start(call):
                return None
            self._waiting.popleft()
            if not call.over:
                call.started = True
                return call
        return None

    def _can_start(self, call: ServedCall) -> bool:
        # A quick bound, as no value has less than one byte; counting is for when that would make the call wait.
        cost = call.cost if call.cost else len(call.payload) * _VALUE_COST
        if self._cost + cost > _COST_MAX and not call.cost:
            cost = call.cost = bounds.count_values(call.payload) * _VALUE_COST
        if self._cost and self._cost + cost > _COST_MAX:
            return False
        call.cost = cost
        self._cost += cost
        return True

    def charge(self, call: ServedCall, size: int) -> None:
        """`call` has `size` bytes to send and holds them until the client takes them."""
        call.cost += size
        self._cost += size

    def finish(self, call: ServedCall) -> None:
        """The call is over, and what ends it was sent or is about to be."""
        if call.over:
            return
        call.over = True
        del self.calls[call.id]
        self._held -= call.size
        if call.started:
            self._cost -= call.cost
        if call.inbox is not None:
            call.inbox.close()

    def close(self) -> list[ServedCall]:
        """The connection is over. Returns the calls to stop; notifications go on, also those that still wait."""
        calls = [call for call in self.calls.values() if call.kind != _NOTIFY]
        for call in calls:
            if not call.started:
                self.finish(call)
        return [call for call in calls if call.started]


def is_request(kind: int) -> bool:
    """Whether `kind` is CALL, NOTIFY or STREAM, or one that announces a streamed argument."""
    return _CALL <= kind <= _STREAM or kind == _CALL + _FEEDS or kind == _STREAM + _FEEDS
