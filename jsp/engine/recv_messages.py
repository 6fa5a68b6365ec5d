# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Messages on their way in: reassembly, order, nothing twice (spec section 8.4).

Reliable and partially reliable messages are charged to the connection's window when they come (each its size and
a fixed cost) and credited when the application takes them, so what is held is bounded. Best-effort ones are
outside of it: a queue of their own drops the newest when it is full, and of those that are not whole yet, which are
bounded by themselves, the oldest is given up. Gaps, of either, count as those of streams do.
"""

from __future__ import annotations

from collections import deque

import jsp.wire.memory as memory
import jsp.wire.repair_frames as repair_frames
from jsp.config import LIMITS, Config
from jsp.engine.flow import ConnectionWindow
from jsp.engine.message import Message
from jsp.engine.modes import BEST_EFFORT, RELIABLE, PartiallyReliable
from jsp.engine.recv_repair import RecvRepair
from jsp.errors import Code, ProtocolViolation
from jsp.wire import frames
from jsp.wire.buffer import Reader
from jsp.wire.frames import MessageFrame
from jsp.wire.ranges import RangeSet

_PARTIAL_MODE = PartiallyReliable()

# Read for every message, and an attribute of an object costs more than what is done with it.
_OVERHEAD = LIMITS.message_overhead
_BEST_EFFORT = frames.MESSAGE_BEST_EFFORT
_ORDERED = frames.MESSAGE_ORDERED
_PARTIAL = frames.MESSAGE_PARTIAL
_IDS_MAX = LIMITS.fragments
_NOT_OPENED = -1
# Best-effort ids that are remembered against copies.
_SEEN_MAX = 4096


class InMessage:
    """A message under reassembly. `kind` and `order` are those of its frames; `charged` bytes of it were taken from the
    window."""

    __slots__ = ("charged", "data", "expires", "got", "kind", "order", "total")

    def __init__(self, frame: MessageFrame, total: int, expires: float) -> None:
        self.kind = frame.kind
        self.order = frame.order
        self.total = total
        self.data = bytearray()
        self.got = RangeSet()
        self.charged = 0
        self.expires = expires

    def add(self, frame: MessageFrame, data: bytearray) -> None:
        """A fragment; the buffer grows with what comes, not with what is announced."""
        end = frame.offset + frame.stop - frame.start
        if end > len(self.data):
            self.data.extend(bytes(end - len(self.data)))
        self.data[frame.offset : end] = data[frame.start : frame.stop]
        self.got.add(frame.offset, end)


class PlaceSet:
    """Places in the order that nothing will fill, a bit each: a sender may give up any number it never sent."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: dict[int, int] = {}

    def __len__(self) -> int:
        """Number of chunks held."""
        return len(self._chunks)

    def __contains__(self, place: int) -> bool:
        return self._chunks.get(place >> 10, 0) >> (place & 1023) & 1 != 0

    def add(self, place: int) -> None:
        self._chunks[place >> 10] = self._chunks.get(place >> 10, 0) | 1 << (place & 1023)

    def take(self, place: int) -> bool:
        """Take `place` out; False when it was not there."""
        if place not in self:
            return False
        left = self._chunks[place >> 10] ^ 1 << (place & 1023)
        if left:
            self._chunks[place >> 10] = left
        else:
            del self._chunks[place >> 10]
        return True


class RecvMessages:
    """All incoming messages of a connection.

    Attributes:
        partial: those under reassembly but the best-effort ones, by id.
        ready: whole messages to be read, with what each gives back to the window.
        repair: forward error correction, once a repair came.
        signalled: whether the owner was told of them.
        several: whether there are several paths, by which messages may come twice.
        dropped: best-effort messages given up for want of room or time.
    """

    __slots__ = (
        "_abandoned", "_best_effort", "_best_effort_bytes", "_best_effort_order", "_delivered", "_max_message",
        "_next_order", "_partial_bytes", "_partial_limit", "_queue_limit", "_seen", "_waiting", "_window", "dropped",
        "partial", "ready", "repair", "several", "signalled",
    )  # fmt: skip

    def __init__(self, config: Config, window: ConnectionWindow) -> None:
        self._max_message = config.message_limit
        self._queue_limit = config.best_effort_queue
        # One of any size that is allowed must have room.
        self._partial_limit = max(config.best_effort_queue, config.message_limit)
        self._partial_bytes = 0
        self._window = window
        self.partial: dict[int, InMessage] = {}
        self._delivered = RangeSet()
        self._next_order = 0
        # order -> (message, bytes it gives back)
        self._waiting: dict[int, tuple[Message, int]] = {}
        self._abandoned = PlaceSet()
        self._best_effort: dict[int, InMessage] = {}
        self._best_effort_bytes = 0
        self._best_effort_order = -1
        # An empty deque is three quarters of a kilobyte.
        self.ready: deque[tuple[Message, int]] | None = None
        self.repair: RecvRepair | None = None
        self.signalled = False
        self.dropped = 0
        # Best-effort messages that came lately, once there are several paths.
        self.several = False
        self._seen = RangeSet()

    # --- frames --------------------------------------------------------------------------------------------

    def on_message(self, frame: MessageFrame, data: bytearray, now: float) -> bool:
        """A MESSAGE frame. Returns whether there is now something to read that was not there before."""
        total = frame.total if frame.total >= 0 else frame.stop - frame.start
        before = len(self.ready) if self.ready else 0
        if frame.kind & _BEST_EFFORT:
            self._check_size(total)
            self._on_best_effort(frame, data, total, now)
        else:
            self._on_reliable(frame, data, total)
            if self.repair is not None and frame.kind & _PARTIAL:
                if frame.total < 0:
                    self.repair.on_message(frame.id, frame.order, memory.piece(data, frame.start, frame.stop))
                    self._take_recovered()
                else:
                    self._complete(frame.id)
        return self.ready is not None and len(self.ready) > before

    def on_repair(self, reader: Reader, kind: int, counts: bool) -> bool:
        """REPAIR or REPAIR_FRAGMENTS, taken if it `counts`. Returns whether there is now something to read that was not
        there before."""
        if kind == repair_frames.REPAIR:
            newest, mask, number, start, stop = repair_frames.parse_repair(reader)
        else:
            newest, number, start, stop = repair_frames.parse_repair_fragments(reader)
        if not counts:
            return False
        before = len(self.ready) if self.ready else 0
        if self.repair is None:
            self.repair = RecvRepair(self._window)
        total = memory.piece(reader.data, start, stop)
        if kind == repair_frames.REPAIR:
            self.repair.on_repair(newest, mask, number, total)
            self._take_recovered()
        else:
            partial = self.partial.get(newest)
            if partial is not None and partial.kind & _PARTIAL:
                self.repair.on_fragments(newest, partial.total, number, total)
                self._complete(newest)
        return self.ready is not None and len(self.ready) > before

    def _take_recovered(self) -> None:
        """Messages that repairs brought are messages like others, but that the peer must be told of them."""
        repair = self.repair
        assert repair is not None
        while repair.solved:
            message_id, order, content = repair.solved.pop(0)
            if message_id in self._delivered:
                continue
            frame = MessageFrame()
            frame.kind |= _PARTIAL | (_ORDERED if order >= 0 else 0)
            frame.id, frame.order, frame.stop = message_id, order, len(content)
            self._on_reliable(frame, bytearray(content), len(content))
            repair.on_delivered(message_id)

    def _complete(self, message_id: int) -> None:
        """What is missing of a message in fragments, if it follows from its repairs: more of the same."""
        repair = self.repair
        partial = self.partial.get(message_id)
        if repair is None or partial is None:
            return
        found = repair.find(message_id, partial.data, partial.got, partial.total)
        for offset, content in found.items():
            frame = MessageFrame()
            frame.kind, frame.id, frame.order = partial.kind, message_id, partial.order
            frame.offset, frame.total, frame.stop = offset, partial.total, len(content)
            self._on_reliable(frame, bytearray(content), partial.total)
        if found:
            repair.on_delivered(message_id)

    def _check_size(self, total: int) -> None:
        if total > self._max_message:
            raise ProtocolViolation(Code.MESSAGE_LIMIT, f"message of {total} bytes; {self._max_message} allowed")

    def _on_reliable(self, frame: MessageFrame, data: bytearray, total: int) -> None:
        self._check_size(total)
        if frame.id in self._delivered:
            return
        partial = self.partial.get(frame.id)
        if frame.total < 0 and partial is None:
            self._window.on_received(total + _OVERHEAD)
            self._deliver(frame, memory.piece(data, frame.start, frame.stop))
            return
        if partial is None:
            if len(self.partial) >= LIMITS.partial_messages:
                raise ProtocolViolation(Code.EXCESSIVE_LOAD, "too many messages at once")
            partial = self.partial[frame.id] = InMessage(frame, total, 0.0)
            self._window.on_received(_OVERHEAD)
        if partial.total != total:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "a message changed its size")
        end = frame.offset + frame.stop - frame.start
        if end > partial.charged:
            self._window.on_received(end - partial.charged)
            partial.charged = end
        gaps = len(partial.got)
        partial.add(frame, data)
        self._window.on_fragments(len(partial.got) - gaps)
        if partial.got.covers(0, total):
            self._window.on_fragments(-len(partial.got))
            del self.partial[frame.id]
            self._deliver(frame, bytes(partial.data))

    def _deliver(self, frame: MessageFrame, content: bytes) -> None:
        self._note_delivered(frame.id)
        mode = _PARTIAL_MODE if frame.kind & _PARTIAL else RELIABLE
        message = Message(content, mode, frame.order >= 0)
        cost = len(content) + _OVERHEAD
        if frame.order < 0:
            self._make_ready(message, cost)
            return
        if frame.order < self._next_order or frame.order in self._waiting or frame.order in self._abandoned:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "two messages with one place in the order")
        self._waiting[frame.order] = (message, cost)
        self._release_ordered()

    def _note_delivered(self, message_id: int) -> None:
        self._delivered.add(message_id, message_id + 1)
        if self.repair is not None:
            self.repair.forget(message_id)
        # Ids are given out without holes, so a peer that leaves ever more of them makes us remember on purpose.
        if len(self._delivered) > _IDS_MAX:
            raise ProtocolViolation(Code.EXCESSIVE_LOAD, "too many message ids left out")

    def _release_ordered(self) -> None:
        while True:
            entry = self._waiting.pop(self._next_order, None)
            if entry is not None:
                self._make_ready(*entry)
            elif not self._abandoned.take(self._next_order):
                return
            self._next_order += 1

    def on_abandon(self, message_id: int, order: int, sent: int) -> bool:
        """MESSAGE_ABANDON. Returns whether ordered messages behind it can be read now."""
        if message_id in self._delivered:
            return False
        self._note_delivered(message_id)
        partial = self.partial.pop(message_id, None)
        if sent != _NOT_OPENED:
            # The peer's credit went down by all it sent: account for the same, then give it back.
            seen = 0
            if partial is None:
                self._window.on_received(_OVERHEAD)
            else:
                seen = partial.charged
                self._window.on_fragments(-len(partial.got))
            self._window.on_received(max(0, sent - seen))
            self._window.on_read(max(sent, seen) + _OVERHEAD)
        if order < 0:
            return False
        before = len(self.ready) if self.ready else 0
        if order >= self._next_order:
            if order in self._waiting:
                raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "two messages with one place in the order")
            if order - self._next_order >= LIMITS.places_ahead:
                raise ProtocolViolation(Code.EXCESSIVE_LOAD, "a message abandoned too far ahead")
            self._abandoned.add(order)
            self._release_ordered()
        return self.ready is not None and len(self.ready) > before

    # --- best effort ---------------------------------------------------------------------------------------

    def _on_best_effort(self, frame: MessageFrame, data: bytearray, total: int, now: float) -> None:
        if self.several and self._is_copy(frame.id):
            return
        if frame.total < 0:
            self._deliver_best_effort(frame, memory.piece(data, frame.start, frame.stop))
            return
        self._give_up_old(now)
        partial = self._best_effort.get(frame.id)
        if partial is None:
            if len(self._best_effort) >= LIMITS.best_effort_partial:
                self._forget_best_effort(next(iter(self._best_effort)))
            partial = self._best_effort[frame.id] = InMessage(frame, total, now + LIMITS.best_effort_lifetime)
        if partial.total != total:
            self._forget_best_effort(frame.id)
            return
        more = frame.offset + frame.stop - frame.start - len(partial.data)
        while more > 0 and self._partial_bytes + more > self._partial_limit:
            oldest = next(iter(self._best_effort))
            self._forget_best_effort(oldest)
            if oldest == frame.id:
                return
        if more > 0 and not self._window.may_keep(more):
            self._forget_best_effort(frame.id)
            return
        gaps = len(partial.got)
        held = len(partial.data)
        partial.add(frame, data)
        self._window.on_fragments(len(partial.got) - gaps)
        self._partial_bytes += len(partial.data) - held
        self._window.keep(len(partial.data) - held)
        if partial.got.covers(0, total):
            self._window.on_fragments(-len(partial.got))
            del self._best_effort[frame.id]
            self._partial_bytes -= len(partial.data)
            self._window.keep(-len(partial.data))
            self._deliver_best_effort(frame, bytes(partial.data))

    def _give_up_old(self, now: float) -> None:
        while self._best_effort:
            oldest = next(iter(self._best_effort))
            if self._best_effort[oldest].expires > now:
                return
            self._forget_best_effort(oldest)

    def _forget_best_effort(self, message_id: int) -> None:
        partial = self._best_effort.pop(message_id)
        self._window.on_fragments(-len(partial.got))
        self._partial_bytes -= len(partial.data)
        self._window.keep(-len(partial.data))
        self.dropped += 1

    def _is_copy(self, message_id: int) -> bool:
        """Whether a best-effort message came before, by another path, or is too old to tell."""
        seen = self._seen
        return message_id in seen or (len(seen) > 0 and message_id < seen.stops[-1] - _SEEN_MAX)

    def _note_seen(self, message_id: int) -> None:
        seen = self._seen
        seen.add(message_id, message_id + 1)
        seen.drop_below(seen.stops[-1] - _SEEN_MAX)

    def _deliver_best_effort(self, frame: MessageFrame, content: bytes) -> None:
        if self.several:
            self._note_seen(frame.id)
        cost = len(content) + _OVERHEAD
        late = 0 <= frame.order <= self._best_effort_order
        # The first may be larger than the queue.
        full = self._best_effort_bytes and self._best_effort_bytes + cost > self._queue_limit
        if late or full or not self._window.may_keep(cost):
            self.dropped += 1
            return
        if frame.order >= 0:
            self._best_effort_order = frame.order
        self._best_effort_bytes += cost
        self._window.keep(cost)
        self._make_ready(Message(content, BEST_EFFORT, frame.order >= 0), -cost)

    def _make_ready(self, message: Message, cost: int) -> None:
        if self.ready is None:
            self.ready = deque()
        self.ready.append((message, cost))

    def has_control(self) -> bool:
        """Whether the peer is to be told what repairs brought."""
        return self.repair is not None and bool(self.repair.owed)

    # --- the owner's side ----------------------------------------------------------------------------------

    def read(self) -> Message | None:
        """The next message, or None."""
        if not self.ready:
            return None
        message, cost = self.ready.popleft()
        if not self.ready:
            self.ready = None
            self.signalled = False
        if cost < 0:
            self._best_effort_bytes += cost
            self._window.keep(cost)
        else:
            self._window.on_read(cost)
        return message
