"""Cursors: they never look past their end, and they never lie about a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import BadPacket
from jsp.wire.buffer import DATAGRAM_MAX, VARINT_MAX, PacketBuffer, Reader, Writer, varint_size
from tests.profiles import examples
from tests.wire.cases import refuses_every_cut, varint

# RFC 9000 appendix A.1 and section 16, and both sides of every boundary.
VARINTS = [
    (0, "00"),
    (1, "01"),
    (37, "25"),
    (63, "3f"),
    (64, "4040"),
    (15293, "7bbd"),
    (16383, "7fff"),
    (16384, "80004000"),
    (494878333, "9d7f3e7d"),
    (1073741823, "bfffffff"),
    (1073741824, "c000000040000000"),
    (151288809941952652, "c2197c5eff14e88c"),
    (VARINT_MAX, "ffffffffffffffff"),
]
# The same values spelled longer than need be: RFC 9000 section 16 lets them be.
LONG_SPELLINGS = [(37, "4025"), (37, "80000025"), (37, "c000000000000025"), (0, "4000"), (16383, "80003fff")]

NUMBERS = st.one_of(st.integers(0, VARINT_MAX), st.integers(0, 70000), st.sampled_from([value for value, _ in VARINTS]))


@pytest.mark.parametrize(("value", "wire"), VARINTS)
def test_varint_pushes_parses_and_is_refused_when_cut(value: int, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert varint(value) == data
    assert varint_size(value) == len(data)
    writer = Writer(bytearray(8))
    writer.push_varint(value)
    assert bytes(writer.buffer[: writer.pos]) == data
    assert Reader(data).pull_varint() == value
    refuses_every_cut(lambda cut: Reader(cut).pull_varint(), data)
    trailing = Reader(data + b"\xff")
    assert trailing.pull_varint() == value
    assert trailing.remaining() == 1


@pytest.mark.parametrize(("value", "wire"), LONG_SPELLINGS)
def test_varint_may_be_longer_than_need_be(value: int, wire: str) -> None:
    reader = Reader(bytes.fromhex(wire))
    assert reader.pull_varint() == value
    reader.expect_end()


@given(NUMBERS)
def test_varint_round_trip(value: int) -> None:
    wire = varint(value)
    assert len(wire) == varint_size(value)
    reader = Reader(wire)
    assert reader.pull_varint() == value
    reader.expect_end()


# A program for a reader: what to pull, and how a slice of the bytes would answer.
PULLS = st.lists(
    st.one_of(
        st.just(("u8", 0)),
        st.just(("varint", 0)),
        st.tuples(st.just("uint"), st.integers(0, 9)),
        st.tuples(st.just("bytes"), st.integers(-3, 20)),
        st.tuples(st.just("skip"), st.integers(0, 20)),
        st.just(("end", 0)),
    ),
    max_size=12,
)


def _expected(op: str, size: int, data: bytes, pos: int) -> tuple[object, int] | None:
    """(value, bytes taken) or None where the reader must refuse."""
    rest = data[pos:]
    if op == "u8":
        return (rest[0], 1) if rest else None
    if op == "varint":
        if not rest or len(rest) < (need := 1 << (rest[0] >> 6)):
            return None
        return int.from_bytes(rest[:need], "big") & ((1 << (8 * need - 2)) - 1), need
    if op == "end":
        return (None, 0) if not rest else None
    if size < 0 or len(rest) < size:
        return None
    return {"uint": int.from_bytes(rest[:size], "big"), "bytes": rest[:size], "skip": None}[op], size


@examples(150)
@given(st.binary(max_size=60), st.integers(0, 5), st.integers(0, 5), PULLS, st.sampled_from([bytes, bytearray]))
def test_reader_answers_like_slices_and_checks_before_it_moves(
    data: bytes, before: int, after: int, pulls: list[tuple[str, int]], kind: type
) -> None:
    whole = kind(b"\x41" * before + data + b"\x42" * after)
    reader = Reader(whole, before, before + len(data))
    pos = 0
    for op, size in pulls:
        calls = {
            "u8": reader.pull_u8,
            "varint": reader.pull_varint,
            "uint": lambda size=size: reader.pull_uint(size),
            "bytes": lambda size=size: reader.pull_bytes(size),
            "skip": lambda size=size: reader.skip(size),
            "end": reader.expect_end,
        }
        expected = _expected(op, size, data, pos)
        if expected is None:
            with pytest.raises(BadPacket):
                calls[op]()
        else:
            value = calls[op]()
            if op == "skip":
                assert value == before + pos
            else:
                assert value == expected[0]
            pos += expected[1]
        assert reader.remaining() == len(data) - pos


def test_reader_walks_views_and_copies_what_it_gives() -> None:
    data = bytearray(b"\x07abcdef")
    reader = Reader(memoryview(data))
    assert reader.pull_u8() == 7
    piece = reader.pull_bytes(3)
    data[1:4] = b"XYZ"
    assert piece == b"abc"
    assert reader.pull_uint(2) == 0x6465


def test_reader_reset_walks_other_bytes() -> None:
    reader = Reader(b"first")
    reader.pull_bytes(5)
    reader.reset(bytearray(b"..second.."), 2, 8)
    assert reader.pull_bytes(reader.remaining()) == b"second"
    reader.expect_end()


PUSHES = st.lists(
    st.one_of(
        st.tuples(st.just("u8"), st.integers(0, 255), st.just(1)),
        st.tuples(st.just("varint"), NUMBERS, st.just(0)),
        st.integers(1, 8).flatmap(
            lambda size: st.tuples(st.just("uint"), st.integers(0, (1 << 8 * size) - 1), st.just(size))
        ),
        st.tuples(st.just("bytes"), st.binary(max_size=20), st.just(0)),
    ),
    max_size=20,
)


@given(PUSHES, st.integers(0, 9))
def test_what_a_writer_pushes_a_reader_pulls(pushes: list[tuple[str, object, int]], start: int) -> None:
    writer = Writer(bytearray(b"\xee" * 600), start, 580)
    for op, value, size in pushes:
        room = writer.room()
        if op == "u8":
            writer.push_u8(value)  # type: ignore[arg-type]
            taken = 1
        elif op == "varint":
            writer.push_varint(value)  # type: ignore[arg-type]
            taken = varint_size(value)  # type: ignore[arg-type]
        elif op == "uint":
            writer.push_bytes(value.to_bytes(size, "big"))  # type: ignore[attr-defined]
            taken = size
        else:
            writer.push_bytes(value)  # type: ignore[arg-type]
            taken = len(value)  # type: ignore[arg-type]
        assert writer.room() == room - taken
    assert len(writer.buffer) == 600
    assert bytes(writer.buffer[:start]) == b"\xee" * start
    assert bytes(writer.buffer[writer.pos :]) == b"\xee" * (600 - writer.pos)
    reader = Reader(writer.buffer, start, writer.pos)
    for op, value, size in pushes:
        pulled: object
        if op == "u8":
            pulled = reader.pull_u8()
        elif op == "varint":
            pulled = reader.pull_varint()
        elif op == "uint":
            pulled = reader.pull_uint(size)
        else:
            pulled = reader.pull_bytes(len(value))  # type: ignore[arg-type]
        assert pulled == value
    reader.expect_end()


def test_writer_without_an_end_fills_its_buffer() -> None:
    writer = Writer(bytearray(4))
    assert writer.room() == 4
    writer.push_bytes(memoryview(b"abcd"))
    assert writer.room() == 0
    assert writer.buffer == b"abcd"


def test_an_end_at_the_beginning_leaves_nothing() -> None:
    assert Writer(bytearray(4), 0, 0).room() == 0
    reader = Reader(b"abcd", 0, 0)
    assert reader.remaining() == 0
    with pytest.raises(BadPacket):
        reader.pull_u8()


# --- packet buffers ----------------------------------------------------------------------------------------------

SLOTS = st.tuples(st.integers(0, DATAGRAM_MAX), st.integers(0, 45), st.integers(0, 1500)).map(
    lambda t: (t[0], t[0] + t[1], t[0] + t[1] + t[2])
)


def _offset_of(slots: PacketBuffer, view: memoryview) -> int:
    """Where a view of one byte or more starts in its buffer, found by writing through it."""
    old = view[0]
    before = bytes(slots.data)
    view[0] = old ^ 0xFF
    changed = next(i for i, (a, b) in enumerate(zip(before, slots.data, strict=True)) if a != b)
    view[0] = old
    return changed


def test_spans_are_views_of_header_text_and_text_with_tag() -> None:
    slots = PacketBuffer(2000)
    header, plain, sealed = slots.spans(100, 109, 300)
    assert (len(header), len(plain), len(sealed)) == (9, 191, 207)
    assert _offset_of(slots, header) == 100
    assert _offset_of(slots, plain) == _offset_of(slots, sealed) == 109
    sealed[-1] = 0x77
    assert slots.data[315] == 0x77


def test_spans_are_made_once() -> None:
    slots = PacketBuffer()
    assert all(a is b for a, b in zip(slots.spans(0, 7, 1184), slots.spans(0, 7, 1184), strict=True))


@given(st.lists(SLOTS, min_size=1, max_size=40, unique=True))
def test_spans_of_different_packets_are_never_confused(wanted: list[tuple[int, int, int]]) -> None:
    slots = PacketBuffer()
    found = [(at, slots.spans(*at)) for at in wanted]
    slots.data[:] = bytes(i * 7 & 255 for i in range(len(slots.data)))
    for (start, body, end), (header, plain, sealed) in found:
        assert header == slots.data[start:body]
        assert plain == slots.data[body:end]
        assert sealed == slots.data[body : end + 16]


def test_spans_stay_right_when_more_are_asked_for_than_are_kept() -> None:
    slots = PacketBuffer(4000)
    slots.data[:] = bytes(i % 251 for i in range(4000))
    for _ in range(2):
        for start in range(1200):
            header, plain, sealed = slots.spans(start, start + 3, start + 50)
            assert header == slots.data[start : start + 3]
            assert len(plain) == 47
            assert len(sealed) == 63
    assert slots.spans(0, 3, 50)[1] == slots.data[3:50]


def test_a_packet_buffer_holds_the_largest_datagram_and_a_tag() -> None:
    slots = PacketBuffer()
    _, plain, sealed = slots.spans(DATAGRAM_MAX - 1, DATAGRAM_MAX, DATAGRAM_MAX)
    assert (len(plain), len(sealed)) == (0, 16)
