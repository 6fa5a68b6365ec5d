"""Frames: one table for both directions, and ACKs that must fit wherever they are put."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire import frames
from jsp.wire.buffer import VARINT_MAX, Reader, Writer, varint_size
from jsp.wire.frames import ACK_DELAY_UNIT, ACK_RANGES_MAX, push_ack, push_close, push_frame, push_new_cid, push_path
from tests.profiles import examples
from tests.wire.cases import mangled, refuses_every_cut, value_or_bad_packet, varint, with_reader
from tests.wire.test_ranges import ranges_of


def ack_of(r: Reader, with_ecn: bool) -> tuple[Any, ...]:
    ack = frames.parse_ack(r, with_ecn)
    ranges = list(zip(ack.starts, ack.stops, strict=True))
    return ack.path_id, round(ack.delay / ACK_DELAY_UNIT), ranges, ack.ecn


def message_frame(r: Reader, kind: int) -> frames.MessageFrame:
    frame = frames.MessageFrame()
    frames.parse_message(r, kind, frame)
    return frame


def stream_frame(r: Reader, kind: int) -> frames.StreamFrame:
    frame = frames.StreamFrame()
    frames.parse_stream(r, kind, frame)
    return frame


def stream_of(r: Reader, kind: int) -> tuple[int, int, bytes]:
    frame = stream_frame(r, kind)
    stream_id, offset, start, stop = frame.id, frame.offset, frame.start, frame.stop
    return stream_id, offset, bytes(r.data[start:stop])


def crypto_of(r: Reader) -> tuple[int, bytes]:
    offset, start, stop = frames.parse_crypto(r)
    return offset, bytes(r.data[start:stop])


def message_of(r: Reader, kind: int) -> tuple[int, int, int, int, int, bytes]:
    m = message_frame(r, kind)
    return m.kind, m.id, m.order, m.offset, m.total, bytes(r.data[m.start : m.stop])


def hand(kind: int, *values: int | bytes) -> Callable[[Writer], None]:
    """Frames whose writers live in the engine: type, varints and bytes as they stand in the layout."""

    def push(w: Writer) -> None:
        w.push_u8(kind)
        for value in values:
            if isinstance(value, int):
                w.push_varint(value)
            else:
                w.push_bytes(value)

    return push


class Case(NamedTuple):
    """A frame as a value, as bytes (hex, with its type), and what reads and writes it.

    `open_end`: how many bytes at the end may be missing, where the payload takes the rest of the packet.
    """

    name: str
    wire: str
    value: Any
    parse: Callable[[Reader], Any]
    push: Callable[[Writer], Any]
    open_end: int = 0


CID = bytes(range(1, 21))
TOKEN = bytes(range(100, 116))

CASES = [
    Case(
        "ack of one packet",
        "02" + "00" + "00" + "00" + "00" + "00",
        (0, 0, [(0, 1)], None),
        lambda r: ack_of(r, False),
        lambda w: push_ack(w, 0, 0.0, [0], [1]),
    ),
    Case(
        "ack with two gaps",
        # path 3, largest 20, 2 units, 2 more ranges, 18-20; gap of one and 15-16; gap of four and 10
        "02" + "03" + "14" + "02" + "02" + "02" + "00" + "01" + "03" + "00",
        (3, 2, [(18, 21), (15, 17), (10, 11)], None),
        lambda r: ack_of(r, False),
        lambda w: push_ack(w, 3, 2 * ACK_DELAY_UNIT, [10, 15, 18], [11, 17, 21]),
    ),
    Case(
        "ack with counts of congestion marks",
        "03" + "00" + "05" + "00" + "00" + "05" + "07" + "00" + "4040",
        (0, 0, [(0, 6)], (7, 0, 64)),
        lambda r: ack_of(r, True),
        hand(frames.ACK_ECN, 0, 5, 0, 0, 5, 7, 0, 64),
    ),
    Case(
        "reset",
        "04" + "04" + "4100" + "80010000",
        (4, 256, 65536),
        frames.parse_reset,
        lambda w: push_frame(w, frames.RESET, 4, 256, 65536),
    ),
    Case("stop", "05" + "08" + "07", (8, 7), frames.parse_two, lambda w: push_frame(w, frames.STOP, 8, 7)),
    Case("crypto", "06" + "4064" + "03" + "616263", (100, b"abc"), crypto_of, hand(frames.CRYPTO, 100, 3, b"abc")),
    Case("crypto without bytes", "06" + "00" + "00", (0, b""), crypto_of, hand(frames.CRYPTO, 0, 0)),
    Case(
        "stream to the end of the packet",
        "08" + "04" + "616263",
        (4, 0, b"abc"),
        lambda r: stream_of(r, 0x08),
        hand(0x08, 4, b"abc"),
        open_end=3,
    ),
    Case("stream with fin", "09" + "04", (4, 0, b""), lambda r: stream_of(r, 0x09), hand(0x09, 4)),
    Case(
        "stream with length",
        "0a" + "04" + "03" + "616263",
        (4, 0, b"abc"),
        lambda r: stream_of(r, 0x0A),
        hand(0x0A, 4, 3, b"abc"),
    ),
    Case(
        "stream with everything",
        "0f" + "07" + "4400" + "02" + "6869",
        (7, 1024, b"hi"),
        lambda r: stream_of(r, 0x0F),
        hand(0x0F, 7, 1024, 2, b"hi"),
    ),
    Case(
        "max stream data",
        "11" + "04" + "bfffffff",
        (4, (1 << 30) - 1),
        frames.parse_two,
        lambda w: push_frame(w, frames.MAX_STREAM_DATA, 4, (1 << 30) - 1),
    ),
    Case("retire cid", "19" + "00" + "02", (0, 2), frames.parse_two, lambda w: push_frame(w, frames.RETIRE_CID, 0, 2)),
    Case(
        "new cid",
        "18" + "00" + "03" + "01" + "14" + CID.hex() + TOKEN.hex(),
        (0, 3, 1, CID, TOKEN),
        frames.parse_new_cid,
        lambda w: push_new_cid(w, 0, 3, 1, CID, TOKEN),
    ),
    Case(
        "new cid of one byte",
        "18" + "01" + "01" + "01" + "01" + "ff" + TOKEN.hex(),
        (1, 1, 1, b"\xff", TOKEN),
        frames.parse_new_cid,
        lambda w: push_new_cid(w, 1, 1, 1, b"\xff", TOKEN),
    ),
    Case(
        "path challenge",
        "1a" + "0102030405060708",
        bytes(range(1, 9)),
        lambda r: r.pull_bytes(frames.CHALLENGE_SIZE),
        lambda w: push_path(w, frames.PATH_CHALLENGE, bytes(range(1, 9))),
    ),
    Case("close", "1c" + "0a" + "00", (10, ""), frames.parse_close, lambda w: push_close(w, False, 10, "")),
    Case(
        "close by the application",
        "1d" + "4123" + "04" + "62796521",
        (0x123, "bye!"),
        frames.parse_close,
        lambda w: push_close(w, True, 0x123, "bye!"),
    ),
    Case(
        "abandoned message",
        "1f" + "05" + "00" + "00",
        (5, -1, -1),
        frames.parse_abandon,
        lambda w: push_frame(w, frames.MESSAGE_ABANDON, 5, 0, 0),
    ),
    Case(
        "abandoned fragment of an ordered message",
        "1f" + "05" + "03" + "4065",
        (5, 2, 100),
        frames.parse_abandon,
        lambda w: push_frame(w, frames.MESSAGE_ABANDON, 5, 3, 101),
    ),
    Case(
        "message to the end of the packet",
        "20" + "09" + "6869",
        (0x20, 9, -1, 0, -1, b"hi"),
        lambda r: message_of(r, 0x20),
        hand(0x20, 9, b"hi"),
        open_end=2,
    ),
    Case(
        "empty message",
        "21" + "09" + "00",
        (0x21, 9, -1, 0, -1, b""),
        lambda r: message_of(r, 0x21),
        hand(0x21, 9, 0),
    ),
    Case(
        "last fragment of an ordered message",
        "27" + "09" + "01" + "02" + "04" + "02" + "6869",
        (0x27, 9, 1, 2, 4, b"hi"),
        lambda r: message_of(r, 0x27),
        hand(0x27, 9, 1, 2, 4, 2, b"hi"),
    ),
    Case(
        "best-effort message",
        "29" + "00" + "01" + "78",
        (0x29, 0, -1, 0, -1, b"x"),
        lambda r: message_of(r, 0x29),
        hand(0x29, 0, 1, b"x"),
    ),
    Case(
        "partially reliable message",
        "31" + "02" + "01" + "78",
        (0x31, 2, -1, 0, -1, b"x"),
        lambda r: message_of(r, 0x31),
        hand(0x31, 2, 1, b"x"),
    ),
    Case(
        "frame of a later version",
        "40" + "03" + "010203",
        None,
        frames.skip_unknown,
        hand(0x40, 3, b"\x01\x02\x03"),
    ),
]
IDS = [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_case_is_pushed_and_parsed(case: Case) -> None:
    data = bytes.fromhex(case.wire)
    writer = Writer(bytearray(200), 3)
    case.push(writer)
    assert bytes(writer.buffer[3 : writer.pos]) == data
    body = data[1:]
    reader = Reader(bytearray(body))
    assert case.parse(reader) == case.value
    reader.expect_end()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_case_cut_at_every_byte_is_refused(case: Case) -> None:
    body = bytes.fromhex(case.wire)[1:]
    refuses_every_cut(with_reader(case.parse), body[: len(body) - case.open_end])
    if case.open_end:
        with_reader(case.parse)(body[: len(body) - case.open_end])


@pytest.mark.parametrize("case", [c for c in CASES if not c.open_end and c.name != "stream with fin"], ids=str)
def test_case_leaves_the_next_frame_alone(case: Case) -> None:
    body = bytes.fromhex(case.wire)[1:]
    reader = Reader(bytearray(body + b"\x01\x02\x03"))
    assert case.parse(reader) == case.value
    assert reader.remaining() == 3


REFUSED: list[tuple[str, str, Callable[[Reader], Any]]] = [
    ("ack below zero", "00" + "05" + "00" + "00" + "06", lambda r: frames.parse_ack(r, False)),
    ("second range below zero", "00" + "05" + "00" + "01" + "00" + "04" + "00", lambda r: frames.parse_ack(r, False)),
    (
        "range of 2^62 packets",
        "00" + "05" + "00" + "01" + "00" + "00" + "ff" * 8,
        lambda r: frames.parse_ack(r, False),
    ),
    ("gap of 2^62 packets", "00" + "05" + "00" + "01" + "00" + "ff" * 8 + "00", lambda r: frames.parse_ack(r, False)),
    (
        "n77 more ranges than taken",
        "00" + "80100000" + "00" + "4100" + "00" + "0000" * 256,
        lambda r: frames.parse_ack(r, False),
    ),
    ("n77 2^62 ranges", "00" + "80100000" + "00" + "ff" * 8 + "00", lambda r: frames.parse_ack(r, False)),
    ("crypto of 2^62 bytes", "00" + "ff" * 8 + "00" * 50, frames.parse_crypto),
    ("stream of 2^62 bytes", "00" + "ff" * 8 + "00" * 50, lambda r: stream_frame(r, 0x0A)),
    ("fragment beyond its message", "00" + "03" + "04" + "02" + "6869", lambda r: message_frame(r, 0x23)),
    ("fragment without bytes", "00" + "00" + "04" + "00", lambda r: message_frame(r, 0x23)),
    ("fragment of nothing", "00" + "00" + "00" + "00", lambda r: message_frame(r, 0x23)),
    ("fragment at 2^62", "00" + "ff" * 8 + "04" + "01" + "68", lambda r: message_frame(r, 0x23)),
    ("connection id of no bytes", "00" + "01" + "00" + "00" + "00" * 16, frames.parse_new_cid),
    ("connection id of 21 bytes", "00" + "01" + "00" + "15" + "00" * 37, frames.parse_new_cid),
    ("retires what is not there yet", "00" + "01" + "02" + "04" + "00" * 20, frames.parse_new_cid),
    ("close reason of 65 bytes", "00" + "4041" + "61" * 65, frames.parse_close),
    ("close reason of 2^62 bytes", "00" + "ff" * 8 + "61" * 65, frames.parse_close),
    ("unknown frame of 2^62 bytes", "ff" * 8 + "00" * 50, frames.skip_unknown),
]


@pytest.mark.parametrize(("name", "wire", "parse"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_impossible_frames_are_refused(name: str, wire: str, parse: Callable[[Reader], Any]) -> None:
    with pytest.raises(BadPacket):
        with_reader(parse)(bytes.fromhex(wire))


PARSERS: list[tuple[str, Callable[[Reader], Any]]] = [
    ("ack", lambda r: frames.parse_ack(r, False)),
    ("ack_ecn", lambda r: frames.parse_ack(r, True)),
    ("reset", frames.parse_reset),
    ("two", frames.parse_two),
    ("crypto", frames.parse_crypto),
    *[(f"stream {kind:#x}", lambda r, kind=kind: stream_frame(r, kind)) for kind in range(0x08, 0x10)],
    *[(f"message {kind:#x}", lambda r, kind=kind: message_frame(r, kind)) for kind in range(0x20, 0x40)],
    ("abandon", frames.parse_abandon),
    ("new_cid", frames.parse_new_cid),
    ("close", frames.parse_close),
    ("unknown", frames.skip_unknown),
]
BODIES = [bytes.fromhex(case.wire)[1:] for case in CASES]


@examples(15)
@given(data=mangled(BODIES))
@pytest.mark.parametrize(("name", "parse"), PARSERS, ids=[name for name, _ in PARSERS])
def test_any_bytes_are_a_frame_or_a_bad_packet(name: str, parse: Callable[[Reader], Any], data: bytes) -> None:
    value_or_bad_packet(with_reader(parse), data)


# --- ACK -----------------------------------------------------------------------------------------------------------

NUMBER_SETS = st.sets(st.integers(0, 400), min_size=1, max_size=120) | st.sets(
    st.integers(0, 1 << 29), min_size=1, max_size=40
)


def _pushed(room: int, path_id: int, delay: float, ranges: list[tuple[int, int]]) -> tuple[int, bytes]:
    writer = Writer(bytearray(b"\xee" * (room + 10)), 5, 5 + room)
    count = push_ack(writer, path_id, delay, [a for a, _ in ranges], [b for _, b in ranges])
    assert writer.pos <= writer.end, "an ACK that does not fit its room"
    assert bytes(writer.buffer[writer.pos :]) == b"\xee" * (room + 10 - writer.pos)
    assert bytes(writer.buffer[:5]) == b"\xee" * 5
    return count, bytes(writer.buffer[5 : writer.pos])


@examples(200)
@given(NUMBER_SETS, st.integers(0, 200), st.integers(0, 1 << 29), st.floats(0, 1e6))
def test_an_ack_tells_the_newest_ranges_that_fit(numbers: set[int], room: int, path_id: int, delay: float) -> None:
    ranges = ranges_of(numbers)
    count, data = _pushed(room, path_id, delay, ranges)
    if room < 27:
        assert (count, data) == (0, b"")
        return
    assert 1 <= count <= len(ranges)
    assert count == len(ranges) or count >= 1 + (room - 27) // 8
    reader = Reader(data, 1)
    ack = frames.parse_ack(reader, False)
    reader.expect_end()
    assert ack.path_id == path_id
    assert list(zip(ack.starts, ack.stops, strict=True)) == ranges[::-1][:count]
    assert ack.delay <= delay
    assert delay - ack.delay < ACK_DELAY_UNIT or ack.delay == pytest.approx(0x3FFFFFFF * ACK_DELAY_UNIT)


def test_an_ack_with_more_ranges_than_are_parsed_tells_as_many_as_are() -> None:
    ranges = [(4 * i, 4 * i + 2) for i in range(1000)]
    count, data = _pushed(60_000, 0, 0.0, ranges)
    assert count == ACK_RANGES_MAX
    ack = frames.parse_ack(Reader(data, 1), False)
    assert list(zip(ack.starts, ack.stops, strict=True)) == ranges[::-1][:ACK_RANGES_MAX]


def test_an_ack_of_the_largest_number_with_the_largest_range() -> None:
    count, data = _pushed(27, 0, 0.0, [(0, VARINT_MAX + 1)])
    assert count == 1
    ack = frames.parse_ack(Reader(data, 1), False)
    assert (ack.starts, ack.stops) == ([0], [VARINT_MAX + 1])


@examples(200)
@given(data=st.data())
def test_parsed_ack_ranges_are_disjoint_descending_and_not_negative(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 60), min_size=4, max_size=24))
    body = b"".join(varint(v) for v in [0, data.draw(st.integers(0, 2000)), *values])
    ack = value_or_bad_packet(with_reader(lambda r: frames.parse_ack(r, False)), body)
    if ack is None:
        return
    below = None
    for start, stop in zip(ack.starts, ack.stops, strict=True):
        assert 0 <= start < stop
        assert below is None or stop < below
        below = start


# --- the others ----------------------------------------------------------------------------------------------------

VALUES = st.integers(0, VARINT_MAX) | st.integers(0, 100_000)


@given(st.lists(VALUES, max_size=3), st.integers(0, 30))
def test_a_plain_frame_fits_or_leaves_the_packet_alone(values: list[int], room: int) -> None:
    writer = Writer(bytearray(40), 0, room)
    needs = 1 + sum(varint_size(v) for v in values)
    assert push_frame(writer, frames.RESET, *values) is (needs <= room)
    assert writer.pos == (needs if needs <= room else 0)
    reader = Reader(writer.buffer, 1, max(writer.pos, 1))
    for value in values if needs <= room else []:
        assert reader.pull_varint() == value


@given(st.integers(0, 100), st.binary(min_size=1, max_size=20), st.integers(0, VARINT_MAX), st.data())
def test_new_cid_fits_or_leaves_the_packet_alone(room: int, cid: bytes, sequence: int, data: st.DataObject) -> None:
    retire = data.draw(st.integers(0, sequence))
    writer = Writer(bytearray(100), 0, room)
    pushed = push_new_cid(writer, 2, sequence, retire, cid, TOKEN)
    # Room is asked for the longest numbers.
    assert pushed is (room >= 1 + 3 * 8 + 1 + len(cid) + len(TOKEN))
    if pushed:
        assert writer.pos <= room
        assert frames.parse_new_cid(Reader(writer.buffer, 1, writer.pos)) == (2, sequence, retire, cid, TOKEN)
    else:
        assert writer.pos == 0


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100), st.booleans(), VALUES)
def test_a_close_reason_is_cut_to_whole_characters(reason: str, application: bool, code: int) -> None:
    writer = Writer(bytearray(100))
    push_close(writer, application, code, reason)
    reader = Reader(writer.buffer, 0, writer.pos)
    assert reader.pull_u8() == (frames.CLOSE_APPLICATION if application else frames.CLOSE)
    found_code, found = frames.parse_close(reader)
    reader.expect_end()
    assert found_code == code
    assert reason.startswith(found)
    assert len(found.encode()) <= frames.REASON_MAX
    rest = reason[len(found) :]
    assert not rest or len((found + rest[0]).encode()) > frames.REASON_MAX


def test_a_close_reason_that_is_not_utf8_is_shown_as_well_as_it_can_be() -> None:
    code, reason = frames.parse_close(Reader(b"\x01\x04ok\xff\xfe"))
    assert (code, reason) == (1, "ok\ufffd\ufffd")


@given(st.integers(0, VARINT_MAX), st.integers(0, 40), st.binary(max_size=60), st.integers(0x20, 0x3F))
def test_a_parsed_message_lies_inside_the_packet_and_its_total(
    message_id: int, offset: int, rest: bytes, kind: int
) -> None:
    body = varint(message_id) + varint(offset) + rest
    found = value_or_bad_packet(with_reader(lambda r: message_frame(r, kind)), body)
    if found is not None:
        assert 7 <= found.start <= found.stop <= 7 + len(body)
        if kind & frames.MESSAGE_FRAGMENT:
            assert found.offset + (found.stop - found.start) <= found.total
        else:
            assert (found.total, found.offset) == (-1, 0)


# Spec section 9, the table of frames.
NUMBERS = {
    "PADDING": 0, "PING": 1, "ACK": 2, "ACK_ECN": 3, "RESET": 4, "STOP": 5, "CRYPTO": 6, "NEW_TOKEN": 7,
    "STREAM": 0x08, "STREAM_LAST": 0x0F, "MAX_DATA": 0x10, "MAX_STREAM_DATA": 0x11,
    "MAX_STREAMS_BIDI": 0x12, "MAX_STREAMS_UNI": 0x13, "DATA_BLOCKED": 0x14, "STREAM_DATA_BLOCKED": 0x15,
    "STREAMS_BLOCKED_BIDI": 0x16, "STREAMS_BLOCKED_UNI": 0x17, "NEW_CID": 0x18, "RETIRE_CID": 0x19,
    "PATH_CHALLENGE": 0x1A, "PATH_RESPONSE": 0x1B, "CLOSE": 0x1C, "CLOSE_APPLICATION": 0x1D,
    "HANDSHAKE_DONE": 0x1E, "MESSAGE_ABANDON": 0x1F, "MESSAGE": 0x20, "SKIPPABLE": 0x40,
    "STREAM_FIN": 1, "STREAM_LEN": 2, "STREAM_OFF": 4,
    "MESSAGE_LEN": 1, "MESSAGE_FRAGMENT": 2, "MESSAGE_ORDERED": 4, "MESSAGE_BEST_EFFORT": 8, "MESSAGE_PARTIAL": 16,
    "INITIAL": 0, "EARLY": 1, "HANDSHAKE": 2, "APPLICATION": 3,
    "ACK_RANGES_MAX": 256, "REASON_MAX": 64, "RESET_TOKEN_SIZE": 16, "CHALLENGE_SIZE": 8, "ACK_DELAY_UNIT": 8e-6,
}  # fmt: skip


def test_numbers_on_the_wire_are_those_of_the_specification() -> None:
    assert {name: getattr(frames, name) for name in NUMBERS} == NUMBERS


# --- who may carry what --------------------------------------------------------------------------------------------

EVERYWHERE = {frames.PADDING, frames.PING}
HANDSHAKE_TOO = {frames.ACK, frames.ACK_ECN, frames.CRYPTO, frames.CLOSE}
EARLY_TOO = {frames.RESET, *range(frames.STREAM, frames.STREAM_LAST + 1)}


@pytest.mark.parametrize("kind", range(frames.SKIPPABLE))
def test_n45_levels_carry_only_what_they_may(kind: int) -> None:
    allowed = {level for level in range(4) if frames.PERMITTED[kind] >> level & 1}
    expected = {frames.APPLICATION} if kind != 0x3B else set()
    if kind in EVERYWHERE | HANDSHAKE_TOO:
        expected |= {frames.INITIAL, frames.HANDSHAKE}
    if kind in EVERYWHERE | EARLY_TOO:
        expected |= {frames.EARLY}
    assert allowed == expected


def test_only_padding_acks_and_closes_ask_for_no_acknowledgement() -> None:
    silent = {kind for kind in range(0x48) if not frames.is_eliciting(kind)}
    assert silent == {0x00, 0x02, 0x03, 0x1C, 0x1D, 0x3A}
