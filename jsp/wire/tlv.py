# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Type-length-value lists, the only variable encoding in the handshake (spec section 5.2).

`u16 type | u16 length | value`, types strictly increasing, so duplicates and reordering cannot be expressed. A
type below 0x8000 that the reader does not know is an error; from 0x8000 it is passed over (but is part of the
transcript like every byte).
"""

from __future__ import annotations

from collections.abc import Collection

import jsp.wire.memory as memory
from jsp.errors import BadPacket
from jsp.wire.buffer import Reader

OPTIONAL = 0x8000
VALUE_MAX = 0xFFFF


def encode_tlvs(values: dict[int, bytes]) -> bytes:
    """The list of `values`, lowest type first."""
    total = 0
    for value in values.values():
        total += 4 + len(value)
    out = bytearray(total)
    at = 0
    for kind in sorted(values):
        value = values[kind]
        size = len(value)
        if size > VALUE_MAX:
            raise ValueError(f"TLV {kind:#x} is {size} bytes long; 65,535 is the most")
        memory.put_u32(out, at, kind << 16 | size)
        memory.copy(out, at + 4, value, 0, size)
        at += 4 + size
    return bytes(out)


def parse_tlvs(r: Reader, known: Collection[int]) -> dict[int, bytes]:
    """Everything left in the reader as TLVs. Unknown optional ones are left out of the result."""
    values: dict[int, bytes] = {}
    data, pos, end = r.data, r.pos, r.end
    last = -1
    while pos < end:
        if end - pos < 4:
            raise BadPacket("truncated")
        kind = data[pos] << 8 | data[pos + 1]
        if kind <= last:
            raise BadPacket("TLV types not increasing")
        last = kind
        start = pos + 4
        pos = start + (data[pos + 2] << 8 | data[pos + 3])
        if pos > end:
            raise BadPacket("truncated")
        if kind in known:
            values[kind] = memory.piece(data, start, pos)
        elif kind < OPTIONAL:
            raise UnknownCritical(f"unknown critical TLV {kind:#x}")
    r.pos = end
    return values


class UnknownCritical(BadPacket):
    """Well-formed, but asks for something we do not know and may not ignore."""

    __slots__ = ()
