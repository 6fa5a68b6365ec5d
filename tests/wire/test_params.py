"""Transport parameters: what a peer may ask for, and what it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire.buffer import DATAGRAM_MAX
from jsp.wire.messages import TransportParams
from jsp.wire.params import encode_params, parse_params
from jsp.wire.tlv import UnknownCritical
from tests.profiles import examples
from tests.wire.cases import mangled, value_or_bad_packet

BIG = (1 << 62) - 1

CASES: list[tuple[TransportParams, str]] = [
    (TransportParams(), ""),
    (TransportParams(max_data=1), "0001" + "0008" + "0000000000000001"),
    (TransportParams(max_stream_data=2), "0002" + "0008" + "0000000000000002"),
    (TransportParams(max_streams_bidi=3), "0003" + "0008" + "0000000000000003"),
    (TransportParams(max_streams_uni=4), "0004" + "0008" + "0000000000000004"),
    (TransportParams(idle_timeout_ms=30_000), "0005" + "0008" + "0000000000007530"),
    (TransportParams(max_ack_delay_ms=1 << 14), "0008" + "0002" + "4000"),
    (TransportParams(max_message=BIG), "0009" + "0008" + "3fffffffffffffff"),
    (TransportParams(max_datagram_size=65507, cid_limit=8), "0006" + "0004" + "0000ffe3" + "0007" + "0001" + "08"),
    (TransportParams(max_ack_delay_ms=0), "0008" + "0002" + "0000"),
    (TransportParams(compression=b"\x01"), "8001" + "0001" + "01"),
    (TransportParams(min_ack_delay_us=25_000), "8003" + "0004" + "000061a8"),
    (TransportParams(repair_window=30), "8010" + "0001" + "1e"),
    (TransportParams(initial_scid=b"abcd"), "0010" + "0004" + "61626364"),
    (
        TransportParams(original_dcid=b"12345678", reset_token=bytes(range(16))),
        "0011" + "0008" + "3132333435363738" + "0012" + "0010" + bytes(range(16)).hex(),
    ),
]
_IDS = ("initial_scid", "original_dcid")


@pytest.mark.parametrize(("params", "wire"), CASES)
def test_case_both_ways(params: TransportParams, wire: str) -> None:
    assert encode_params(params).hex() == wire
    assert parse_params(bytes.fromhex(wire)) == params


@pytest.mark.parametrize(("params", "wire"), CASES)
def test_cut_parameters_are_refused_or_fewer(params: TransportParams, wire: str) -> None:
    data = bytes.fromhex(wire)
    for size in range(len(data)):
        found = value_or_bad_packet(parse_params, data[:size])
        assert found is None or found != params


REFUSED = [
    ("too small a datagram", "00060004" + "000004af"),
    ("too large a datagram", "00060004" + "0000ffe4"),
    ("datagram size of the wrong width", "00060002" + "04b0"),
    ("one connection id", "0007000101"),
    ("nine connection ids", "0007000109"),
    ("ack delay above 2^14", "000800024001"),
    ("least ack delay above the longest", "80030004" + "000061a9"),
    ("a number above 2^62", "00010008" + "4000000000000000"),
    ("bidirectional streams above 2^60", "00030008" + "1000000000000001"),
    ("unidirectional streams above 2^60", "00040008" + "1000000000000001"),
    ("a short number", "000100070000000000" + "0001"),
    ("a repair window of two bytes", "80100002" + "001e"),
    ("a connection id of 21 bytes", "00100015" + "00" * 21),
    ("a reset token of 15 bytes", "0012000f" + "00" * 15),
    ("a reset token of 17 bytes", "00120011" + "00" * 17),
    ("twice", "000700010300070001" + "03"),
    ("descending", "0007000103" + "00060004000004b0"),
    ("trailing byte", "0007000103" + "00"),
]


@pytest.mark.parametrize(("what", "wire"), REFUSED, ids=[what for what, _ in REFUSED])
def test_out_of_bounds_is_refused(what: str, wire: str) -> None:
    with pytest.raises(BadPacket):
        parse_params(bytes.fromhex(wire))


def test_what_is_not_sent_has_the_default_of_the_specification() -> None:
    p = parse_params(b"")
    assert (p.max_data, p.max_stream_data, p.max_streams_bidi, p.max_streams_uni, p.max_message) == (0,) * 5
    assert (p.idle_timeout_ms, p.max_datagram_size, p.cid_limit, p.max_ack_delay_ms) == (0, 1200, 2, 25)
    assert (p.compression, p.repair_window) == (b"", 0)
    assert (p.initial_scid, p.original_dcid, p.reset_token) == (b"", b"", b"")


def test_unknown_parameters_follow_the_rule_of_tlvs() -> None:
    with pytest.raises(UnknownCritical):
        parse_params(bytes.fromhex("00200000"))
    assert parse_params(bytes.fromhex("80200001ff")) == TransportParams()


PARAMS = st.builds(
    TransportParams,
    max_data=st.integers(0, BIG),
    max_stream_data=st.integers(0, BIG),
    max_streams_bidi=st.integers(0, 1 << 60),
    max_streams_uni=st.integers(0, 1 << 60),
    idle_timeout_ms=st.integers(0, BIG),
    max_datagram_size=st.integers(1200, DATAGRAM_MAX),
    cid_limit=st.integers(2, 8),
    max_ack_delay_ms=st.integers(0, 1 << 14),
    max_message=st.integers(0, BIG),
    repair_window=st.integers(0, 255),
    initial_scid=st.binary(max_size=20),
    original_dcid=st.binary(max_size=20),
    reset_token=st.just(b"") | st.binary(min_size=16, max_size=16),
)


@examples(100)
@given(PARAMS)
def test_round_trip(params: TransportParams) -> None:
    assert parse_params(encode_params(params)) == params


@examples(200)
@given(mangled([bytes.fromhex(wire) for _, wire in CASES]))
def test_any_bytes_are_parameters_within_bounds_or_a_bad_packet(data: bytes) -> None:
    params = value_or_bad_packet(parse_params, data)
    if params is None:
        return
    assert 1200 <= params.max_datagram_size <= DATAGRAM_MAX
    assert 2 <= params.cid_limit <= 8
    assert all(len(getattr(params, name)) <= 20 for name in _IDS)
    assert len(params.reset_token) in (0, 16)
    # What was read is written again in the one way we write it.
    assert parse_params(encode_params(params)) == params
