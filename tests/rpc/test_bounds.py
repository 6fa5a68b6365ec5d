"""Counting and measuring payloads before they cost anything."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.rpc.bounds import DEPTH_MAX, VALUE_COST, count_values, is_deep, may_be_deep
from tests.rpc.values import VALUES


def values_in(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(values_in(k) + values_in(v) for k, v in value.items())
    return 1 + sum(map(values_in, value)) if isinstance(value, list) else 1


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_counts_what_unpacking_would_make(value: Any) -> None:
    assert count_values(msgpack.packb(value, datetime=True)) == values_in(value)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 40, "x" * 300, "x" * 70_000, b"", bytes(300), bytes(70_000), 2**64 - 1, -(2**63), 1.5, list(range(40)),
        [0] * 70_000, {i: i for i in range(40)}, dict.fromkeys(range(70_000)), msgpack.ExtType(5, b"123"),
        msgpack.ExtType(5, bytes(16)), msgpack.ExtType(5, bytes(300)), msgpack.Timestamp(1), msgpack.Timestamp(2**40),
    ],
    ids=lambda v: str(type(v).__name__),
)  # fmt: skip
def test_counts_every_form_of_a_length(value: Any) -> None:
    packed = msgpack.packb([value, "end"])
    expected = values_in([value, "end"])
    assert count_values(packed) == expected
    for cut in range(min(len(packed), 400)):
        assert count_values(packed[:cut]) <= expected


@given(st.binary(max_size=200))
def test_any_bytes_can_be_counted(data: bytes) -> None:
    assert 0 <= count_values(data) <= len(data)


def test_counting_stops_above_the_limit() -> None:
    assert count_values(b"\xdd\x00\xff\xff\xff" + bytes(1 << 20), limit=1000) == 1001


@pytest.mark.parametrize("unit", [b"\x80", b"\x90", b"\x81\x00\x00", b"\xa2xy", b"\xcb" + bytes(8), b"\xcd\xff\xff"])
def test_a_value_takes_no_more_memory_than_is_charged(unit: bytes) -> None:
    count = 20_000
    packed = b"\xdd" + count.to_bytes(4, "big") + unit * count
    tracemalloc.start()
    value = msgpack.unpackb(packed, strict_map_key=False)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(value) == count
    assert used <= count_values(packed) * VALUE_COST + len(packed)


@given(VALUES)
def test_depth_of_shallow_values(value: Any) -> None:
    assert is_deep(value) == (depth_of(value) > DEPTH_MAX)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: [1, {"a": 2, "b": v}]])
def test_depth_limit_is_exact(wrap: Any) -> None:
    value: Any = 0
    while depth_of(value) <= DEPTH_MAX:
        assert not is_deep(value)
        value = wrap(value)
    assert is_deep(value)
    assert may_be_deep(msgpack.packb(value))


def test_small_values_need_no_look() -> None:
    assert not may_be_deep(msgpack.packb({"id": 1, "name": "alice", "tags": ["a", "b"], "ok": True}))


@given(st.lists(st.sampled_from([0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xC0, 0xDB, 0xDC, 0xDF, 0xE0]), max_size=80))
def test_a_look_is_worth_it_from_one_more_opening_than_may_be_nested(first_bytes: list[int]) -> None:
    opening = sum(0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF for byte in first_bytes)
    assert may_be_deep(bytes(first_bytes)) == (opening > DEPTH_MAX)
