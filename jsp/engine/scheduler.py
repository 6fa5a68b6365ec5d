# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Whose turn it is: streams and messages that have something to send, by urgency (spec section 8.5).

Urgency 0 goes before 1, and so on; inside one urgency senders take turns, a train each. Those that are not
incremental (RFC 9218 section 4.2) share one turn and use it one after the other. A sender that runs out of data or
credit leaves the queue and comes back when that changes, so nobody is asked in vain.
"""

from __future__ import annotations

from collections import deque

from jsp.engine.builder import Train
from jsp.recovery.sent import RangeOwner

URGENCIES = 8
_URGENCIES = URGENCIES
_ANY = 1 << 30
DEFAULT_URGENCY = 3


class Sender(RangeOwner):
    """What the scheduler queues.

    Attributes:
        urgency: 0 (first) to 7 (last).
        incremental: whether a part of what it sends is of use by itself, so that it takes turns with others.
        place: among those of its urgency that are not incremental, the lowest goes first.
        queued: whether the scheduler holds this sender.
    """

    __slots__ = ("incremental", "place", "queued", "urgency")

    def __init__(self) -> None:
        self.urgency = DEFAULT_URGENCY
        self.incremental = True
        self.place = 0
        self.queued = False

    def write_frames(self, train: Train) -> bool:
        """Write; True when the train is full and more is left."""
        raise NotImplementedError

    def least(self) -> int:
        """Bytes of frames that it wants room for at the next turn: a packet of any size is filled by most."""
        return _ANY

    def unsent(self) -> int:
        """Bytes that wait to be sent for the first time."""
        return 0


class Line(Sender):
    """Senders of one urgency that are not incremental. The first has all turns until it has nothing to send.

    Attributes:
        members: by `place`.
    """

    __slots__ = ("members",)

    def __init__(self, urgency: int) -> None:
        Sender.__init__(self)
        self.urgency = urgency
        self.members: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """`sender` takes its place."""
        i = len(self.members)
        while i:
            other = self.members[i - 1]
            if other.place <= sender.place:
                break
            i -= 1
        self.members.insert(i, sender)

    def unsent(self) -> int:
        """Bytes that wait to be sent for the first time."""
        total = 0
        for sender in self.members:
            total += sender.unsent()
        return total

    def write_frames(self, train: Train) -> bool:
        """Write; True when the train is full and more is left."""
        while self.members:
            sender = self.members[0]
            if sender.write_frames(train):
                return True
            self.members.remove(sender)
            sender.queued = False
        return False


class Scheduler:
    """Attributes:
    credit_blocked: senders that wait for the connection's credit.
    stream_blocked: streams that ran out of their own credit and have not said so yet.
    done: ids of streams whose last byte was acknowledged; their table empties it.
    """

    __slots__ = ("_lines", "_queues", "_ready", "credit_blocked", "done", "stream_blocked")

    def __init__(self) -> None:
        self._queues: list[deque[Sender] | None] = [None] * URGENCIES
        self._lines: dict[int, Line] | None = None
        self._ready = 0
        self.credit_blocked: list[Sender] = []
        self.stream_blocked: list[Sender] = []
        self.done: list[int] = []

    def __bool__(self) -> bool:
        """Whether anybody has something to send."""
        return self._ready > 0

    def add(self, sender: Sender) -> None:
        """`sender` has something to send."""
        if sender.queued:
            return
        sender.queued = True
        if not sender.incremental:
            line = self._line(sender.urgency)
            line.add(sender)
            if line.queued:
                return
            line.queued = True
            sender = line
        queue = self._queues[sender.urgency]
        if queue is None:
            queue = self._queues[sender.urgency] = deque()
        queue.append(sender)
        self._ready += 1

    def remove(self, sender: Sender) -> None:
        """`sender` has nothing more to send under its present priority."""
        if not sender.queued:
            return
        sender.queued = False
        if not sender.incremental:
            # The line stays where it is; it may be empty when its turn comes.
            self._line(sender.urgency).members.remove(sender)
            return
        self._ready -= 1
        queue = self._queues[sender.urgency]
        assert queue is not None
        queue.remove(sender)

    def _line(self, urgency: int) -> Line:
        if self._lines is None:
            self._lines = {}
        line = self._lines.get(urgency)
        if line is None:
            line = self._lines[urgency] = Line(urgency)
        return line

    def change(self, sender: Sender, urgency: int, incremental: bool) -> None:
        """Give `sender` another priority."""
        waiting = sender.queued
        self.remove(sender)
        sender.urgency = urgency
        sender.incremental = incremental
        if waiting:
            self.add(sender)

    def on_blocked(self, sender: Sender, by_stream: bool) -> None:
        """`sender` ran out of credit: its own (`by_stream`) or the connection's."""
        waiting = self.stream_blocked if by_stream else self.credit_blocked
        if sender not in waiting:
            waiting.append(sender)

    def on_credit(self) -> None:
        """The connection has credit again."""
        waiting, self.credit_blocked = self.credit_blocked, []
        for sender in waiting:
            self.add(sender)

    def least(self) -> int:
        """Bytes of frames that whoever has the next turn wants room for."""
        for urgency in range(_URGENCIES):
            queue = self._queues[urgency]
            if queue:
                sender: Sender = queue[0]
                return sender.least()
        return _ANY

    def unsent(self, enough: int) -> int:
        """Bytes that wait to be sent for the first time; a part of them once that is `enough`."""
        total = 0
        for queue in self._queues:
            for sender in queue or ():
                total += sender.unsent()
                if total >= enough:
                    return total
        return total

    def fill(self, train: Train) -> None:
        """Let senders write until the train is full or nobody has anything left."""
        for urgency in range(_URGENCIES):
            queue = self._queues[urgency]
            while queue:
                sender = queue[0]
                more = sender.write_frames(train)
                if more and sender.urgency == urgency:
                    queue.rotate(-1)
                    return
                # It may have queued itself elsewhere meanwhile; it is still at this queue's head.
                queue.popleft()
                sender.queued = False
                self._ready -= 1
                if more:
                    # What was so urgent has left.
                    self.add(sender)
                    return
            if queue is not None:
                # An empty deque is three quarters of a kilobyte.
                self._queues[urgency] = None
