# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Messages of one urgency that wait for their turn (spec section 8.5).

Lost pieces go first, then whoever has the earliest deadline, then the rest in the order they came. Messages leave
the middle of a queue when they expire or are replaced; those are passed over when their turn comes, or swept out
when they are more than half of it.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from jsp.engine.builder import Train
from jsp.engine.out_message import OutMessage
from jsp.engine.scheduler import URGENCIES, Sender
from jsp.engine.timers import NEVER

if TYPE_CHECKING:
    from jsp.engine.send_messages import SendMessages

_NEVER = NEVER
_URGENCIES = URGENCIES
# Bytes of a MESSAGE frame around its data, but for very large numbers.
_FRAME = 20
# Fewer dead entries than this are not worth a sweep.
_SWEEP_MIN = 64


class MessageQueue(Sender):
    """A sender of the scheduler.

    Attributes:
        again: lost pieces to send again: (message, start, stop, attempt); None: none.
        in_order: whether messages may not overtake each other, whatever their deadlines.
    """

    __slots__ = ("_dead", "_dated", "_messages", "_plain", "_urgencies", "again", "in_order")

    def __init__(self, messages: SendMessages, urgency: int, in_order: bool) -> None:
        Sender.__init__(self)
        self.urgency = urgency
        self.in_order = in_order
        self._messages = messages
        # An empty deque is three quarters of a kilobyte.
        self.again: deque[tuple[OutMessage, int, int, int]] | None = None
        # Those that go as they came, and a heap of those whose place depends on a deadline, or on whom they replace.
        self._plain: deque[OutMessage] | None = None
        self._dated: list[OutMessage] = []
        self._dead = 0
        # Of those in order: how many messages and lost pieces of each urgency wait.
        self._urgencies = [0] * URGENCIES if in_order else None

    def __bool__(self) -> bool:
        """Whether anything waits here."""
        return bool(self.again) or bool(self._plain) or bool(self._dated)

    def unsent(self) -> int:
        """Bytes that wait to be sent for the first time, in this queue and the others of the connection."""
        return self._messages.queued_bytes

    def push(self, message: OutMessage) -> None:
        """`message` waits for its turn."""
        message.queue = self
        message.waiting = True
        self._count(message, 1)
        if not self.in_order and (message.expires != _NEVER or message.key is not None):
            heappush(self._dated, message)
            return
        if self._plain is None:
            self._plain = deque()
        self._plain.append(message)

    def push_again(self, message: OutMessage, start: int, stop: int, attempt: int) -> None:
        """A piece of `message` was lost."""
        if self.again is None:
            self.again = deque()
        self.again.append((message, start, stop, attempt))
        self._count(message, 1)

    def pop_again(self) -> None:
        """The first lost piece has been sent again, or needs no turn any more."""
        assert self.again is not None
        self._count(self.again.popleft()[0], -1)

    def _count(self, message: OutMessage, change: int) -> None:
        if self._urgencies is not None:
            self._urgencies[message.urgency] += change

    def most_urgent(self) -> int:
        """How urgent whatever waits is; as it was, while nothing does."""
        if self._urgencies is not None:
            for urgency in range(_URGENCIES):
                if self._urgencies[urgency]:
                    return urgency
        return self.urgency

    def first(self) -> OutMessage | None:
        """Whose turn it is."""
        message: OutMessage
        plain, dated = self._plain, self._dated
        while plain:
            message = plain[0]
            if message.waiting:
                break
            plain.popleft()
            self._dead -= 1
        while dated:
            message = dated[0]
            if message.waiting:
                return plain[0] if plain and plain[0] < message else message
            heappop(dated)
            self._dead -= 1
        return plain[0] if plain else None

    def drop(self, message: OutMessage) -> None:
        """`message` needs no turn any more."""
        message.waiting = False
        self._count(message, -1)
        plain = self._plain
        if plain and plain[0] is message:
            plain.popleft()
            return
        self._dead += 1
        if self._dead > _SWEEP_MIN and 2 * self._dead > len(self._dated) + (len(plain) if plain else 0):
            self._sweep()

    def _sweep(self) -> None:
        self._dead = 0
        self._dated = [message for message in self._dated if message.waiting]
        heapify(self._dated)
        if self._plain is not None:
            self._plain = deque([message for message in self._plain if message.waiting])

    def least(self) -> int:
        """Bytes of the next piece or message and what is around it in its frame."""
        if self.again:
            return self.again[0][2] - self.again[0][1] + _FRAME
        message = self.first()
        return Sender.least(self) if message is None else message.size - message.sent + _FRAME

    def write_frames(self, train: Train) -> bool:
        """Fill packets with messages; True when the train is full and more is left."""
        messages = self._messages
        while True:
            if self.again:
                written = messages.write_again(train, self)
            else:
                message = messages.next_of(self)
                if message is not None:
                    written = messages.write_next(train, message)
                elif messages.repair is None or messages.repair.write_frames(train):
                    break
                else:
                    written = False
            if not written and not train.advance():
                self.urgency = self.most_urgent()
                return True
        if not self._plain:
            self._plain = None
        if not self.again:
            self.again = None
        self.urgency = self.most_urgent()
        return False
