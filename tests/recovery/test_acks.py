"""What arrived: nothing is taken twice, and what must be told is told in time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.recovery.acks import ACK_RANGES_SENT, NEVER, REPLAY_WINDOW, AckTracker
from tests.profiles import examples
from tests.wire.test_ranges import ranges_of

DELAY = 0.025


def tracker_of(*numbers: int, now: float = 0.0) -> AckTracker:
    acks = AckTracker(DELAY)
    for number in numbers:
        acks.accept(number, now)
        acks.on_batch(1, now)
    return acks


def told(acks: AckTracker) -> list[tuple[int, int]]:
    return list(zip(acks.ranges.starts, acks.ranges.stops, strict=True))[acks.first_told() :]


# --- taking --------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 40)),
        st.tuples(st.just("skip"), st.integers(1, 40)),
        st.tuples(st.just("back"), st.integers(0, REPLAY_WINDOW + 50)),
        st.tuples(st.just("back"), st.integers(0, 30)),
        st.tuples(st.just("leap"), st.integers(1, 1 << 40)),
        st.tuples(st.just("leap"), st.integers(REPLAY_WINDOW - 20, 3 * REPLAY_WINDOW)),
    ),
    max_size=60,
)


def numbers_of(steps: list[tuple[str, int]]) -> list[int]:
    """Packet numbers of a story that starts at 0."""
    out, largest = [0], 0
    for step, n in steps:
        if step == "next":
            out += range(largest + 1, largest + 1 + n)
        elif step == "back":
            out.append(max(0, largest - n))
        else:
            out.append(largest + n)
        largest = max(out)
    return out


@examples(120)
@given(STEPS)
def test_every_number_is_taken_once_and_the_newest_always(steps: list[tuple[str, int]]) -> None:
    acks = AckTracker(DELAY)
    taken: set[int] = set()
    largest = -1
    for number in numbers_of(steps):
        accepted = acks.accept(number, 0.0)
        if number in taken:
            assert not accepted, f"{number} twice"
        elif number > largest - REPLAY_WINDOW:
            assert accepted, f"{number} is new, {largest} the largest"
        if accepted:
            taken.add(number)
            largest = max(largest, number)
        assert acks.largest == largest
    ranges = told(acks)
    assert 1 <= len(ranges) <= ACK_RANGES_SENT
    assert ranges == ranges_of({n for a, b in ranges for n in range(max(a, largest - 9000), b)}) or ranges[0][0] < (
        largest - 9000
    )
    assert ranges[-1][1] == largest + 1
    assert all(n in taken for a, b in ranges for n in (a, b - 1))


def test_n46_n47_duplicates_are_refused_for_ever() -> None:
    acks = AckTracker(DELAY)
    for number in range(3 * REPLAY_WINDOW):
        assert acks.accept(number, 0.0)
    for number in range(3 * REPLAY_WINDOW):
        assert not acks.accept(number, 0.0)


def test_late_packets_within_the_window_are_taken_and_older_ones_are_not() -> None:
    acks = AckTracker(DELAY)
    largest = 10 * REPLAY_WINDOW
    acks.accept(0, 0.0)
    acks.accept(largest, 0.0)
    assert acks.accept(largest - REPLAY_WINDOW + 1, 0.0)
    assert not acks.accept(largest - REPLAY_WINDOW - 1, 0.0)
    assert not acks.accept(0, 0.0)


@pytest.mark.parametrize("step", [2, 3, 7])
def test_memory_stays_bounded_when_every_other_packet_is_missing(step: int) -> None:
    acks = AckTracker(DELAY)
    most = 0
    for number in range(0, 20 * REPLAY_WINDOW, step):
        acks.accept(number, 0.0)
        most = max(most, len(acks.ranges))
    assert most <= REPLAY_WINDOW + 1
    assert len(told(acks)) == ACK_RANGES_SENT


def test_memory_stays_bounded_for_numbers_in_random_order() -> None:
    rng = random.Random(1)
    acks = AckTracker(DELAY)
    for _ in range(30_000):
        acks.accept(max(0, acks.largest + rng.randint(-5000, 5000)), 0.0)
        assert len(acks.ranges) <= REPLAY_WINDOW + 1


# --- when ----------------------------------------------------------------------------------------------------------


def test_a_lone_packet_may_wait_and_a_second_one_ends_the_wait() -> None:
    acks = AckTracker(DELAY)
    acks.accept(0, 1.0)
    acks.on_batch(1, 1.0)
    assert acks.deadline == 1.0 + DELAY
    acks.accept(1, 1.01)
    acks.on_batch(1, 1.01)
    assert acks.deadline == 1.01
    assert acks.pending == 2


def test_a_batch_of_two_is_told_at_once() -> None:
    acks = AckTracker(DELAY)
    acks.accept(0, 1.0)
    acks.accept(1, 1.0)
    acks.on_batch(2, 1.0)
    assert acks.deadline == 1.0


def test_packets_that_ask_for_nothing_get_nothing() -> None:
    acks = AckTracker(DELAY)
    for number in (0, 1, 5):
        acks.accept(number, 1.0)
        acks.on_batch(0, 1.0)
    assert (acks.deadline, acks.pending) == (NEVER, 0)
    # What is missing is told with the next one that asks, and once.
    acks.accept(6, 2.0)
    acks.on_batch(1, 2.0)
    assert acks.deadline == 2.0
    acks.on_sent()
    acks.accept(7, 3.0)
    acks.on_batch(1, 3.0)
    assert acks.deadline == 3.0 + DELAY


@pytest.mark.parametrize("numbers", [(3,), (0, 2), (0, 2, 1)])
def test_a_packet_that_leaves_or_fills_a_gap_is_told_at_once(numbers: tuple[int, ...]) -> None:
    acks = AckTracker(DELAY)
    for now, number in enumerate(numbers):
        acks.on_sent()
        acks.accept(number, float(now))
        acks.on_batch(1, float(now))
    assert acks.deadline == len(numbers) - 1


def test_handshake_packets_are_told_at_once() -> None:
    acks = AckTracker(0.0)
    acks.accept(0, 5.0)
    acks.on_batch(1, 5.0)
    assert acks.deadline == 5.0


def test_whoever_asks_for_it_is_told_at_once_and_only_once() -> None:
    acks = AckTracker(DELAY)
    acks.accept(0, 1.0)
    acks.hurry()
    acks.on_batch(1, 1.0)
    assert acks.deadline == 1.0
    acks.on_sent()
    acks.accept(1, 2.0)
    acks.on_batch(1, 2.0)
    assert acks.deadline == 2.0 + DELAY


def test_an_ack_that_left_is_owed_no_more() -> None:
    acks = tracker_of(0, 1, now=1.0)
    assert acks.on_sent() == 2
    assert (acks.deadline, acks.pending) == (NEVER, 0)


def test_the_wait_is_that_of_the_first_packet_and_the_delay_that_of_the_largest() -> None:
    acks = AckTracker(DELAY)
    acks.accept(0, 1.0)
    acks.on_batch(1, 1.0)
    acks.accept(1, 1.01)
    acks.on_batch(0, 1.01)
    assert acks.deadline == 1.0 + DELAY
    assert acks.delay(1.02) == pytest.approx(0.01)
    acks.accept(5, 2.0)
    acks.accept(3, 3.0)
    assert acks.delay(3.5) == pytest.approx(1.5)
    assert acks.delay(0.0) == 0.0


# --- as asked for --------------------------------------------------------------------------------------------------


def test_a_peer_may_ask_for_fewer_acks_and_for_more_again() -> None:
    acks = AckTracker(DELAY)
    acks.on_request(0, 4, 0.1, 1)
    for number in range(3):
        acks.accept(number, 1.0)
        acks.on_batch(1, 1.0)
    assert acks.deadline == 1.1
    acks.accept(3, 1.05)
    acks.on_batch(1, 1.05)
    assert acks.deadline == 1.05
    acks.on_sent()
    acks.on_request(2, 1, 0.002, 1)
    acks.on_request(1, 100, 1.0, 1)  # overtaken by the one before
    acks.accept(4, 2.0)
    acks.on_batch(1, 2.0)
    assert acks.deadline == 2.0


def test_a_gap_is_told_when_it_is_as_old_as_asked_for_and_once() -> None:
    acks = AckTracker(DELAY)
    acks.on_request(0, 100, DELAY, 3)
    at_once = []
    for number in (0, 1, 3, 4, 5, 6, 7, 10, 11, 12, 13):
        acks.accept(number, 0.0)
        acks.on_batch(1, 0.0)
        if acks.deadline == 0.0:
            at_once.append(number)
            acks.on_sent()
    # 2 is missing for three numbers at 5, 8 at 11, 9 at 12.
    assert at_once == [5, 11, 12]


@pytest.mark.parametrize("reordering", [0, 50])
def test_what_is_late_by_less_than_asked_for_hurries_nobody(reordering: int) -> None:
    acks = AckTracker(DELAY)
    acks.on_request(0, 1000, DELAY, reordering)
    for number in (0, 3, 1, 2, 9, 7, 8, 4, 5, 6, 40):
        acks.accept(number, 0.0)
        acks.on_batch(1, 0.0)
    assert acks.deadline == DELAY


@examples(60)
@given(STEPS, st.integers(1, 9), st.lists(st.booleans(), min_size=1))
def test_gaps_are_told_as_the_draft_has_it(steps: list[tuple[str, int]], reordering: int, acked: list[bool]) -> None:
    """Draft-ietf-quic-ack-frequency section 6.2, with sets of numbers."""
    acks = AckTracker(DELAY)
    acks.on_request(0, 1 << 30, DELAY, reordering)
    taken: set[int] = set()
    told = -1
    for i, number in enumerate(n for n in numbers_of(steps) if n < 5000):
        in_order = number == acks.largest + 1
        if not acks.accept(number, 0.0):
            continue
        taken.add(number)
        acks.on_batch(1, 0.0)
        largest = max(taken)
        missing = [n for n in range(max(0, told - reordering + 1), largest) if n not in taken]
        due = bool(missing) and largest - missing[0] >= reordering
        assert (acks.deadline == 0.0) == (due if reordering > 1 else not in_order)
        if acks.deadline == 0.0 or acked[i % len(acked)]:
            acks.on_sent()
            told = largest


def test_absurd_wishes_cost_nothing() -> None:
    acks = AckTracker(DELAY)
    acks.on_request((1 << 62) - 1, (1 << 62) - 1, DELAY, (1 << 62) - 1)
    for number in range(0, 20 * REPLAY_WINDOW, 2):
        acks.accept(number, 0.0)
        acks.on_batch(1, 0.0)
    # Sooner than asked for, rather than look through thousands of gaps each time.
    assert acks.deadline == 0.0
    assert acks.reordering == 128


# --- what ----------------------------------------------------------------------------------------------------------


def test_ranges_are_told_until_an_ack_of_them_arrived() -> None:
    acks = tracker_of(0, 1, 4, 8)
    assert told(acks) == [(0, 2), (4, 5), (8, 9)]
    first = acks.on_sent()
    acks.on_lost(first, 0)
    assert told(acks) == [(0, 2), (4, 5), (8, 9)]
    acks.on_acked(first, 0)
    for number in (9, 12):
        acks.accept(number, 0.0)
    assert told(acks) == [(8, 10), (12, 13)]
    # An older ACK that arrives late makes nobody forget.
    acks.on_acked(2, 0)
    assert told(acks) == [(8, 10), (12, 13)]


def test_the_newest_range_is_always_told() -> None:
    acks = tracker_of(0, 1, 2)
    acks.on_acked(acks.on_sent(), 0)
    assert told(acks) == [(0, 3)]


@pytest.mark.parametrize("late", [3, 7, 8])
def test_a_late_packet_is_told_though_an_ack_beyond_it_arrived(late: int) -> None:
    """It fills a gap, and the peer would take it for lost."""
    acks = tracker_of(*(n for n in range(10) if n != late))
    acks.on_acked(acks.on_sent(), 0)
    acks.accept(12, 1.0)
    acks.accept(late, 1.0)
    acks.on_batch(1, 1.0)
    assert acks.deadline == 1.0
    assert any(start <= late < stop for start, stop in told(acks))


def test_a_late_packet_is_told_though_an_older_ack_arrived_after_it() -> None:
    acks = tracker_of(0, 1, 3, 5)
    before = acks.on_sent()
    acks.accept(2, 1.0)
    assert told(acks) == [(0, 4), (5, 6)]
    lost = acks.on_sent()
    acks.on_acked(before, 0)
    acks.on_lost(lost, 0)
    acks.accept(7, 1.0)
    assert told(acks) == [(0, 4), (5, 6), (7, 8)]
    # An ACK that left after it told it.
    acks.on_acked(acks.on_sent(), 0)
    assert told(acks) == [(7, 8)]


def test_at_most_64_ranges_are_told_the_newest() -> None:
    acks = tracker_of(*range(0, 400, 2))
    assert told(acks) == [(n, n + 1) for n in range(400 - 2 * ACK_RANGES_SENT, 400, 2)]
