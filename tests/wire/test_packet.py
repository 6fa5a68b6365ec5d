"""Packet headers: where things stand in bytes that nobody has vouched for yet, and which number is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire import packet
from jsp.wire.buffer import Reader
from jsp.wire.packet import (
    CID_MAX,
    LONG_FIRST,
    TAG_SIZE,
    TOKEN_MAX,
    TYPE_EARLY,
    TYPE_HANDSHAKE,
    TYPE_INITIAL,
    TYPE_RETRY,
    VERSION_1,
    VERSION_NEGOTIATION,
    LongHeader,
    decode_number,
    encode_long_header,
    encode_version_negotiation,
    number_size,
    parse_long_header,
    parse_version_list,
)
from tests.profiles import examples
from tests.wire.cases import mangled, value_or_bad_packet, with_reader

BODY = bytes(range(20))

# type, dcid, scid, token, number, header
CASES = [
    (TYPE_INITIAL, b"abcdefgh", b"wxyz", b"", 0, "c04a535001" + "086162636465666768" + "047778797a" + "0000" + "0018"),
    (TYPE_INITIAL, b"abcdefgh", b"", b"tok", 7, "c04a535001" + "086162636465666768" + "00" + "0003746f6b" + "0018"),
    (TYPE_EARLY, b"a", b"b", b"", 1, "d04a535001" + "0161" + "0162" + "0018"),
    (TYPE_HANDSHAKE, b"", b"", b"", 0xFFFFFFFF, "e04a535001" + "00" + "00" + "0018"),
    (
        TYPE_HANDSHAKE,
        bytes(20),
        bytes(20),
        b"",
        0x01020304,
        "e04a535001" + "14" + "00" * 20 + "14" + "00" * 20 + "0018",
    ),
]

read = with_reader(parse_long_header)


def _fields(h: LongHeader) -> tuple[int, int, bytes, bytes, bytes, int]:
    return h.type, h.version, h.dcid, h.scid, h.token, h.number


@pytest.mark.parametrize(("kind", "dcid", "scid", "token", "number", "wire"), CASES)
def test_long_header_both_ways(kind: int, dcid: bytes, scid: bytes, token: bytes, number: int, wire: str) -> None:
    header = encode_long_header(kind, dcid, scid, number, len(BODY), token)
    assert header.hex() == wire + number.to_bytes(4, "big").hex()
    data = header + BODY
    for trailing in (b"", b"\xc0rest of the datagram"):
        reader = Reader(b"...." + data + trailing, 4)
        h = parse_long_header(reader)
        assert _fields(h) == (kind, VERSION_1, dcid, scid, token, number)
        assert (h.start, h.body, h.end) == (4, 4 + len(header), 4 + len(data))
        assert reader.pos == h.body
    for size in range(len(data)):
        with pytest.raises(BadPacket):
            read(data[:size])


# Valid but for one thing each.
REFUSED = [
    ("short header", "804a535001" + "00" * 40, "not a long header"),
    ("no header of ours", "404a535001" + "00" * 40, "not a long header"),
    ("n10 destination id of 21 bytes", "e04a535001" + "15" + "00" * 21 + "00" + "0014" + "00" * 20, "id too long"),
    ("n10 source id of 21 bytes", "e04a535001" + "00" + "15" + "00" * 21 + "0014" + "00" * 20, "id too long"),
    ("destination id of 255 bytes", "e04a535001" + "ff" + "00" * 255 + "00" + "0014" + "00" * 20, "id too long"),
    ("n10 even of another version", "e000000001" + "15" + "00" * 40, "id too long"),
    ("token of 513 bytes", "c04a535001" + "0000" + "0201" + "00" * 513 + "0014" + "00" * 20, "token too long"),
    ("packet longer than its datagram", "e04a535001" + "0000" + "0015" + "00" * 20, "longer than its datagram"),
    ("packet of 64 KiB", "e04a535001" + "0000" + "ffff" + "00" * 60, "longer than its datagram"),
    ("a byte less than number and tag", "e04a535001" + "0000" + "0013" + "00" * 60, "longer than its datagram"),
    ("packet without anything", "e04a535001" + "0000" + "0000" + "00" * 60, "longer than its datagram"),
]


@pytest.mark.parametrize(("what", "wire", "why"), REFUSED, ids=[what for what, _, _ in REFUSED])
def test_impossible_long_headers_are_refused(what: str, wire: str, why: str) -> None:
    with pytest.raises(BadPacket, match=why):
        read(bytes.fromhex(wire))


def test_the_longest_ids_and_token_and_the_shortest_packet() -> None:
    header = encode_long_header(TYPE_INITIAL, bytes(CID_MAX), bytes(CID_MAX), 0, TAG_SIZE, bytes(TOKEN_MAX))
    h = read(header + bytes(TAG_SIZE))
    assert (len(h.dcid), len(h.scid), len(h.token), h.end - h.body) == (20, 20, 512, 16)


# Spec sections 2, 3 and 7.3.
NUMBERS = {
    "VERSION_1": 0x4A535001, "VERSIONS": (0x4A535001,), "VERSION_NEGOTIATION": 0,
    "SHORT_FIRST": 0x80, "LONG_FIRST": 0xC0,
    "TYPE_INITIAL": 0, "TYPE_EARLY": 1, "TYPE_HANDSHAKE": 2, "TYPE_RETRY": 3,
    "SHORT_MASK": 0x3F, "SHORT_PN4": 0x01, "SHORT_PHASE": 0x02, "SHORT_RESERVED": 0x3C,
    "TAG_SIZE": 16, "SAMPLE_OFFSET": 4, "SAMPLE_SIZE": 16, "CID_MAX": 20, "INITIAL_DCID_MIN": 8,
    "INITIAL_DATAGRAM_MIN": 1200, "TOKEN_MAX": 512, "SHORT_MIN": 22,
}  # fmt: skip


def test_numbers_on_the_wire_are_those_of_the_specification() -> None:
    assert {name: getattr(packet, name) for name in NUMBERS} == NUMBERS


@pytest.mark.parametrize("version", [VERSION_NEGOTIATION, 1, 0x4A535002, 0xFFFFFFFF])
def test_of_another_version_only_what_all_versions_share_is_read(version: int) -> None:
    data = b"\xcf" + version.to_bytes(4, "big") + b"\x02ab\x01c" + b"whatever that version puts here"
    h = read(data)
    assert (h.version, h.dcid, h.scid, h.token, h.number) == (version, b"ab", b"c", b"", 0)
    assert (h.body, h.end) == (7 + 10, 7 + len(data))


def test_retry_is_left_to_those_who_know_it() -> None:
    data = bytes([LONG_FIRST | TYPE_RETRY << 4]) + VERSION_1.to_bytes(4, "big") + b"\x00\x00" + b"retry body"
    h = read(data)
    assert h.type == TYPE_RETRY
    assert h.end - h.body == len(b"retry body")


CIDS = st.binary(max_size=CID_MAX)


@given(
    st.sampled_from([TYPE_INITIAL, TYPE_EARLY, TYPE_HANDSHAKE]),
    CIDS,
    CIDS,
    st.binary(max_size=TOKEN_MAX),
    st.integers(0, 2**32 - 1),
    st.integers(TAG_SIZE, 1400),
)
def test_long_header_round_trip(kind: int, dcid: bytes, scid: bytes, token: bytes, number: int, size: int) -> None:
    token = token if kind == TYPE_INITIAL else b""
    header = encode_long_header(kind, dcid, scid, number, size, token)
    h = read(header + bytes(size))
    assert _fields(h) == (kind, VERSION_1, dcid, scid, token, number)
    assert h.end - h.body == size


VALID = [encode_long_header(k, d, s, n, len(BODY), t) + BODY for k, d, s, t, n, _ in CASES]


@examples(300)
@given(mangled(VALID))
def test_any_bytes_are_a_header_inside_the_datagram_or_a_bad_packet(data: bytes) -> None:
    h = value_or_bad_packet(read, data)
    if h is not None:
        assert 7 == h.start < h.body <= h.end <= 7 + len(data)
        assert len(h.dcid) <= CID_MAX
        assert len(h.scid) <= CID_MAX
        assert len(h.token) <= TOKEN_MAX


# --- version negotiation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [[VERSION_1], [0x0A1A2A3A, VERSION_1, 5], list(range(1, 65))])
def test_version_list_both_ways(versions: list[int]) -> None:
    data = encode_version_negotiation(b"dest", b"source", 0xFF, versions)
    assert data[0] >= LONG_FIRST
    reader = Reader(data)
    h = parse_long_header(reader)
    assert (h.version, h.dcid, h.scid) == (VERSION_NEGOTIATION, b"dest", b"source")
    assert parse_version_list(reader) == versions
    reader.expect_end()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 255, 257, 260])
def test_version_lists_are_whole_and_bounded(size: int) -> None:
    with pytest.raises(BadPacket):
        parse_version_list(Reader(bytes(size)))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_version_list_or_a_bad_packet(data: bytes) -> None:
    versions = value_or_bad_packet(with_reader(parse_version_list), data)
    if versions is not None:
        assert b"".join(v.to_bytes(4, "big") for v in versions) == data


# --- packet numbers ------------------------------------------------------------------------------------------------


def test_rfc_9000_a3_example() -> None:
    assert decode_number(0x9B32, 16, 0xA82F30EA) == 0xA82F9B32


@pytest.mark.parametrize("bits", [16, 32])
@examples(200)
@given(data=st.data())
def test_truncated_numbers_are_exact_within_half_a_window(bits: int, data: st.DataObject) -> None:
    largest = data.draw(
        st.integers(-1, 1 << 34) | st.integers(-1, 1 << 17) | st.integers(1 << 61, (1 << 61) + (1 << 34))
    )
    half = 1 << (bits - 1)
    number = data.draw(st.integers(max(0, largest + 2 - half), largest + 1 + half))
    assert decode_number(number & ((1 << bits) - 1), bits, largest) == number


@pytest.mark.parametrize("bits", [16, 32])
def test_edges_of_the_window(bits: int) -> None:
    half, mask = 1 << (bits - 1), (1 << bits) - 1
    for largest in (-1, 0, half, 10 * half, 10 * half + 5, (1 << 61) + 3):
        for number in (largest + 1, largest + 1 + half, max(0, largest + 2 - half)):
            assert decode_number(number & mask, bits, largest) == number


@given(st.integers(-1, (1 << 62) - 1), st.integers(0, (1 << 32) - 1), st.sampled_from([16, 32]))
def test_any_truncated_number_is_a_number_that_ends_so(largest: int, truncated: int, bits: int) -> None:
    truncated &= (1 << bits) - 1
    number = decode_number(truncated, bits, largest)
    assert number >= 0
    assert number & ((1 << bits) - 1) == truncated


@given(st.integers(-1, 1 << 40), st.integers(1, 1 << 30), st.data())
def test_a_number_sent_in_few_bytes_is_understood_by_whoever_acknowledged_that_much(
    acked: int, ahead: int, data: st.DataObject
) -> None:
    number = acked + ahead
    size = number_size(number, acked)
    assert size in (2, 4)
    # The receiver has seen at least what it acknowledged, and packets sent later may have overtaken this one.
    overtaken = min(1 << 14, ahead) if size == 2 else 1 << 20
    largest = data.draw(st.integers(acked, number + overtaken))
    assert decode_number(number & ((1 << 8 * size) - 1), 8 * size, largest) == number
