# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What BBR knows of a path (draft-ietf-ccwg-bbr section 5.5): what it delivers, how long that takes, what it bears.

Some things are added to the draft. Losses that go on where a queue would show, and none does, are the path's own and
no congestion (`_ambient`). A path that drops most of an initial window, because its queue has no room for trains, gets
its datagrams one by one (`trains`). Of the rates that a round trip's ACKs show, the best quarter is passed over. And
where a round trip as short as the shortest has just been seen there is no ProbeRTT.
"""

from __future__ import annotations

import math

from jsp.recovery.controller import AckSample, Controller, initial_window
from jsp.recovery.sent import SentRun

LOSS_THRESHOLD = 0.02
BETA = 0.7
_LOSS, _BETA = LOSS_THRESHOLD, BETA
# What a path may lose by itself: on the average, and in one round trip, for such losses come in bursts. More is a
# queue that overflows all the time, or not worth keeping full.
AMBIENT_LOSS_MAX = 0.05
BURST_LOSS_MAX = 0.1
_AMBIENT_MAX, _BURST_MAX = AMBIENT_LOSS_MAX, BURST_LOSS_MAX
QUEUED = 1.25  # round trips so much longer than the shortest show a queue
_QUEUED = QUEUED
_AMBIENT_UP, _AMBIENT_DOWN = 1 / 16, 1 / 8
# Trains are lost where half of what left in a round trip was, of little.
TRAIN_LOSS = 0.5
TRAIN_DATAGRAMS_LOST = 3
_TRAIN_LOSS, _TRAIN_LOST = TRAIN_LOSS, TRAIN_DATAGRAMS_LOST
# What is no farther apart left together; of so many departures it is known that something arrived.
SAME_TIME_S = 1e-6
ARRIVALS = 8
_SAME, _ARRIVALS = SAME_TIME_S, ARRIVALS

# Round trips hardly longer than the shortest confirm it, for a while: what if all were behind the same queue?
CONFIRMED = 1 + 1 / 64
CONFIRMED_FOR_S = 30.0
_CONFIRMED, _CONFIRMED_FOR = CONFIRMED, CONFIRMED_FOR_S
MIN_RTT_FILTER_S = 10.0
PROBE_RTT_INTERVAL_S = 5.0
_MIN_RTT_FILTER, _RTT_INTERVAL = MIN_RTT_FILTER_S, PROBE_RTT_INTERVAL_S
_GROUPS = 64  # of ACKs at the most, in a round trip
_EXTRA_ACKED_ROUNDS = 5  # in each of two halves of the filter
UNBOUNDED = 1 << 62
_UNBOUNDED = UNBOUNDED
_NEVER = math.inf


class BbrModel(Controller):
    """Attributes:
    max_bw: the most the path delivered in a round trip of this probing cycle or the one before, bytes a second.
    bw: the rate that fits the path for now; `max_bw` unless losses bound it.
    min_rtt: shortest round trip of ten seconds.
    inflight_longterm: bytes under way that the path was seen to bear; `UNBOUNDED` before it lost too much.
    """

    __slots__ = (
        "_ambient", "_arrived", "_bw_before", "_bw_cycle", "_bw_latest", "_bw_round", "_bw_shortterm", "_calm_rounds",
        "_extra_acked", "_extra_before", "_extra_delivered", "_extra_half", "_extra_start", "_filled",
        "_inflight_latest", "_inflight_shortterm", "_loss_events", "_loss_round_delivered", "_loss_round_start",
        "_lost_behind", "_lost_in_round", "_marked", "_min_rtt_time", "_next_round", "_probe_rtt_delay",
        "_probe_rtt_expired", "_probe_rtt_set", "_probe_rtt_time", "_rates", "_rates_time", "_round",
        "_round_delivered", "_round_start", "_rounds_since_probe", "_rtt_latest", "bw", "inflight_longterm", "max_bw",
        "min_rtt",
    )  # fmt: skip

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self.max_bw = self.bw = 0.0
        self._bw_before = self._bw_cycle = self._bw_latest = self._bw_round = 0.0
        self._bw_shortterm = _NEVER
        # What the ACKs of this round trip said.
        self._rates: list[float] = []
        self._rates_time = 0.0
        self.inflight_longterm = self._inflight_shortterm = _UNBOUNDED
        self._inflight_latest = 0
        self._round = self._next_round = self._round_delivered = self._rounds_since_probe = 0
        self._round_start = self._loss_round_start = self._filled = False
        self._loss_events = self._lost_in_round = self._loss_round_delivered = 0
        # Of those, bytes that left together with what arrived; and when that left, the latest last.
        self._lost_behind = 0
        self._arrived: list[float] = []
        self._marked = False
        self._ambient = 0.0
        self._calm_rounds = 0
        self.min_rtt = self._probe_rtt_delay = self._rtt_latest = _NEVER
        self._min_rtt_time = self._probe_rtt_time = self._probe_rtt_set = 0.0
        self._probe_rtt_expired = False
        self._extra_acked = self._extra_before = self._extra_delivered = self._extra_half = 0
        self._extra_start = 0.0

    def _bdp(self, bw: float) -> int:
        return self.window if self.min_rtt == _NEVER else int(bw * self.min_rtt)

    # --- what is delivered -------------------------------------------------------------------------------------

    def _update_round(self, sample: AckSample) -> None:
        self._round_start = sample.prior_delivered >= self._next_round
        if self._round_start:
            self._round += 1
            self._rounds_since_probe += 1
            self._next_round = sample.delivered

    def _update_max_bw(self, sample: AckSample) -> None:
        rate = sample.rate
        if self._round_start and self._rates:
            # An ACK that was late makes those that follow seem to come fast: of a round the best are passed over.
            self._rates.sort()
            self._take_bw(self._rates[(3 * len(self._rates) - 1) // 4])
            self._rates = []
        if rate >= self.max_bw or not sample.app_limited:
            if not self._filled:
                self._take_bw(rate)
            elif self._rates and sample.now < self._rates_time + self.min_rtt / _GROUPS:
                # ACKs that come together: only the last of them tells of all that they bring.
                self._rates[-1] = max(self._rates[-1], rate)
            else:
                self._rates.append(rate)
                self._rates_time = sample.now
        self._bw_round = max(self._bw_round, rate)

    def _take_bw(self, rate: float) -> None:
        self._bw_cycle = max(self._bw_cycle, rate)
        self.max_bw = max(self._bw_before, self._bw_cycle)

    def _update_ack_aggregation(self, sample: AckSample) -> None:
        expected = self.bw * (sample.now - self._extra_start)
        if self._extra_delivered <= expected:
            self._extra_delivered = 0
            self._extra_start = sample.now
            expected = 0.0
        self._extra_delivered += sample.acked
        extra = min(self._extra_delivered - int(expected), self.window)
        if self._filled and self._round < self._extra_half + _EXTRA_ACKED_ROUNDS:
            self._extra_acked = max(self._extra_acked, extra)
        else:
            self._extra_before = self._extra_acked if self._filled else 0
            self._extra_acked = extra
            self._extra_half = self._round

    def _update_min_rtt(self, sample: AckSample) -> None:
        now, rtt = sample.now, sample.rtt
        self._probe_rtt_expired = self._probe_rtt_time > 0 and now > self._probe_rtt_time + _RTT_INTERVAL
        if rtt > 0 and (rtt < self._probe_rtt_delay or self._probe_rtt_expired):
            self._probe_rtt_delay = rtt
            self._probe_rtt_time = self._probe_rtt_set = now
        elif 0 < rtt <= self._probe_rtt_delay * _CONFIRMED and now < self._probe_rtt_set + _CONFIRMED_FOR:
            # No queue has come since, so there is no need to stop for one.
            self._probe_rtt_time = now
        if self._probe_rtt_delay < self.min_rtt or now > self._min_rtt_time + _MIN_RTT_FILTER:
            self.min_rtt = self._probe_rtt_delay
            self._min_rtt_time = self._probe_rtt_time

    # --- what is lost ------------------------------------------------------------------------------------------

    def _update_latest_signals(self, sample: AckSample) -> None:
        self._loss_round_start = False
        self._bw_latest = max(self._bw_latest, sample.rate)
        self._inflight_latest = max(self._inflight_latest, sample.delivered - sample.prior_delivered)
        if sample.rtt > 0:
            self._arrived = [*self._arrived[1 - _ARRIVALS :], sample.now - sample.rtt]
            self._rtt_latest = min(self._rtt_latest, sample.rtt)
        if sample.prior_delivered >= self._loss_round_delivered:
            self._loss_round_delivered = sample.delivered
            self._loss_round_start = True

    def _advance_latest_signals(self, sample: AckSample) -> None:
        self._bw_latest = sample.rate
        self._rtt_latest = _NEVER
        self._inflight_latest = sample.delivered - sample.prior_delivered
        self._forget_losses()
        self._round_delivered = sample.delivered

    def _forget_losses(self) -> None:
        self._loss_events = self._lost_in_round = self._lost_behind = 0
        self._marked = False

    def _has_arrived_from(self, time: float) -> bool:
        """Whether something arrived of what left at `time`."""
        for departure in self._arrived:
            if abs(time - departure) < _SAME:
                return True
        return False

    def _drops_trains(self, delivered: int) -> bool:
        """Whether a round trip that `delivered` so few bytes lost what a queue with room for trains would have kept.

        An outage loses all that leaves together; a queue without room does not lose the first.
        """
        sent = delivered + self._lost_in_round
        few = sent <= 2 * initial_window(self.datagram)
        return few and self._lost_behind >= max(_TRAIN_LOST * self.datagram, _TRAIN_LOSS * sent)

    def _are_the_paths_own(self, delivered: int) -> bool:
        """Whether the losses of a round trip of cruising, which `delivered` so many bytes, are no congestion.

        A queue would show where the path bears more than what makes round trips long; and a queue that overflows makes
        all of them long, not only those that jitter or a late ACK has lengthened.
        """
        if self._rtt_latest > self.min_rtt * _QUEUED:
            return False
        lost = self._lost_in_round / (delivered + self._lost_in_round)
        change = min(lost, _AMBIENT_MAX) - self._ambient
        if self.inflight_longterm <= _QUEUED * self._bdp(self.max_bw):
            # Believed slowly and forgotten faster: congestion leaves round trips without losses between.
            self._ambient += change * (_AMBIENT_UP if change > 0 else _AMBIENT_DOWN)
            return False
        self._calm_rounds += 1
        self._ambient += change * max(_AMBIENT_UP, 1 / self._calm_rounds)
        return lost <= _BURST_MAX

    def _adapt_lower_bounds(self, delivered: int) -> None:
        """BBRAdaptLowerBoundsFromCongestion, at the end of a round trip that `delivered` so many bytes."""
        own = 2 * self._ambient * delivered + 2 * self.datagram * (self._ambient > 0)
        if self._lost_in_round <= own and not self._marked:
            return
        if self._bw_shortterm == _NEVER:
            self._bw_shortterm = self.max_bw
        if self._inflight_shortterm == _UNBOUNDED:
            self._inflight_shortterm = self.window
        self._bw_shortterm = max(self._bw_latest, _BETA * self._bw_shortterm)
        self._inflight_shortterm = max(self._inflight_latest, int(_BETA * self._inflight_shortterm))

    def _reset_lower_bounds(self) -> None:
        self._bw_shortterm = _NEVER
        self._inflight_shortterm = _UNBOUNDED

    def _is_too_much(self, lost: int, in_flight: int) -> bool:
        """IsInflightTooHigh."""
        return lost > in_flight * (_LOSS + 2 * self._ambient)

    def _inflight_at_loss(self, run: SentRun, lost_since: int) -> int:
        """BBRInflightAtLoss: how much was under way when losses went beyond the threshold."""
        before = run.in_flight - run.total
        lost_before = lost_since - run.total
        threshold = _LOSS + 2 * self._ambient
        return before + int(max(0.0, threshold * before - lost_before) / (1 - threshold))
