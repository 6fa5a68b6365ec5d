"""Whose turn it is among streams: urgency, and streams that go one after the other (RFC 9218)."""

from __future__ import annotations

import random

from jsp.engine.builder import Train
from jsp.engine.modes import RELIABLE
from jsp.engine.scheduler import DEFAULT_URGENCY, Scheduler, Sender
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected


class Talker(Sender):
    """Has `left` trains to fill, and keeps a diary."""

    def __init__(self, name: int, left: int, diary: list[int]) -> None:
        Sender.__init__(self)
        self.name = self.place = name
        self.left = left
        self.diary = diary

    def write_frames(self, train: Train) -> bool:
        if self.left:
            self.left -= 1
            self.diary.append(self.name)
            return True
        return False


def run(scheduler: Scheduler) -> None:
    train = Train()
    while scheduler:
        scheduler.fill(train)


def make(*talkers: tuple[int, int, int, bool]) -> tuple[Scheduler, list[Talker], list[int]]:
    scheduler, diary, out = Scheduler(), [], []
    for name, left, urgency, incremental in talkers:
        talker = Talker(name, left, diary)
        talker.urgency, talker.incremental = urgency, incremental
        scheduler.add(talker)
        out.append(talker)
    return scheduler, out, diary


def test_those_that_are_incremental_take_turns() -> None:
    scheduler, _, diary = make((1, 2, 3, True), (2, 2, 3, True))
    run(scheduler)
    assert diary == [1, 2, 1, 2]


def test_those_that_are_not_go_one_after_the_other_by_place() -> None:
    scheduler, _, diary = make((5, 2, 3, False), (1, 2, 3, False), (3, 1, 3, False))
    run(scheduler)
    assert diary == [1, 1, 3, 5, 5]


def test_both_kinds_share() -> None:
    scheduler, _, diary = make((1, 2, 3, False), (2, 2, 3, False), (3, 4, 3, True))
    run(scheduler)
    assert diary == [1, 3, 1, 3, 2, 3, 2, 3]


def test_one_that_comes_back_takes_its_old_place() -> None:
    scheduler, (first, _), diary = make((1, 1, 3, False), (2, 3, 3, False))
    train = Train()
    scheduler.fill(train)
    scheduler.fill(train)
    assert diary == [1, 2]
    first.left = 1
    scheduler.add(first)
    run(scheduler)
    assert diary == [1, 2, 1, 2, 2]


def test_priority_changes_while_it_waits() -> None:
    scheduler, (a, b, c), diary = make((1, 1, 3, True), (2, 1, 3, False), (3, 1, 3, True))
    scheduler.change(c, 0, False)
    scheduler.change(b, 7, True)
    scheduler.change(a, 3, False)
    run(scheduler)
    assert diary == [3, 1, 2]
    assert not any(sender.queued for sender in (a, b, c))


def test_any_changes_leave_everybody_served_and_nobody_queued() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        scheduler, talkers, diary = make(
            *((i, rng.randrange(3), rng.randrange(8), rng.random() < 0.5) for i in range(8))
        )
        wanted = sorted(t.name for t in talkers for _ in range(t.left))
        train = Train()
        while scheduler:
            talker = rng.choice(talkers)
            what = rng.randrange(4)
            if what == 0:
                scheduler.change(talker, rng.randrange(8), rng.random() < 0.5)
            elif what == 1:
                scheduler.remove(talker)
                scheduler.add(talker)
            else:
                scheduler.fill(train)
        assert sorted(diary) == wanted
        assert not any(talker.queued for talker in talkers)


def test_streams_that_are_not_incremental_end_one_after_the_other() -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.02, rate=500_000, queue=20_000))
    for _ in range(3):
        stream = c.open_stream()
        c.prioritize(stream, DEFAULT_URGENCY, False)
        stream.send.write(bytes(60_000))
    # Messages have their turns all the same.
    c.send_message(world.now, bytes(20_000), RELIABLE, False)
    client.flush(c)
    first, second, third = c.streams.streams.values()
    world.run_until(lambda: first.send.buffer.sent == 60_000)
    assert second.send.buffer.sent < 20_000
    assert third.send.buffer.sent == 0
    world.run_until(lambda: third.send.buffer.base == 60_000)
    assert s.recv_messages.ready
