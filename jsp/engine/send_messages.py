# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Messages on their way out (spec section 8.4).

A message that fits a packet goes in one frame, a larger one in fragments. What is lost goes again until the
message arrived, expired or used up its retransmissions; then MESSAGE_ABANDON lets the receiver forget it and
settles the credit it used. Best-effort messages are sent once and forgotten.

All messages share one place in the scheduler and leave in the order they were given.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

import jsp.wire.buffer as octets
import jsp.wire.memory as memory
from jsp.config import LIMITS
from jsp.engine.builder import Train
from jsp.engine.flow import SendCredit
from jsp.engine.modes import RELIABLE, BestEffort, Mode, PartiallyReliable
from jsp.engine.scheduler import Scheduler, Sender
from jsp.engine.timers import NEVER
from jsp.wire import frames
from jsp.wire.frames import push_frame
from jsp.wire.ranges import RangeSet

_MESSAGE = frames.MESSAGE
_LEN = frames.MESSAGE_LEN
_FRAGMENT = frames.MESSAGE_FRAGMENT
_ORDERED = frames.MESSAGE_ORDERED
_BEST_EFFORT = frames.MESSAGE_BEST_EFFORT
_PARTIAL = frames.MESSAGE_PARTIAL

# States of a message.
_WAITING = 0
_OPEN = 1
_ABANDONED = 2
_RESOLVED = 3

# Read for every message, and an attribute of an object costs more than what is done with it.
_OVERHEAD = LIMITS.message_overhead
_PARTIAL_MAX = LIMITS.partial_messages
_RELIABLE = RELIABLE

# What a token says of a frame that carried a whole message for the first time, as most do: one object for all.
_WHOLE = (0, -1, 0)


class OutMessage:
    """One message; it hears what became of its frames.

    Attributes:
        queue: where it was queued.
        sent: bytes sent at least once.
        acked: ranges that arrived, once there are several fragments.
        told: what MESSAGE_ABANDON says: 1 + bytes sent, 0 when the peer never saw any of it.
    """

    __slots__ = ("acked", "data", "expires", "id", "kind", "order", "queue", "retransmits", "sent", "state", "told")

    def __init__(self, queue: SendMessages, data: bytes, kind: int, expires: float, retransmits: int) -> None:
        self.queue = queue
        self.data = data
        self.kind = kind
        self.expires = expires
        self.retransmits = retransmits
        self.id = 0
        self.order = -1
        self.sent = 0
        self.acked: RangeSet | None = None
        self.told = 0
        self.state = _WAITING

    def __lt__(self, other: OutMessage) -> bool:
        return self.expires < other.expires

    def on_acked(self, part: tuple[int, int, int] | None, _: None) -> None:
        """`part` (start, stop, attempt) arrived; None: MESSAGE_ABANDON did."""
        self.queue.on_message_acked(self, part)

    def on_lost(self, part: tuple[int, int, int] | None, _: None) -> None:
        """The same did not arrive."""
        self.queue.on_message_lost(self, part)


class SendMessages(Sender):
    """All outgoing messages of a connection; a sender of the scheduler.

    Attributes:
        queued_bytes: bytes given and not yet sent once.
        unresolved: reliable and partially reliable messages whose fate the peer may not know yet.
        max_message: the peer's limit.
        expired: how many messages were abandoned.
        room_wanted: whether the owner waits for the queue to take more.
    """

    __slots__ = (
        "_abandoned", "_credit", "_expiry", "_fragmented", "_next_best_effort", "_next_id", "_next_order", "_queue",
        "_resend", "_scheduler", "expired", "max_message", "queued_bytes", "room_wanted", "unresolved",
    )  # fmt: skip

    def __init__(self, credit: SendCredit, scheduler: Scheduler) -> None:
        Sender.__init__(self)
        self._credit = credit
        self._scheduler = scheduler
        # An empty deque is three quarters of a kilobyte.
        self._queue: deque[OutMessage] | None = None
        # (message, start, stop, attempt)
        self._resend: list[tuple[OutMessage, int, int, int]] = []
        self._abandoned: list[OutMessage] = []
        self._expiry: list[OutMessage] = []
        self._fragmented = 0
        self._next_id = 0
        self._next_best_effort = 0
        self._next_order = [0, 0]
        self.queued_bytes = 0
        self.unresolved = 0
        self.max_message = 0
        self.expired = 0
        self.room_wanted = False

    # --- commands ------------------------------------------------------------------------------------------

    def send(self, data: bytes, mode: Mode, ordered: bool, now: float) -> None:
        """Queue a message; its size was checked against `max_message`."""
        kind = _MESSAGE | (_ORDERED if ordered else 0)
        expires = NEVER
        retransmits = 1 << 30
        if mode is _RELIABLE:
            pass
        elif isinstance(mode, BestEffort):
            kind |= _BEST_EFFORT
            retransmits = 0
        elif isinstance(mode, PartiallyReliable):
            kind |= _PARTIAL
            if mode.ttl is not None:
                expires = now + mode.ttl
            if mode.max_retransmits is not None:
                retransmits = mode.max_retransmits
        message = OutMessage(self, data, kind, expires, retransmits)
        if ordered:
            best_effort = 1 if kind & _BEST_EFFORT else 0
            message.order = self._next_order[best_effort]
            self._next_order[best_effort] += 1
        if expires != NEVER:
            heappush(self._expiry, message)
        if not kind & _BEST_EFFORT:
            self.unresolved += 1
        self.queued_bytes += len(data)
        if self._queue is None:
            self._queue = deque()
        self._queue.append(message)
        self._scheduler.add(self)

    def next_expiry(self) -> float:
        """When the next message runs out of time, or `NEVER`."""
        while self._expiry and self._expiry[0].state in (_ABANDONED, _RESOLVED):
            heappop(self._expiry)
        return self._expiry[0].expires if self._expiry else NEVER

    def expire(self, now: float) -> None:
        """Abandon messages whose time is up."""
        while self._expiry and self._expiry[0].expires <= now:
            message = heappop(self._expiry)
            if message.state in (_WAITING, _OPEN):
                self._abandon(message)

    def _abandon(self, message: OutMessage) -> None:
        self.expired += 1
        if message.sent < len(message.data) or message.state == _WAITING:
            assert self._queue is not None
            self.queued_bytes -= len(message.data) - message.sent
            self._queue.remove(message)
        if message.state == _OPEN:
            message.told = message.sent + 1
            if message.acked is not None:
                self._fragmented -= 1
            self._abandoned.append(message)
        elif message.order >= 0:
            # Never seen by the peer, but it must not wait for this place in the order.
            message.id = self._next_id
            self._next_id += 1
            self._abandoned.append(message)
        else:
            self.unresolved -= 1
        message.state = _ABANDONED
        message.data = b""
        if self._queue:
            # It may have been what the others waited for: the head, or one of too many fragmented ones.
            self._scheduler.add(self)

    # --- sending -------------------------------------------------------------------------------------------

    def has_control(self) -> bool:
        return bool(self._abandoned)

    def write_control(self, train: Train) -> bool:
        """MESSAGE_ABANDON for what was given up; False when the packet is full."""
        while self._abandoned:
            message = self._abandoned[0]
            if not push_frame(train, frames.MESSAGE_ABANDON, message.id, message.order + 1, message.told):
                return False
            train.note(message, None, None)
            del self._abandoned[0]
        return True

    def write_frames(self, train: Train) -> bool:
        """Fill packets with messages; True when the train is full and more is left."""
        while self._resend or self._queue:
            queue = self._queue
            if self._resend or queue is None:
                written = self._write_again(train)
            elif self._may_start(queue[0]):
                written = self._write_next(train, queue[0])
            else:
                return False
            if not written and not train.advance():
                return True
        self._queue = None
        return False

    def _may_start(self, message: OutMessage) -> bool:
        """Whether the connection's credit (and the bound on fragmented messages) lets the message go on."""
        if message.kind & _BEST_EFFORT:
            return True
        if message.state == _WAITING and self._fragmented >= _PARTIAL_MAX:
            return False
        need = 1 if message.sent < len(message.data) else 0
        if self._credit_for(message) < need:
            self._scheduler.on_blocked(self, False)
            return False
        return True

    def _credit_for(self, message: OutMessage) -> int:
        """Bytes of `message` that the connection's credit allows now."""
        if message.kind & _BEST_EFFORT:
            return len(message.data)
        left = self._credit.limit - self._credit.used
        return left - _OVERHEAD if message.state == _WAITING else left

    def _write_next(self, train: Train, message: OutMessage) -> bool:
        """Send the next piece of the first message in the queue; False when a new packet is needed."""
        start = message.sent
        end = self._write_frame(train, message, start, len(message.data), self._credit_for(message))
        if end < 0:
            return False
        message.sent = end
        self.queued_bytes -= end - start
        if message.kind & _BEST_EFFORT:
            train.mark_eliciting()
        else:
            self._credit.used += end - start
            train.note(message, _WHOLE if message.acked is None else (start, end, 0), None)
        if end == len(message.data):
            assert self._queue is not None
            self._queue.popleft()
        return True

    def _write_again(self, train: Train) -> bool:
        """Send the next lost piece; False when a new packet is needed."""
        message, start, stop, attempt = self._resend[0]
        if message.state != _OPEN:
            del self._resend[0]
            return True
        end = self._write_frame(train, message, start, stop, stop - start)
        if end < 0:
            return False
        train.note(message, (start, end, attempt), None)
        if end < stop:
            self._resend[0] = (message, end, stop, attempt)
        else:
            del self._resend[0]
        return True

    def _write_frame(self, train: Train, message: OutMessage, start: int, stop: int, allowed: int) -> int:
        """One MESSAGE frame with bytes from `start` on; where it ends, or -1 when a new packet is needed."""
        total = len(message.data)
        kind = message.kind
        message_id = self._id_of(message)
        head = 1 + octets.varint_size(message_id) + (octets.varint_size(message.order) if message.order >= 0 else 0)
        room = train.end - train.pos
        size = stop - start
        whole = size == total and message.acked is None and size <= allowed
        if whole and head + octets.varint_size(size) + size <= train.capacity:
            if head + octets.varint_size(size) + size > room:
                return -1
        else:
            kind |= _FRAGMENT
            head += octets.varint_size(start) + octets.varint_size(total)
            size = min(size, allowed)
            # A fragment is worth a packet that is at least half empty.
            if room < head + 2 + min(size, train.capacity // 2):
                return -1
            size = min(size, room - head - octets.varint_size(room))
            if message.acked is None:
                message.acked = RangeSet()
                if not kind & _BEST_EFFORT:
                    self._fragmented += 1
        if message.state == _WAITING:
            self._open(message)
        train.push_u8(kind | _LEN)
        train.push_varint(message_id)
        if message.order >= 0:
            train.push_varint(message.order)
        if kind & _FRAGMENT:
            train.push_varint(start)
            train.push_varint(total)
        train.push_varint(size)
        memory.copy(train.buffer, train.pos, message.data, start, size)
        train.pos += size
        return start + size

    def _id_of(self, message: OutMessage) -> int:
        """The message's id, or the one it will get."""
        if message.state != _WAITING:
            return message.id
        return self._next_best_effort if message.kind & _BEST_EFFORT else self._next_id

    def _open(self, message: OutMessage) -> None:
        message.id = self._id_of(message)
        message.state = _OPEN
        if message.kind & _BEST_EFFORT:
            self._next_best_effort += 1
        else:
            self._next_id += 1
            self._credit.used += _OVERHEAD

    # --- what became of it ---------------------------------------------------------------------------------

    def on_message_acked(self, message: OutMessage, part: tuple[int, int, int] | None) -> None:
        if part is None and message.state == _ABANDONED:
            message.state = _RESOLVED
            self.unresolved -= 1
        if part is None or message.state != _OPEN:
            return
        if message.acked is not None:
            message.acked.add(part[0], part[1])
            if not message.acked.covers(0, len(message.data)):
                return
            self._fragmented -= 1
            if self._queue:
                self._scheduler.add(self)
        message.state = _RESOLVED
        message.data = b""
        self.unresolved -= 1

    def on_message_lost(self, message: OutMessage, part: tuple[int, int, int] | None) -> None:
        if part is None:
            if message.state == _ABANDONED and message not in self._abandoned:
                self._abandoned.append(message)
            return
        if message.state != _OPEN:
            return
        start, stop, attempt = part
        if stop < 0:
            stop = len(message.data)
        if attempt >= message.retransmits:
            self._abandon(message)
            return
        for a, b in message.acked.missing(start, stop) if message.acked is not None else [(start, stop)]:
            self._resend.append((message, a, b, attempt + 1))
        self._scheduler.add(self)
