"""Handshake messages: one spelling each, and nothing but BadPacket for all other bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire import hello
from jsp.wire.hello import (
    encode_blob,
    encode_client_hello,
    encode_encrypted_params,
    encode_hello_retry,
    encode_identity_request,
    encode_server_hello,
    frame_message,
    parse_blob,
    parse_client_hello,
    parse_encrypted_params,
    parse_finished,
    parse_hello_retry,
    parse_identity_request,
    parse_server_hello,
    split_messages,
)
from jsp.wire.messages import ClientHello, EncryptedParams, ServerHello
from jsp.wire.tlv import OPTIONAL, UnknownCritical, encode_tlvs
from tests.profiles import examples
from tests.wire.cases import mangled, value_or_bad_packet

RANDOM = bytes(range(32))
CLIENT = ClientHello(
    random=RANDOM,
    versions=(0x4A535001,),
    suites=(1, 2),
    groups=(0x11EC,),
    signatures=(0x0807,),
    protocols=("jsp/1", "x"),
    params=b"p",
    time_ms=0x0102030405060708,
    share_group=0x11EC,
    share=b"SHARE",
    server_name="hé",
)


class Case(NamedTuple):
    """A message as a value and as its body (hex), with what reads and writes it."""

    name: str
    kind: int
    body: str
    value: Any
    parse: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


CASES = [
    Case(
        "client hello",
        hello.CLIENT_HELLO,
        RANDOM.hex()
        + "00010004" + "4a535001"
        + "00020002" + "0102"
        + "00030002" + "11ec"
        + "00040002" + "0807"
        + "00050008" + "056a73702f31" + "0178"
        + "00060001" + "70"
        + "00070008" + "0102030405060708"
        + "00080003" + "68c3a9"
        + "00f00007" + "11ec" + "5348415245",
        CLIENT,
        parse_client_hello,
        encode_client_hello,
    ),
    Case(
        "server hello",
        hello.SERVER_HELLO,
        RANDOM.hex() + "00010004" + "4a535001" + "00020001" + "02" + "00f00004" + "001d" + "7879",
        ServerHello(RANDOM, 0x4A535001, 2, 0x1D, b"xy"),
        parse_server_hello,
        encode_server_hello,
    ),
    Case("hello retry", hello.HELLO_RETRY, "00030002" + "4a02", 0x4A02, parse_hello_retry, encode_hello_retry),
    Case(
        "encrypted params",
        hello.ENCRYPTED_PARAMS,
        "00010008" + "4a535001" + "4a535002" + "00050006" + "056a73702f31" + "00060000" + "00070008" + "00" * 7 + "05",
        EncryptedParams((0x4A535001, 0x4A535002), "jsp/1", b"", 5),
        parse_encrypted_params,
        encode_encrypted_params,
    ),
    Case(
        "identity request",
        hello.IDENTITY_REQUEST,
        "03" + "00040004" + "0807" + "0808",
        (3, (0x0807, 0x0808)),
        parse_identity_request,
        lambda value: encode_identity_request(*value),
    ),
    Case(
        "identity",
        hello.IDENTITY,
        "00010003" + "616263",
        b"abc",
        parse_blob,
        lambda value: encode_blob(hello.IDENTITY, value),
    ),
    Case(
        "access proof",
        hello.ACCESS_PROOF,
        "00010000",
        b"",
        parse_blob,
        lambda value: encode_blob(hello.ACCESS_PROOF, value),
    ),
    Case(
        "finished",
        hello.FINISHED,
        RANDOM.hex(),
        RANDOM,
        parse_finished,
        lambda value: frame_message(hello.FINISHED, value),
    ),
]  # fmt: skip
IDS = [case.name for case in CASES]


def whole(case: Case) -> bytes:
    return frame_message(case.kind, bytes.fromhex(case.body))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_case_both_ways(case: Case) -> None:
    message = case.encode(case.value)
    assert message.hex() == f"{case.kind:02x}{len(case.body) // 2:06x}" + case.body
    assert case.parse(message) == case.value


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_case_cut_at_every_byte_is_refused(case: Case) -> None:
    body = bytes.fromhex(case.body)
    for size in range(len(body)):
        with pytest.raises(BadPacket):
            case.parse(frame_message(case.kind, body[:size]))


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("tail", [b"\x00", b"\xff" * 3, b"\x00" * 5, b"\x7f\xff\x00"])
def test_n40_trailing_bytes_are_refused(case: Case, tail: bytes) -> None:
    with pytest.raises(BadPacket):
        case.parse(frame_message(case.kind, bytes.fromhex(case.body) + tail))


WITH_TLVS = [case for case in CASES if case.kind != hello.FINISHED]


@pytest.mark.parametrize("case", WITH_TLVS, ids=[case.name for case in WITH_TLVS])
def test_n42_unknown_critical_is_refused_and_unknown_optional_passed_over(case: Case) -> None:
    body = bytes.fromhex(case.body)
    with pytest.raises(UnknownCritical):
        case.parse(frame_message(case.kind, body + encode_tlvs({OPTIONAL - 1: b""})))
    assert case.parse(frame_message(case.kind, body + encode_tlvs({OPTIONAL: b"later"}))) == case.value


@pytest.mark.parametrize("case", CASES, ids=IDS)
@examples(60)
@given(data=st.data())
def test_any_bytes_are_a_message_in_one_spelling_or_a_bad_packet(case: Case, data: st.DataObject) -> None:
    body = data.draw(mangled([bytes.fromhex(other.body) for other in CASES if other.parse is case.parse]))
    message = frame_message(case.kind, body)
    value = value_or_bad_packet(case.parse, message)
    if value is not None and not _has_optional(case, body):
        assert case.encode(value) == message


def _has_optional(case: Case, body: bytes) -> bool:
    at = {hello.CLIENT_HELLO: 32, hello.SERVER_HELLO: 32, hello.IDENTITY_REQUEST: 1, hello.FINISHED: 32}.get(
        case.kind, 0
    )
    while at < len(body):
        if body[at] & 0x80:
            return True
        at += 4 + int.from_bytes(body[at + 2 : at + 4], "big")
    return False


def hello_with(values: dict[int, bytes | None]) -> bytes:
    """The ClientHello of the table with other TLVs; None leaves one out."""
    tlvs: dict[int, bytes] = {}
    body, at = bytes.fromhex(CASES[0].body), 32
    while at < len(body):
        size = int.from_bytes(body[at + 2 : at + 4], "big")
        tlvs[int.from_bytes(body[at : at + 2], "big")] = body[at + 4 : at + 4 + size]
        at += 4 + size
    for kind, value in values.items():
        if value is None:
            del tlvs[kind]
        else:
            tlvs[kind] = value
    return frame_message(hello.CLIENT_HELLO, RANDOM + encode_tlvs(tlvs))


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6, 7, 0xF0])
def test_every_part_of_a_client_hello_but_the_name_must_be_there(kind: int) -> None:
    with pytest.raises(BadPacket, match=f"{kind:#x}"):
        parse_client_hello(hello_with({kind: None}))


def test_a_client_hello_without_a_name_has_none() -> None:
    assert parse_client_hello(hello_with({8: None})) == replace(CLIENT, server_name="")


REFUSED: list[tuple[str, int, bytes]] = [
    ("no versions", 1, b""),
    ("half a version", 1, b"\x4a\x53"),
    ("nine versions", 1, bytes(range(36))),
    ("a version twice", 1, b"\x4a\x53\x50\x01" * 2),
    ("no suites", 2, b""),
    ("nine suites", 2, bytes(range(9))),
    ("a suite twice", 2, b"\x01\x02\x01"),
    ("nine groups", 3, bytes(range(18))),
    ("half a group", 3, b"\x11\xec\x00"),
    ("a signature twice", 4, b"\x08\x07\x08\x07"),
    ("no protocols", 5, b""),
    ("a protocol without a name", 5, b"\x00"),
    ("a protocol longer than its list", 5, b"\x05abcd"),
    ("a protocol of 65 letters", 5, b"\x41" + b"a" * 65),
    ("seventeen protocols", 5, b"\x01a" * 17),
    ("a protocol that is not ASCII", 5, b"\x01a\x02\xc3\xa9"),
    ("a time of seven bytes", 7, bytes(7)),
    ("a name that is not UTF-8", 8, b"\xff"),
    ("a name of nothing", 8, b""),
    ("a key share without a group", 0xF0, b"\x11"),
]


@pytest.mark.parametrize(("what", "kind", "value"), REFUSED, ids=[what for what, _, _ in REFUSED])
def test_impossible_offers_are_refused(what: str, kind: int, value: bytes) -> None:
    with pytest.raises(BadPacket):
        parse_client_hello(hello_with({kind: value}))


def test_offers_may_be_as_many_and_as_long_as_the_bounds_say() -> None:
    names = tuple(chr(ord("a") + i) * hello.PROTOCOL_SIZE_MAX for i in range(hello.PROTOCOLS_MAX))
    eight = tuple(range(100, 108))
    most = replace(CLIENT, versions=eight, suites=eight, groups=eight, signatures=eight, protocols=names)
    assert parse_client_hello(encode_client_hello(most)) == most


# Spec section 5.2.
NUMBERS = {
    "CLIENT_HELLO": 1, "SERVER_HELLO": 2, "HELLO_RETRY": 3, "NEW_TICKET": 4, "ENCRYPTED_PARAMS": 8, "IDENTITY": 11,
    "IDENTITY_REQUEST": 13, "ACCESS_PROOF": 14, "IDENTITY_PROOF": 15, "FINISHED": 20,
    "REQUEST_REQUIRED": 1, "REQUEST_ACCESS": 2, "MESSAGE_MAX": 16_384, "OFFERS_MAX": 8, "PROTOCOLS_MAX": 16,
    "PROTOCOL_SIZE_MAX": 64, "RANDOM_SIZE": 32, "MAC_SIZE": 32,
}  # fmt: skip


def test_numbers_on_the_wire_are_those_of_the_specification() -> None:
    assert {name: getattr(hello, name) for name in NUMBERS} == NUMBERS


def test_a_server_chooses_exactly_one_of_each() -> None:
    params = {1: b"\x4a\x53\x50\x01", 5: b"\x01a\x01b", 6: b"", 7: bytes(8)}
    with pytest.raises(BadPacket, match="more than one protocol"):
        parse_encrypted_params(frame_message(hello.ENCRYPTED_PARAMS, encode_tlvs(params)))
    for kind, value in ((1, b"\x4a\x53\x50\x01" * 2), (2, b"\x01\x02"), (2, b"")):
        chosen = {1: b"\x4a\x53\x50\x01", 2: b"\x01", 0xF0: b"\x11\xec"} | {kind: value}
        with pytest.raises(BadPacket):
            parse_server_hello(frame_message(hello.SERVER_HELLO, RANDOM + encode_tlvs(chosen)))
    with pytest.raises(BadPacket):
        parse_hello_retry(frame_message(hello.HELLO_RETRY, encode_tlvs({3: b"\x11\xec\x00\x1d"})))


@pytest.mark.parametrize("flags", [4, 8, 0x80, 0xFF])
def test_unknown_flags_in_an_identity_request_are_refused(flags: int) -> None:
    with pytest.raises(BadPacket):
        parse_identity_request(encode_identity_request(flags, (0x0807,)))


# --- splitting -----------------------------------------------------------------------------------------------------


def split(data: bytearray) -> list[tuple[int, bytes]]:
    return list(split_messages(data))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=6), st.data())
def test_messages_come_whole_however_their_bytes_come(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame_message(kind, body) for kind, body in messages)
    buffer = bytearray()
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(stream):
        size = data.draw(st.integers(1, max(1, len(stream) - at)))
        buffer += stream[at : at + size]
        at += size
        found += split(buffer)
    assert not buffer
    assert found == [(kind, frame_message(kind, body)) for kind, body in messages]


def test_an_incomplete_message_waits() -> None:
    message = frame_message(7, b"body")
    for size in range(len(message)):
        buffer = bytearray(message[:size])
        assert split(buffer) == []
        assert buffer == message[:size]


def test_n43_a_message_of_16_mib_is_refused_before_it_arrives() -> None:
    for size in (hello.MESSAGE_MAX + 1, (1 << 24) - 1):
        with pytest.raises(BadPacket, match="too long"):
            split(bytearray(b"\x01" + size.to_bytes(3, "big")))
    largest = frame_message(1, bytes(hello.MESSAGE_MAX))
    assert split(bytearray(largest)) == [(1, largest)]


# --- properties ----------------------------------------------------------------------------------------------------


def _distinct(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, (1 << 8 * size) - 1), min_size=1, max_size=8, unique=True).map(tuple)


NAMES = st.text(st.characters(max_codepoint=127), min_size=1, max_size=64)
CLIENT_HELLOS = st.builds(
    ClientHello,
    random=st.binary(min_size=32, max_size=32),
    versions=_distinct(4),
    suites=_distinct(1),
    groups=_distinct(2),
    signatures=_distinct(2),
    protocols=st.lists(NAMES, min_size=1, max_size=16).map(tuple),
    params=st.binary(max_size=50),
    time_ms=st.integers(0, 2**64 - 1),
    share_group=st.integers(0, 0xFFFF),
    share=st.binary(max_size=50),
    server_name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@given(CLIENT_HELLOS)
def test_client_hello_round_trip(message: ClientHello) -> None:
    assert parse_client_hello(encode_client_hello(message)) == message


@given(
    st.builds(
        ServerHello,
        random=st.binary(min_size=32, max_size=32),
        version=st.integers(0, 2**32 - 1),
        suite=st.integers(0, 255),
        group=st.integers(0, 0xFFFF),
        share=st.binary(max_size=60),
    ),
    st.builds(
        EncryptedParams,
        versions=_distinct(4),
        protocol=NAMES,
        params=st.binary(max_size=50),
        time_ms=st.integers(0, 2**64 - 1),
    ),
    st.integers(0, 3),
    _distinct(2),
)
def test_server_messages_round_trip(
    first: ServerHello, params: EncryptedParams, flags: int, signatures: tuple[int, ...]
) -> None:
    assert parse_server_hello(encode_server_hello(first)) == first
    assert parse_encrypted_params(encode_encrypted_params(params)) == params
    assert parse_identity_request(encode_identity_request(flags, signatures)) == (flags, signatures)
    assert parse_hello_retry(encode_hello_retry(first.group)) == first.group
