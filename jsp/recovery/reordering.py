# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Packets that were taken for lost and arrived after all, and what to learn from them (RFC 9002 section 6.1).

A path that reorders packets makes them look lost. Each that turns up late moves the thresholds far enough that the
next one as late would have been waited for, within bounds; after `CALM_EVENTS` congestion events without one they
are what RFC 9002 says again, as RACK has it (RFC 8985 section 6.2). When all that a congestion event was about has
turned up, it was none.
"""

from __future__ import annotations

from jsp.recovery.sent import SentLedger, SentRun

PACKET_THRESHOLD = 3  # RFC 9002 section 6.1.1
TIME_THRESHOLD = 9 / 8  # section 6.1.2
PACKET_THRESHOLD_MAX = 128
TIME_THRESHOLD_MAX = 2.0  # RFC 8985 section 6.2: one round trip more at most
CALM_EVENTS = 16
_PACKETS, _PACKETS_MAX, _TIME, _TIME_MAX = PACKET_THRESHOLD, PACKET_THRESHOLD_MAX, TIME_THRESHOLD, TIME_THRESHOLD_MAX
_CALM_EVENTS = CALM_EVENTS
# What is remembered of the lost: so many runs, for so many round trips.
_KEPT = 64
_KEPT_ROUND_TRIPS = 3
_MARKED = 1 << 60


class Reordering:
    """Of one path, and its 1-RTT packets only.

    Attributes:
        packets: how many packets later one may be acknowledged before this one is lost.
        time: how many round trips one may take before it is lost, when a later one was acknowledged.
        late, late_bytes: packets that were taken for lost and arrived, in all.
    """

    __slots__ = ("_calm", "_first", "_gone", "_missing", "_until", "late", "late_bytes", "packets", "time")

    def __init__(self) -> None:
        self.packets = _PACKETS
        self.time = _TIME
        self.late = self.late_bytes = 0
        self._gone = SentLedger()
        self._until = 0.0
        # The present congestion event: its first packet, and how many of its packets have not turned up.
        self._first = 0
        self._missing = 0
        self._calm = 0

    def on_lost(self, lost: list[SentRun], event: bool, now: float, rtt: float) -> None:
        """These packets count as lost, and their owners were told. `event`: a congestion event begins with them."""
        gone = self._gone.runs
        if event:
            self._first = lost[0].first
            self._missing = 0
            self._calm += 1
            if self._calm >= _CALM_EVENTS:
                self.packets = _PACKETS
                self.time = _TIME
        for run in lost:
            self._missing += run.count
            # Nobody waits for them any more: only their numbers and times are kept.
            run.owner = None
            run.tokens = ()
            gone.append(run)
        if len(gone) > _KEPT:
            del gone[: len(gone) - _KEPT]
        self._until = now + _KEPT_ROUND_TRIPS * rtt

    def on_mark(self) -> None:
        """The present congestion event began with a congestion mark: no packet that arrives takes that back."""
        self._missing = _MARKED

    def waits(self) -> bool:
        """Whether anything lost is remembered."""
        return bool(self._gone.runs)

    def on_ack(self, starts: list[int], stops: list[int], now: float, rtt: float) -> bool:
        """An ACK arrived (ranges highest first). True when the last congestion event was none."""
        if now > self._until:
            self._gone.runs.clear()
            return False
        late = self._gone.take_acked(starts, stops)
        if not late:
            return False
        count = 0
        for run in late:
            self.late += run.count
            self.late_bytes += run.total
            if run.first >= self._first:
                count += run.count
            self.packets = max(self.packets, min(stops[0] - run.first, _PACKETS_MAX))
            self.time = max(self.time, min((now - run.time) / rtt, _TIME_MAX))
        self._calm = 0
        if not count:
            return False
        self._missing -= count
        return self._missing == 0
