"""Messages cut into pieces of one size, and found again out of as many sums as pieces are missing."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.pieces import PIECES_MAX, count_pieces, find_pieces, piece_size, sum_pieces
from jsp.wire.ranges import RangeSet
from tests.profiles import examples


@given(st.integers(0, 200_000), st.integers(100, 3000))
def test_pieces_are_as_many_as_packets_and_as_small_as_that_allows(size: int, room: int) -> None:
    piece = piece_size(size, room)
    packets = -(-size // room)
    if packets < 2 or packets > PIECES_MAX:
        assert piece == 0
    else:
        assert piece <= room
        assert count_pieces(size, piece) <= packets
        assert (piece - 1) * packets < size


@examples(100)
@given(st.integers(0, 1 << 30), st.integers(2, PIECES_MAX), st.integers(1, 50), st.floats(0, 1), st.integers(-1, 3))
def test_any_pieces_are_found_out_of_as_many_sums_and_none_out_of_fewer(
    seed: int, count: int, piece: int, loss: float, more: int
) -> None:
    chance = random.Random(seed)
    data = chance.randbytes((count - 1) * piece + chance.randint(1, piece))
    lost = [i for i in range(count) if chance.random() < loss] or [chance.randrange(count)]
    got, held = RangeSet(), bytearray(len(data))
    for i in range(count):
        part = data[i * piece : (i + 1) * piece]
        if i not in lost:
            got.add(i * piece, i * piece + len(part))
            held[i * piece : i * piece + len(part)] = part
    numbers = chance.sample(range(128), max(min(len(lost) + more, 128), 1))
    sums = {number: sum_pieces(data, piece, number) for number in numbers}
    found = find_pieces(held, got, len(data), sums)
    if len(numbers) < len(lost):
        assert not found
    else:
        assert found == {i * piece: data[i * piece : (i + 1) * piece] for i in lost}


def test_a_piece_that_came_in_part_is_missing() -> None:
    data = bytes(range(100))
    got = RangeSet()
    got.add(0, 35)
    held = bytearray(data[:35])
    assert find_pieces(held, got, 100, {5: sum_pieces(data, 50, 5)}) == {}
    found = find_pieces(held, got, 100, {n: sum_pieces(data, 50, n) for n in (5, 9)})
    assert found == {0: data[:50], 50: data[50:]}
