# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Sets of integers kept as sorted, disjoint half-open ranges: acknowledged packets, lost bytes, gaps.

Two parallel lists, since most sets here have one range and grow at its end; everything else is a bisection.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeSet:
    """A set of integers. `starts[i] <= x < stops[i]`; ranges neither touch nor overlap."""

    __slots__ = ("starts", "stops")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.stops: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.starts)

    def __len__(self) -> int:
        """Number of ranges (not of integers)."""
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self.starts, self.stops, strict=True))

    def __contains__(self, value: int) -> bool:
        if not self.stops or value >= self.stops[-1]:
            return False
        i = bisect_right(self.starts, value) - 1
        return i >= 0 and value < self.stops[i]

    def __repr__(self) -> str:
        return "RangeSet(" + ", ".join(f"{a}-{b - 1}" for a, b in self) + ")"

    def total(self) -> int:
        """How many integers are in the set."""
        return sum(self.stops) - sum(self.starts)

    def add(self, start: int, stop: int) -> None:
        """Add `start <= x < stop`."""
        if start >= stop:
            return
        starts, stops = self.starts, self.stops
        if not starts:
            starts.append(start)
            stops.append(stop)
            return
        last = stops[-1]
        if start > last:
            starts.append(start)
            stops.append(stop)
            return
        if start == last or start >= starts[-1]:
            if stop > last:
                stops[-1] = stop
            return
        # The ranges that touch [start, stop] become one.
        low = bisect_left(stops, start)
        high = bisect_right(starts, stop)
        if low < high:
            start = min(start, starts[low])
            stop = max(stop, stops[high - 1])
        starts[low:high] = [start]
        stops[low:high] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take `start <= x < stop` out."""
        starts, stops = self.starts, self.stops
        if start >= stop or not starts:
            return
        low = bisect_right(stops, start)
        high = bisect_left(starts, stop)
        if low >= high:
            return
        new_starts: list[int] = []
        new_stops: list[int] = []
        if starts[low] < start:
            new_starts.append(starts[low])
            new_stops.append(start)
        if stops[high - 1] > stop:
            new_starts.append(stop)
            new_stops.append(stops[high - 1])
        starts[low:high] = new_starts
        stops[low:high] = new_stops

    def covers(self, start: int, stop: int) -> bool:
        """Whether every integer of `start <= x < stop` is in the set."""
        i = bisect_right(self.starts, start) - 1
        return i >= 0 and stop <= self.stops[i]

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of `start <= x < stop` that are not in the set."""
        out: list[tuple[int, int]] = []
        i = bisect_right(self.stops, start)
        while start < stop:
            if i == len(self.starts) or self.starts[i] >= stop:
                out.append((start, stop))
                break
            if self.starts[i] > start:
                out.append((start, self.starts[i]))
            start = self.stops[i]
            i += 1
        return out

    def drop_below(self, floor: int) -> None:
        """Forget everything below `floor`."""
        starts, stops = self.starts, self.stops
        if not starts or starts[0] >= floor:
            return
        keep = bisect_right(stops, floor)
        del starts[:keep]
        del stops[:keep]
        if starts and starts[0] < floor:
            starts[0] = floor
