"""BBR's states and bounds against draft-ietf-ccwg-bbr, one ACK at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import Config
from jsp.recovery import bbr
from jsp.recovery.bbr import CRUISE, DOWN, DRAIN, PROBE_RTT, REFILL, STARTUP, UP, Bbr
from jsp.recovery.controller import AckSample
from jsp.recovery.sent import SentRun, make_run
from tests.profiles import examples
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected

MTU = 1000
RTT = 0.1


class Rounds:
    """Plays round trips of one ACK each: `rate` bytes a second delivered while the window was in use."""

    def __init__(self) -> None:
        self.c = Bbr(MTU)
        self.now = 1.0
        self.delivered = 0
        self.in_flight = self.c.window
        self.states: list[int] = []

    def play(
        self,
        rate: float,
        rtt: float = RTT,
        *,
        app_limited: bool = False,
        lost: int = 0,
        remaining: int | None = None,
        prior_delivered: int | None = None,
    ) -> None:
        c = self.c
        self.now += rtt
        sample = AckSample()
        sample.now, sample.rtt, sample.rate, sample.app_limited = self.now, rtt, rate, app_limited
        sample.acked = sample.fresh = max(1, int(rate * rtt))
        sample.prior_delivered = self.delivered if prior_delivered is None else prior_delivered
        self.delivered += sample.acked
        sample.delivered = self.delivered
        sample.lost_since = lost
        sample.remaining = max(0, c.window - sample.acked) if remaining is None else remaining
        sample.in_flight = sample.prior_in_flight = min(c.window, sample.remaining + sample.acked)
        c.on_ack(sample)
        self.states.append(c.state)

    def run(self, size: int, in_flight: int, app_limited: bool = False) -> SentRun:
        run = make_run(0, 1, size, size, self.now - RTT)
        run.in_flight, run.app_limited, run.delivered = in_flight, app_limited, self.delivered
        return run

    def play_until(self, state: int, rate: float = 1e6, limit: int = 200) -> None:
        """Round trips on a path of `rate` with nothing queued, until BBR is in `state`."""
        while self.c.state != state:
            self.play(rate, remaining=int(rate * RTT * 0.1))
            limit -= 1
            assert limit, f"still in {self.c.state}"


def filled() -> Rounds:
    """A flow that found a path of 1 MB/s with a round trip of 0.1 s, and cruises."""
    rounds = Rounds()
    for rate in (1e5, 2e5, 4e5, 8e5, 1e6):
        rounds.play(rate)
    rounds.play_until(CRUISE)
    return rounds


def test_startup_paces_at_2_77_times_what_was_delivered() -> None:
    rounds = Rounds()
    assert rounds.c.state == STARTUP
    for rate in (1e5, 2e5, 4e5):
        rounds.play(rate)
        assert rounds.c.pacing_rate(RTT) == pytest.approx(bbr.STARTUP_PACING_GAIN * bbr.PACING_MARGIN * rate)
    assert rounds.c.slow_start
    # Twice the bandwidth-delay product may be under way.
    assert rounds.c.window <= 2 * 4e5 * RTT + 20 * MTU


def test_before_anything_is_known_the_initial_window_is_paced() -> None:
    assert Bbr(MTU).pacing_rate(0.1) == pytest.approx(bbr.STARTUP_PACING_GAIN * 10 * MTU / 0.1)


def test_three_rounds_without_a_quarter_more_end_startup() -> None:
    rounds = Rounds()
    for rate in (1e5, 2e5, 4e5, 4.5e5, 4.9e5):
        rounds.play(rate)
    assert rounds.c.state == STARTUP
    rounds.play(4.9e5)
    assert rounds.c.state == DRAIN
    assert rounds.c.pacing_rate(RTT) == pytest.approx(bbr.DRAIN_PACING_GAIN * bbr.PACING_MARGIN * 4.9e5)


def test_rounds_in_which_there_was_too_little_to_send_do_not_end_startup() -> None:
    rounds = Rounds()
    rounds.play(1e5)
    for _ in range(20):
        rounds.play(1e5, app_limited=True)
    assert rounds.c.state == STARTUP


def test_many_losses_end_startup_and_bound_what_is_under_way() -> None:
    rounds = Rounds()
    for rate in (1e5, 2e5, 4e5):
        rounds.play(rate)
    for _ in range(bbr.STARTUP_LOSSES):
        rounds.c.on_lost(rounds.run(MTU, 80_000), MTU, rounds.now)
    rounds.play(7e5, lost=10_000)
    assert rounds.c.state != STARTUP
    assert rounds.c.inflight_longterm == pytest.approx(70_000, rel=0.01)


def test_losses_of_little_that_was_sent_are_no_bound_for_more() -> None:
    rounds = Rounds()
    rounds.play(1e5, app_limited=True)
    for _ in range(2 * bbr.STARTUP_LOSSES):
        rounds.c.on_lost(rounds.run(MTU, 10_000, app_limited=True), MTU, rounds.now)
    rounds.play(1e5, app_limited=True)
    assert (rounds.c.state, rounds.c.inflight_longterm) == (STARTUP, bbr.UNBOUNDED)


def test_drain_ends_when_what_is_under_way_fits_the_path() -> None:
    rounds = Rounds()
    for rate in (1e5, 2e5, 4e5, 4e5, 4e5, 4e5):
        rounds.play(rate, remaining=100_000)
    assert rounds.c.state == DRAIN
    rounds.play(4e5, remaining=41_000)
    assert rounds.c.state == DRAIN
    rounds.play(4e5, remaining=40_000)
    assert rounds.c.state in (DOWN, CRUISE)


def test_drain_ends_after_three_rounds_whatever_is_under_way() -> None:
    rounds = Rounds()
    for rate in (1e5, 2e5, 4e5, 4e5, 4e5, 4e5):
        rounds.play(rate, remaining=100_000)
    for _ in range(bbr.DRAIN_ROUNDS + 1):
        rounds.play(4e5, remaining=100_000)
    assert rounds.c.state == DOWN


def test_the_cycle_of_probing() -> None:
    rounds = filled()
    rounds.states.clear()
    begin = rounds.now
    rounds.play_until(REFILL)
    # Two to three seconds, or 63 rounds.
    assert 1.5 < rounds.now - begin < 3.2
    assert rounds.c.pacing_rate(RTT) == pytest.approx(bbr.PACING_MARGIN * 1e6)
    rounds.play_until(UP)
    assert rounds.c.pacing_rate(RTT) == pytest.approx(1.25 * bbr.PACING_MARGIN * 1e6)
    rounds.play_until(DOWN)
    assert rounds.c.pacing_rate(RTT) == pytest.approx(0.9 * bbr.PACING_MARGIN * 1e6)
    rounds.play_until(CRUISE)
    order = [state for i, state in enumerate(rounds.states) if not i or rounds.states[i - 1] != state]
    assert order == [CRUISE, REFILL, UP, DOWN, CRUISE]


def test_a_short_path_probes_as_often_as_reno_would_lose() -> None:
    rounds = Rounds()
    for _ in range(8):
        rounds.play(5e4)
    rounds.play_until(CRUISE, 5e4)
    begin = rounds.now
    rounds.play_until(REFILL, 5e4)
    assert rounds.now - begin < 10 * RTT


def test_probing_finds_what_has_become_free() -> None:
    rounds = filled()
    rounds.play_until(UP)
    rounds.play(1.25e6)
    rounds.play(1.25e6)
    assert rounds.c.max_bw == pytest.approx(1.25e6)
    assert rounds.c.state == UP


def test_a_probe_that_finds_more_goes_on() -> None:
    rounds = filled()
    rounds.play_until(UP)
    # Packets from before the probe; what a quarter more brings, less the margin.
    rounds.play(0.99e6)
    rounds.play(0.99e6)
    for _ in range(3):
        rounds.play(1.235e6)
        assert rounds.c.state == UP


@pytest.mark.parametrize(("before", "gain"), [(RTT, bbr.DOWN_OWN_QUEUE_GAIN), (1.1 * RTT, None)])
def test_a_queue_of_its_own_ends_probing(before: float, gain: float | None) -> None:
    rounds = filled()
    rounds.play_until(REFILL)
    while rounds.c.state == REFILL:
        rounds.play(1e6, before)
    rounds.play(1e6, before)
    assert rounds.c.state == UP
    rounds.play(1e6, 1.2 * RTT)
    if gain is None:
        assert rounds.c.state == UP, "that of others, who shall not push it aside"
    else:
        assert rounds.c.state == DOWN
        assert rounds.c.pacing_rate(RTT) == pytest.approx(gain * bbr.PACING_MARGIN * 1e6)


def test_what_a_path_delivered_is_forgotten_after_two_cycles() -> None:
    rounds = filled()
    assert rounds.c.max_bw == pytest.approx(1e6)
    for _ in range(3):
        rounds.play_until(UP, 5e5)
        rounds.play_until(CRUISE, 5e5)
    assert rounds.c.max_bw == pytest.approx(5e5)


def test_losses_beyond_two_percent_end_probing_and_bound_what_is_under_way() -> None:
    rounds = filled()
    rounds.play_until(UP)
    run = rounds.run(MTU, 120_000)
    rounds.c.on_lost(run, int(0.019 * 120_000), rounds.now)
    assert (rounds.c.state, rounds.c.inflight_longterm) == (UP, bbr.UNBOUNDED)
    rounds.c.on_lost(run, 4000, rounds.now)
    assert rounds.c.state == DOWN
    # Where the losses passed the threshold, in the last packet's time.
    assert 110_000 < rounds.c.inflight_longterm <= 120_000
    # And not below 0.7 of what the path holds, whatever is lost.
    rounds.play_until(UP)
    rounds.c.on_lost(rounds.run(MTU, 10_000), 9000, rounds.now)
    assert rounds.c.inflight_longterm >= 0.7 * 1e5 - 1


def test_cruising_keeps_headroom_for_others() -> None:
    rounds = filled()
    rounds.play_until(UP)
    rounds.c.on_lost(rounds.run(MTU, 120_000), 12_000, rounds.now)
    bound = rounds.c.inflight_longterm
    rounds.play_until(CRUISE)
    assert rounds.c.window <= 0.85 * bound + 1


def test_losses_while_cruising_bound_the_bandwidth_until_the_next_probe() -> None:
    rounds = filled()
    for _ in range(3):
        rounds.c.on_lost(rounds.run(5 * MTU, 100_000), 5000, rounds.now)
        rounds.play(8e5, rtt=1.3 * RTT)
    assert rounds.c.bw < 1e6
    assert rounds.c.bw == pytest.approx(8e5)
    assert rounds.c.max_bw == pytest.approx(1e6)
    rounds.play_until(REFILL)
    assert rounds.c.bw == pytest.approx(1e6)


def test_losses_of_one_kind_while_nothing_is_queued_are_not_taken_for_congestion() -> None:
    rounds = filled()
    for _ in range(100):
        rounds.c.on_lost(rounds.run(3 * MTU, 100_000), 3 * MTU, rounds.now)
        rounds.play(1e6, lost=3 * MTU, remaining=10_000)
    while rounds.c.state != UP:
        assert rounds.c.bw >= 0.9 * 1e6
        rounds.c.on_lost(rounds.run(3 * MTU, 100_000), 3 * MTU, rounds.now)
        rounds.play(1e6, lost=3 * MTU, remaining=10_000)
    rounds.c.on_lost(rounds.run(MTU, 120_000), int(0.06 * 120_000), rounds.now)
    assert rounds.c.state == UP
    # More than that is congestion all the same.
    rounds.c.on_lost(rounds.run(MTU, 120_000), int(0.12 * 120_000), rounds.now)
    assert rounds.c.state == DOWN


def test_probing_goes_on_while_the_model_is_what_bounds_it() -> None:
    rounds = filled()
    rounds.play_until(UP)
    rounds.c.on_lost(rounds.run(MTU, 80_000), 12_000, rounds.now)
    bound = rounds.c.inflight_longterm
    assert bound <= 80_000
    # A shorter round trip, so that it is not time to probe for that.
    rounds.play(1e6, rtt=0.99 * RTT, remaining=10_000)
    rounds.play_until(UP)
    grown = []
    for _ in range(6):
        # Full windows: twice as much more each round trip, though the rate does not grow.
        rounds.play(8e5, remaining=rounds.c.window)
        grown.append(rounds.c.inflight_longterm - bound)
    assert rounds.c.state == UP
    assert grown == sorted(grown)
    assert grown[-1] > 20 * MTU


def test_a_startup_that_losses_ended_is_checked_soon() -> None:
    rounds = Rounds()
    for rate in (1e5, 2e5, 4e5):
        rounds.play(rate)
    for _ in range(bbr.STARTUP_LOSSES):
        rounds.c.on_lost(rounds.run(MTU, 80_000), MTU, rounds.now)
    rounds.play(7e5, lost=10_000)
    begin = rounds.now
    rounds.play_until(UP, 7e5)
    assert rounds.now - begin < 13 * RTT


def test_startup_goes_on_one_by_one_where_trains_are_lost() -> None:
    rounds = Rounds()
    rounds.play(1e4)
    for _ in range(9):
        rounds.c.on_lost(rounds.run(MTU, 10 * MTU), 9 * MTU, rounds.now)
    rounds.play(1e4)
    assert rounds.c.state == STARTUP
    assert not rounds.c.trains
    for _ in range(2):
        rounds.play(1e4)
    assert rounds.c.state == STARTUP
    rounds.c.on_spurious_loss()
    assert rounds.c.trains


def test_an_outage_is_no_sign_that_trains_are_lost() -> None:
    rounds = filled()
    rounds.play(1e5, app_limited=True)
    rounds.now += 0.2
    whole = rounds.run(10 * MTU, 10 * MTU)
    rounds.c.on_lost(whole, 10 * MTU, rounds.now)
    rounds.play(1e4, app_limited=True)
    assert rounds.c.trains


def test_marks_are_no_sign_of_what_a_path_loses_by_itself() -> None:
    rounds = Rounds()
    for rate in (1e5, 1e5, 2e5):
        rounds.c.on_mark(rounds.now, rounds.now)
        rounds.play(rate)
    assert rounds.c.trains
    rounds = filled()
    while rounds.c.state != UP:
        rounds.c.on_mark(rounds.now, rounds.now)
        rounds.play(1e6, remaining=10_000)
    rounds.c.on_lost(rounds.run(MTU, 120_000), int(0.03 * 120_000), rounds.now)
    assert rounds.c.state == DOWN


def test_marks_while_cruising_bound_the_bandwidth() -> None:
    rounds = filled()
    for _ in range(3):
        rounds.c.on_mark(rounds.now, rounds.now)
        rounds.play(8e5)
    assert rounds.c.bw == pytest.approx(8e5)


def test_the_round_trip_is_probed_when_none_was_as_short_for_five_seconds() -> None:
    rounds = filled()
    rounds.states.clear()
    begin = rounds.now
    while rounds.c.state != PROBE_RTT:
        rounds.play(1e6, rtt=0.12, remaining=150_000)
        assert rounds.now - begin < 6
    assert rounds.now - begin > 3.5
    rounds.play(1e6, rtt=0.12, remaining=150_000)
    assert rounds.c.window <= 0.5 * 1e6 * 0.12 + 1
    before = rounds.now
    while rounds.c.state == PROBE_RTT:
        rounds.play(4e5, rtt=0.1, remaining=40_000)
        assert rounds.now - before < 1
    assert rounds.now - before > bbr.PROBE_RTT_DURATION_S
    assert rounds.c.state == CRUISE
    assert rounds.c.window >= 100_000


def test_the_shortest_round_trip_is_that_of_ten_seconds() -> None:
    rounds = filled()
    assert rounds.c.min_rtt == pytest.approx(0.1)
    begin = rounds.now
    while rounds.now - begin < 25:
        rounds.play(1e6, rtt=0.2, remaining=50_000)
    assert rounds.c.min_rtt == pytest.approx(0.2)


def test_a_restart_paces_at_what_the_path_delivers() -> None:
    rounds = filled()
    rounds.play_until(UP)
    rounds.c.on_restart(rounds.now + 3.0)
    assert rounds.c.pacing_rate(RTT) == pytest.approx(bbr.PACING_MARGIN * 1e6)


def test_a_restart_ends_a_probe_of_the_round_trip_whose_time_is_over() -> None:
    rounds = filled()
    while rounds.c.state != PROBE_RTT:
        rounds.play(1e6, rtt=0.12, remaining=150_000)
    rounds.play(1e6, rtt=0.12, remaining=40_000)
    assert rounds.c.state == PROBE_RTT
    rounds.c.on_restart(rounds.now + 0.1)
    assert rounds.c.state == PROBE_RTT
    rounds.c.on_restart(rounds.now + 2.0)
    assert rounds.c.state == CRUISE
    assert rounds.c.window >= 100_000


def test_losses_of_one_event_that_show_one_after_the_other_are_undone_together() -> None:
    rounds = filled()
    rounds.play_until(UP)
    early, late = rounds.run(MTU, 120_000), rounds.run(MTU, 120_000)
    for run in (early, late):
        rounds.c.on_lost(run, 6000, rounds.now)
        rounds.c.on_congestion(run.time, rounds.now)
        assert rounds.c.inflight_longterm < bbr.UNBOUNDED
    rounds.c.on_spurious_loss()
    assert rounds.c.inflight_longterm == bbr.UNBOUNDED


def test_bursts_do_not_add_up_in_the_window() -> None:
    """What one burst brought more than the model said is no part of the next one's."""
    config = Config(congestion="bbr", max_datagram_size=1472)
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.03, rate=5e6), client_config=config, server_config=config)
    stream = c.open_stream()
    arrived, windows = 0, []
    for burst in range(1, 31):
        stream.send.write(bytes(100_000))
        client.flush(c)
        world.run_for(0.5)
        inner = s.streams.streams[0]
        while data := s.read(inner, 1 << 20):
            arrived += len(data)
            server.flush(s)
        assert arrived == burst * 100_000
        windows.append(c.paths[0].recovery.controller.window)
    assert max(windows[10:]) <= 1.05 * windows[9] < 400_000


def test_persistent_congestion_leaves_four_datagrams() -> None:
    rounds = filled()
    rounds.c.on_persistent_congestion()
    assert rounds.c.window == 4 * MTU
    assert rounds.c.max_bw == pytest.approx(1e6)


def test_losses_that_were_none_are_undone() -> None:
    rounds = filled()
    rounds.play_until(UP)
    rounds.c.on_lost(rounds.run(MTU, 120_000), 12_000, rounds.now)
    assert rounds.c.inflight_longterm < bbr.UNBOUNDED
    rounds.c.on_spurious_loss()
    assert rounds.c.inflight_longterm == bbr.UNBOUNDED


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ack", "ack", "ack", "lost", "collapse", "restart", "spurious"]), st.floats(0, 1)),
    max_size=120,
)


@examples(100)
@given(EVENTS)
def test_whatever_happens_window_and_rate_keep_their_bounds(events: list[tuple[str, float]]) -> None:
    rounds = Rounds()
    c = rounds.c
    for event, x in events:
        if event == "ack":
            rounds.play(x * 1e7, rtt=max(x, 1e-4), app_limited=x < 0.3, lost=int(x * 9000))
        elif event == "lost":
            c.on_lost(rounds.run(int(x * 5000) + 1, int(x * 90_000) + 5001), int(x * 20_000) + 5001, rounds.now)
        elif event == "collapse":
            c.on_persistent_congestion()
        elif event == "restart":
            c.on_restart(rounds.now)
        else:
            c.on_spurious_loss()
        assert isinstance(c.window, int)
        assert c.window >= 4 * MTU
        assert 0 < c.pacing_rate(RTT) < 1e9
