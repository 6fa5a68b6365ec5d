"""RangeSet against a plain set of integers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jsp.wire.ranges import RangeSet
from tests.profiles import examples

TOP = 60

RANGES = st.tuples(st.integers(0, TOP), st.integers(0, TOP))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), RANGES),
        st.tuples(st.just("add"), st.integers(0, TOP).map(lambda a: (a, a + 1))),
        st.tuples(st.just("remove"), RANGES),
        st.tuples(st.just("drop_below"), st.integers(0, TOP).map(lambda a: (a, 0))),
    ),
    max_size=40,
)


def ranges_of(numbers: set[int]) -> list[tuple[int, int]]:
    """The maximal half-open ranges of a set."""
    out: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if out and out[-1][1] == n:
            out[-1] = (out[-1][0], n + 1)
        else:
            out.append((n, n + 1))
    return out


def _apply(ranges: RangeSet, model: set[int], op: str, a: int, b: int) -> None:
    if op == "add":
        ranges.add(a, b)
        model |= set(range(a, b))
    elif op == "remove":
        ranges.remove(a, b)
        model -= set(range(a, b))
    else:
        ranges.drop_below(a)
        model -= set(range(a))


@examples(200)
@given(STEPS, RANGES)
def test_range_set_is_a_set(steps: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]) -> None:
    ranges, model = RangeSet(), set[int]()
    for op, (a, b) in steps:
        _apply(ranges, model, op, a, b)
        expected = ranges_of(model)
        assert list(ranges) == expected
        assert len(ranges) == len(expected)
        assert bool(ranges) is bool(model)
        assert ranges.total() == len(model)
    assert [n in ranges for n in range(-1, TOP + 2)] == [n in model for n in range(-1, TOP + 2)]
    start, stop = asked
    wanted = set(range(start, stop))
    assert ranges.missing(start, stop) == ranges_of(wanted - model)
    if wanted:
        assert ranges.covers(start, stop) is (wanted <= model)


@given(st.lists(st.integers(0, 1 << 62), max_size=30))
def test_singles_of_any_size_in_any_order(numbers: list[int]) -> None:
    ranges = RangeSet()
    for n in numbers:
        ranges.add(n, n + 1)
    assert list(ranges) == ranges_of(set(numbers))


def test_growth_at_the_end_keeps_one_range() -> None:
    ranges = RangeSet()
    for n in range(100_000):
        ranges.add(n, n + 1)
    assert list(ranges) == [(0, 100_000)]


def test_neighbours_become_one_and_a_removal_in_the_middle_makes_two() -> None:
    ranges = RangeSet()
    ranges.add(10, 20)
    ranges.add(0, 10)
    ranges.add(30, 40)
    assert list(ranges) == [(0, 20), (30, 40)]
    ranges.add(20, 30)
    assert list(ranges) == [(0, 40)]
    ranges.remove(5, 6)
    assert list(ranges) == [(0, 5), (6, 40)]
    ranges.drop_below(6)
    assert list(ranges) == [(6, 40)]


def test_nothing_added_or_removed_changes_nothing() -> None:
    ranges = RangeSet()
    ranges.remove(0, 10)
    ranges.add(5, 5)
    ranges.add(9, 3)
    ranges.drop_below(100)
    assert not ranges
    assert ranges.missing(3, 3) == []
    assert ranges.missing(0, 2) == [(0, 2)]


def test_repr_names_the_numbers_and_not_the_stops() -> None:
    ranges = RangeSet()
    ranges.add(1, 4)
    ranges.add(7, 8)
    assert repr(ranges) == "RangeSet(1-3, 7-7)"
