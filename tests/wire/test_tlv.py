"""Type-length-value lists: one spelling for every list, and nothing unknown that might matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader
from jsp.wire.tlv import OPTIONAL, VALUE_MAX, UnknownCritical, encode_tlvs, parse_tlvs
from tests.profiles import examples
from tests.wire.cases import mangled, value_or_bad_packet

KNOWN = (1, 2, 0xF0, 0x8001)

CASES: list[tuple[dict[int, bytes], str]] = [
    ({}, ""),
    ({1: b""}, "00010000"),
    ({1: b"a"}, "0001000161"),
    ({1: b"a", 2: b"bc"}, "00010001610002000262" + "63"),
    ({2: b"", 0xF0: b"\x00"}, "0002000000f0000100"),
    ({1: b"", 0x8001: b"opt"}, "00010000800100036f7074"),
]


def parse(data: bytes) -> dict[int, bytes]:
    return parse_tlvs(Reader(data), KNOWN)


@pytest.mark.parametrize(("values", "wire"), CASES)
def test_case_both_ways_and_cut_at_every_byte(values: dict[int, bytes], wire: str) -> None:
    data = bytes.fromhex(wire)
    assert encode_tlvs(values) == data
    assert parse(data) == values
    ends = _ends(data)
    for size in range(len(data)):
        if size in ends:
            assert encode_tlvs(parse(data[:size])) == data[:size]
        else:
            with pytest.raises(BadPacket):
                parse(data[:size])


def _ends(data: bytes) -> set[int]:
    """Where a shorter list would end."""
    ends, at = {0}, 0
    while at < len(data):
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        ends.add(at)
    return ends


@pytest.mark.parametrize("wire", ["0001000000010000", "0002000000010000", "800100000001000000020000", "00010000ff"])
def test_n41_duplicate_descending_and_trailing_are_refused(wire: str) -> None:
    with pytest.raises(BadPacket):
        parse(bytes.fromhex(wire))


def test_n42_unknown_critical_is_refused_by_its_own_error() -> None:
    with pytest.raises(UnknownCritical):
        parse(bytes.fromhex("000100000003000161"))
    with pytest.raises(UnknownCritical):
        parse(bytes.fromhex("7fff0000"))


def test_unknown_optional_is_passed_over_but_must_be_well_formed() -> None:
    assert parse(bytes.fromhex("0001000161" + "8000000162" + "ffff0000")) == {1: b"a"}
    for wire in ("80000005", "800000026", "8002000080020000", "8002000080010000"):
        with pytest.raises(BadPacket):
            parse(bytes.fromhex(wire + "0" * (len(wire) % 2)))


def test_a_value_has_at_most_64_kib() -> None:
    assert parse(encode_tlvs({1: bytes(VALUE_MAX)})) == {1: bytes(VALUE_MAX)}
    with pytest.raises(ValueError, match="65,535"):
        encode_tlvs({1: bytes(VALUE_MAX + 1)})


KINDS = st.sampled_from(KNOWN)


@given(st.dictionaries(KINDS, st.binary(max_size=40)))
def test_round_trip(values: dict[int, bytes]) -> None:
    assert parse(encode_tlvs(values)) == values


@examples(200)
@given(mangled([bytes.fromhex(wire) for _, wire in CASES]))
def test_any_bytes_are_a_canonical_list_or_a_bad_packet(data: bytes) -> None:
    values = value_or_bad_packet(parse, data)
    if values is not None and not _has_unknown(data):
        assert encode_tlvs(values) == data


def _has_unknown(data: bytes) -> bool:
    at = 0
    while at < len(data):
        kind = int.from_bytes(data[at : at + 2], "big")
        if kind >= OPTIONAL and kind not in KNOWN:
            return True
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
