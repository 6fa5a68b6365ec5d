# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Credit: how much may be sent, how much may come (spec section 8.3; RFC 9000 section 4).

`SendCredit` is what the peer allows us. `ReceiveWindow` is what we allow the peer: it moves only with what the
application has *read*, never with what arrived, so a peer cannot make us hold more than one window. It grows, up to
its maximum, with what the reader takes, and when it is what waits behind a gap that fills it: whoever reads as fast as
data comes is never what holds a sender up.
"""

from __future__ import annotations

from jsp.config import LIMITS
from jsp.errors import Code, ProtocolViolation

# A window holds what is read in so many of the shortest round trips: two under way where a queue is as long as the
# path, three while what was lost, and lost again, is sent once more and all behind it waits, and a quarter that is not
# told yet. Longer ones would have it grow with the queue that it fills.
_ROUND_TRIPS = 8
# It becomes at most so many times as large at once.
_GROWTH_MAX = 4


class SendCredit:
    """Bytes.

    Attributes:
        limit: how many may be sent in all.
        used: how many were.
        blocked_at: the limit at which the peer was last told that we are blocked, -1: not.
    """

    __slots__ = ("blocked_at", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.blocked_at = -1

    def available(self) -> int:
        return self.limit - self.used

    def raise_to(self, limit: int) -> bool:
        """The peer allows more; False when it said less or the same (an old frame)."""
        if limit <= self.limit:
            return False
        self.limit = limit
        return True


class ReceiveWindow:
    """Bytes; times in seconds.

    Attributes:
        limit: what the peer may send in all, as last told.
        received: what it has sent, gaps included.
        update_due: whether a MAX frame should go out.
        fragments: pieces that wait behind gaps; counted for the connection as a whole.
    """

    __slots__ = (
        "_last_read", "_last_update", "_maximum", "_peer_blocked", "_read", "_window", "fragments", "limit", "received",
        "update_due",
    )  # fmt: skip

    def __init__(self, window: int, maximum: int) -> None:
        self._window = window
        self._maximum = maximum
        self._read = 0
        # When and where the limit was moved last.
        self._last_update = 0.0
        self._last_read = 0
        self._peer_blocked = False
        self.limit = window
        self.received = 0
        self.update_due = False
        self.fragments = 0

    def on_fragments(self, change: int) -> None:
        """`change` more pieces wait behind gaps."""
        self.fragments += change
        if self.fragments > LIMITS.fragments:
            raise ProtocolViolation(Code.EXCESSIVE_LOAD, "too many gaps in what was sent")

    def on_received(self, size: int) -> None:
        """`size` bytes more than ever before were sent to us."""
        self.received += size
        if self.received > self.limit:
            raise ProtocolViolation(Code.FLOW_CONTROL, f"{self.received} bytes sent, {self.limit} allowed")

    def on_read(self, size: int) -> bool:
        """The application took `size` bytes. Returns whether the peer should be told of new credit."""
        self._read += size
        if self._peer_blocked or 4 * (self.limit - self._read) <= 3 * self._window:
            self.update_due = True
        return self.update_due

    def on_blocked(self, limit: int) -> None:
        """The peer has used up `limit` and wants more.

        A quarter of a window may never become free: a message that is not whole cannot be read. So a peer that is stuck
        gets whatever there is, now or with the next byte that is read.
        """
        if limit == self.limit:
            self._peer_blocked = True
            self.update_due = self._read + self._window > limit

    def held(self) -> int:
        """Bytes received and not yet read."""
        return self.received - self._read

    def advance(self, now: float, shortest_rtt: float) -> int:
        """The limit to tell the peer: a new one, or the last one again when it was lost."""
        self.update_due = False
        if self._read + self._window > self.limit:
            if self._last_update:
                # A burst that is read within a round trip says little of how much is read in one.
                took = max(now - self._last_update, shortest_rtt, 1e-6)
                worth = (self._read - self._last_read) * _ROUND_TRIPS * shortest_rtt / took
                if worth > self._window:
                    self._window = int(min(worth, _GROWTH_MAX * self._window, self._maximum))
            self._last_update = now
            self._last_read = self._read
            self._peer_blocked = False
            self.limit = self._read + self._window
        return self.limit

    def on_lost(self) -> None:
        """The frame that told the limit was lost."""
        self.update_due = True

    def widen(self) -> None:
        """The reader waits for a gap to close: when what is behind it takes half of the window, that is too small."""
        if self.received - self._read > self._window // 2 and self._window < self._maximum:
            self._window = min(_GROWTH_MAX * self._window, self._maximum)
            self.update_due = True


class Memory:
    """What the connections of an endpoint hold together, received and not yet read.

    Attributes:
        limit: how many bytes that should be.
        held: how many it is.
        spare: bytes that they hold besides, and can let go of: what lost messages are recovered from.
        sharers: the connections.
    """

    __slots__ = ("held", "limit", "sharers", "spare")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.spare = 0
        self.sharers = 0


class ConnectionWindow(ReceiveWindow):
    """The window of a connection as a whole, which counts for the memory of the endpoint.

    Above its limit a connection may hold its share of it and no more: whoever fills the memory ends, and not who
    comes when it is full. So no more than twice the limit is ever held, and half of it besides that can be let go of.

    Attributes:
        kept: bytes held that no credit was given for: best-effort messages.
        spare: its part of what can be let go of.
    """

    __slots__ = ("_memory", "kept", "spare")

    def __init__(self, window: int, memory: Memory) -> None:
        super().__init__(window, window)
        self._memory: Memory | None = memory
        self.kept = self.spare = 0
        memory.sharers += 1

    def may_keep(self, size: int) -> bool:
        """Whether there is memory for `size` bytes that no credit was given for."""
        memory = self._memory
        if memory is None or memory.held + size <= memory.limit:
            return True
        return (self.held() + self.kept + size) * memory.sharers <= memory.limit

    def keep(self, change: int) -> None:
        """`change` more of such bytes are held."""
        self.kept += change
        if self._memory is not None:
            self._memory.held += change

    def may_spare(self, size: int) -> bool:
        """Whether there is memory for `size` bytes more that can be let go of: as long as half of it is free."""
        memory = self._memory
        return memory is None or memory.held + memory.spare + size <= memory.limit // 2

    def hold_spare(self, change: int) -> None:
        """`change` more of such bytes are held. No connection ends for their sake."""
        self.spare += change
        if self._memory is not None:
            self._memory.spare += change

    def on_received(self, size: int) -> None:
        ReceiveWindow.on_received(self, size)
        memory = self._memory
        if memory is not None:
            memory.held += size
            if memory.held > memory.limit and (self.held() + self.kept) * memory.sharers > memory.limit:
                raise ProtocolViolation(Code.EXCESSIVE_LOAD, "more unread data than this endpoint has room for")

    def on_read(self, size: int) -> bool:
        if self._memory is not None:
            self._memory.held -= size
        return ReceiveWindow.on_read(self, size)

    def release(self) -> None:
        """The connection is over: what it still holds is its owner's affair. Harmless when it was called before."""
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.held -= self.held() + self.kept
            memory.spare -= self.spare
            memory.sharers -= 1
