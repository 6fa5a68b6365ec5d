"""The ledger of packets in flight against a plain dict of packets."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.recovery.sent import NEVER, RangeOwner, SentLedger, SentRun, make_run
from tests.profiles import examples
from tests.wire.test_ranges import ranges_of


class Owner(RangeOwner):
    """Hears what became of its frames."""

    def __init__(self) -> None:
        self.acked: list[tuple[int, int]] = []
        self.lost: list[tuple[int, int]] = []

    def on_acked(self, a: int, b: int) -> None:
        self.acked.append((a, b))

    def on_lost(self, a: int, b: int) -> None:
        self.lost.append((a, b))


@dataclass
class Packet:
    """What the model knows of one packet."""

    size: int
    time: float
    piece: tuple[int, int]


def pieces_of(run: SentRun) -> list[tuple[int, int]]:
    """The range of a run's token, shared out to its packets as the engine laid them out."""
    cuts = [run.start + run.step * i for i in range(run.count)] + [run.stop]
    return list(pairwise(cuts))


def sizes_of(run: SentRun) -> list[int]:
    return [run.size] * (run.count - 1) + [run.total - run.size * (run.count - 1)]


@dataclass
class World:
    """A ledger, the same as a dict, and chance."""

    rng: random.Random
    ledger: SentLedger = field(default_factory=SentLedger)
    model: dict[int, Packet] = field(default_factory=dict)
    owner: Owner = field(default_factory=Owner)
    next_number: int = 0
    offset: int = 0
    now: float = 0.0
    gone: int = 0

    def send(self) -> None:
        rng = self.rng
        count = rng.choice((1, 1, 2, 3, 10, 45))
        step, size = rng.randint(1, 1000), rng.randint(100, 1200)
        last = rng.randint(1, size)
        first = self.next_number = self.next_number + rng.choice((0, 0, 0, 1, 5))
        a = self.offset
        b = a + step * (count - 1) + rng.randint(1, step)
        run = make_run(first, count, size, size * (count - 1) + last, self.now)
        run.carry(self.owner, a, b, step)
        self.ledger.add(run)
        for i, (piece, bytes_) in enumerate(zip(pieces_of(run), sizes_of(run), strict=True)):
            self.model[first + i] = Packet(bytes_, self.now, piece)
        self.next_number, self.offset = first + count, b

    def acknowledge(self) -> None:
        if not self.next_number:
            return
        rng = self.rng
        top = rng.randint(max(0, self.next_number - 60), self.next_number - 1)
        numbers = {n for n in range(max(0, top - 80), top + 1) if rng.random() < 0.6} | {top}
        ranges = ranges_of(numbers)[::-1]
        acked = self.ledger.take_acked([a for a, _ in ranges], [b for _, b in ranges])
        self._check_out(acked, [n for n in sorted(self.model) if n in numbers])

    def lose(self) -> None:
        below = self.next_number - self.rng.randint(0, 40)
        largest = below + self.rng.choice((0, 2, 2, 30))
        delay = self.rng.choice((0.5, 2.0))
        expected = []
        for number, packet in sorted(self.model.items()):
            if number >= (largest if packet.time + delay <= self.now else below):
                break
            expected.append(number)
        oldest = self.ledger.oldest_time(largest)
        under = [packet.time for number, packet in sorted(self.model.items()) if number < largest]
        assert oldest == (under[0] if under else NEVER)
        self._check_out(self.ledger.take_lost(below, self.now, delay, largest), expected)

    def _check_out(self, runs: list[SentRun], expected: list[int]) -> None:
        """These packets, in order, with their bytes, times and pieces; each leaves once."""
        found = [number for run in runs for number in range(run.first, run.first + run.count)]
        assert found == expected
        for run in runs:
            packets = [self.model.pop(run.first + i) for i in range(run.count)]
            assert run.total == sum(packet.size for packet in packets)
            assert {packet.time for packet in packets} == {run.time}
            assert pieces_of(run) == [packet.piece for packet in packets]
            assert run.owner is self.owner and run.tokens == ()
        self.gone += len(expected)

    def check(self) -> None:
        left = [n for run in self.ledger.runs for n in range(run.first, run.first + run.count)]
        assert left == sorted(self.model)
        assert sum(run.total for run in self.ledger.runs) == sum(packet.size for packet in self.model.values())
        assert bool(self.ledger) is bool(self.model)


@examples(150)
@given(
    st.integers(0, 1 << 40),
    st.lists(st.sampled_from(["send", "send", "acknowledge", "lose", "wait"]), min_size=5, max_size=80),
)
def test_every_packet_leaves_exactly_once_with_what_it_carried(seed: int, steps: list[str]) -> None:
    world = World(random.Random(seed))
    for step in steps:
        if step == "wait":
            world.now += world.rng.choice((0.1, 1.0))
        else:
            getattr(world, step)()
        world.check()
    # The end: everything is acknowledged.
    left = len(world.model)
    if world.next_number:
        runs = world.ledger.take_acked([0], [world.next_number])
        assert sum(run.count for run in runs) == left
    assert not world.ledger


def run_of(first: int, count: int, owner: Owner, offset: int = 0, step: int = 10, time: float = 0.0) -> SentRun:
    run = make_run(first, count, 100, 100 * count, time)
    run.carry(owner, offset, offset + step * count, step)
    return run


def test_a_hole_in_a_train_splits_it_in_three() -> None:
    owner, ledger = Owner(), SentLedger()
    ledger.add(run_of(0, 10, owner))
    for run in ledger.take_acked([6, 0], [10, 4]):
        run.tell_acked()
    assert owner.acked == [(0, 40), (60, 100)]
    assert [(run.first, run.count, run.total) for run in ledger.runs] == [(4, 2, 200)]
    for run in ledger.take_lost(10, 0.0, 1.0, 12):
        run.tell_lost()
    assert owner.lost == [(40, 60)]
    assert not ledger


def test_the_last_packet_of_a_train_may_be_shorter() -> None:
    owner, ledger = Owner(), SentLedger()
    run = make_run(0, 3, 100, 230, 0.0)
    run.carry(owner, 0, 23, 10)
    ledger.add(run)
    assert [run.total for run in ledger.take_acked([2], [3])] == [30]
    assert [run.total for run in ledger.take_acked([0], [3])] == [200]


def test_a_packet_of_many_frames_tells_each_owner() -> None:
    one, two, ledger = Owner(), Owner(), SentLedger()
    ledger.add(make_run(7, 1, 50, 50, 0.0, ((one, 1, 2), (two, 3, 4), (one, 5, 6))))
    (run,) = ledger.take_acked([0], [8])
    run.tell_acked()
    assert (one.acked, two.acked) == ([(1, 2), (5, 6)], [(3, 4)])
    run.tell_lost()
    assert (one.lost, two.lost) == ([(1, 2), (5, 6)], [(3, 4)])


@pytest.mark.parametrize(("starts", "stops"), [([5], [9]), ([0], [1]), ([20, 0], [30, 1])])
def test_acknowledging_what_is_not_in_flight_finds_nothing(starts: list[int], stops: list[int]) -> None:
    ledger = SentLedger()
    assert ledger.take_acked(starts, stops) == []
    owner = Owner()
    ledger.add(run_of(1, 2, owner))
    ledger.add(run_of(10, 2, owner))
    assert ledger.take_acked(starts, stops) == []
    assert [run.first for run in ledger.runs] == [1, 10]


def test_a_train_lost_by_time_goes_up_to_the_largest_acknowledged() -> None:
    owner, ledger = Owner(), SentLedger()
    ledger.add(run_of(0, 10, owner, time=1.0))
    assert ledger.take_lost(0, 1.9, 1.0, 8) == []
    assert [(run.first, run.count) for run in ledger.take_lost(0, 2.0, 1.0, 8)] == [(0, 8)]
    assert ledger.oldest_time(9) == 1.0
    assert ledger.oldest_time(8) == NEVER
