# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The ledger of packets in flight (RFC 9002 appendix A.1).

One record covers a run of packets that left together and carry consecutive pieces of one thing, so a train of 45
packets is one record, and one acknowledgement of it is one step. A run is split only where an acknowledgement or
a loss cuts through it. A packet leaves here once: acknowledged, lost, or forgotten with its space.

What the frames of a packet were for is kept in one of two ways. Nearly every packet carries a piece of something
that is sent in order: its run has that range and its owner, and the packets share it out evenly. Everything else
is a token `(owner, a, b)`, of a packet that is a run of its own. Owners hear `on_acked(a, b)` or `on_lost(a, b)`.
Packets that ask for no acknowledgement are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

NEVER = float("inf")
_NEVER = NEVER


class Owner(Protocol):
    """Whoever wrote a frame."""

    def on_acked(self, a: Any, b: Any) -> None: ...

    def on_lost(self, a: Any, b: Any) -> None: ...


Token = tuple[Owner, Any, Any]


class RangeOwner:
    """Whoever sends something in order. A class of its own so that nearly every acknowledgement is a call in C."""

    __slots__ = ()

    def on_acked(self, start: int, stop: int) -> None:
        """`start <= offset < stop` arrived."""
        raise NotImplementedError

    def on_lost(self, start: int, stop: int) -> None:
        """`start <= offset < stop` did not arrive."""
        raise NotImplementedError


class SentRun:
    """`count` packets from number `first` on; `make_run` makes one.

    Attributes:
        size: bytes of each packet but the last; 0: a probe of the path's MTU, which counts for nothing.
        total: bytes of all.
        time: when they left, seconds.
        owner, start, stop: what they carry a range of, or None.
        step: how much of the range each packet carries (the last one: the rest).
        tokens: what else they carry; none when `count` is above 1.
        marked: whether they left with an ECN mark.
        app_limited, delivered, delivered_time, first_sent, in_flight, lost: what `DeliveryRate` remembers.
    """

    __slots__ = (
        "app_limited", "count", "delivered", "delivered_time", "first", "first_sent", "in_flight", "lost", "marked",
        "owner", "size", "start", "step", "stop", "time", "tokens", "total",
    )  # fmt: skip

    first: int
    count: int
    size: int
    total: int
    time: float
    owner: RangeOwner | None
    start: int
    stop: int
    step: int
    tokens: Sequence[Token]
    app_limited: bool
    delivered: int
    delivered_time: float
    first_sent: float
    in_flight: int
    lost: int
    marked: bool

    def carry(self, owner: RangeOwner, start: int, stop: int, step: int) -> None:
        """These packets carry `start <= offset < stop` of `owner`, `step` each."""
        self.owner = owner
        self.start = start
        self.stop = stop
        self.step = step

    def take(self, count: int) -> SentRun:
        """Split the first `count` packets off."""
        total = self.size * count
        front = make_run(self.first, count, self.size, total, self.time)
        front.app_limited = self.app_limited
        front.delivered = self.delivered
        front.delivered_time = self.delivered_time
        front.first_sent = self.first_sent
        front.in_flight = self.in_flight
        front.lost = self.lost
        front.marked = self.marked
        if self.owner is not None:
            cut = self.start + self.step * count
            front.carry(self.owner, self.start, cut, self.step)
            self.start = cut
        self.first += count
        self.count -= count
        self.total -= total
        return front

    def tell_acked(self) -> None:
        """Tell the owners that these packets arrived."""
        if self.owner is not None:
            self.owner.on_acked(self.start, self.stop)
        for owner, a, b in self.tokens:
            owner.on_acked(a, b)

    def tell_lost(self) -> None:
        """Tell the owners that these packets did not arrive."""
        if self.owner is not None:
            self.owner.on_lost(self.start, self.stop)
        for owner, a, b in self.tokens:
            owner.on_lost(a, b)


def make_run(first: int, count: int, size: int, total: int, time: float, tokens: Sequence[Token] = ()) -> SentRun:
    """A run without a range. (Not a constructor, which would take its numbers as objects.)"""
    run = SentRun.__new__(SentRun)
    run.first = first
    run.count = count
    run.size = size
    run.total = total
    run.time = time
    run.owner = None
    run.start = run.stop = run.step = 0
    run.tokens = tokens
    run.app_limited = run.marked = False
    run.delivered = run.in_flight = run.lost = 0
    run.delivered_time = run.first_sent = time
    return run


class SentLedger:
    """Runs in flight, in order of number."""

    __slots__ = ("runs",)

    def __init__(self) -> None:
        self.runs: list[SentRun] = []

    def __bool__(self) -> bool:
        return bool(self.runs)

    def add(self, run: SentRun) -> None:
        self.runs.append(run)

    def take_acked(self, starts: list[int], stops: list[int]) -> list[SentRun]:
        """Remove and return what the ranges (highest first, as an ACK lists them) acknowledge, in order."""
        runs = self.runs
        acked: list[SentRun] = []
        kept: list[SentRun] = []
        i = len(starts) - 1
        start = starts[i]
        stop = stops[i]
        largest = stops[0]
        done = 0
        while done < len(runs):
            run = runs[done]
            if run.first >= largest:
                break
            while stop <= run.first:
                i -= 1
                start = starts[i]
                stop = stops[i]
            # A gap, of which nothing is acknowledged up to its start, or what one range covers.
            gap = start - run.first
            taken = acked if gap <= 0 else kept
            count = stop - run.first if gap <= 0 else gap
            if count < run.count:
                taken.append(run.take(count))
            else:
                taken.append(run)
                done += 1
        if kept:
            runs[:done] = kept
        elif done:
            del runs[:done]
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
        if done:
            del runs[:done]
        return lost

    def oldest_time(self, below: int) -> float:
        """When the oldest packet numbered below `below` was sent; `NEVER` when there is none."""
        if self.runs:
            run = self.runs[0]
            if run.first < below:
                return run.time
        return _NEVER
