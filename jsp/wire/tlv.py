"""Type-length-value lists, the only variable encoding in the handshake (spec section 5.2).

`u16 type | u16 length | value`, types strictly increasing, so duplicates and reordering cannot be expressed. A
type below 0x8000 that the reader does not know is an error; from 0x8000 it is passed over (but is part of the
transcript like every byte).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader

OPTIONAL = 0x8000
VALUE_MAX = 0xFFFF


def encode_tlvs(values: Mapping[int, bytes]) -> bytes:
    """The list of `values`, lowest type first."""
    parts = []
    for kind in sorted(values):
        value = values[kind]
        if len(value) > VALUE_MAX:
            raise ValueError(f"TLV {kind:#x} is {len(value)} bytes long; 65,535 is the most")
        parts.append(kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value)
    return b"".join(parts)


def parse_tlvs(r: Reader, known: Collection[int]) -> dict[int, bytes]:
    """Everything left in the reader as TLVs. Unknown optional ones are left out of the result."""
    values: dict[int, bytes] = {}
    last = -1
    while r.remaining():
        kind = r.pull_uint(2)
        if kind <= last:
            raise BadPacket("TLV types not increasing")
        last = kind
        value = r.pull_bytes(r.pull_uint(2))
        if kind in known:
            values[kind] = value
        elif kind < OPTIONAL:
            raise UnknownCritical(f"unknown critical TLV {kind:#x}")
    return values


class UnknownCritical(BadPacket):
    """Well-formed, but asks for something we do not know and may not ignore."""
