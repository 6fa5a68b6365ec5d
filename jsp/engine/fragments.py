# cython: language_level=3, annotation_typing=False, nonecheck=True
"""A message in frames: whole where it fits a packet, else in fragments (spec section 8.4).

A fragment fills its packet; but those of a message that repairs are made of (8.8) are all of one size, for a repair has
to stand in for any one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsp.wire.buffer as octets
import jsp.wire.memory as memory
from jsp.engine.builder import Train
from jsp.engine.out_message import OutMessage
from jsp.engine.pieces import piece_size
from jsp.wire import frames
from jsp.wire.ranges import RangeSet

if TYPE_CHECKING:
    from jsp.engine.send_repair import SendRepair

_MESSAGE_NEXT = frames.MESSAGE_NEXT
_LEN = frames.MESSAGE_LEN
_FRAGMENT = frames.MESSAGE_FRAGMENT
# Bytes of a frame with a fragment around its data, and of what else such a packet may have to carry.
_AROUND = 64


def write_piece(
    train: Train, message: OutMessage, message_id: int, start: int, stop: int, allowed: int, repair: SendRepair | None
) -> int:
    """One MESSAGE frame with bytes of `message` from `start` on, `allowed` of them at most; where it ends, or -1 when a
    new packet is needed. `repair`: what makes repairs of it, if it has a deadline and the peer takes any."""
    total = message.size
    kind = message.kind
    size = stop - start
    head = 1 + octets.varint_size(message_id) + (octets.varint_size(message.order) if message.order >= 0 else 0)
    room = train.end - train.pos
    whole = size == total and message.acked is None and size <= allowed
    follows = False
    if whole and head + octets.varint_size(size) + size <= train.capacity:
        follows = message.follows(train.message, message_id)
        if (1 if follows else head) + octets.varint_size(size) + size > room:
            return -1
    else:
        kind |= _FRAGMENT
        head += octets.varint_size(start) + octets.varint_size(total)
        if message.acked is None and repair is not None and repair.takes_fragments(message.size):
            message.piece = piece_size(total, train.capacity - _AROUND)
        size = _fragment_size(train, message, start, min(size, allowed), head)
        if size < 0:
            return -1
        if message.acked is None:
            message.acked = RangeSet()
    kind_at = train.pos
    train.push_u8((_MESSAGE_NEXT if follows else kind) | _LEN)
    if not follows:
        train.push_varint(message_id)
        if message.order >= 0:
            train.push_varint(message.order)
    if kind & _FRAGMENT:
        train.push_varint(start)
        train.push_varint(total)
    train.push_length(size, kind_at, _LEN)
    memory.copy(train.buffer, train.pos, message.data, start, size)
    train.pos += size
    return start + size


def _fragment_size(train: Train, message: OutMessage, start: int, size: int, head: int) -> int:
    """How many of `size` bytes from `start` on go into the packet, behind `head` bytes; -1: it has no room."""
    room = train.end - train.pos
    piece = message.piece
    if piece:
        size = min(size, piece - start % piece)
        # What was cut for larger packets than there are now goes as if there were no pieces.
        if head + octets.varint_size(size) + size <= train.capacity:
            return size if head + octets.varint_size(size) + size <= room else -1
    # A fragment is worth a packet that is at least half empty.
    if room < head + 2 + min(size, train.capacity // 2):
        return -1
    return min(size, room - head - octets.varint_size(room))
