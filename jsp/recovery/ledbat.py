# cython: language_level=3, annotation_typing=False, nonecheck=True
"""LEDBAT++: transfers in the background, which make way for everybody else (draft-irtf-iccrg-ledbat-plus-plus).

It keeps at most `TARGET_S` queued, far less than flows that go on until something is lost, and from time to time it
nearly stops, to see how long the round trip is without its own packets.
"""

from __future__ import annotations

import math

from jsp.recovery.controller import AckSample, Controller

TARGET_S = 0.06
_TARGET = TARGET_S
_GAIN_DIVISOR_MAX = 16
# Slow start ends at this part of the target.
_EXIT = 0.75
BASE_MINUTES = 10
_BASE_MINUTES = BASE_MINUTES
_MINUTE_S = 60.0
_FILTER = 4
_SLOW_ROUND_TRIPS = 2
# How much longer than a slowdown the time between two lasts: they cost a tenth of the rate.
SLOWDOWN_RATIO = 9
_RATIO = SLOWDOWN_RATIO
_NEVER = math.inf


class Ledbat(Controller):
    """Attributes:
    base: the shortest round trip of the last ten minutes, seconds.
    queued: how much longer the present one is.
    """

    __slots__ = (
        "_current", "_fraction", "_held_until", "_initial", "_last", "_minima", "_minute", "_slowdown_at",
        "_slowdown_start", "_threshold", "_undo", "base", "queued",
    )  # fmt: skip

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self.base = _NEVER
        self.queued = 0.0
        self._minima: list[float] = []
        self._minute = 0.0
        self._current: list[float] = []
        self._threshold = _NEVER
        self._fraction = 0.0
        self._initial = True
        self._slowdown_at = _NEVER
        self._slowdown_start = -1.0
        self._held_until = 0.0
        self._last = 0.0
        self._undo: tuple[float, ...] | None = None

    def on_ack(self, sample: AckSample) -> None:
        now = sample.now
        since = now - self._last
        self._last = now
        if sample.rtt > 0:
            self._on_round_trip(sample.rtt, now)
        if now >= self._slowdown_at:
            self._slow_down(now)
        if now < self._held_until or not sample.fresh:
            return
        if sample.peak < self.window // 2:
            self._pass(since)
            return
        if not self.slow_start:
            self._avoid(sample.fresh)
            return
        self._widen(self.gain() * sample.fresh)
        if self._initial and self.queued > _EXIT * _TARGET:
            self._threshold = self.window
        if self.window >= self._threshold:
            self._leave_slow_start(now)

    def _pass(self, seconds: float) -> None:
        """There was no use for the window: what a slowdown costs is not that long."""
        if self._slowdown_start >= 0:
            self._slowdown_start += seconds

    def gain(self) -> float:
        """How much of what Reno would add is added: less on short paths, where Reno is fast."""
        if self.base == _NEVER:
            return 1.0
        return 1 / min(_GAIN_DIVISOR_MAX, math.ceil(2 * _TARGET / max(self.base, 1e-6)))

    def _on_round_trip(self, rtt: float, now: float) -> None:
        if not self._minima or now >= self._minute + _MINUTE_S:
            self._minute = now
            self._minima = [*self._minima[1 - _BASE_MINUTES :], rtt]
        elif rtt < self._minima[-1]:
            self._minima[-1] = rtt
        self.base = min(self._minima)
        self._current = [*self._current[1 - _FILTER :], rtt]
        self.queued = min(self._current) - self.base

    def _widen(self, size: float) -> None:
        """Add `size` bytes, which may be negative."""
        window = self.window + self._fraction + size
        window = max(window, float(self.minimum_window()))
        self.window = int(window)
        self._fraction = window - self.window

    def _avoid(self, acked: int) -> None:
        """Section 4.2: additive increase below the target, a decrease by the excess above it, per round trip."""
        change = self.gain() * self.datagram
        if self.queued > _TARGET:
            change = max(change - self.window * (self.queued / _TARGET - 1), -self.window / 2)
        self._widen(change * acked / self.window)

    def _leave_slow_start(self, now: float) -> None:
        self.slow_start = False
        if self._initial:
            self._initial = False
            self._slowdown_at = now + _SLOW_ROUND_TRIPS * (self.base + self.queued)
        elif self._slowdown_start >= 0:
            self._slowdown_at = now + _RATIO * (now - self._slowdown_start)
            self._slowdown_start = -1.0

    def _slow_down(self, now: float) -> None:
        """Section 4.4: two datagrams for two round trips, then slow start up to where it was."""
        self._slowdown_at = _NEVER
        self._slowdown_start = now
        self._undo = None
        self._threshold = self.window
        self.window = self.minimum_window()
        self._fraction = 0.0
        self._held_until = now + _SLOW_ROUND_TRIPS * (self.base + self.queued)
        self.slow_start = True

    def on_restart(self, now: float) -> None:
        self._pass(now - self._last)
        self._last = now

    def on_spurious_loss(self) -> None:
        undo = self._undo
        if undo is None or self.window >= undo[0]:
            return
        self.window = int(undo[0])
        _, self._threshold, self._slowdown_at, self._slowdown_start = undo
        self._initial = self._threshold == _NEVER
        self.slow_start = self.window < self._threshold
        self._undo = None

    def on_congestion_event(self, now: float) -> None:
        if now < self._held_until:
            # What left before a slowdown: it comes back to less, but as fast as ever.
            self._threshold = max(self._threshold / 2, self.minimum_window())
            return
        self._undo = (self.window, self._threshold, self._slowdown_at, self._slowdown_start)
        self.window = max(self.window // 2, self.minimum_window())
        self._fraction = 0.0
        self._threshold = self.window
        self._leave_slow_start(now)

    def on_persistent_congestion(self) -> None:
        Controller.on_persistent_congestion(self)  # super() needs a cell that compiled methods have not
        self._undo = None
        self._fraction = 0.0
        self.slow_start = self.window < self._threshold
