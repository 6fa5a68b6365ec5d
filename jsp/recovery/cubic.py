# cython: language_level=3, annotation_typing=False, nonecheck=True
"""CUBIC (RFC 9438) that leaves slow start by HyStart++ (RFC 9406).

After a loss the window grows along a cubic curve of the time since: fast back towards where the loss was, slowly
past it, then fast again; never slower than Reno would. The RFC counts segments, this module bytes.

One thing is added: past the last loss, while a queue holds `DEEP_QUEUE` - 1 times what the path does, the curve's time
stands still and Reno's growth is left. Falling to BETA keeps such a path full, and nothing else limits us there before
seconds are queued: the kernel's TCP ends at its socket's buffers.
"""

from __future__ import annotations

import math

from jsp.recovery.controller import PACING_GAIN, AckSample, Controller
from jsp.recovery.hystart import HyStart

C = 0.4  # datagrams a second cubed
BETA = 0.7
_C = C
_BETA = BETA
_GAIN = PACING_GAIN
# RFC 9438 4.3: what lets a Reno window that falls to BETA be as large as one that falls to a half, on average.
_ALPHA = 3 * (1 - BETA) / (1 + BETA)
DEEP_QUEUE = 4.0  # round trips, of the shortest
_DEEP = DEEP_QUEUE
_GROWTH_MAX = 1.5  # of the window, a round trip: section 4.2


class Cubic(Controller):
    """The names of section 4.1.2: `_k` (seconds), `_w_max`, `_w_est`, `_prior` (cwnd_prior), in bytes."""

    __slots__ = (
        "_epoch", "_fraction", "_hystart", "_k", "_last", "_prior", "_rtt", "_shortest", "_shortest_before",
        "_threshold", "_undo", "_undo_hystart", "_w_est", "_w_max",
    )  # fmt: skip

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self._hystart: HyStart | None = HyStart()
        self._threshold = math.inf
        self._w_max = 0.0
        self._w_est = 0.0
        self._k = 0.0
        self._prior = 0.0
        # When the present congestion avoidance stage began; the time of ACKs that had no say is taken out of it.
        self._epoch = -1.0
        self._last = 0.0
        self._rtt = 0.0
        # Since the last congestion event, and in the time before: a path that has become longer shows after two.
        self._shortest = self._shortest_before = math.inf
        self._fraction = 0.0
        self._undo: tuple[float, ...] | None = None
        self._undo_hystart: HyStart | None = None

    def pacing_rate(self, smoothed_rtt: float) -> float:
        if self._hystart is not None and self._hystart.conservative:
            # Room enough for a quarter more; bursts of twice as much would hide whether a queue stands.
            return _GAIN * self.window / max(smoothed_rtt, 1e-6)
        return Controller.pacing_rate(self, smoothed_rtt)  # super() needs a cell that compiled methods have not

    def on_ack(self, sample: AckSample) -> None:
        since = sample.now - self._last
        self._last = sample.now
        if sample.rtt > 0:
            self._rtt = sample.rtt
            self._shortest = min(self._shortest, sample.rtt)
        if self._hystart is not None and self._hystart.on_ack(sample.rtt, sample.prior_delivered, sample.delivered):
            self._leave_slow_start()
        if sample.peak < self.window // 2:
            # RFC 9438 5.8: an underused window says nothing about the path, and such time does not count.
            if self._epoch >= 0:
                self._epoch += since
        elif sample.fresh:
            if self.slow_start:
                self.window += sample.fresh if self._hystart is None else self._hystart.growth(sample.fresh)
                self.slow_start = self.window < self._threshold
            else:
                if self._epoch >= 0 and self.window >= self._w_max and self._is_deep():
                    self._epoch += since
                self._avoid(sample.fresh, sample.now)

    def _is_deep(self) -> bool:
        """Whether the queue holds several times what the path does."""
        return self._rtt > _DEEP * min(self._shortest, self._shortest_before)

    def _leave_slow_start(self) -> None:
        """HyStart++ saw the queue grow (RFC 9438 section 4.10)."""
        self._hystart = None
        self._threshold = self._w_max = self._prior = self.window
        self._k = 0.0
        self.slow_start = False

    def _avoid(self, acked: int, now: float) -> None:
        """Congestion avoidance: Figure 1 and section 4.3."""
        window = self.window + self._fraction
        if self._epoch < 0:
            self._epoch = now
            self._w_est = window
        t = now - self._epoch
        self._w_est += (_ALPHA if self._w_est < self._prior else 1.0) * self.datagram * acked / window
        if self.window_at(t) < self._w_est:
            window = max(window, self._w_est)
        else:
            target = max(window, min(self.window_at(t + self._rtt), _GROWTH_MAX * window))
            window += (target - window) * acked / window
        self.window = int(window)
        self._fraction = window - self.window

    def window_at(self, t: float) -> float:
        """W_cubic(t): bytes, `t` seconds into congestion avoidance."""
        away = t - self._k
        return _C * self.datagram * away * away * away + self._w_max

    def on_congestion_event(self, now: float) -> None:
        self._shortest_before = self._shortest
        self._shortest = math.inf
        self._undo = (
            self.window, self._threshold, self._w_max, self._w_est, self._k, self._prior, self._epoch, self._fraction
        )  # fmt: skip
        self._undo_hystart, self._hystart = self._hystart, None
        window = self.window
        # Section 4.7: whoever is met below its last maximum makes room for newcomers.
        self._w_max = window * (1 + _BETA) / 2 if window < self._w_max else window
        self._prior = window
        self.window = max(int(window * _BETA), self.minimum_window())
        self._threshold = self.window
        self._start_stage()

    def on_spurious_loss(self) -> None:
        """Section 4.9.2: as if nothing had happened, unless the window is past that already."""
        undo = self._undo
        if undo is None or self.window >= undo[0]:
            return
        self.window = int(undo[0])
        _, self._threshold, self._w_max, self._w_est, self._k, self._prior, self._epoch, self._fraction = undo
        self._hystart = self._undo_hystart
        self._undo = self._undo_hystart = None
        self.slow_start = self.window < self._threshold

    def on_restart(self, now: float) -> None:
        # RFC 9438 5.8: nor does time count in which nothing was under way.
        if self._epoch >= 0:
            self._epoch += now - self._last
        self._last = now

    def on_resume(self, window: int) -> bool:
        if self.slow_start:
            self.window = max(self.window, window)
        return self.slow_start

    def on_resume_failed(self, window: int) -> None:
        self._undo = None
        self.window = window
        self._threshold = self._w_max = self._prior = window
        self._start_stage()

    def on_persistent_congestion(self) -> None:
        Controller.on_persistent_congestion(self)  # super() needs a cell that compiled methods have not
        self.slow_start = self.window < self._threshold
        self._undo = self._undo_hystart = None
        self._epoch = -1.0
        self._fraction = 0.0

    def on_datagram_size(self, size: int) -> None:
        # The curve is one of datagrams: larger ones take it faster, from where it is now.
        scale = (self.datagram / size) ** (1 / 3)
        self._k *= scale
        if self._epoch >= 0:
            self._epoch = self._last - (self._last - self._epoch) * scale
        Controller.on_datagram_size(self, size)

    def _start_stage(self) -> None:
        self.slow_start = False
        self._epoch = -1.0
        self._fraction = 0.0
        # Section 4.2: the time the curve takes from this window back to `_w_max`.
        self._k = (max(0.0, self._w_max - self.window) / (_C * self.datagram)) ** (1 / 3)
