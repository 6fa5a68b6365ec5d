"""Frames of forward error correction (spec section 8.8). All have a length, so that peers may not know them."""

from __future__ import annotations

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer, varint_size
from jsp.wire.symbols import SYMBOL_MAX, SYMBOL_MIN

REPAIR = 0x50
RECOVERED = 0x51
REPAIR_FRAGMENTS = 0x52
# Ids that a set of messages may reach over: its mask is a varint of four bytes at most.
MASK_BITS = 30


def _pull_set(r: Reader) -> tuple[int, int]:
    """A set of messages: its newest id, then a mask."""
    newest, mask = r.pull_varint(), r.pull_varint()
    if not mask & 1 or mask.bit_length() > min(MASK_BITS, newest + 1):
        raise BadPacket("bad set of messages")
    return newest, mask


# REPAIR: length, set of messages, u8 number, the sum of their symbols
def parse_repair(r: Reader) -> tuple[int, int, int, int, int]:
    """Newest id, mask, number, then where the sum starts and ends."""
    stop = r.pull_varint()
    stop += r.pos
    newest, mask = _pull_set(r)
    number = r.pull_u8()
    size = stop - r.pos
    if size < SYMBOL_MIN or size > SYMBOL_MAX:
        raise BadPacket("a repair without a sum")
    start = r.skip(size)
    return newest, mask, number, start, stop


def repair_size(newest: int, mask: int, size: int) -> int:
    """Bytes of a REPAIR whose sum has `size`."""
    body = varint_size(newest) + varint_size(mask) + 1 + size
    return varint_size(REPAIR) + varint_size(body) + body


def push_repair(w: Writer, newest: int, mask: int, number: int, total: bytes) -> None:
    w.push_varint(REPAIR)
    w.push_varint(varint_size(newest) + varint_size(mask) + 1 + len(total))
    w.push_varint(newest)
    w.push_varint(mask)
    w.push_u8(number)
    w.push_bytes(total)


# RECOVERED: length, set of messages
def parse_recovered(r: Reader) -> tuple[int, int]:
    stop = r.pull_varint()
    stop += r.pos
    found = _pull_set(r)
    if r.pos != stop:
        raise BadPacket("RECOVERED of the wrong length")
    return found


def push_recovered(w: Writer, newest: int, mask: int) -> bool:
    """False when it does not fit."""
    body = varint_size(newest) + varint_size(mask)
    if w.room() < varint_size(RECOVERED) + 1 + body:
        return False
    w.push_varint(RECOVERED)
    w.push_u8(body)
    w.push_varint(newest)
    w.push_varint(mask)
    return True


# REPAIR_FRAGMENTS: length, message id, u8 number, the sum of its pieces
def parse_repair_fragments(r: Reader) -> tuple[int, int, int, int]:
    """Message id, number, then where the sum starts and ends."""
    stop = r.pull_varint()
    stop += r.pos
    message_id = r.pull_varint()
    number = r.pull_u8()
    size = stop - r.pos
    if size < 1:
        raise BadPacket("a repair without a sum")
    start = r.skip(size)
    return message_id, number, start, stop


def repair_fragments_size(message_id: int, size: int) -> int:
    """Bytes of a REPAIR_FRAGMENTS whose sum has `size`."""
    body = varint_size(message_id) + 1 + size
    return varint_size(REPAIR_FRAGMENTS) + varint_size(body) + body


def push_repair_fragments(w: Writer, message_id: int, number: int, total: bytes) -> None:
    w.push_varint(REPAIR_FRAGMENTS)
    w.push_varint(varint_size(message_id) + 1 + len(total))
    w.push_varint(message_id)
    w.push_u8(number)
    w.push_bytes(total)
