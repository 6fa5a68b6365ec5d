"""What every codec test asks: whole, cut at every byte, with trailing bytes, and any bytes at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer

T = TypeVar("T")
Parse = Callable[[Reader], Any]

ANY_BYTES = st.binary(max_size=200)
TAILS = st.binary(max_size=60)


def varint(value: int) -> bytes:
    """`value` as a varint."""
    writer = Writer(bytearray(8))
    writer.push_varint(value)
    return bytes(writer.buffer[: writer.pos])


def mangled(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Any bytes, or the beginning of something valid and then any bytes."""
    prefixes = st.sampled_from(valid).flatmap(lambda v: st.integers(0, len(v)).map(lambda n: v[:n]))
    flipped = st.tuples(st.sampled_from(valid), st.integers(0, 1 << 20), st.integers(1, 255)).map(_flip)
    return ANY_BYTES | st.tuples(prefixes, TAILS).map(lambda pair: pair[0] + pair[1]) | flipped


def _flip(args: tuple[bytes, int, int]) -> bytes:
    data, at, bits = bytearray(args[0]), args[1], args[2]
    if data:
        data[at % len(data)] ^= bits
    return bytes(data)


def value_or_bad_packet(parse: Callable[[bytes], T], data: bytes) -> T | None:
    """What `parse` makes of `data`; None for BadPacket. Anything else that it raises fails the test."""
    try:
        return parse(data)
    except BadPacket:
        return None


def refuses_every_cut(parse: Callable[[bytes], object], data: bytes, least: int = 0) -> None:
    """Every proper beginning of `data` with at least `least` bytes is a BadPacket."""
    for size in range(least, len(data)):
        with pytest.raises(BadPacket):
            parse(data[:size])


def with_reader(parse: Parse) -> Callable[[bytes], Any]:
    """`parse` as a function of bytes that also checks that the reader stays inside them."""

    def read(data: bytes) -> Any:
        # Bytes around the window tell whether anybody looks past it.
        reader = Reader(bytearray(b"\xaa" * 7 + data + b"\xaa" * 9), 7, 7 + len(data))
        value = parse(reader)
        assert 7 <= reader.pos <= reader.end == 7 + len(data)
        return value

    return read
