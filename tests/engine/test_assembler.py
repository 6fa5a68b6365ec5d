"""Reassembly against a plain array of bytes."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.assembler import Assembler
from tests.profiles import examples
from tests.wire.test_ranges import ranges_of

STREAM = random.Random(1).randbytes(400)


def insert(assembler: Assembler, start: int, stop: int) -> None:
    """`STREAM[start:stop]` arrives somewhere inside a datagram."""
    datagram = bytearray(b"\xaa" * 5 + STREAM[start:stop] + b"\xbb" * 3)
    assembler.insert(start, datagram, 5, 5 + stop - start)
    datagram[:] = bytes(len(datagram))  # the buffer is used again


PIECES = st.lists(st.tuples(st.integers(0, 399), st.integers(0, 60)).map(lambda t: (t[0], min(400, t[0] + t[1]))))
TAKES = st.sampled_from([0, 0, 0, 1, 7, 1000])


@examples(200)
@given(st.lists(st.tuples(st.integers(0, 399), st.integers(0, 60), TAKES), max_size=60))
def test_pieces_in_any_order_make_the_stream(pieces: list[tuple[int, int, int]]) -> None:
    assembler = Assembler()
    arrived: set[int] = set()
    taken = b""
    for offset, size, take in pieces:
        stop = min(400, offset + size)
        insert(assembler, offset, stop)
        arrived |= set(range(offset, stop))
        in_order = next(n for n in range(401) if n not in arrived)
        assert assembler.next == in_order
        assert taken + assembler.ready == STREAM[:in_order]
        # One fragment for each gap, however many pieces came.
        assert assembler.gaps() == len(ranges_of({n for n in arrived if n > in_order}))
        taken += assembler.take(take)
    insert(assembler, 0, 400)
    assert taken + assembler.take(1000) == STREAM
    assert (assembler.gaps(), assembler.next) == (0, 400)


@examples(60)
@given(st.integers(0, 1 << 40), st.integers(1, 40))
def test_pieces_of_one_size_shuffled(seed: int, size: int) -> None:
    rng = random.Random(seed)
    assembler = Assembler()
    starts = list(range(0, 400, size))
    rng.shuffle(starts)
    out = bytearray()
    target = bytearray(50)
    for start in starts:
        insert(assembler, start, min(400, start + size))
        while n := assembler.take_into(memoryview(target)[: rng.randint(1, 50)]):
            out += target[:n]
    assert out == STREAM


@pytest.mark.parametrize("room", [0, 1, 3, 4, 5, 100])
def test_what_fits_is_moved_and_the_rest_stays(room: int) -> None:
    assembler = Assembler()
    insert(assembler, 0, 4)
    target = bytearray(b"\xee" * room)
    n = assembler.take_into(memoryview(target))
    assert n == min(4, room)
    assert bytes(target) == STREAM[:n] + b"\xee" * (room - n)
    assert assembler.ready == STREAM[n:4]
    insert(assembler, 4, 10)
    assert assembler.take(100) == STREAM[n:10]


def test_what_is_there_already_is_not_taken_again() -> None:
    """A peer cannot rewrite what is in order, whether or not it was read already."""
    assembler = Assembler()
    assembler.insert(0, bytearray(b"first"), 0, 5)
    assembler.insert(0, bytearray(b"FIRSTand more"), 0, 8)
    assert assembler.take(3) == b"fir"
    assembler.insert(1, bytearray(b"xxxxxxxxx"), 0, 9)
    assert assembler.take(100) == b"standxx"


def test_nothing_at_all_is_harmless_anywhere() -> None:
    assembler = Assembler()
    for offset in (0, 5, 1 << 61):
        assembler.insert(offset, bytearray(b"abc"), 2, 2)
    assert (assembler.gaps(), assembler.next, bytes(assembler.ready)) == (0, 0, b"")
    insert(assembler, 0, 3)
    assembler.insert(1, bytearray(), 0, 0)
    assert assembler.take(10) == STREAM[:3]


def test_clear_tells_how_much_was_ready() -> None:
    assembler = Assembler()
    insert(assembler, 0, 10)
    insert(assembler, 20, 30)
    assert assembler.take(4) == STREAM[:4]
    assert assembler.clear() == 6
    assert (assembler.gaps(), assembler.next, assembler.take(10)) == (0, 10, b"")
    insert(assembler, 10, 12)
    assert assembler.take(10) == STREAM[10:12]


def test_small_pieces_before_a_large_one_do_not_move_it_each_time() -> None:
    """A peer chooses the order: 150 frames of one byte fit a packet, and each must not cost a window's copying."""
    assembler = Assembler()
    base, window = 1 << 20, 16 << 20
    assembler.insert(base, bytearray(window), 0, window)
    one = bytearray(b"x")
    start = time.process_time()
    for i in range(1, 1001):
        assembler.insert(base - i, one, 0, 1)
    # A thousandth of this is enough; a copy of the window for each takes four times as long.
    assert time.process_time() - start < 0.5
    assert assembler.gaps() == 2
    assembler.insert(0, bytearray(base), 0, base)
    assert assembler.next == base + window
    assert assembler.gaps() == 0


def test_a_large_neighbour_keeps_its_place_and_its_bytes() -> None:
    assembler = Assembler()
    data = bytearray(random.Random(2).randbytes(100_000))
    assembler.insert(50_000, data, 50_000, 90_000)
    assembler.insert(40_000, data, 40_000, 60_000)
    assembler.insert(95_000, data, 95_000, 100_000)
    assembler.insert(30_000, data, 30_000, 96_000)
    assembler.insert(0, data, 0, 30_000)
    assert (assembler.gaps(), assembler.take(200_000)) == (0, bytes(data))


def test_a_thousand_gaps_close_in_one_go() -> None:
    assembler = Assembler()
    data = bytearray(range(256)) * 8
    for offset in range(1, 2000, 2):
        assembler.insert(offset, data, offset, offset + 1)
    assert assembler.gaps() == 1000
    assembler.insert(0, data, 0, 2000)
    assert (assembler.gaps(), assembler.take(5000)) == (0, bytes(data[:2000]))
