"""Frames that carry their length, so that whoever does not know them can pass them over (docs/spec.md section 9)."""

from __future__ import annotations

import pytest
from hypothesis import given

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer
from jsp.wire.frames import ACK_FREQUENCY, parse_ack_frequency, push_ack_frequency, skip_unknown
from tests.profiles import examples
from tests.wire.cases import mangled, value_or_bad_packet, with_reader

WIRE = "06" + "01" + "02" + "15" + "6710" + "03"
VALUE = (1, 2, 21, 10_000, 3)


def test_ack_frequency_both_ways() -> None:
    w = Writer(bytearray(40))
    assert push_ack_frequency(w, *VALUE)
    wire = bytes(w.buffer[: w.pos])
    assert wire.hex() == "4048" + WIRE
    for parse, value in ((parse_ack_frequency, VALUE), (skip_unknown, None)):
        reader = Reader(bytearray(wire + b"\x01"))
        assert reader.pull_varint() == ACK_FREQUENCY
        assert parse(reader) == value
        assert reader.remaining() == 1


def test_ack_frequency_is_written_whole_or_not_at_all() -> None:
    w = Writer(bytearray(8))
    assert not push_ack_frequency(w, *VALUE)
    assert w.pos == 0


@pytest.mark.parametrize("wire", ["05" + "0000000801", "04" + "0000020801", "06" + "000002080100", "05" + "00000208"])
def test_ack_frequency_for_no_packet_or_of_another_length_is_refused(wire: str) -> None:
    with pytest.raises(BadPacket):
        parse_ack_frequency(Reader(bytearray.fromhex(wire)))


@examples(60)
@given(data=mangled([bytes.fromhex(WIRE)]))
def test_any_bytes_are_an_ack_frequency_or_a_bad_packet(data: bytes) -> None:
    value_or_bad_packet(with_reader(parse_ack_frequency), data)
