"""Repairs of a message that is sent in fragments: it is cut into pieces of one size, and each repair is a sum of all of
them, which stands in for any one (spec section 8.8)."""

from __future__ import annotations

from itertools import islice

from jsp.engine.gf256 import Equation, cauchy, combine, inverse
from jsp.wire.ranges import RangeSet

# A sum of more of them would cost more than it is worth.
PIECES_MAX = 64


def piece_size(size: int, room: int) -> int:
    """Bytes of a piece of a message of `size` bytes, of which a packet has room for `room`; 0: no repairs of it."""
    count = -(-size // room)
    return -(-size // count) if 1 < count <= PIECES_MAX else 0


def count_pieces(size: int, piece: int) -> int:
    """How many pieces of `piece` bytes, the last one perhaps shorter, a message of `size` bytes has."""
    return -(-size // piece)


def sum_pieces(data: bytes, piece: int, number: int) -> bytes:
    """The sum of all pieces that is repair `number`."""
    terms = [(cauchy(number, i), data[i * piece : (i + 1) * piece]) for i in range(count_pieces(len(data), piece))]
    return combine(terms, piece)


def find_pieces(data: bytearray, got: RangeSet, size: int, sums: dict[int, bytes]) -> dict[int, bytes]:
    """The pieces, by offset, that a message of `size` bytes lacks, as its repairs (by number) tell; nothing if they are
    too few. `got`: the ranges of `data` that came.
    """
    piece = len(next(iter(sums.values())))
    count = count_pieces(size, piece)
    missing = [i for i in range(count) if not got.covers(i * piece, min((i + 1) * piece, size))]
    if len(missing) > len(sums):
        return {}
    known = [(i, bytes(data[i * piece : (i + 1) * piece])) for i in range(count) if i not in missing]
    solved: dict[int, Equation] = {}
    for number, total in islice(sums.items(), len(missing)):
        terms = [(1, total), *((cauchy(number, i), part) for i, part in known)]
        equation = Equation({i: cauchy(number, i) for i in missing}, combine(terms, piece))
        for unknown, other in solved.items():
            equation.subtract(other, equation.terms[unknown])
        unknown = next(iter(equation.terms))
        equation.scale(inverse(equation.terms[unknown]))
        for other in solved.values():
            other.subtract(equation, other.terms[unknown])
        solved[unknown] = equation
    return {i * piece: equation.total[: size - i * piece] for i, equation in sorted(solved.items())}
