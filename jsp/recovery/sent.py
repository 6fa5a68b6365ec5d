# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The ledger of packets in flight (RFC 9002 appendix A.1).

One record covers a run of packets that left together and carry consecutive pieces of one thing, so a train of 45
packets is one record, and one acknowledgement of it is one step. A run is split only where an acknowledgement or
a loss cuts through it. A packet leaves here once: acknowledged, lost, or forgotten with its space.

What the frames of a packet were for is kept as tokens `(owner, a, b)`; the owner hears `on_acked(a, b)` or
`on_lost(a, b)`. In a run of several packets there is one token, for a range that the packets share out evenly.
Packets that ask for no acknowledgement are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Owner(Protocol):
    """Whoever wrote a frame."""

    def on_acked(self, a: Any, b: Any) -> None: ...

    def on_lost(self, a: Any, b: Any) -> None: ...


Token = tuple[Owner, Any, Any]


class SentRun:
    """`count` packets from number `first` on.

    Attributes:
        size: bytes of each packet but the last.
        total: bytes of all.
        time: when they left, seconds.
        tokens: what they carry; one token when `count` is above 1.
        step: how much of that token's range each packet carries (the last one: the rest).
    """

    __slots__ = ("count", "first", "size", "step", "time", "tokens", "total")

    def __init__(
        self, first: int, count: int, size: int, total: int, time: float, tokens: Sequence[Token], step: int = 0
    ) -> None:
        self.first = first
        self.count = count
        self.size = size
        self.total = total
        self.time = time
        self.tokens = tokens
        self.step = step

    def take(self, count: int) -> SentRun:
        """Split the first `count` packets off."""
        owner, a, b = self.tokens[0]
        cut = a + self.step * count
        total = self.size * count
        front = SentRun(self.first, count, self.size, total, self.time, ((owner, a, cut),), self.step)
        self.first += count
        self.count -= count
        self.total -= total
        self.tokens = ((owner, cut, b),)
        return front

    def acked(self) -> None:
        """Tell the owners that these packets arrived."""
        for owner, a, b in self.tokens:
            owner.on_acked(a, b)

    def lost(self) -> None:
        """Tell the owners that these packets did not arrive."""
        for owner, a, b in self.tokens:
            owner.on_lost(a, b)


class SentLedger:
    """Runs in flight, in order of number."""

    __slots__ = ("runs",)

    def __init__(self) -> None:
        self.runs: list[SentRun] = []

    def __bool__(self) -> bool:
        return bool(self.runs)

    def add(self, run: SentRun) -> None:
        self.runs.append(run)

    def take_acked(self, starts: Sequence[int], stops: Sequence[int]) -> list[SentRun]:
        """Remove and return what the ranges (highest first, as an ACK lists them) acknowledge, in order."""
        runs = self.runs
        acked: list[SentRun] = []
        kept: list[SentRun] = []
        i = len(starts) - 1
        largest = stops[0]
        done = 0
        while done < len(runs):
            run = runs[done]
            if run.first >= largest:
                break
            while stops[i] <= run.first:
                i -= 1
            # A gap, of which nothing is acknowledged up to starts[i], or what one range covers.
            gap = starts[i] - run.first
            taken = acked if gap <= 0 else kept
            count = stops[i] - run.first if gap <= 0 else gap
            if count < run.count:
                taken.append(run.take(count))
            else:
                taken.append(run)
                done += 1
        runs[:done] = kept
        return acked

    def take_lost(self, below: int, now: float, delay: float, largest_acked: int) -> list[SentRun]:
        """Remove and return packets numbered below `below`, or below `largest_acked` and sent `delay` ago."""
        runs = self.runs
        lost: list[SentRun] = []
        done = 0
        while done < len(runs):
            run = runs[done]
            # The same sum as in the deadline: a subtraction would round to just before it.
            limit = largest_acked if run.time + delay <= now else below
            count = limit - run.first
            if count <= 0:
                break
            if count < run.count:
                lost.append(run.take(count))
            else:
                lost.append(run)
                done += 1
        del runs[:done]
        return lost

    def oldest_time(self, below: int) -> float | None:
        """When the oldest packet numbered below `below` was sent, or None."""
        if self.runs and self.runs[0].first < below:
            return self.runs[0].time
        return None
