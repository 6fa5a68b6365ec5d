"""Loss detection on one path: thresholds, probes, backing off, persistent congestion (RFC 9002 sections 6 and 7)."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.errors import Code, ProtocolViolation
from jsp.recovery.acks import NEVER
from jsp.recovery.loss import PROBE_INTERVAL_MAX_S, PROBES, LossDetector, PacketSpace
from jsp.recovery.newreno import NewReno
from jsp.recovery.sent import RangeOwner, make_run
from tests.profiles import examples
from tests.wire.test_ranges import ranges_of

SIZE = 1200
PEER_DELAY = 0.025


class Story(RangeOwner):
    """One path with one space; packets carry their own number as their token.

    Attributes:
        acked, lost: numbers in the order in which their owner heard of them.
    """

    def __init__(self, handshake: bool = False) -> None:
        self.path = LossDetector(NewReno(SIZE))
        self.path.handshake_done = not handshake
        self.path.peer_max_ack_delay = PEER_DELAY
        self.space = self.add_space(handshake)
        self.acked: list[int] = []
        self.lost: list[int] = []
        self.now = 0.0

    def add_space(self, handshake: bool) -> PacketSpace:
        space = PacketSpace(PEER_DELAY, handshake)
        self.path.spaces.append(space)
        return space

    def on_acked(self, a: int, b: int) -> None:
        self.acked += range(a, b)

    def on_lost(self, a: int, b: int) -> None:
        self.lost += range(a, b)

    def send(self, count: int = 1, at: float | None = None, space: PacketSpace | None = None) -> None:
        space = space or self.space
        self.now = self.now if at is None else at
        first = space.next_number
        space.next_number += count
        run = make_run(first, count, SIZE, SIZE * count, self.now)
        run.carry(self, first, first + count, 1)
        self.path.on_sent(space, run)
        self.update()

    def ack(self, *numbers: int, at: float | None = None, delay: float = 0.0, space: PacketSpace | None = None) -> int:
        self.now = self.now if at is None else at
        ranges = ranges_of(set(numbers))[::-1]
        bytes_ = self.path.on_ack(space or self.space, [a for a, _ in ranges], [b for _, b in ranges], delay, self.now)
        self.update()
        return bytes_

    def update(self, anti_deadlock: bool = False, blocked: bool = False) -> float:
        self.path.update_deadline(self.now, anti_deadlock, blocked)
        return self.path.deadline

    def timeout(self) -> None:
        """The deadline comes."""
        assert self.path.deadline < NEVER
        self.now = max(self.now, self.path.deadline)
        self.path.on_timeout(self.now)
        self.update()

    def assert_books_balance(self) -> None:
        for space in self.path.spaces:
            assert space.in_flight == sum(run.total for run in space.sent.runs)
        assert self.path.in_flight == sum(space.in_flight for space in self.path.spaces)
        assert self.path.available() == self.path.controller.window - self.path.in_flight


def confirmed(rtt: float = 0.1) -> Story:
    """A path that has taken one sample of `rtt`; packet 0 is acknowledged."""
    story = Story()
    story.send(at=0.0)
    story.ack(0, at=rtt)
    assert story.path.rtt.smoothed == rtt
    return story


def test_one_datagram_may_leave_whatever_the_window_says() -> None:
    story = Story()
    story.path.controller.window = SIZE // 2
    assert story.path.allowance(SIZE, 0.0) == SIZE
    story.send(at=0.0)
    assert story.path.allowance(SIZE, 0.0) < SIZE


# --- acknowledgements ----------------------------------------------------------------------------------------------


def test_an_ack_gives_the_bytes_back_and_tells_the_owner() -> None:
    story = confirmed()
    story.send(10)
    assert story.path.in_flight == 10 * SIZE
    assert story.ack(1, 2, 3) == 3 * SIZE
    assert story.acked == [0, 1, 2, 3]
    assert story.path.in_flight == 7 * SIZE
    assert story.space.largest_acked == 3
    # Twice is harmless, and changes nothing.
    assert story.ack(1, 2, 3) == 0
    assert story.acked == [0, 1, 2, 3]
    story.ack(*range(11))
    assert (story.path.in_flight, story.path.deadline) == (0, NEVER)
    story.assert_books_balance()


@pytest.mark.parametrize("number", [1, 2, 1 << 61])
def test_n77_an_ack_of_what_was_never_sent_ends_the_connection(number: int) -> None:
    story = confirmed()
    with pytest.raises(ProtocolViolation) as caught:
        story.path.on_ack(story.space, [number], [number + 1], 0.0, 1.0)
    assert caught.value.code == Code.PROTOCOL_VIOLATION
    with pytest.raises(ProtocolViolation):
        story.path.on_ack(story.space, [0], [number + 1], 0.0, 1.0)
    story.assert_books_balance()


def test_only_the_largest_newly_acknowledged_packet_gives_a_sample() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    story.send(at=1.5)
    story.ack(2, at=1.6)
    assert story.path.rtt.latest == pytest.approx(0.1)
    story.ack(1, 2, at=3.0)
    assert story.path.rtt.latest == pytest.approx(0.1)


@pytest.mark.parametrize(("delay", "believed"), [(0.01, 0.01), (0.025, 0.025), (5.0, PEER_DELAY)])
def test_the_peers_delay_is_believed_up_to_what_it_promised(delay: float, believed: float) -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    story.ack(1, at=1.2, delay=delay)
    assert story.path.rtt.smoothed == pytest.approx(7 / 8 * 0.1 + (0.2 - believed) / 8)


def test_in_the_handshake_no_delay_is_believed() -> None:
    story = Story(handshake=True)
    for at in (0.0, 1.0):
        story.send(at=at)
        story.ack(int(at), at=at + 0.1 + at / 10, delay=0.02)
    assert story.path.rtt.smoothed == pytest.approx(7 / 8 * 0.1 + 0.2 / 8)


def test_a_clock_that_went_back_gives_a_sample_of_nothing() -> None:
    story = Story()
    story.send(at=1.0)
    story.ack(0, at=0.5)
    assert story.path.rtt.latest == 0.0


# --- losses --------------------------------------------------------------------------------------------------------


def test_three_packets_later_is_lost() -> None:
    story = confirmed()
    story.send(6)  # 1 to 6
    story.ack(4)
    assert story.lost == [1]
    story.ack(5)
    assert story.lost == [1, 2]
    assert story.path.packets_lost == 2
    story.assert_books_balance()


def test_a_little_later_is_not_lost_until_nine_eighths_of_a_round_trip() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    story.send(at=1.01)
    story.ack(2, at=1.11)
    assert story.lost == []
    assert story.path.deadline == story.space.loss_time == pytest.approx(1.0 + 0.1125)
    story.timeout()
    assert story.lost == [1]
    assert story.path.deadline == NEVER


def test_a_packet_long_under_way_is_lost_at_once_when_a_later_one_arrives() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    story.send(at=2.0)
    story.ack(2, at=2.1)
    assert story.lost == [1]


def test_a_packet_that_arrives_in_time_after_all_is_not_lost() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    story.send(at=1.01)
    story.ack(2, at=1.11)
    assert story.path.deadline == pytest.approx(1.1125)
    story.ack(1, 2, at=1.112)
    assert (story.lost, story.acked) == ([], [0, 2, 1])
    assert story.path.deadline == NEVER


def test_a_lost_packet_that_arrives_late_is_news_to_nobody() -> None:
    story = confirmed()
    story.send(5)
    story.ack(5)
    assert story.lost == [1, 2]
    assert story.ack(1, 2, 5) == 0
    assert story.acked == [0, 5]


def test_losses_of_one_round_trip_halve_the_window_once() -> None:
    story = confirmed()
    window = story.path.controller.window
    story.send(10, at=1.0)
    story.ack(5, at=1.1)
    halved = story.path.controller.window
    assert halved <= (window + SIZE) // 2
    story.ack(5, 9, at=1.12)
    assert story.lost == [1, 2, 3, 4, 6]
    assert story.path.controller.window == halved


def test_the_middle_of_a_train_is_lost() -> None:
    story = confirmed()
    story.send(40, at=1.0)
    story.ack(*range(1, 10), *range(20, 41), at=1.1)
    assert story.lost == list(range(10, 20))
    assert story.path.in_flight == 0


# --- probes --------------------------------------------------------------------------------------------------------


def test_the_first_probe_goes_out_after_a_second() -> None:
    story = Story(handshake=True)
    story.send(at=0.0)
    assert story.path.deadline == pytest.approx(0.999)
    story.timeout()
    assert (story.space.probes, story.path.pto_count) == (PROBES, 1)
    # What the packet carried is offered again; it stays in flight.
    assert story.lost == [0]
    assert story.path.in_flight == SIZE
    assert story.path.packets_lost == 0


def test_probes_back_off_and_an_ack_ends_that() -> None:
    story = confirmed(0.1)
    once = 0.1 + 4 * 0.05 + PEER_DELAY
    story.send(at=1.0)
    for i in range(5):
        assert story.path.deadline == pytest.approx(1.0 + once * 2**i)
        story.timeout()
        assert story.path.pto_count == i + 1
    story.ack(1)
    assert story.path.pto_count == 0


def test_backing_off_is_bounded() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    waits = []
    for _ in range(40):
        waits.append(story.path.deadline - story.now)
        story.timeout()
        story.send()
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(waits))
    assert waits[-1] == pytest.approx(PROBE_INTERVAL_MAX_S)
    # A round trip longer than the bound is waited for all the same.
    slow = confirmed(4.0)
    slow.send(at=10.0)
    slow.path.pto_count = 30
    assert slow.update() == pytest.approx(10.0 + 4.0 + 8.0 + PEER_DELAY)


def test_a_probe_is_counted_from_the_last_packet_that_asks() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    story.send(at=1.2)
    assert story.path.deadline == pytest.approx(1.2 + 0.3 + PEER_DELAY)


def test_probes_offer_the_two_oldest_packets() -> None:
    story = confirmed()
    story.send(10)
    story.timeout()
    assert story.lost == [1, 2]
    story.timeout()
    assert story.lost == [1, 2, 1, 2]
    story = confirmed()
    story.send()
    story.send(5)
    story.timeout()
    assert story.lost == [1, 2]


def test_a_ping_has_nothing_to_offer_and_does_not_count() -> None:
    story = confirmed()
    story.space.next_number += 1
    story.path.on_sent(story.space, make_run(1, 1, SIZE, SIZE, story.now))
    story.send(3)
    story.timeout()
    assert story.lost == [2, 3]


def test_acks_in_a_clients_initial_space_do_not_end_backing_off() -> None:
    story = Story(handshake=True)
    story.space.sticky_backoff = True
    story.send(2, at=0.0)
    story.timeout()
    story.ack(0)
    assert story.path.pto_count == 1


def test_while_the_handshake_lasts_application_packets_are_probed_with_it_only() -> None:
    story = Story(handshake=True)
    application = story.add_space(handshake=False)
    story.send(at=0.0, space=application)
    assert story.path.deadline == NEVER
    story.send(at=1.0)
    assert story.path.deadline == pytest.approx(1.999)
    story.timeout()
    assert (story.space.probes, application.probes) == (PROBES, PROBES)
    story.path.handshake_done = True
    story.path.discard(story.space)
    assert story.update() == pytest.approx(0.0 + 0.999 + PEER_DELAY)


def test_all_handshake_spaces_may_probe() -> None:
    story = Story(handshake=True)
    second = story.add_space(handshake=True)
    story.send(at=0.0)
    story.timeout()
    assert (story.space.probes, second.probes) == (PROBES, PROBES)


def test_whoever_may_not_send_sets_no_probe_but_notices_losses() -> None:
    story = confirmed(0.1)
    story.send(at=1.0)
    assert story.update(blocked=True) == NEVER
    assert story.update() < NEVER
    story.send(at=1.01)
    story.ack(2, at=1.11)
    assert story.update(blocked=True) == pytest.approx(1.1125)


def test_a_client_with_nothing_under_way_probes_for_the_servers_sake() -> None:
    """RFC 9002 6.2.2.1: the server may be waiting to be allowed to send more."""
    story = Story(handshake=True)
    story.now = 5.0
    assert story.update(anti_deadlock=True) == pytest.approx(5.999)
    story.now = 5.5
    # It is not put off by being looked at.
    assert story.update(anti_deadlock=True) == pytest.approx(5.999)
    story.now = story.path.deadline
    story.path.on_timeout(story.now)
    assert story.space.probes == PROBES
    assert story.update(anti_deadlock=True) == pytest.approx(5.999 + 2 * 0.999)
    assert story.update(anti_deadlock=False) == NEVER


def test_a_timer_that_fires_early_does_nothing() -> None:
    story = confirmed(0.1)
    story.path.on_timeout(5.0)
    assert (story.path.pto_count, story.space.probes) == (0, 0)
    story.send(at=10.0)
    for early in (10.0, 10.1, story.path.deadline - 1e-9):
        story.path.on_timeout(early)
        assert (story.path.pto_count, story.space.probes, story.lost) == (0, 0, [])
    story.send(at=10.01)
    story.ack(2, at=10.11)
    story.path.on_timeout(10.112)
    assert (story.path.pto_count, story.lost) == (0, [])


# --- persistent congestion -----------------------------------------------------------------------------------------


def long_outage(story: Story, gap: float, count: int = 5) -> None:
    """Packets `gap` apart, none of which arrives, and one that does."""
    start = story.now
    for i in range(1, count + 1):
        story.send(at=start + gap * i)
    story.send(at=start + gap * (count + 1))
    story.ack(story.space.next_number - 1, at=story.now + 0.1)


def test_losing_everything_for_three_probe_timeouts_is_persistent_congestion() -> None:
    story = confirmed(0.1)
    # A probe timeout is 0.275 s by then: three of them are less than the 1.2 s that four gaps last.
    long_outage(story, 0.3)
    assert story.lost == [1, 2, 3, 4, 5]
    assert story.path.controller.window == 2 * SIZE


def test_losing_everything_for_less_is_not() -> None:
    story = confirmed(0.1)
    long_outage(story, 0.2)
    assert story.lost == [1, 2, 3, 4, 5]
    assert story.path.controller.window > 2 * SIZE


def test_one_packet_that_arrived_in_between_speaks_against_it() -> None:
    story = confirmed(0.1)
    for i in range(1, 7):
        story.send(at=0.1 + 0.3 * i)
    story.ack(3, 6, at=story.now + 0.1)
    assert story.lost == [1, 2, 4, 5]
    assert story.path.controller.window > 2 * SIZE


def test_before_the_first_sample_there_is_no_persistent_congestion() -> None:
    """RFC 9002 7.6.2: the probe timeout that the packets waited for was a guess, much longer than the path's."""
    story = Story()
    for at in (0.0, 1.0, 3.0):
        story.send(at=at)
    story.send(at=7.0)
    story.ack(3, at=7.02)
    assert story.lost == [0, 1, 2]
    assert story.path.controller.window > 2 * SIZE


# --- spaces --------------------------------------------------------------------------------------------------------


def test_a_discarded_space_takes_its_bytes_with_it_and_tells_nobody() -> None:
    story = Story(handshake=True)
    other = story.add_space(handshake=True)
    story.send(3, at=0.0)
    story.send(2, space=other)
    story.timeout()
    story.lost.clear()
    story.path.discard(story.space)
    assert story.path.in_flight == 2 * SIZE
    assert story.path.pto_count == 0
    assert not story.space.sent
    story.path.discard(story.space)
    assert story.path.in_flight == 2 * SIZE
    story.path.discard(other)
    assert (story.path.in_flight, story.acked, story.lost) == (0, [], [])
    assert story.update() == NEVER


# --- anything at all -----------------------------------------------------------------------------------------------


@examples(80)
@given(seed=st.integers(0, 1 << 40), steps=st.integers(5, 60), handshake=st.booleans())
def test_whatever_happens_the_books_balance_and_every_packet_ends_once(seed: int, steps: int, handshake: bool) -> None:
    rng = random.Random(seed)
    story = Story(handshake)
    story.now = rng.choice((0.0, 1e6))
    ended: set[int] = set()
    for _ in range(steps):
        story.now += rng.choice((0.0, 0.001, 0.02, 0.3))
        step = rng.choice(("send", "send", "ack", "ack", "timeout"))
        story.acked.clear()
        story.lost.clear()
        _step(story, rng, step)
        if step == "ack":
            gone = story.acked + story.lost
            assert len(gone) == len(set(gone))
            assert not ended & set(gone)
            ended |= set(gone)
        elif step == "timeout" and story.path.pto_count == 0:
            ended |= set(story.lost)
        story.assert_books_balance()
        in_flight = {n for run in story.space.sent.runs for n in range(run.first, run.first + run.count)}
        assert in_flight | ended == set(range(story.space.next_number))
        assert not in_flight & ended
        # Whatever is under way, something will wake us.
        assert (story.path.deadline < NEVER) is bool(in_flight)
    if story.space.next_number:
        story.ack(*range(story.space.next_number))
        assert (story.path.in_flight, story.path.deadline) == (0, NEVER)


def _step(story: Story, rng: random.Random, step: str) -> None:
    top = story.space.next_number
    if step == "send":
        story.send(rng.choice((1, 1, 2, 10)))
    elif step == "ack" and top:
        largest = rng.randint(max(0, top - 15), top - 1)
        numbers: Any = {n for n in range(max(0, largest - 30), largest) if rng.random() < 0.5} | {largest}
        story.ack(*numbers, delay=rng.choice((0.0, 0.02, 9.0)))
    elif step == "timeout" and story.path.deadline < NEVER:
        before = story.path.deadline, story.path.pto_count
        story.timeout()
        # A deadline that came is gone: no busy loop. (Where the path reorders, losses may be waited for longer than a
        # probe timeout, which then comes at once.)
        assert story.path.deadline > before[0] or story.path.pto_count > before[1] or story.lost
