# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Back-pressure of streamed items: how far a sender may be ahead of whoever takes them. Sans-I/O.

`Credit` is the sending side of one direction of a call, `Inbox` the receiving one. Both count the same: an item costs
its payload and 64 bytes, so that empty ones are not free. Items wait in their encoded form, so what waits is what
was counted; they are decoded when somebody takes them.
"""

from __future__ import annotations

from collections import deque

from jsp.rpc.errors import BadFrame, CloseCode

WINDOW = 1 << 20
ITEM_COST = 64
# Credit comes back once half of the window is owed, so with nothing under way there is always room for half of it:
# a larger item could wait for ever.
_OWED_MAX = WINDOW // 2
ITEM_MAX = _OWED_MAX - ITEM_COST

_WINDOW = WINDOW
_ITEM_COST = ITEM_COST


class Credit:
    """What may be sent now."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _WINDOW

    def take(self, payload_size: int) -> bool:
        """Spend credit on an item; False when there is not enough, and nothing is spent."""
        cost = payload_size + _ITEM_COST
        if cost > self._left:
            return False
        self._left -= cost
        return True

    def grant(self, size: int) -> None:
        """The peer took items. Raises BadFrame when it claims more than it was sent."""
        # Compared before it is added: the number is the peer's, and may be as large as it likes.
        if size > _WINDOW - self._left:
            raise BadFrame("more credit than was spent")
        self._left += size


class Inbox:
    """Items that arrived and were not taken yet.

    Attributes:
        payloads: them, encoded.
        ended: whether no more will come, or be taken.
    """

    __slots__ = ("_allowed", "_owed", "ended", "payloads")

    def __init__(self) -> None:
        self.payloads: deque[bytes] = deque()
        self.ended = False
        self._allowed = _WINDOW
        self._owed = 0

    def push(self, payload: bytes | None) -> None:
        """An item arrived. Raises BadFrame when the sender had no credit for it."""
        cost = _WINDOW if payload is None else len(payload)
        self._allowed -= cost + _ITEM_COST
        if self._allowed < 0:
            raise BadFrame("items beyond the credit given", CloseCode.LIMIT)
        if payload is not None and not self.ended:
            self.payloads.append(payload)

    def take(self) -> bytes:
        """The next item; there must be one."""
        payload = self.payloads.popleft()
        self._owed += len(payload) + _ITEM_COST
        return payload

    def poll_credit(self) -> int:
        """Credit to give to the sender now; 0 until it is worth a frame."""
        if self._owed < _OWED_MAX:
            return 0
        owed, self._owed = self._owed, 0
        self._allowed += owed
        return owed

    def close(self) -> None:
        """Nobody will take any more."""
        self.ended = True
        self.payloads.clear()
