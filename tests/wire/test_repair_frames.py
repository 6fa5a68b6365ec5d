"""Frames of repairs: both ways, cut anywhere, impossible, and any bytes at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire import repair_frames as frames
from jsp.wire.buffer import Reader, Writer
from tests.profiles import examples
from tests.wire.cases import mangled, refuses_every_cut, value_or_bad_packet, with_reader


def repair_of(r: Reader) -> tuple[int, int, int, bytes]:
    newest, mask, number, start, stop = frames.parse_repair(r)
    return newest, mask, number, bytes(r.data[start:stop])


def repair_fragments_of(r: Reader) -> tuple[int, int, bytes]:
    message_id, number, start, stop = frames.parse_repair_fragments(r)
    return message_id, number, bytes(r.data[start:stop])


# What reads it, its bytes behind the type, its value.
CASES: list[tuple[Callable[[Reader], Any], str, Any]] = [
    (repair_of, "07" + "09" + "0b" + "05" + "00010203", (9, 0b1011, 5, b"\0\1\2\3")),
    (repair_of, "06" + "00" + "01" + "ff" + "000100", (0, 1, 255, b"\0\1\0")),
    (frames.parse_recovered, "06" + "41f4" + "a0000001", (500, 1 << 29 | 1)),
    (repair_fragments_of, "05" + "41f4" + "07" + "0102", (500, 7, b"\1\2")),
]
PARSERS = (frames.parse_repair, frames.parse_recovered, frames.parse_repair_fragments)
BODIES = [bytes.fromhex(wire) for _, wire, _ in CASES]


def test_what_is_written() -> None:
    writer = Writer(bytearray(40))
    frames.push_repair(writer, 9, 0b1011, 5, b"\0\1\2\3")
    assert frames.push_recovered(writer, 500, 1 << 29 | 1)
    assert bytes(writer.buffer[: writer.pos]).hex() == "4050" + CASES[0][1] + "4051" + CASES[2][1]
    writer = Writer(bytearray(40))
    frames.push_repair_fragments(writer, 500, 7, b"\1\2")
    assert bytes(writer.buffer[: writer.pos]).hex() == "4052" + CASES[3][1]
    assert writer.pos == frames.repair_fragments_size(500, 2)


@pytest.mark.parametrize(("parse", "wire", "value"), CASES)
def test_case_is_parsed_and_refused_when_cut(parse: Callable[[Reader], Any], wire: str, value: Any) -> None:
    body = bytes.fromhex(wire)
    reader = Reader(bytearray(body + b"\x01\x02\x03"))
    assert parse(reader) == value
    assert reader.remaining() == 3
    refuses_every_cut(with_reader(parse), body)


@pytest.mark.parametrize(
    ("what", "wire", "parse"),
    [
        ("repair of 2^62 bytes", "ff" * 8 + "09" + "01" + "00" * 50, frames.parse_repair),
        ("repair that ends in its mask", "02" + "09" + "800000ff" + "00" * 50, frames.parse_repair),
        ("repair without a sum", "05" + "09" + "01" + "00" + "0000", frames.parse_repair),
        ("repair of no message", "07" + "09" + "00" + "00" + "00000000", frames.parse_repair),
        ("repair of messages but the newest", "07" + "09" + "02" + "00" + "00000000", frames.parse_repair),
        ("repair of a message below 0", "07" + "01" + "05" + "00" + "00000000", frames.parse_repair),
        ("repair of 31 ids", "0f" + "4100" + "c000000040000001" + "00" + "00000000", frames.parse_repair),
        ("repair of fragments without a sum", "02" + "09" + "00" + "00", frames.parse_repair_fragments),
        ("repair of fragments that ends in its id", "01" + "41f4" + "00" + "00", frames.parse_repair_fragments),
        ("recovered messages below 0", "02" + "00" + "03", frames.parse_recovered),
        ("recovered and something else", "03" + "09" + "01" + "00", frames.parse_recovered),
    ],
)
def test_impossible_frames_are_refused(what: str, wire: str, parse: Callable[[Reader], Any]) -> None:
    with pytest.raises(BadPacket):
        with_reader(parse)(bytes.fromhex(wire))


@examples(100)
@given(mangled(BODIES), st.sampled_from(PARSERS))
def test_any_bytes_are_a_frame_or_a_bad_packet(data: bytes, parse: Callable[[Reader], Any]) -> None:
    value_or_bad_packet(with_reader(parse), data)


@given(st.integers(0, 1 << 40), st.integers(0, (1 << 29) - 1), st.integers(0, 255), st.binary(min_size=3, max_size=300))
def test_size_of_a_repair_is_told_before_it_is_written(newest: int, others: int, number: int, total: bytes) -> None:
    mask = (others << 1 | 1) & ((1 << min(newest + 1, 30)) - 1)
    writer = Writer(bytearray(400))
    frames.push_repair(writer, newest, mask, number, total)
    assert writer.pos == frames.repair_size(newest, mask, len(total))
    reader = Reader(bytes(writer.buffer[: writer.pos]))
    assert reader.pull_varint() == frames.REPAIR
    assert repair_of(reader) == (newest, mask, number, total)


def test_recovered_is_written_whole_or_not_at_all() -> None:
    for room in range(8):
        writer = Writer(bytearray(room))
        assert frames.push_recovered(writer, 500, 1 << 9 | 1) is (room >= 7)
        assert writer.pos == (7 if room >= 7 else 0)
