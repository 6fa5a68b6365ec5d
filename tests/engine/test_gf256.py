"""The field: its laws, whole symbols, and a matrix that can be solved whatever is taken of it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from jsp.engine.gf256 import cauchy, combine, inverse, multiply

ELEMENTS = st.integers(0, 255)


def by_hand(a: int, b: int) -> int:
    """Polynomials multiplied bit by bit, modulo x^8 + x^4 + x^3 + x^2 + 1."""
    out = 0
    for bit in range(8):
        if b >> bit & 1:
            out ^= a << bit
    for bit in range(15, 7, -1):
        if out >> bit & 1:
            out ^= 0x11D << (bit - 8)
    return out


def test_products_are_those_of_polynomials() -> None:
    assert all(multiply(a, b) == by_hand(a, b) for a in range(256) for b in range(256))


def test_inverses() -> None:
    assert all(multiply(a, inverse(a)) == 1 for a in range(1, 256))


@given(ELEMENTS, ELEMENTS, ELEMENTS)
def test_multiplication_distributes(a: int, b: int, c: int) -> None:
    assert multiply(a, b ^ c) == multiply(a, b) ^ multiply(a, c)


@given(st.lists(st.tuples(ELEMENTS, st.binary(max_size=40)), max_size=6), st.integers(40, 60))
def test_sums_of_symbols_are_sums_of_their_bytes(terms: list[tuple[int, bytes]], size: int) -> None:
    total = combine(terms, size)
    assert len(total) == size
    for at in range(size):
        expected = 0
        for coefficient, symbol in terms:
            expected ^= multiply(coefficient, symbol[at]) if at < len(symbol) else 0
        assert total[at] == expected


def rank(rows: list[list[int]]) -> int:
    """Of a matrix over the field."""
    rows = [row[:] for row in rows]
    done = 0
    for column in range(len(rows[0])):
        pivot = next((i for i in range(done, len(rows)) if rows[i][column]), None)
        if pivot is None:
            continue
        rows[done], rows[pivot] = rows[pivot], rows[done]
        factor = inverse(rows[done][column])
        rows[done] = [multiply(factor, x) for x in rows[done]]
        for i in range(len(rows)):
            if i != done and rows[i][column]:
                take = rows[i][column]
                rows[i] = [x ^ multiply(take, y) for x, y in zip(rows[i], rows[done], strict=True)]
        done += 1
    return done


@given(st.integers(0, 1 << 40), st.integers(0, 127), st.integers(1, 10), st.integers(0, 1 << 30))
def test_any_square_part_of_the_matrix_can_be_solved(newest: int, number: int, size: int, seed: int) -> None:
    chance = random.Random(seed)
    places = chance.sample(range(newest, newest + 60), size)
    numbers = chance.sample(range(number, number + 60), size)
    assert rank([[cauchy(n, place) for place in places] for n in numbers]) == size
