# cython: language_level=3, annotation_typing=False, nonecheck=True
"""How a window that an earlier connection had is tried again (draft-ietf-tsvwg-careful-resume).

Nothing happens before an initial window has arrived without a loss, in about the round trip of then. Then half of
the old window may be under way, paced over a whole round trip, and does not grow until all that was sent under it has
been acknowledged. The first sign of congestion before that ends it: what was seen to arrive counts, and half of that.
"""

from __future__ import annotations

from jsp.recovery.controller import AckSample, Controller, initial_window

# Section 3.2: other round trips mean another path.
_SHORTER, _LONGER = 0.5, 10.0
# What is being done: see whether it is the same path; send more than was seen to arrive; wait for that to arrive.
RECONNAISSANCE, UNVALIDATED, VALIDATING = range(3)
_RECONNAISSANCE, _UNVALIDATED, _VALIDATING = range(3)
_NEVER = float("inf")


class Known:
    """What the last connection over one way found.

    Attributes:
        rtt, minimum: its smoothed and its shortest round trip, seconds.
        window: bytes that were under way without harm.
        time: when that was, seconds.
    """

    __slots__ = ("minimum", "rtt", "time", "window")

    def __init__(self) -> None:
        self.rtt = 0.0
        self.minimum = 0.0
        self.window = 0
        self.time = 0.0


class CarefulResume:
    """Of one path, until it is decided.

    Attributes:
        phase: RECONNAISSANCE, UNVALIDATED or VALIDATING.
        pipe: bytes that the path was seen to hold since the window was widened.
    """

    __slots__ = ("_first", "_jumped", "_known", "_last", "_proven", "_until", "_wide", "_window", "phase", "pipe")

    def __init__(self, known: Known) -> None:
        self.phase = _RECONNAISSANCE
        self.pipe = 0
        self._known = known
        self._wide = known.window // 2
        # The window that nobody doubts, and the one that holds for now.
        self._proven = self._window = 0
        self._first = self._last = 0
        self._jumped = self._until = _NEVER

    def paced_at(self, rate: float, smoothed_rtt: float) -> float:
        """Bytes a second at which data leaves, where the controller says `rate`."""
        if self.phase == _UNVALIDATED:
            return min(rate, self._wide / max(smoothed_rtt, 1e-6))
        return rate

    def on_ack(
        self, controller: Controller, sample: AckSample, smoothed_rtt: float, largest: int, following: int
    ) -> bool:
        """An ACK was told to `controller`. True: nothing is left to be done here.

        `largest`: the highest number acknowledged; `following`: that of the next packet to send.
        """
        if self.phase == _RECONNAISSANCE:
            return self._consider(controller, sample, smoothed_rtt, following)
        self.pipe += sample.acked
        if controller.recovery_start >= self._jumped:
            controller.on_resume_failed(max(self.pipe // 2, initial_window(controller.datagram)))
            self._known.window = controller.window
            return True
        if controller.window < self._window:
            return True  # everything was lost
        if self.phase == _UNVALIDATED and (largest >= self._first or sample.now >= self._until):
            self.phase = _VALIDATING
            self._last = following - 1
            self._window = max(self.pipe, min(sample.in_flight, self._wide), self._proven)
        # Datagrams may have grown meanwhile.
        controller.window = max(self._window, controller.minimum_window())
        return self.phase == _VALIDATING and largest >= self._last

    def _consider(self, controller: Controller, sample: AckSample, smoothed_rtt: float, following: int) -> bool:
        """Whether to go on, which ends the first phase."""
        if controller.recovery_start > -_NEVER or controller.window >= self._wide:
            return True
        if sample.delivered < initial_window(controller.datagram) or sample.rtt == 0:
            return False
        if not _SHORTER * self._known.minimum <= sample.rtt <= _LONGER * self._known.minimum:
            return True
        if sample.peak < controller.window // 2:
            return False  # there is no use for it now
        self._proven = controller.window
        if not controller.on_resume(self._wide):
            return True
        self.phase = _UNVALIDATED
        self._window = self._wide
        self._first = following
        self._jumped = sample.now
        self._until = sample.now + smoothed_rtt
        self.pipe = sample.remaining
        return False
