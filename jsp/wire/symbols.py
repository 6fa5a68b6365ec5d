"""What repairs are made of (spec section 8.8): messages as symbols, and sets of messages as masks.

A symbol is all that a message's frame says: u16 size, varint 1 + order (0: unordered), data; the size is that of the
two behind it, and zeros may follow. A set of messages is its newest id and a mask, whose bit i stands for the id that
is i less.
"""

from __future__ import annotations

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer, varint_size

# Bytes of the smallest symbol, an empty message that is not ordered, and of the largest.
SYMBOL_MIN = 3
SYMBOL_MAX = 2 + 0xFFFF


def symbol_size(order: int, size: int) -> int:
    """Bytes of the symbol of a message of `size` bytes; `order` is -1 when it has none."""
    return 2 + varint_size(order + 1) + size


def make_symbol(order: int, data: bytes) -> bytes:
    """The symbol of a message."""
    head = Writer(bytearray(10))
    head.push_bytes((varint_size(order + 1) + len(data)).to_bytes(2, "big"))
    head.push_varint(order + 1)
    return bytes(head.buffer[: head.pos]) + data


def parse_symbol(symbol: bytes) -> tuple[int, bytes]:
    """Order (-1: none) and data of a message; BadPacket for what no message gives."""
    outer = Reader(symbol)
    size = outer.pull_uint(2)
    start = outer.skip(size)
    if any(outer.pull_bytes(outer.remaining())):
        raise BadPacket("something behind a symbol")
    inner = Reader(symbol, start, start + size)
    order = inner.pull_varint() - 1
    return order, inner.pull_bytes(inner.remaining())


def ids_of(newest: int, mask: int) -> list[int]:
    """The ids of a set, newest first."""
    return [newest - i for i in range(mask.bit_length()) if mask >> i & 1]


def mask_of(newest: int, ids: list[int]) -> int:
    """The mask of a set; `newest` is the largest of `ids`."""
    mask = 0
    for message_id in ids:
        mask |= 1 << (newest - message_id)
    return mask
