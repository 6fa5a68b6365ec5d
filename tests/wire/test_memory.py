"""Moving bytes: what the slices say, and nothing outside of the buffers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.wire import memory

DATA = bytes(range(100))
PLACES = st.integers(-3, 110)


@given(PLACES, PLACES, PLACES, st.sampled_from([bytes, bytearray]))
def test_copy_is_a_slice_or_refused(at: int, start: int, size: int, kind: type) -> None:
    target = bytearray(60)
    inside = min(at, start, size) >= 0 and at + size <= 60 and start + size <= 100
    if inside:
        memory.copy(target, at, kind(DATA), start, size)
        assert target == bytes(at) + DATA[start : start + size] + bytes(60 - at - size)
    else:
        with pytest.raises(IndexError):
            memory.copy(target, at, kind(DATA), start, size)
        assert target == bytes(60)


def test_append() -> None:
    target = bytearray(b"x")
    memory.append(target, bytearray(DATA), 10, 13)
    memory.append(target, bytearray(DATA), 5, 5)
    assert target == b"x" + DATA[10:13]


@pytest.mark.parametrize(
    ("data", "start", "stop", "expected"),
    [
        (b"", 0, 0, 0),
        (b"\0\0x\0", 0, 4, 2),
        (b"\0\0x\0", 0, 1, 1),
        (b"\0\0", 0, 2, 2),
        (b"x\0", 0, 2, 0),
        (b"x\0", 1, 2, 2),
    ],
)
def test_zeros_end_where_something_else_begins(data: bytes, start: int, stop: int, expected: int) -> None:
    assert memory.end_of_zeros(bytearray(data), start, stop) == expected


@pytest.mark.parametrize(("start", "stop"), [(-1, 0), (1, 0), (0, 3), (3, 3)])
def test_zeros_that_are_not_there(start: int, stop: int) -> None:
    with pytest.raises(IndexError):
        memory.end_of_zeros(bytearray(2), start, stop)


@pytest.mark.parametrize("value", [0, 1, 0x1234, (1 << 62) - 1])
@pytest.mark.parametrize("size", range(9))
def test_a_number_is_its_lowest_bytes(value: int, size: int) -> None:
    assert memory.number(value, size) == value.to_bytes(8, "big")[8 - size :]
    with pytest.raises(IndexError):
        memory.number(value, size + 9)


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 4), (1, 3), (4, 4), (-1, 2), (2, 1), (0, 5), (5, 5)])
def test_a_piece_is_a_slice_or_refused(start: int, stop: int) -> None:
    source = bytearray(b"abcd")
    if 0 <= start <= stop <= 4:
        assert memory.piece(source, start, stop) == b"abcd"[start:stop]
    else:
        with pytest.raises(IndexError):
            memory.piece(source, start, stop)


@pytest.mark.parametrize(("at", "other", "expected"), [(0, b"", True), (3, b"\x03\x04", True), (99, b"cd", False)])
def test_same(at: int, other: bytes, expected: bool) -> None:
    assert memory.same(bytearray(DATA), at, other) is expected


@given(st.integers(0, (1 << 64) - 1), st.integers(-2, 12))
def test_numbers_are_big_endian(value: int, at: int) -> None:
    target = bytearray(12)
    if 0 <= at <= 4:
        memory.put_u64(target, at, value)
        assert target == bytes(at) + value.to_bytes(8, "big") + bytes(4 - at)
    else:
        with pytest.raises(IndexError):
            memory.put_u64(target, at, value)


@given(st.integers(0, (1 << 64) - 1), st.integers(-2, 12))
def test_low_half_of_a_number(value: int, at: int) -> None:
    target = bytearray(12)
    if 0 <= at <= 8:
        memory.put_u32(target, at, value)
        assert target == bytes(at) + value.to_bytes(8, "big")[4:] + bytes(8 - at)
    else:
        with pytest.raises(IndexError):
            memory.put_u32(target, at, value)


@given(st.integers(-1, 30), st.integers(-1, 30), st.integers(0, 6))
def test_samples(start: int, step: int, count: int) -> None:
    places = [start + step * i for i in range(count)]
    if start >= 0 and step >= 0 and all(p + 16 <= 100 for p in places):
        assert memory.gather(bytearray(DATA), start, step, count) == b"".join(DATA[p : p + 16] for p in places)
    else:
        with pytest.raises(IndexError):
            memory.gather(bytearray(DATA), start, step, count)


@given(st.binary(max_size=70), st.integers(0, 255))
def test_xor_block(key: bytes, value: int) -> None:
    if len(key) > 64:
        with pytest.raises(IndexError):
            memory.xor_block(key, value)
    else:
        assert memory.xor_block(key, value) == bytes([byte ^ value for byte in key.ljust(64, b"\0")])


@given(st.binary(max_size=80), st.binary(max_size=20), st.integers(0, 40))
def test_how_many_are_among_others(data: bytes, which: bytes, count: int) -> None:
    assert memory.has_more(data, which, count) is (sum(byte in which for byte in data) > count)
