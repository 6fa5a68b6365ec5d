# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Messages on their way out (spec section 8.4): all of a connection.

A message that fits a packet goes in one frame, a larger one in fragments. What is lost goes again until the
message arrived, expired, was replaced or used up its retransmissions; then MESSAGE_ABANDON lets the receiver forget
it and settles the credit it used. Best-effort messages are sent once.

Each urgency has its queue. Ordered messages have one of their own, as urgent as the most urgent that waits: one that
overtook another would use up the credit that the other needs, and wait for it at the receiver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import jsp.engine.fragments as fragments
import jsp.engine.out_message as out
from jsp.config import LIMITS
from jsp.engine.builder import Train
from jsp.engine.events import MessageSettled
from jsp.engine.flow import SendCredit
from jsp.engine.message_queue import MessageQueue
from jsp.engine.modes import RELIABLE, BestEffort, Mode, PartiallyReliable
from jsp.engine.out_message import OutMessage
from jsp.engine.scheduler import DEFAULT_URGENCY, URGENCIES, Scheduler
from jsp.engine.timers import NEVER
from jsp.engine.traffic import Event
from jsp.wire import frames
from jsp.wire.frames import push_frame

if TYPE_CHECKING:
    from jsp.engine.send_repair import SendRepair

_MESSAGE = frames.MESSAGE
_ORDERED = frames.MESSAGE_ORDERED
_BEST_EFFORT = frames.MESSAGE_BEST_EFFORT
_PARTIAL = frames.MESSAGE_PARTIAL

_WAITING, _OPEN, _OWED, _TOLD, _RESOLVED = out.WAITING, out.OPEN, out.OWED, out.TOLD, out.RESOLVED
_PENDING, _DELIVERED, _EXPIRED, _LOST, _REPLACED = (
    out.PENDING, out.DELIVERED, out.EXPIRED, out.LOST, out.REPLACED,
)  # fmt: skip

# Read for every message, and an attribute of an object costs more than what is done with it.
_OVERHEAD = LIMITS.message_overhead
_PARTIAL_MAX = LIMITS.partial_messages
_RELIABLE = RELIABLE
_NEVER = NEVER
_NO_LIMIT = 1 << 30
_IN_ORDER = URGENCIES  # the place of the queue of ordered messages, behind those of the urgencies
_SWEEP_MIN = 64

# What a token says of a frame that carried a whole message for the first time, as most do: one object for all.
_WHOLE = (0, -1, 0)


class SendMessages:
    """All outgoing messages of a connection.

    Attributes:
        queued_bytes: bytes given and not yet sent once.
        waiting: messages of which that is true of any part (an empty one has no bytes).
        unresolved: reliable and partially reliable messages whose fate the peer may not know yet.
        max_message: the peer's limit.
        expired: how many messages were abandoned.
        repair: forward error correction of those with a deadline; None: the peer takes none.
        room_wanted: whether the owner waits for the queue to take more.
        watched: messages with a watcher, by `seq`; None: none.
    """

    __slots__ = (
        "_credit", "_events", "_expired_late", "_expiry", "_fragmented", "_latest", "_next_best_effort", "_next_id",
        "_next_order", "_next_seq", "_owed", "_queues", "_scheduler", "_under_way", "expired", "max_message",
        "queued_bytes", "repair", "room_wanted", "unresolved", "waiting", "watched",
    )  # fmt: skip

    def __init__(self, credit: SendCredit, scheduler: Scheduler, events: list[Event]) -> None:
        self._credit = credit
        self._scheduler = scheduler
        self._events = events
        self._queues: list[MessageQueue | None] | None = None
        # Those that the peer is to be told of, in turn.
        self._owed: deque[OutMessage] | None = None
        # A heap; those that are settled before their time stay in it, counted, until they are most of it.
        self._expiry: list[OutMessage] = []
        self._expired_late = 0
        # Reliable ones of which a part was sent and a part was not: all but the last gave way to the one behind it.
        self._under_way: list[OutMessage] = []
        self._latest: dict[Hashable, OutMessage] | None = None
        self._fragmented = 0
        self._next_id = 0
        self._next_best_effort = 0
        self._next_order = [0, 0]
        self._next_seq = 0
        self.queued_bytes = 0
        self.waiting = 0
        self.unresolved = 0
        self.max_message = 0
        self.expired = 0
        self.repair: SendRepair | None = None
        self.room_wanted = False
        self.watched: dict[int, OutMessage] | None = None

    # --- commands ------------------------------------------------------------------------------------------

    def has_room(self, size: int, limit: int, key: Hashable | None) -> bool:
        """Whether a message of `size` bytes may be queued: `limit` bytes wait at most, and a message for each 64 of
        them; a larger one goes when it is alone. What it would replace does not count."""
        queued = self.queued_bytes
        waiting = self.waiting
        if key is not None and self._latest is not None:
            older = self._latest.get(key)
            if older is not None and older.waiting:
                queued -= older.size - older.sent
                waiting -= 1
        if self._owed is not None:
            waiting += len(self._owed)
        return not waiting or (queued + size <= limit and waiting < limit // _OVERHEAD)

    def has_drained(self, limit: int) -> bool:
        """Whether those who waited for room may go on."""
        waiting = self.waiting + (len(self._owed) if self._owed is not None else 0)
        return self.queued_bytes <= limit // 2 and waiting <= limit // (2 * _OVERHEAD)

    def send(
        self, data: bytes, mode: Mode, ordered: bool, now: float,
        urgency: int = DEFAULT_URGENCY, key: Hashable | None = None,
    ) -> OutMessage:  # fmt: skip
        """Queue a message; its size was checked against `max_message`."""
        kind = _MESSAGE
        expires = _NEVER
        retransmits = _NO_LIMIT
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
        message = out.make_message(self, data, kind, expires, retransmits)
        message.seq = self._next_seq
        if key is not None:
            self._replace(message, key, ordered)
        self._next_seq += 1
        if ordered:
            message.kind |= _ORDERED
            best_effort = 1 if kind & _BEST_EFFORT else 0
            message.order = self._next_order[best_effort]
            self._next_order[best_effort] += 1
        if expires != _NEVER:
            heappush(self._expiry, message)
        if not kind & _BEST_EFFORT:
            self.unresolved += 1
        self.queued_bytes += message.size
        self.waiting += 1
        queue = self._queue(urgency, ordered)
        message.urgency = urgency
        queue.push(message)
        if ordered:
            self._follow(queue)
        self._scheduler.add(queue)
        return message

    def _replace(self, message: OutMessage, key: Hashable, ordered: bool) -> None:
        """`message` is the latest of its key: the one before it is not sent (again)."""
        if self._latest is None:
            self._latest = {}
        older = self._latest.get(key)
        message.key = key
        if not message.kind & _BEST_EFFORT:
            # What may be replaced is not sure to arrive.
            message.kind |= _PARTIAL
        self._latest[key] = message
        if older is None:
            return
        if older.state == _WAITING and older.order < 0 and not ordered:
            # It takes over the place as well, or one that is replaced ever again would never be sent.
            message.seq = older.seq
        if older.waiting or older.order >= 0:
            self._give_up(older, _REPLACED)
        else:
            # All of it is under way, and may arrive.
            older.retransmits = -1

    def _queue(self, urgency: int, ordered: bool) -> MessageQueue:
        """The queue that a message goes into."""
        if self._queues is None:
            self._queues = [None] * (URGENCIES + 1)
        at = _IN_ORDER if ordered else urgency
        queue = self._queues[at]
        if queue is None:
            queue = self._queues[at] = MessageQueue(self, urgency, ordered)
        return queue

    def _follow(self, queue: MessageQueue) -> None:
        """Ordered messages are as urgent as the most urgent that waits."""
        urgency = queue.most_urgent()
        if urgency != queue.urgency:
            self._scheduler.change(queue, urgency, True)

    def watch(self, message: OutMessage, watcher: Any) -> None:
        """Bring `watcher` in `MessageSettled` when it is known what became of `message`, which is pending."""
        message.watcher = watcher
        if self.watched is None:
            self.watched = {}
        self.watched[message.seq] = message

    # --- time ----------------------------------------------------------------------------------------------

    def next_expiry(self) -> float:
        """When the next message runs out of time, or `NEVER`."""
        expiry = self._expiry
        while expiry:
            message = expiry[0]
            if message.outcome == _PENDING:
                return message.expires
            heappop(expiry)
            self._expired_late -= 1
        return _NEVER

    def expire(self, now: float) -> None:
        """Abandon messages whose time is up."""
        while self.next_expiry() <= now:
            self._give_up(self._expiry[0], _EXPIRED)

    # --- the end of a message ------------------------------------------------------------------------------

    def _settle(self, message: OutMessage, outcome: int) -> None:
        """It is known what became of `message`."""
        message.outcome = outcome
        if message.key is not None and self._latest is not None and self._latest.get(message.key) is message:
            del self._latest[message.key]
        if message.expires != _NEVER:
            self._expired_late += 1
            if self._expired_late > _SWEEP_MIN and 2 * self._expired_late > len(self._expiry):
                self._expiry = [m for m in self._expiry if m.outcome == _PENDING]
                heapify(self._expiry)
                self._expired_late = 0
        if message.watcher is not None and self.watched is not None:
            del self.watched[message.seq]
            self._events.append(MessageSettled(message.watcher))
            message.watcher = None

    def _give_up(self, message: OutMessage, outcome: int) -> None:
        """End a message that was not delivered, as far as we know."""
        queue = message.queue
        if message.waiting:
            self.waiting -= 1
            self.queued_bytes -= message.size - message.sent
            queue.drop(message)
        if message in self._under_way:
            self._under_way.remove(message)
        message.data = b""
        if message.kind & _BEST_EFFORT:
            message.state = _RESOLVED
        else:
            self._tell(message)
        self._settle(message, outcome)
        if queue:
            # It may have been what the others waited for.
            self._scheduler.add(queue)

    def _tell(self, message: OutMessage) -> None:
        """The peer must hear that `message` does not come, if it knows of it or waits for its place in the order."""
        self.expired += 1
        if message.state == _OPEN:
            message.told = message.sent + 1
            if message.acked is not None:
                self._on_defragmented()
        elif message.order >= 0:
            message.id = self._next_id
            self._next_id += 1
        else:
            self.unresolved -= 1
            message.state = _RESOLVED
            return
        self._owe(message)

    def _owe(self, message: OutMessage) -> None:
        message.state = _OWED
        if self._owed is None:
            self._owed = deque()
        self._owed.append(message)

    def _on_defragmented(self) -> None:
        """A fragmented message is over; others may have waited for that."""
        self._fragmented -= 1
        if self._fragmented == _PARTIAL_MAX - 1 and self._queues is not None:
            for queue in self._queues:
                if queue is not None and queue:
                    self._scheduler.add(queue)

    # --- sending -------------------------------------------------------------------------------------------

    def has_control(self) -> bool:
        return self._owed is not None

    def write_control(self, train: Train) -> bool:
        """MESSAGE_ABANDON for what was given up; False when the packet is full."""
        owed = self._owed
        while owed:
            message = owed[0]
            if message.state == _OWED:
                if not push_frame(train, frames.MESSAGE_ABANDON, message.id, message.order + 1, message.told):
                    return False
                train.note(message, None, None)
                message.state = _TOLD
            owed.popleft()
        self._owed = None
        return True

    def next_of(self, queue: MessageQueue) -> OutMessage | None:
        """The message that goes on when it is `queue`'s turn; None when credit (or the bound on fragmented messages)
        keeps all of it back.

        While others are under way, a message may start only if the credit is enough for all of it: when every one
        of several lacks its last part, none can be read, and no credit comes back. So the last that started can
        always be ended; then the one before it.
        """
        message = queue.first()
        if message is None or message.kind & _BEST_EFFORT:
            return message
        under_way = self._under_way
        left = self._credit.limit - self._credit.used
        if message.state == _WAITING:
            need = _OVERHEAD + (message.size if under_way or not message.size else 1)
            if self._fragmented < _PARTIAL_MAX and left >= need:
                return message
            if not under_way:
                if self._fragmented < _PARTIAL_MAX:
                    self._scheduler.on_blocked(queue, False)
                return None
        if left <= 0:
            self._scheduler.on_blocked(queue, False)
            return None
        return under_way[-1]

    def write_next(self, train: Train, message: OutMessage) -> bool:
        """Send the next piece of `message`; False when a new packet is needed."""
        start = message.sent
        fresh = message.state == _WAITING
        if message.kind & _BEST_EFFORT:
            allowed = message.size
        else:
            allowed = self._credit.limit - self._credit.used - (_OVERHEAD if fresh else 0)
        end = self._write_frame(train, message, start, message.size, allowed)
        if end < 0:
            return False
        message.sent = end
        self.queued_bytes -= end - start
        if not message.kind & _BEST_EFFORT:
            self._credit.used += end - start
        train.note(message, _WHOLE if message.acked is None else (start, end, 0), None)
        if end == message.size and message.expires != _NEVER and self.repair is not None:
            self.repair.protect(message, train)
        if end == message.size:
            self._on_sent(message, fresh)
        elif fresh and not message.kind & _BEST_EFFORT:
            self._under_way.append(message)
        return True

    def _on_sent(self, message: OutMessage, at_once: bool) -> None:
        """All of `message` was sent once; `at_once`: in one piece."""
        self.waiting -= 1
        message.queue.drop(message)
        if message.kind & _BEST_EFFORT:
            message.data = b""
            if message.key is not None and self._latest is not None and self._latest.get(message.key) is message:
                del self._latest[message.key]
        elif not at_once:
            self._under_way.remove(message)

    def write_again(self, train: Train, queue: MessageQueue) -> bool:
        """Send the next lost piece; False when a new packet is needed."""
        pieces = queue.again
        assert pieces is not None
        piece: tuple[OutMessage, int, int, int] = pieces[0]
        message, start, stop, attempt = piece
        if message.state == _OPEN and attempt > message.retransmits:
            self._give_up(message, _REPLACED)
        if message.state != _OPEN:
            queue.pop_again()
            return True
        end = self._write_frame(train, message, start, stop, stop - start)
        if end < 0:
            return False
        train.note(message, (start, end, attempt), None)
        if end < stop:
            pieces[0] = (message, end, stop, attempt)
        else:
            queue.pop_again()
        return True

    def _write_frame(self, train: Train, message: OutMessage, start: int, stop: int, allowed: int) -> int:
        """One MESSAGE frame with bytes from `start` on; where it ends, or -1 when a new packet is needed."""
        whole = message.acked is None
        repair = self.repair if message.expires != _NEVER else None
        end = fragments.write_piece(train, message, self._id_of(message), start, stop, allowed, repair)
        if end < 0:
            return -1
        if whole and message.acked is not None and not message.kind & _BEST_EFFORT:
            self._fragmented += 1
        if message.state == _WAITING:
            self._open(message)
        train.message = message
        if message.redundant:
            train.mark_twice()
        return end

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
        if part is None:
            if message.state == _TOLD or message.state == _OWED:
                message.state = _RESOLVED
                self.unresolved -= 1
            return
        if message.state != _OPEN:
            return
        if message.acked is not None:
            message.acked.add(part[0], part[1])
            if not message.acked.covers(0, message.size):
                return
        message.state = _RESOLVED
        message.data = b""
        if not message.kind & _BEST_EFFORT:
            self.unresolved -= 1
            if message.acked is not None:
                self._on_defragmented()
        self._settle(message, _DELIVERED)

    def on_message_lost(self, message: OutMessage, part: tuple[int, int, int] | None) -> None:
        if part is None:
            if message.state == _TOLD:
                self._owe(message)
            return
        if message.state != _OPEN:
            return
        start, stop, attempt = part
        if attempt >= message.retransmits:
            if message.retransmits < 0 or self.repair is None or not self.repair.may_bring(message):
                self._give_up(message, _LOST if message.retransmits >= 0 else _REPLACED)
            return
        if stop < 0:
            stop = message.size
        queue = message.queue
        if message.acked is None:
            queue.push_again(message, start, stop, attempt + 1)
        else:
            for a, b in message.acked.missing(start, stop):
                queue.push_again(message, a, b, attempt + 1)
        self._follow(queue)
        self._scheduler.add(queue)
