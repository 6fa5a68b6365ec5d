# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What a payload would cost to unpack, found out before or, where it costs nothing, afterwards.

MessagePack is dense: 1 MiB of empty maps becomes 81 MB of dicts, and arrays may be nested until whatever walks over
them recursively fails. `count_values` reads a payload without unpacking it; `is_deep` looks at what was unpacked,
level by level. Neither recurses. Where this is not compiled counting is slow, so callers count only what is long
enough to matter.
"""

from __future__ import annotations

import gc
from typing import Any

import jsp.wire.memory as memory

# An unpacked value takes at most this many bytes beside its own content: an empty dict in a list has 72, and what a
# small dict has more is paid for by its keys and values.
VALUE_COST = 80

# 128 MB at that price.
VALUES_MAX = 1_600_000

DEPTH_MAX = 32

_DEPTH_MAX = DEPTH_MAX

# First bytes of arrays and maps.
_CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])


def _table(*rows: tuple[range | bytes, int]) -> bytes:
    """A number for each possible first byte of a value; 0 for those that no row has."""
    table = bytearray(256)
    for first_bytes, number in rows:
        for byte in first_bytes:
            table[byte] = number
    return bytes(table)


# How many bytes tell the length: bin, ext, str, array, map.
_LENGTH_BYTES = _table((b"\xc4\xc7\xd9", 1), (b"\xc5\xc8\xda\xdc\xde", 2), (b"\xc6\xc9\xdb\xdd\xdf", 4))
# How many bytes follow whatever the length says: numbers, fixext, the type of an ext.
_FIXED_BYTES = _table(
    (b"\xcc\xd0\xc7\xc8\xc9", 1), (b"\xcd\xd1\xd4", 2), (b"\xd5", 3), (b"\xca\xce\xd2", 4), (b"\xd6", 5),
    (b"\xcb\xcf\xd3", 8), (b"\xd7", 9), (b"\xd8", 17),
)  # fmt: skip
# Which bits of the first byte are the length: fixmap, fixarray, fixstr.
_LENGTH_BITS = _table((range(0x80, 0xA0), 0x0F), (range(0xA0, 0xC0), 0x1F))
# How many values a container has for each of its length: array, map.
_VALUES = _table((range(0x90, 0xA0), 1), (b"\xdc\xdd", 1), (range(0x80, 0x90), 2), (b"\xde\xdf", 2))


def count_values(payload: bytes, limit: int = VALUES_MAX) -> int:
    """How many values a payload holds, containers counted too; counting ends above `limit`.

    Says nothing about whether the payload is valid: the count ends with the bytes.
    """
    end = len(payload)
    pos = count = 0
    left = 1
    while left and pos < end and count <= limit:
        byte = payload[pos]
        width = _LENGTH_BYTES[byte]
        pos += 1
        length = byte & _LENGTH_BITS[byte]
        for at in range(pos, min(pos + width, end)):
            length = length << 8 | payload[at]
        pos += width + _FIXED_BYTES[byte]
        values = _VALUES[byte]
        if values:
            left += length * values
        else:
            pos += length
        left -= 1
        count += 1
    return count


def may_be_deep(payload: bytes) -> bool:
    """Whether `payload` has enough bytes that could open a container for `is_deep` to be worth asking."""
    return memory.has_more(payload, _CONTAINERS, _DEPTH_MAX)


def is_deep(value: Any) -> bool:
    """Whether containers are nested deeper than `DEPTH_MAX` in an unpacked value."""
    level = _containers([value])
    for _ in range(DEPTH_MAX):
        if not level:
            return False
        level = _containers(gc.get_referents(*level))
    return bool(level)


def _containers(values: list[Any]) -> list[Any]:
    return [v for v in values if type(v) is list or type(v) is dict]
