"""Forward error correction on its way out: when it pays, how much of it, and the repairs (spec section 8.8).

A message with a deadline is sent again when it is lost; where the round trip leaves time for that to happen often
enough, nothing else is needed. Where it does not, repairs follow: sums of the messages that may still be missing,
each of which stands in for any one of them. How many there are depends on the loss that is measured, and they never
have more than half the bytes of the messages. While the path's queue grows, loss is its answer to too much being
sent, and nothing is added. Repairs are ordinary frames in ordinary packets: window and pacing hold for them, and
messages go first.

A message in fragments has repairs of its own, sums of all its pieces, which leave behind it.

The last message before a pause has none behind it that takes a repair along, and nothing tells soon that it was lost.
If no other one follows and it is not acknowledged when three quarters of its time are up, a repair goes by itself.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from jsp.engine.builder import Train
from jsp.engine.gf256 import cauchy, combine
from jsp.engine.out_message import OPEN, OutMessage
from jsp.engine.path import Path
from jsp.engine.pieces import count_pieces, sum_pieces
from jsp.engine.timers import NEVER
from jsp.recovery.loss_rate import LossRate, is_queueing
from jsp.wire.repair_frames import (
    MASK_BITS,
    push_repair,
    push_repair_fragments,
    repair_fragments_size,
    repair_size,
)
from jsp.wire.symbols import ids_of, make_symbol, mask_of, symbol_size

if TYPE_CHECKING:
    from jsp.engine.message_queue import MessageQueue

# Bytes of repairs for each byte of messages, at most.
_SHARE_MAX = 0.5
# Nothing is done about less loss than this; and retransmission alone is enough while it leaves fewer messages late.
_LOSS_MIN = 0.01
_LATE_MAX = 0.005
# A message sent again leaves so many round trips after the time before: one, and what it takes to tell loss from delay.
_ROUND_TRIPS = 1.25
_GRANULARITY_S = 0.001
# A repair behind the last message goes when this part of the time is up in which it can; so does a second one, of what
# is left then.
_TAIL = 0.75
# Repairs that those who could have been, and were not needed, make up for: for whoever sends one message at a time.
_SPARED_MAX = 2
# Fewer messages than this are not worth looking for those that are settled.
_SWEEP_MIN = 64


def transmissions(spare: float, again: float) -> int:
    """How often a message can be sent in time, the first time included, when it is too late for that in `spare`
    seconds, and losses show `again` seconds after it was sent."""
    return 1 + int(spare / again) if spare > 0 else 0


def share_of_repairs(loss: float, times: int, width: int, packets: int = 1) -> float:
    """Repairs for each message (each piece of one that takes so many `packets`): 0 where being sent `times` times is
    enough.

    Of `width` that share their repairs, `loss * width` go missing, give or take: repairs cover that and one and a half
    standard deviations where a message can be sent again, two where it cannot.
    """
    if not times or loss < _LOSS_MIN or packets * loss**times < _LATE_MAX:
        return 0.0
    deviations = 1.5 if times > 1 else 2.0
    return min(loss + deviations * sqrt(loss * (1 - loss) / width), _SHARE_MAX)


def _size_for(message: OutMessage) -> int:
    """Bytes of a REPAIR that could stand in for `message`."""
    return repair_size(message.id, 1 << (MASK_BITS - 1), symbol_size(message.order, message.size))


class SendRepair:
    """Of one connection.

    Attributes:
        path: the path its messages take.
        width: messages that the peer lets a repair be made of.
        loss: of the path.
        sent, sent_bytes: repairs so far, and their size.
        tail_at: when one is to go behind the last message, if no other one follows; NEVER: none is.
    """

    __slots__ = (
        "_credit", "_first", "_fragmented", "_last", "_named", "_number", "_packet", "_part", "_protected", "_size",
        "_spared", "_sweep_at", "_tail_due", "_together", "loss", "path", "sent", "sent_bytes", "tail_at", "width",
    )  # fmt: skip

    def __init__(self, path: Path, width: int) -> None:
        self.path = path
        # Bytes of repairs that are due, of those that were not needed, and of one for the last message.
        self._credit = 0.0
        self._spared = 0.0
        self._size = 1
        self._last: OutMessage | None = None
        self._tail_due = False
        # Messages sent and not known to have arrived, by id, ascending.
        self._protected: dict[int, OutMessage] = {}
        self._sweep_at = _SWEEP_MIN
        # Repairs that messages in fragments are to have still: the message, the number of the next one, and how many.
        # What is left over of one counts for the next message.
        self._fragmented: list[tuple[OutMessage, int, int]] = []
        self._part = 0.0
        # How many messages the last repair was about.
        self._together = 1
        self._number = 0
        # The newest message that a repair was about.
        self._named = -1
        # The packet that the last message went into, and the first message in it.
        self._packet = (0.0, 0)
        self._first = 0
        self.width = min(width, MASK_BITS)
        self.loss = LossRate()
        self.sent = 0
        self.sent_bytes = 0
        self.tail_at = NEVER

    def protect(self, message: OutMessage, train: Train) -> None:
        """All of `message`, which has a deadline, was written for the first time."""
        path = self.path
        recovery = path.recovery
        self.loss.update(recovery.rate, recovery.rtt, recovery.reordering.late_bytes)
        self.tail_at = NEVER
        self._tail_due = False
        loss = self.loss.value
        if loss < _LOSS_MIN or is_queueing(recovery.rtt):
            return
        spare = self._useful_until(message) - train.time
        again = _ROUND_TRIPS * recovery.rtt.smoothed + _GRANULARITY_S
        times = min(transmissions(spare, again), message.retransmits + 1)
        if message.acked is not None:
            self._protect_fragments(message, loss, times)
            return
        share = share_of_repairs(loss, times, self._together)
        at_end = share_of_repairs(loss, min(transmissions(spare, path.probe_timeout()), message.retransmits + 1), 1)
        if not at_end:
            return
        packet = (train.time, train.count)
        if packet != self._packet:
            self._packet = packet
            self._first = message.id
        self._last = message
        self._keep(message)
        self._size = _size_for(message)
        self._credit += share * self._size
        self._spare((_SHARE_MAX - share) * self._size)
        if message.id == self._first:
            self.tail_at = train.time + _TAIL * spare

    def takes_fragments(self, size: int) -> bool:
        """Whether a message of `size` bytes, which no packet has room for, is likely to have repairs."""
        recovery = self.path.recovery
        return self.loss.value >= _LOSS_MIN and not is_queueing(recovery.rtt) and recovery.available() >= 2 * size

    def _protect_fragments(self, message: OutMessage, loss: float, times: int) -> None:
        """The same for one in fragments."""
        if not message.piece:
            return
        pieces = count_pieces(message.size, message.piece)
        due = self._part + pieces * share_of_repairs(loss, times, pieces, pieces)
        self._part = due % 1
        if due >= 1:
            self._keep(message)
            self._fragmented.append((message, 0, int(due)))

    def _keep(self, message: OutMessage) -> None:
        if len(self._protected) >= self._sweep_at:
            self._protected = {i: m for i, m in self._protected.items() if m.state == OPEN}
            self._sweep_at = max(2 * len(self._protected), _SWEEP_MIN)
        self._protected[message.id] = message

    def _spare(self, size: float) -> None:
        """`size` bytes of repairs were not needed."""
        self._spared = min(self._spared + size, _SPARED_MAX * self._size)

    def _useful_until(self, message: OutMessage) -> float:
        """When it is too late to send `message`."""
        return message.expires - self.path.recovery.rtt.smoothed / 2

    def on_tail(self, now: float) -> MessageQueue | None:
        """`tail_at` has come: the queue that a repair has to be written behind, if one is."""
        last = self._last
        self.tail_at = NEVER
        if last is None or last.state != OPEN or is_queueing(self.path.recovery.rtt):
            return None
        spare = self._useful_until(last) - now
        if spare > _GRANULARITY_S:
            self.tail_at = now + _TAIL * spare
        self._tail_due = True
        return last.queue

    def write_frames(self, train: Train) -> bool:
        """Write what is due, one repair in a packet; False when another packet is needed for that."""
        if self._fragmented and not self._write_fragments(train):
            return False
        tail, self._tail_due = self._tail_due, False
        if self._credit < self._size and not tail:
            return True
        chosen = self._missing(train)
        self._together = max(len(chosen), 1)
        if not tail:
            # What could not leave in its time is made up for behind a last message, if at all.
            most = _SHARE_MAX * sum(_size_for(message) for message in chosen)
            self._spare(max(self._credit - most, 0.0))
            self._credit = min(self._credit, most)
            if len(chosen) < 2 or (chosen[-1].id >= self._first and self._packet == (train.time, train.count)):
                return True  # of no use to anybody: it would get lost together with all that it could make good
        elif not chosen:
            return True
        newest = chosen[0].id
        mask = mask_of(newest, [message.id for message in chosen])
        size = max(symbol_size(message.order, message.size) for message in chosen)
        whole = repair_size(newest, mask, size)
        # The next messages shall find room in the window.
        room = self.path.recovery.available() - train.pos - (0 if tail else self.path.mtu)
        if self._credit + (self._spared if tail else 0.0) < whole or room < whole:
            return True
        if whole > train.room():
            self._tail_due = tail
            return False
        terms = [(cauchy(self._number, m.id), make_symbol(m.order, m.data)) for m in chosen]
        push_repair(train, newest, mask, self._number, combine(terms, size))
        self._on_written(train, whole)
        self._number = (self._number + 1) & 127
        self._named = newest
        self._credit -= whole
        if self._credit < 0:
            self._spared += self._credit
            self._credit = 0.0
        return self._credit < self._size

    def _write_fragments(self, train: Train) -> bool:
        """Repairs of messages in fragments, one in a packet; False when another packet, or more room, is needed."""
        while self._fragmented:
            message, number, left = self._fragmented[0]
            whole = repair_fragments_size(message.id, message.piece)
            useful = message.state == OPEN and self._useful_until(message) > train.time and whole <= train.capacity
            # The next message, as large as this one, shall find room in the window.
            if not useful or self.path.recovery.available() - train.pos < whole + message.size:
                self._fragmented.pop(0)
                continue
            if whole > train.room():
                return False
            push_repair_fragments(train, message.id, number, sum_pieces(message.data, message.piece, number))
            self._on_written(train, whole)
            if left > 1:
                self._fragmented[0] = (message, number + 1, left - 1)
            else:
                self._fragmented.pop(0)
            return not self._fragmented and self._credit < self._size
        return True

    def _on_written(self, train: Train, size: int) -> None:
        train.mark_eliciting()
        self.sent += 1
        self.sent_bytes += size

    def _missing(self, train: Train) -> list[OutMessage]:
        """Messages that the peer may lack and could still use, newest first, as many as one repair takes."""
        out: list[OutMessage] = []
        for message_id in reversed(self._protected):
            message = self._protected[message_id]
            if message.state != OPEN or message.acked is not None or self._useful_until(message) <= train.time:
                continue
            if _size_for(message) > train.capacity:
                continue
            if out and out[0].id - message_id >= self.width:
                break
            out.append(message)
        return out

    def may_bring(self, message: OutMessage) -> bool:
        """Whether a repair has left that may bring `message`, which was lost, though it is not sent again."""
        # Best-effort messages have ids of their own, which may be the same.
        if message.order >= 0 or self._protected.get(message.id) is not message:
            return False
        return message.acked is not None or message.id <= self._named

    def on_recovered(self, newest: int, mask: int) -> None:
        """RECOVERED: these messages are there, though the packets they were in are not."""
        for message_id in ids_of(newest, mask):
            message = self._protected.pop(message_id, None)
            if message is not None:
                message.on_acked((0, message.size, 0), None)
