# cython: language_level=3, annotation_typing=False, nonecheck=True
"""BBR version 3 (draft-ietf-ccwg-bbr): a model of the path, its bandwidth and its round trip, instead of losses.

It paces at what the path was seen to deliver, probes for more every two or three seconds, and keeps a bandwidth-delay
product or two under way. Losses bound the model when they are more than `LOSS_THRESHOLD` of what was under way.

Here are the states; `bbr_model` is what is known of the path. The names are the draft's, bytes and seconds throughout.
"""

from __future__ import annotations

import math

from jsp.recovery.bbr_model import BETA, LOSS_THRESHOLD, QUEUED, UNBOUNDED, BbrModel
from jsp.recovery.controller import AckSample, Controller, initial_window
from jsp.recovery.sent import SentRun

STARTUP, DRAIN, DOWN, CRUISE, REFILL, UP, PROBE_RTT = range(7)
_STARTUP, _DRAIN, _DOWN, _CRUISE, _REFILL, _UP, _PROBE_RTT = range(7)

STARTUP_PACING_GAIN = 2.77
DRAIN_PACING_GAIN = 0.5
_GAIN_STARTUP, _GAIN_DRAIN, _GAIN_DOWN, _GAIN_UP = STARTUP_PACING_GAIN, DRAIN_PACING_GAIN, 0.9, 1.25
DOWN_OWN_QUEUE_GAIN = 0.75
_GAIN_DOWN_OWN = DOWN_OWN_QUEUE_GAIN
_CWND_GAIN, _CWND_GAIN_UP, _CWND_GAIN_PROBE_RTT = 2.0, 2.25, 0.5
PACING_MARGIN = 0.99
_MARGIN = PACING_MARGIN

HEADROOM = 0.15
_LOSS, _BETA, _HEADROOM, _QUEUED = LOSS_THRESHOLD, BETA, HEADROOM, QUEUED

FULL_BW_GROWTH = 1.25
FULL_BW_ROUNDS = 3
# A probe sends a quarter more, less the margin.
_UP_GROWTH = 1.2
STARTUP_LOSSES = 6
_FULL_GROWTH, _FULL_ROUNDS, _STARTUP_LOSSES = FULL_BW_GROWTH, FULL_BW_ROUNDS, STARTUP_LOSSES
DRAIN_ROUNDS = 3
_DRAIN_ROUNDS = DRAIN_ROUNDS

PROBE_RTT_DURATION_S = 0.2
_RTT_DURATION = PROBE_RTT_DURATION_S
PROBE_WAIT_S = 2.0  # and up to a second more
_PROBE_WAIT = PROBE_WAIT_S
_CHECK_ROUNDS = 8
_RENO_ROUNDS_MAX = 63
_UP_ROUNDS_MAX = 30
_MINIMUM_PIPE = 4  # datagrams
_QUANTUM_S, _QUANTUM_MAX = 0.001, 65536
_UNBOUNDED = UNBOUNDED
_NEVER = math.inf
# Round trips of a path whose queue is empty, and of one that a round of probing has begun to fill.
_EMPTY, _QUEUED_OWN = 1.05, 1.15

# What is known of the ACKs now arriving (`_ack_phase`): what they tell was sent in which part of a probe.
_ACKS_INIT, _ACKS_REFILLING, _ACKS_STARTING, _ACKS_FEEDBACK, _ACKS_STOPPING = range(5)


class Bbr(BbrModel):
    """Attributes:
    state: STARTUP, DRAIN, DOWN, CRUISE, REFILL, UP (the phases of ProbeBW) or PROBE_RTT.
    """

    __slots__ = (
        "_ack_phase", "_cwnd_gain", "_cwnd_limited", "_cycle_start", "_drain_round", "_full_bw", "_full_bw_now",
        "_full_bw_rounds", "_idle_restart", "_own_queue", "_pacing_gain", "_prior_window", "_probe_rtt_done",
        "_probe_rtt_round_done", "_probe_samples", "_probe_wait", "_rate", "_undo_bw_shortterm", "_undo_event",
        "_undo_inflight_longterm", "_undo_inflight_shortterm", "_undo_state", "_up_rounds", "state",
    )  # fmt: skip

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self.state = self._undo_state = _STARTUP
        # What the last congestion event found, and `recovery_start` of the one before it.
        self._undo_event = math.nan
        self._undo_bw_shortterm = _NEVER
        self._undo_inflight_longterm = self._undo_inflight_shortterm = _UNBOUNDED
        self._prior_window = 0
        self._rate = 0.0
        self._pacing_gain = _GAIN_STARTUP
        self._cwnd_gain = _CWND_GAIN
        self._cwnd_limited = self._idle_restart = False
        self._full_bw = 0.0
        self._full_bw_rounds = 0
        self._full_bw_now = False
        self._own_queue = False
        self._drain_round = 0
        self._ack_phase = _ACKS_INIT
        self._probe_samples = False
        self._probe_wait = self._cycle_start = 0.0
        self._up_rounds = 0
        self._probe_rtt_round_done = False
        self._probe_rtt_done = 0.0

    # --- what a path asks and tells ----------------------------------------------------------------------------

    def pacing_rate(self, smoothed_rtt: float) -> float:
        if self._rate > 0:
            return self._rate
        return _GAIN_STARTUP * self.window / max(smoothed_rtt, 1e-6)

    def minimum_window(self) -> int:
        return _MINIMUM_PIPE * self.datagram

    def on_ack(self, sample: AckSample) -> None:
        """BBRUpdateOnACK."""
        if sample.in_flight + self.datagram > self.window:
            self._cwnd_limited = True
        self._update_latest_signals(sample)
        self._update_round(sample)
        self._update_max_bw(sample)
        if self._loss_round_start:
            self._judge_losses(sample)
        self._update_ack_aggregation(sample)
        self._check_full_bw(sample)
        self._check_startup_done(sample)
        if self.state == _DRAIN and (
            sample.remaining <= self._inflight(1.0) or self._round > self._drain_round + _DRAIN_ROUNDS
        ):
            self._start_down(sample.now, sample.delivered)
            if self.inflight_longterm < _UNBOUNDED:
                # Losses ended Startup, maybe those of another's probe: what it found is a guess, to be checked as soon
                # as it is known what the path loses by itself.
                self._probe_wait = min(self._probe_wait, _CHECK_ROUNDS * self.min_rtt)
        self._update_cycle(sample)
        self._update_min_rtt(sample)
        self._check_probe_rtt(sample)
        if self._round_start:
            # Only now: the first ACK of a round decides by what limited the one before.
            self._cwnd_limited = False
        if self._loss_round_start:
            self._advance_latest_signals(sample)
        self.bw = min(self.max_bw, self._bw_shortterm)
        self._set_pacing_rate(self._pacing_gain)
        self._set_window(sample)

    def on_lost(self, run: SentRun, lost_since: int, now: float) -> None:
        """BBRHandleLostPacket."""
        if run.time > self.recovery_start and self._undo_event != self.recovery_start:
            # The first loss of an event: nothing has been lowered yet.
            self._undo_event = self.recovery_start
            self._undo_state = self.state
            self._undo_bw_shortterm = self._bw_shortterm
            self._undo_inflight_shortterm = self._inflight_shortterm
            self._undo_inflight_longterm = self.inflight_longterm
        self._loss_events += 1
        self._lost_in_round += run.total
        if self._has_arrived_from(run.time):
            self._lost_behind += run.total
        if self._probe_samples and self._is_too_much(lost_since, run.in_flight):
            self._on_too_much(self._inflight_at_loss(run, lost_since), run.app_limited, now, run.delivered)

    def on_congestion_event(self, now: float) -> None:
        """Losses are told one by one."""

    def on_mark(self, sent_time: float, now: float) -> None:
        """The draft leaves ECN open; a mark counts as losing more than the threshold, once a round trip."""
        if sent_time <= self.recovery_start:
            return
        self.recovery_start = now
        self._loss_events += 1
        self._marked = True
        if self._probe_samples:
            self._on_too_much(self.window, False, now, self._next_round)

    def on_persistent_congestion(self) -> None:
        self._prior_window = max(self._prior_window, self.window)
        Controller.on_persistent_congestion(self)  # super() needs a cell that compiled methods have not

    def on_restart(self, now: float) -> None:
        """BBRHandleRestartFromIdle."""
        self._idle_restart = True
        # Nor does what came before the pause count, which the draft keeps: each burst would add to the window.
        self._extra_delivered = 0
        self._extra_start = now
        if _DOWN <= self.state <= _UP:
            self._set_pacing_rate(1.0)
        elif self.state == _PROBE_RTT and 0 < self._probe_rtt_done < now:
            self._leave_probe_rtt(now, self._next_round)

    def on_spurious_loss(self) -> None:
        """BBRHandleSpuriousLossDetection."""
        self._forget_losses()
        self._undo_event = math.nan
        self._bw_shortterm = max(self._bw_shortterm, self._undo_bw_shortterm)
        self._inflight_shortterm = max(self._inflight_shortterm, self._undo_inflight_shortterm)
        self.inflight_longterm = max(self.inflight_longterm, self._undo_inflight_longterm)
        self.window = max(self.window, self._prior_window)
        self.trains = True
        if self._undo_state == _STARTUP and self.state != _STARTUP and self.state != _PROBE_RTT:
            self._filled = False
            self._rates = []
            self._reset_full_bw(0.0)
            self._enter(_STARTUP, _GAIN_STARTUP, _CWND_GAIN)

    # --- losses, and what may be under way ---------------------------------------------------------------------

    def _judge_losses(self, sample: AckSample) -> None:
        """A round trip is over: what follows from what was lost in it?"""
        delivered = max(1, sample.delivered - self._round_delivered)
        cruises = self.state == _DOWN or self.state == _CRUISE
        # Marks are a queue's: they say nothing of what the path loses by itself, nor of its room for trains.
        if not self._marked:
            if self.trains and self._drops_trains(delivered):
                self.trains = False
                if self.state == _STARTUP:
                    # What was measured is what the path makes of trains.
                    self._reset_full_bw(0.0)
                    self._loss_events = 0
            if cruises and self._are_the_paths_own(delivered):
                return
        if self._loss_events and (cruises or self.state == _DRAIN or self.state == _PROBE_RTT):
            self._adapt_lower_bounds(delivered)

    def _on_too_much(self, in_flight: int, app_limited: bool, now: float, delivered: int) -> None:
        """BBRHandleInflightTooHigh."""
        self._probe_samples = False
        if not app_limited:
            self.inflight_longterm = max(in_flight, int(_BETA * min(self._bdp(self.bw), self.window)))
        if self.state == _UP:
            self._start_down(now, max(delivered, self._next_round))

    def _inflight(self, gain: float) -> int:
        """BBRInflight."""
        return self._with_quantum(gain * self._bdp(self.max_bw))

    def _with_quantum(self, in_flight: float) -> int:
        """BBRQuantizationBudget: enough for trains at the sender and batches at the receiver."""
        quantum = max(min(self._rate * _QUANTUM_S, _QUANTUM_MAX), 2 * self.datagram)
        cap = max(in_flight, 3 * quantum, _MINIMUM_PIPE * self.datagram)
        return int(cap) + (2 * self.datagram if self.state == _UP else 0)

    def _with_headroom(self) -> int:
        """BBRInflightWithHeadroom."""
        if self.inflight_longterm == _UNBOUNDED:
            return _UNBOUNDED
        headroom = max(self.datagram, int(_HEADROOM * self.inflight_longterm))
        return max(self.inflight_longterm - headroom, _MINIMUM_PIPE * self.datagram)

    # --- Startup and Drain -------------------------------------------------------------------------------------

    def _enter(self, state: int, pacing_gain: float, cwnd_gain: float) -> None:
        self.state = state
        self.slow_start = state == _STARTUP
        self._pacing_gain = pacing_gain
        self._cwnd_gain = cwnd_gain

    def _reset_full_bw(self, bw: float) -> None:
        self._full_bw = bw
        self._full_bw_rounds = 0
        self._full_bw_now = False

    def _check_full_bw(self, sample: AckSample) -> None:
        if not self._round_start:
            return
        # The best of the round: a single sample may be none at all.
        rate = self._bw_round
        self._bw_round = 0.0
        if self._full_bw_now or sample.app_limited or self.state == _PROBE_RTT:
            return
        if rate >= self._full_bw * (_UP_GROWTH if self.state == _UP else _FULL_GROWTH):
            self._reset_full_bw(rate)
            return
        self._full_bw_rounds += 1
        if self._full_bw_rounds >= _FULL_ROUNDS:
            self._full_bw_now = self._filled = True

    def _check_startup_done(self, sample: AckSample) -> None:
        if self.state != _STARTUP:
            return
        # Of little that was sent, what arrived is no bound for more.
        if self._loss_round_start and not (self._filled or sample.app_limited):
            self._check_startup_loss()
        if self._filled:
            self._drain_round = self._round
            self._enter(_DRAIN, _GAIN_DRAIN, _CWND_GAIN)

    def _check_startup_loss(self) -> None:
        """BBRCheckStartupHighLoss; losses without a queue must be many, for they may be the path's own."""
        allowed = _LOSS if self._probe_rtt_delay > self.min_rtt * _QUEUED else 4 * _LOSS
        if self._loss_events >= _STARTUP_LOSSES and self._lost_in_round > allowed * self._inflight_latest:
            self._filled = True
            self.inflight_longterm = max(self._bdp(self.max_bw), self._inflight_latest)

    # --- ProbeBW -----------------------------------------------------------------------------------------------

    def _start_down(self, now: float, delivered: int) -> None:
        self._forget_losses()
        self._bw_latest = 0.0
        self._inflight_latest = 0
        # The clock's small digits serve as chance: flows that share a link shall not probe at the same time.
        chance = int(now * 1e6)
        self._rounds_since_probe = chance & 1
        self._probe_wait = _PROBE_WAIT + chance % 1000 / 1000
        self._cycle_start = now
        self._ack_phase = _ACKS_STOPPING
        self._next_round = delivered
        self._enter(_DOWN, _GAIN_DOWN, _CWND_GAIN)

    def _start_refill(self, delivered: int) -> None:
        self._reset_lower_bounds()
        self._up_rounds = 0
        self._ack_phase = _ACKS_REFILLING
        self._next_round = delivered
        self._enter(_REFILL, 1.0, _CWND_GAIN)

    def _start_up(self, sample: AckSample) -> None:
        self._probe_samples = True
        self._ack_phase = _ACKS_STARTING
        self._next_round = sample.delivered
        self._reset_full_bw(sample.rate)
        self._up_rounds = 1
        # A queue that was not there before the probe is its own: it shows that there is no more, and may go quickly.
        self._own_queue = 0 < sample.rtt <= self.min_rtt * _EMPTY
        self._enter(_UP, _GAIN_UP, _CWND_GAIN_UP)

    def _update_cycle(self, sample: AckSample) -> None:
        """BBRUpdateProbeBWCyclePhase."""
        if not self._filled:
            return
        bounded = self._cwnd_limited and self.window >= self.inflight_longterm
        # Whether ACKs tell of packets that the probe sent, and not only of those before them.
        fed = self._round_start and self._ack_phase == _ACKS_FEEDBACK
        self._adapt_longterm(sample, bounded)
        state = self.state
        if state == _DOWN or state == _CRUISE:
            if self._is_time_to_probe(sample.now):
                self._start_refill(sample.delivered)
            elif state == _DOWN and sample.remaining <= min(self._with_headroom(), self._inflight(1.0)):
                self._enter(_CRUISE, 1.0, _CWND_GAIN)
        elif state == _REFILL:
            if self._round_start:
                self._start_up(sample)
        elif state == _UP:
            if self._own_queue and fed and sample.rtt > self.min_rtt * _QUEUED_OWN:
                self._start_down(sample.now, sample.delivered)
                self._pacing_gain = _GAIN_DOWN_OWN
            elif bounded:
                # Bounded by the model, not by the path: growth cannot show yet.
                self._reset_full_bw(sample.rate)
            elif self._full_bw_now:
                self._start_down(sample.now, sample.delivered)

    def _is_time_to_probe(self, now: float) -> bool:
        rounds = min(self._bdp(self.bw), self.window) // self.datagram
        return now > self._cycle_start + self._probe_wait or self._rounds_since_probe >= min(rounds, _RENO_ROUNDS_MAX)

    def _adapt_longterm(self, sample: AckSample, bounded: bool) -> None:
        """BBRAdaptLongTermModel."""
        if self._round_start:
            if self._ack_phase == _ACKS_STARTING:
                self._ack_phase = _ACKS_FEEDBACK
            elif self._ack_phase == _ACKS_STOPPING:
                self._ack_phase = _ACKS_INIT
                self._probe_samples = False
                if _DOWN <= self.state <= _UP and not sample.app_limited and self._bw_cycle > 0:
                    self._bw_before = self._bw_cycle
                    self._bw_cycle = 0.0
        if self.inflight_longterm == _UNBOUNDED or self._is_too_much(sample.lost_since, sample.prior_in_flight):
            return
        if sample.prior_in_flight > self.inflight_longterm:
            self.inflight_longterm = sample.prior_in_flight
        if self.state == _UP and bounded:
            # BBRProbeInflightLongtermUpward: twice as fast each round trip.
            growth = self.datagram << self._up_rounds
            self.inflight_longterm += max(1, int(sample.acked * min(1.0, growth / self.window)))
            if self._round_start:
                self._up_rounds = min(self._up_rounds + 1, _UP_ROUNDS_MAX)

    # --- ProbeRTT ----------------------------------------------------------------------------------------------

    def _check_probe_rtt(self, sample: AckSample) -> None:
        if self.state != _PROBE_RTT:
            if self._probe_rtt_expired and not self._idle_restart:
                self._prior_window = self.window
                self._probe_rtt_done = 0.0
                self._ack_phase = _ACKS_STOPPING
                self._next_round = sample.delivered
                self._enter(_PROBE_RTT, 1.0, _CWND_GAIN_PROBE_RTT)
        elif not self._probe_rtt_done:
            if sample.remaining <= self._probe_rtt_window():
                self._probe_rtt_done = sample.now + _RTT_DURATION
                self._probe_rtt_round_done = False
                self._next_round = sample.delivered
        else:
            self._probe_rtt_round_done = self._probe_rtt_round_done or self._round_start
            if self._probe_rtt_round_done and sample.now > self._probe_rtt_done:
                self._leave_probe_rtt(sample.now, sample.delivered)
        self._idle_restart = False

    def _probe_rtt_window(self) -> int:
        return max(int(_CWND_GAIN_PROBE_RTT * self._bdp(self.bw)), _MINIMUM_PIPE * self.datagram)

    def _leave_probe_rtt(self, now: float, delivered: int) -> None:
        self._probe_rtt_time = now
        self.window = max(self.window, self._prior_window)
        self._reset_lower_bounds()
        if self._filled:
            self._start_down(now, delivered)
            self._enter(_CRUISE, 1.0, _CWND_GAIN)
        else:
            self._enter(_STARTUP, _GAIN_STARTUP, _CWND_GAIN)

    # --- what follows from the model ---------------------------------------------------------------------------

    def _set_pacing_rate(self, gain: float) -> None:
        rate = gain * self.bw * _MARGIN
        if self._filled or rate > self._rate:
            self._rate = rate

    def _set_window(self, sample: AckSample) -> None:
        """BBRSetCwnd."""
        most = self._with_quantum(self._cwnd_gain * self._bdp(self.max_bw) + max(self._extra_acked, self._extra_before))
        window = self.window
        if self._filled:
            window = min(window + sample.acked, most)
        elif window < most or sample.delivered < initial_window(self.datagram):
            window += sample.acked
        cap = self._inflight_shortterm
        if self.state == _PROBE_RTT or self.state == _CRUISE:
            cap = min(cap, self._with_headroom())
        elif _DOWN <= self.state <= _UP:
            cap = min(cap, self.inflight_longterm)
        if self.state == _PROBE_RTT:
            window = min(window, self._probe_rtt_window())
        self.window = max(min(window, cap), _MINIMUM_PIPE * self.datagram)
