"""Frames that leave something out, as bytes; what they mean is tests/engine/test_left_out.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.wire import frames
from jsp.wire.buffer import VARINT_MAX, Reader, Writer
from jsp.wire.frames import ACK_DELAY_UNIT
from tests.profiles import examples
from tests.wire.cases import refuses_every_cut, with_reader
from tests.wire.test_frames import Case, hand, message_of, stream_frame, stream_of

CASES = [
    Case(
        "stream with the low bits of its offset",
        "0e" + "07" + "80010000" + "02" + "6869",
        (7, 65536, b"hi"),
        lambda r: stream_of(r, 0x0E),
        hand(0x0E, 7, 65536, 2, b"hi"),
    ),
    Case(
        "stream that goes on to the end of the packet",
        "3c" + "07" + "6869",
        (7, -1, b"hi"),
        lambda r: stream_of(r, 0x3C),
        hand(0x3C, 7, b"hi"),
        open_end=2,
    ),
    Case(
        "stream that goes on and ends",
        "3f" + "07" + "02" + "6869",
        (7, -1, b"hi"),
        lambda r: stream_of(r, 0x3F),
        hand(0x3F, 7, 2, b"hi"),
    ),
    Case(
        "short ack",
        # of 1234, 300 units
        "3a" + "d2" + "412c",
        (0xD2, 300 * ACK_DELAY_UNIT),
        frames.parse_ack_short,
        lambda w: frames.push_ack_short(w, 1234, 300.5 * ACK_DELAY_UNIT),
    ),
    Case(
        "message that follows none",
        "39" + "02" + "6869",
        (frames.MESSAGE, 1, -1, 0, -1, b"hi"),
        lambda r: message_of(r, 0x39),
        hand(0x39, 2, b"hi"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case_is_pushed_and_parsed_and_refused_when_cut(case: Case) -> None:
    data = bytes.fromhex(case.wire)
    writer = Writer(bytearray(200), 3)
    case.push(writer)
    assert bytes(writer.buffer[3 : writer.pos]) == data
    reader = Reader(bytearray(data[1:]))
    assert case.parse(reader) == case.value
    reader.expect_end()
    refuses_every_cut(with_reader(case.parse), data[1 : len(data) - case.open_end])


def test_messages_that_follow_count_on() -> None:
    frame = frames.MessageFrame()
    reader = Reader(bytearray.fromhex("0905" + "01" + "78" + "01" + "79" + "7a"))
    frames.parse_message(reader, frames.MESSAGE | frames.MESSAGE_ORDERED | frames.MESSAGE_LEN, frame)
    assert (frame.id, frame.order) == (9, 5)
    frames.parse_message(reader, frames.MESSAGE_NEXT | frames.MESSAGE_LEN, frame)
    frames.parse_message(reader, frames.MESSAGE_NEXT, frame)
    assert (frame.id, frame.order, frame.kind & frames.MESSAGE_ORDERED) == (11, 7, frames.MESSAGE_ORDERED)
    assert reader.data[frame.start : frame.stop] == b"z"


@given(offset=st.integers(1, VARINT_MAX), span=st.integers(0, 1 << 29))
@examples(200)
def test_offsets_are_told_whole_or_by_their_low_bits(offset: int, span: int) -> None:
    w = Writer(bytearray(20))
    w.push_varint(4)
    size = frames.offset_size(offset, span)
    frames.push_offset(w, offset, size)
    assert w.pos == 1 + size
    frame = stream_frame(Reader(w.buffer, 0, w.pos), frames.STREAM | frames.STREAM_OFF)
    assert frame.cut == (size == 4)
    assert frame.offset == (offset & ((1 << 30) - 1) if frame.cut else offset)


def test_an_ack_needs_room() -> None:
    assert not frames.push_ack_short(Writer(bytearray(5)), 1, 0.0)
