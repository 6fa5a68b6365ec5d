"""Moving bytes without making objects of them.

Each function is a slice or two in Python. Compiled modules get the same names from `memory.pxd` beside this file, as
C that checks its bounds and then copies; this file itself is not compiled.
"""

from __future__ import annotations

_ONES = int.from_bytes(b"\x01" * 64, "big")


def copy(target: bytearray, at: int, source: bytes | bytearray, start: int, size: int) -> None:
    """`target[at : at + size] = source[start : start + size]`, which may overlap; IndexError when one is too short."""
    if at < 0 or start < 0 or size < 0 or at + size > len(target) or start + size > len(source):
        raise IndexError("copy outside of a buffer")
    target[at : at + size] = source[start : start + size]


def append(target: bytearray, source: bytearray, start: int, stop: int) -> None:
    """Append `source[start:stop]` to `target`."""
    target += source[start:stop]


def piece(source: bytearray, start: int, stop: int) -> bytes:
    """A copy of `source[start:stop]`; IndexError when that is not all there."""
    if not 0 <= start <= stop <= len(source):
        raise IndexError("piece outside of a buffer")
    return bytes(source[start:stop])


def end_of_zeros(data: bytearray, start: int, stop: int) -> int:
    """Where the zero bytes at `start` end, `stop` at the latest; IndexError when `data[start:stop]` is not there."""
    if not 0 <= start <= stop <= len(data):
        raise IndexError("zeros outside of a buffer")
    return stop - len(data[start:stop].lstrip(b"\0"))


def number(value: int, size: int) -> bytes:
    """`value` as `size` big-endian bytes, at most 8; IndexError for more. What does not fit into them is cut off."""
    if not 0 <= size <= 8:
        raise IndexError("number of more than eight bytes")
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "big")


def same(data: bytearray, at: int, other: bytes) -> bool:
    """Whether `data` has the bytes of `other` at `at`."""
    return data[at : at + len(other)] == other


def put_u64(target: bytearray, at: int, value: int) -> None:
    """Write `value` as eight big-endian bytes; IndexError when there is no room."""
    if at < 0 or at + 8 > len(target):
        raise IndexError("number outside of a buffer")
    target[at : at + 8] = value.to_bytes(8, "big")


def put_u32(target: bytearray, at: int, value: int) -> None:
    """Write the low 32 bits of `value` as four big-endian bytes; IndexError when there is no room."""
    if at < 0 or at + 4 > len(target):
        raise IndexError("number outside of a buffer")
    target[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "big")


def has_more(data: bytes, which: bytes, count: int) -> bool:
    """Whether more than `count` bytes of `data` are among `which`, at most 256 of them."""
    return len(data) - len(data.translate(None, which)) > count


def gather(source: bytearray, start: int, step: int, count: int) -> bytearray:
    """The 16 bytes at `start` and at `count - 1` places more, `step` apart; IndexError when they are not all there."""
    if start < 0 or step < 0 or count < 0 or (count and start + step * (count - 1) + 16 > len(source)):
        raise IndexError("samples outside of a buffer")
    return bytearray().join([source[start + step * i : start + step * i + 16] for i in range(count)])


def xor_block(key: bytes, value: int) -> bytes:
    """`key` filled up with zeros to 64 bytes, each of them XORed with `value`; IndexError when it is longer."""
    if len(key) > 64:
        raise IndexError("key longer than a block")
    return (int.from_bytes(key.ljust(64, b"\0"), "big") ^ _ONES * value).to_bytes(64, "big")
