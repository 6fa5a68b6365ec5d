# cython: language_level=3, annotation_typing=False, nonecheck=True
"""NewReno (RFC 9002 section 7 and appendix B)."""

from __future__ import annotations

import math

from jsp.recovery.controller import AckSample, Controller

_LOSS_REDUCTION = 0.5


class NewReno(Controller):
    """Slow start, then one datagram a round trip; half the window on loss, once a round trip."""

    __slots__ = ("_credit", "_threshold", "_undo_threshold", "_undo_window")

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self._threshold = self._undo_threshold = math.inf
        self._undo_window = 0
        self._credit = 0

    def on_ack(self, sample: AckSample) -> None:
        # RFC 9002 7.8: an underused window says nothing about the path.
        if not sample.fresh or sample.peak < self.window // 2:
            return
        if self.slow_start:
            self.window += sample.fresh
            self.slow_start = self.window < self._threshold
            return
        self._credit += sample.fresh
        if self._credit >= self.window:
            self._credit -= self.window
            self.window += self.datagram

    def on_congestion_event(self, now: float) -> None:
        self._undo_window = self.window
        self._undo_threshold = self._threshold
        self.window = max(int(self.window * _LOSS_REDUCTION), self.minimum_window())
        self._threshold = self.window
        self.slow_start = False
        self._credit = 0

    def on_spurious_loss(self) -> None:
        if self.window < self._undo_window:
            self.window = self._undo_window
            self._threshold = self._undo_threshold
            self.slow_start = self.window < self._threshold

    def on_resume(self, window: int) -> bool:
        if self.slow_start:
            self.window = max(self.window, window)
        return self.slow_start

    def on_resume_failed(self, window: int) -> None:
        self.window = self._undo_window = window
        self._threshold = window

    def on_persistent_congestion(self) -> None:
        Controller.on_persistent_congestion(self)  # super() needs a cell that compiled methods have not
        self.slow_start = self.window < self._threshold
        self._credit = 0
