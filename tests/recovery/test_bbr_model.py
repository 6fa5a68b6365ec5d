"""What BBR makes of ACKs and losses: filters, and which losses are congestion."""

from __future__ import annotations

import pytest

from jsp.recovery import bbr_model
from jsp.recovery.bbr import CRUISE, PROBE_RTT, UP
from jsp.recovery.bbr_model import UNBOUNDED
from tests.recovery.test_bbr import MTU, RTT, Rounds, filled


def lose(rounds: Rounds, size: int, rtt: float = RTT, rate: float = 1e6) -> None:
    """A round trip in which `size` bytes are lost."""
    rounds.c.on_lost(rounds.run(size, 100_000), size, rounds.now)
    rounds.play(rate, rtt=rtt, lost=size, remaining=10_000)


def test_before_there_is_a_round_trip_the_window_is_all_that_is_known() -> None:
    assert Rounds().c.bw == 0
    assert Rounds().c._bdp(1e9) == 10 * MTU


def test_what_is_delivered_while_there_was_too_little_to_send_counts_only_when_it_is_more() -> None:
    rounds = filled()
    rounds.play(5e5, app_limited=True)
    assert rounds.c.max_bw == pytest.approx(1e6)
    rounds.play(1.1e6, app_limited=True)
    rounds.play(5e5, app_limited=True)
    assert rounds.c.max_bw == pytest.approx(1.1e6)


def test_of_what_the_acks_of_a_round_show_the_best_quarter_is_passed_over() -> None:
    rounds = filled()
    first = rounds.delivered
    for rate in (1e6, 1.2e6, 1e6, 1.3e6, 1.05e6, 9e5, 1e6, 1e6):
        # All of packets sent before the first of these ACKs.
        rounds.play(rate, 1e-3, prior_delivered=first)
    rounds.play(1e6)
    assert rounds.c.max_bw == pytest.approx(1.05e6)


def test_round_trips_that_come_down_by_themselves_need_no_probe_rtt() -> None:
    rounds = filled()
    for _ in range(100):
        rounds.play(1e6, RTT * bbr_model.CONFIRMED)
    assert PROBE_RTT not in rounds.states
    assert rounds.c.min_rtt == RTT
    for _ in range(60):
        rounds.play(1e6, RTT * bbr_model.CONFIRMED + 1e-4)
    assert PROBE_RTT in rounds.states


def test_a_queue_that_is_always_the_same_confirms_itself_for_half_a_minute_only() -> None:
    rounds = filled()
    end = rounds.now + bbr_model.CONFIRMED_FOR_S + bbr_model.PROBE_RTT_INTERVAL_S + 1
    while rounds.now < end:
        rounds.play(1e6)
    assert PROBE_RTT in rounds.states


def test_what_was_sent_with_too_little_to_send_spoils_no_round() -> None:
    rounds = filled()
    for _ in range(6):
        rounds.play_until(UP)
        rounds.play_until(CRUISE)
        for _ in range(3):
            rounds.play(4e5, app_limited=True)
            rounds.play(1e6)
    assert rounds.c.max_bw == pytest.approx(1e6)


@pytest.mark.parametrize(("size", "rtt", "bound"), [
    # No queue, and as much as a burst may be; more; as little as ever beside a queue.
    (9 * MTU, RTT, False), (20 * MTU, RTT, True), (2 * MTU, 1.3 * RTT, True),
])  # fmt: skip
def test_losses_are_congestion_where_a_queue_shows_or_when_they_are_many(size: int, rtt: float, bound: bool) -> None:
    rounds = filled()
    lose(rounds, size, rtt, 8e5)
    lose(rounds, size, rtt, 8e5)
    assert (rounds.c.bw < 0.99e6) == bound


def test_where_no_queue_would_show_bursts_of_loss_are_congestion() -> None:
    rounds = filled()
    rounds.play_until(UP)
    # The path bears a tenth more than it holds: round trips never get long.
    rounds.c.on_lost(rounds.run(MTU, 110_000), 12_000, rounds.now)
    assert rounds.c.inflight_longterm < bbr_model.QUEUED * 1e5
    for _ in range(3):
        lose(rounds, 5 * MTU, rate=8e5)
    assert rounds.c.bw < 0.9e6


def test_steady_losses_are_learnt_in_the_first_round_trips() -> None:
    rounds = filled()
    for _ in range(3):
        lose(rounds, 3 * MTU)
    assert not rounds.c._is_too_much(4_000, 100_000)
    assert rounds.c._is_too_much(9_000, 100_000)
    for _ in range(100):
        rounds.play(1e6, remaining=10_000)
    assert rounds.c._is_too_much(2_500, 100_000)


@pytest.mark.parametrize(
    ("lost", "delivered", "trains"), [(9, 1, False), (3, 1, False), (2, 1, True), (2, 18, True), (9, 40, True)]
)
def test_trains_are_given_up_where_most_of_little_is_lost(lost: int, delivered: int, trains: bool) -> None:
    rounds = Rounds()
    rounds.play(delivered * MTU / RTT)
    rounds.c.on_lost(rounds.run(lost * MTU, lost * MTU), lost * MTU, rounds.now)
    rounds.play(delivered * MTU / RTT)
    assert rounds.c.trains == trains
    assert rounds.c.inflight_longterm == UNBOUNDED
