# cython: language_level=3, annotation_typing=False, nonecheck=True
"""One message on its way out: where it stands, and what became of it (spec section 8.4)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from jsp.wire.ranges import RangeSet

if TYPE_CHECKING:
    from jsp.engine.message_queue import MessageQueue
    from jsp.engine.send_messages import SendMessages

# States: nothing of it was sent; some was; the peer is to be told that no more comes; it was told; all is settled.
WAITING = 0
OPEN = 1
OWED = 2
TOLD = 3
RESOLVED = 4

# Outcomes. Names are those that applications see.
PENDING = 0
DELIVERED = 1
EXPIRED = 2
LOST = 3
REPLACED = 4
OUTCOMES = ("pending", "delivered", "expired", "lost", "replaced")


class OutMessage:
    """A message, heard of by its owner (the queue of the connection) when its frames arrive or do not.

    Attributes:
        owner: all messages of the connection.
        queue: where it waits for its turn.
        data: the content; dropped when it is not needed any more. `size` stays.
        kind: the bits of its frames.
        key: what a newer message with an equal key replaces; None: nothing.
        seq: its place among all messages of the connection; who replaces another one takes over its place.
        order: its place among the ordered ones, or -1.
        expires: when its time is up.
        piece: bytes of each of its fragments, if repairs may be made of them; else 0.
        redundant: whether it goes by all paths at once.
        retransmits: how often any part of it is sent again; below 0: a newer one has replaced it.
        sent: bytes sent at least once.
        waiting: whether some of it was never sent, and its queue holds it for that.
        acked: ranges that arrived, once there are several fragments.
        told: what MESSAGE_ABANDON says: 1 + bytes sent, 0 when the peer never saw any of it.
        urgency: 0 (first) to 7 (last).
        watcher: what `MessageSettled` is to bring to the owner of the connection, or None.
    """

    __slots__ = (
        "acked", "data", "expires", "id", "key", "kind", "order", "outcome", "owner", "piece", "queue", "redundant",
        "retransmits", "sent", "seq", "size", "state", "told", "urgency", "waiting", "watcher",
    )  # fmt: skip

    acked: RangeSet | None
    data: bytes
    expires: float
    id: int
    key: Hashable | None
    kind: int
    order: int
    outcome: int
    owner: SendMessages
    piece: int
    queue: MessageQueue
    redundant: bool
    retransmits: int
    sent: int
    seq: int
    size: int
    state: int
    told: int
    urgency: int
    waiting: bool
    watcher: Any

    def __lt__(self, other: OutMessage) -> bool:
        """Earliest deadline first, then who came first."""
        if self.expires != other.expires:
            return self.expires < other.expires
        return self.seq < other.seq

    def follows(self, previous: OutMessage | None, message_id: int) -> bool:
        """Whether this one, whose id is or will be `message_id`, is what MESSAGE_NEXT says behind `previous`."""
        return (
            previous is not None
            and message_id == previous.id + 1
            and self.kind == previous.kind
            and (self.order < 0 or self.order == previous.order + 1)
        )

    def on_acked(self, part: tuple[int, int, int] | None, _: None) -> None:
        """`part` (start, stop, attempt) arrived; None: MESSAGE_ABANDON did."""
        self.owner.on_message_acked(self, part)

    def on_lost(self, part: tuple[int, int, int] | None, _: None) -> None:
        """The same did not arrive."""
        self.owner.on_message_lost(self, part)


def make_message(owner: SendMessages, data: bytes, kind: int, expires: float, retransmits: int) -> OutMessage:
    """A message without a place. (Not a constructor, which would take its numbers as objects.)"""
    message = OutMessage.__new__(OutMessage)
    message.owner = owner
    message.data = data
    message.size = len(data)
    message.kind = kind
    message.expires = expires
    message.retransmits = retransmits
    message.id = message.piece = message.seq = message.sent = message.told = 0
    message.order = -1
    message.state = WAITING
    message.outcome = PENDING
    message.waiting = message.redundant = False
    message.acked = message.key = message.watcher = None
    return message
