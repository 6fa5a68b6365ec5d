"""Symbols and sets of messages: both ways, and any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire.repair_frames import MASK_BITS
from jsp.wire.symbols import (
    SYMBOL_MAX,
    SYMBOL_MIN,
    ids_of,
    make_symbol,
    mask_of,
    parse_symbol,
    symbol_size,
)
from tests.profiles import examples
from tests.wire.cases import mangled, value_or_bad_packet

CASES = [
    (-1, b"", "0001" + "00"),
    (-1, b"hi", "0003" + "00" + "6869"),
    (0, b"hi", "0003" + "01" + "6869"),
    (62, b"", "0001" + "3f"),
    (63, b"x", "0003" + "4040" + "78"),
]


@pytest.mark.parametrize(("order", "data", "wire"), CASES)
def test_case_both_ways(order: int, data: bytes, wire: str) -> None:
    assert make_symbol(order, data).hex() == wire
    assert symbol_size(order, len(data)) == len(wire) // 2
    for zeros in (0, 1, 50):
        assert parse_symbol(bytes.fromhex(wire) + bytes(zeros)) == (order, data)


@given(st.integers(-1, 1 << 61), st.binary(max_size=300))
def test_any_message_both_ways(order: int, data: bytes) -> None:
    symbol = make_symbol(order, data)
    assert SYMBOL_MIN <= len(symbol) == symbol_size(order, len(data)) <= SYMBOL_MAX
    assert parse_symbol(symbol) == (order, data)


@pytest.mark.parametrize(
    "wire", ["", "00", "0001", "000000", "000200", "000140" + "00", "000100" + "0001", "ffff" + "00" * 100]
)
def test_what_no_message_gives_is_refused(wire: str) -> None:
    with pytest.raises(BadPacket):
        parse_symbol(bytes.fromhex(wire))


@examples(200)
@given(mangled([bytes.fromhex(wire) for _, _, wire in CASES]))
def test_any_bytes_are_a_message_or_a_bad_packet(data: bytes) -> None:
    found = value_or_bad_packet(parse_symbol, data)
    if found is not None:
        assert symbol_size(found[0], len(found[1])) <= len(data)


@given(st.sets(st.integers(0, MASK_BITS - 1)), st.integers(MASK_BITS, 1 << 61))
def test_sets_of_messages(below: set[int], newest: int) -> None:
    ids = [newest - i for i in sorted(below | {0})]
    mask = mask_of(newest, ids)
    assert mask & 1
    assert ids_of(newest, mask) == ids
