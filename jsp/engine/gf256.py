"""Arithmetic in GF(256), a whole symbol at a time (RFC 5510 section 8.1: x^8 + x^4 + x^3 + x^2 + 1, generator 2).

A symbol is a string of bytes, each an element; sums are XORs. `bytes.translate` multiplies all of a symbol by one
element, and integers add two symbols in one step. They are little-endian, so that a shorter symbol is one that ends
in zeros.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

_POLYNOMIAL = 0x11D


def _powers() -> list[int]:
    """The powers of the generator, twice over, so that the sum of two logarithms needs no remainder."""
    out: list[int] = []
    value = 1
    for _ in range(255):
        out.append(value)
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return out * 2


_EXP = _powers()
_LOG = {_EXP[i]: i for i in range(255)}


def multiply(a: int, b: int) -> int:
    """The product of two elements."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def inverse(a: int) -> int:
    """What gives 1 when multiplied by `a`, which is not 0."""
    return _EXP[255 - _LOG[a]]


@cache
def _multiples(a: int) -> bytes:
    """The product of `a` with each element: a table for `bytes.translate`."""
    return bytes(multiply(a, b) for b in range(256))


def combine(terms: Iterable[tuple[int, bytes]], size: int) -> bytes:
    """The sum of symbols, each times its coefficient, as `size` bytes, which none of the symbols exceeds."""
    total = 0
    for coefficient, symbol in terms:
        total ^= int.from_bytes(symbol.translate(_multiples(coefficient)), "little")
    return total.to_bytes(size, "little")


def cauchy(number: int, place: int) -> int:
    """The coefficient of source `place` in repair `number`: an element of a Cauchy matrix (RFC 8681 leaves them to
    chance). Whatever part of it, as many rows as columns, can be solved, as long as fewer than 128 of each differ."""
    return inverse((number & 127) ^ (128 | place & 127))


class Equation:
    """A linear equation: `terms` (coefficients by unknown) make the sum `total`."""

    __slots__ = ("terms", "total")

    def __init__(self, terms: dict[int, int], total: bytes) -> None:
        self.terms = terms
        self.total = total

    def subtract(self, other: Equation, factor: int) -> None:
        """Take `factor` times another equation out of this one."""
        for unknown, coefficient in other.terms.items():
            left = self.terms.get(unknown, 0) ^ multiply(coefficient, factor)
            if left:
                self.terms[unknown] = left
            else:
                self.terms.pop(unknown, None)
        self.total = combine(((1, self.total), (factor, other.total)), max(len(self.total), len(other.total)))

    def scale(self, factor: int) -> None:
        self.terms = {i: multiply(c, factor) for i, c in self.terms.items()}
        self.total = combine(((factor, self.total),), len(self.total))
