# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What a path asks of its congestion controller, and what it tells it (RFC 9002 section 7).

A controller owns one number, `window`: how many bytes may be in flight on its path. It hears of bytes acknowledged
and lost, once for each ACK, and never of packets or frames. docs/congestion-control.md says how to write one.
"""

from __future__ import annotations

import math

from jsp.recovery.sent import SentRun

MINIMUM_DATAGRAMS = 2  # RFC 9002 section 7.2
_MINIMUM = MINIMUM_DATAGRAMS
# Windows a round trip at which data is paced.
PACING_GAIN = 1.25
_GAIN_SLOW_START, _GAIN = 2.0, PACING_GAIN


class AckSample:
    """What one ACK told of the path. One object serves for every ACK: take from it what is to be kept.

    Attributes:
        now: when the ACK arrived, seconds on the clock of `recovery_start`.
        acked: bytes it acknowledged for the first time.
        fresh: those of them that left after `Controller.recovery_start`; only they may open the window.
        in_flight: bytes under way when it arrived, those included.
        rtt: the round trip it measured, seconds; 0 when it measured none.
        remaining: bytes under way now.
        rate: bytes a second that the path delivered while the newest packet acknowledged was under way; 0: unknown.
        app_limited: that packet left when there was too little to send, so `rate` may be less than the path can do.
        delivered, prior_delivered: bytes acknowledged in all, now and when that packet left. A round trip is over when
            `prior_delivered` reaches what `delivered` was at its beginning.
        prior_in_flight: bytes under way when that packet had left.
        peak: the most bytes that were under way in the last two or three round trips. When that is less than half of
            the window, there was no use for it. (`in_flight` does not tell: ACKs come together, and what may leave for
            them is paced.)
        lost_since: bytes lost since then.
    """

    __slots__ = (
        "acked", "app_limited", "delivered", "fresh", "in_flight", "lost_since", "now", "peak", "prior_delivered",
        "prior_in_flight", "rate", "remaining", "rtt",
    )  # fmt: skip

    def __init__(self) -> None:
        self.now = 0.0
        self.acked = 0
        self.fresh = 0
        self.in_flight = 0
        self.rtt = 0.0
        self.remaining = 0
        self.rate = 0.0
        self.app_limited = False
        self.delivered = 0
        self.prior_delivered = 0
        self.prior_in_flight = 0
        self.peak = 0
        self.lost_since = 0


class Controller:
    """Congestion control of one path. Subclasses say how `window` grows and shrinks; in plain Python, too.

    Attributes:
        window: bytes that may be in flight, a whole number.
        slow_start: whether the window grows exponentially; the pacer then leaves it room to.
        trains: whether datagrams may leave together (RFC 9002 section 7.7), or only one by one.
        datagram: bytes of a full datagram on this path.
        recovery_start: when the last congestion event was, seconds; what left before it is no news of the path.
    """

    __slots__ = ("datagram", "recovery_start", "slow_start", "trains", "window")

    def __init__(self, datagram_size: int) -> None:
        self.datagram = datagram_size
        self.window = initial_window(datagram_size)
        self.trains = True
        self.slow_start = True
        self.recovery_start = -math.inf

    def pacing_rate(self, smoothed_rtt: float) -> float:
        """Bytes a second at which data leaves; a little more than a window a round trip (RFC 9002 section 7.7)."""
        return (_GAIN_SLOW_START if self.slow_start else _GAIN) * self.window / max(smoothed_rtt, 1e-6)

    def on_ack(self, sample: AckSample) -> None:
        """An ACK brought news. What was lost, by the look of it, has been told before."""
        raise NotImplementedError

    def on_congestion_event(self, now: float) -> None:
        """Something was lost or marked that left after the last event: once a round trip."""
        raise NotImplementedError

    def on_congestion(self, sent_time: float, now: float) -> None:
        """Loss of packets the newest of which left at `sent_time` (RFC 9002 section 7.3.2)."""
        if sent_time > self.recovery_start:
            self.recovery_start = now
            self.on_congestion_event(now)

    def on_lost(self, run: SentRun, lost_since: int, now: float) -> None:
        """Packets that left together are lost; `on_congestion` hears of all that were found lost together.

        `lost_since`: bytes lost since they left, these included.
        """

    def on_spurious_loss(self) -> None:
        """All that the last congestion event was about has arrived after all."""

    def on_resume(self, window: int) -> bool:
        """An earlier connection had twice this `window`, and the path seems to be the same: let so much be under way,
        before it is known whether the path bears it. Returns whether that is done; who measures need not."""
        return False

    def on_resume_failed(self, window: int) -> None:
        """It does not; `window` is half of what it was seen to bear. A congestion event has just been told."""

    def on_restart(self, now: float) -> None:
        """Something leaves after there was nothing to send and nothing under way."""

    def on_mark(self, sent_time: float, now: float) -> None:
        """Packets the newest of which left at `sent_time` met a queue that marks them (ECN)."""
        self.on_congestion(sent_time, now)

    def on_persistent_congestion(self) -> None:
        """Everything was lost for several probe timeouts (RFC 9002 section 7.6)."""
        self.window = self.minimum_window()
        self.recovery_start = -math.inf

    def on_datagram_size(self, size: int) -> None:
        """The path's datagrams now carry `size` bytes; the initial window, while it is one, is counted anew (RFC 9002
        section 7.2)."""
        if self.window == initial_window(self.datagram):
            self.window = initial_window(size)
        self.datagram = size
        self.window = max(self.window, self.minimum_window())

    def minimum_window(self) -> int:
        """Bytes that the window never falls below."""
        return _MINIMUM * self.datagram


def initial_window(datagram_size: int) -> int:
    """RFC 9002 section 7.2."""
    return min(10 * datagram_size, max(14720, 2 * datagram_size))
