# cython: language_level=3, annotation_typing=False, nonecheck=True
"""How fast the path delivers (draft-cheng-iccrg-delivery-rate-estimation; draft-ietf-ccwg-bbr section 4.1).

Each ACK gives one sample: the bytes delivered between the departure of the newest packet it acknowledges and now,
over the time that took at the sender or at the receiver, whichever was longer. What packets must remember for that
is kept once for a run of them.
"""

from __future__ import annotations

from jsp.recovery.controller import AckSample
from jsp.recovery.sent import SentRun


class DeliveryRate:
    """Attributes:
    delivered: bytes acknowledged so far.
    lost: bytes declared lost so far.
    """

    __slots__ = (
        "_delivered_time", "_first_sent", "_limited_until", "_peak", "_peak_before", "_round_end", "delivered", "lost"
    )  # fmt: skip

    def __init__(self) -> None:
        self.delivered = 0
        self.lost = 0
        self._delivered_time = 0.0
        self._first_sent = 0.0
        # While the application is (or was) what limits: `delivered` when the last byte of that time has arrived.
        self._limited_until = 0
        # The most bytes under way in this round trip and in the one before; `delivered` when this one is over.
        self._peak = self._peak_before = 0
        self._round_end = 0

    def on_sent(self, run: SentRun, in_flight: int) -> None:
        """`run` left, when `in_flight` bytes were under way before it."""
        if not in_flight:
            self._first_sent = self._delivered_time = run.time
        run.first_sent = self._first_sent
        run.delivered_time = self._delivered_time
        run.delivered = self.delivered
        run.lost = self.lost
        run.in_flight = in_flight + run.total
        run.app_limited = self._limited_until > 0
        self._peak = max(self._peak, run.in_flight)

    def is_app_limited(self) -> bool:
        """Whether the application is, or a round trip ago was, what limits."""
        return self._limited_until > 0

    def on_app_limited(self, in_flight: int) -> None:
        """There is nothing to send, though more may be under way than the `in_flight` bytes there are."""
        self._limited_until = max(self.delivered + in_flight, 1)

    def restart(self) -> None:
        """Another path: whether the application was what limited says nothing of this one."""
        self._limited_until = self._peak = self._peak_before = 0

    def on_acked(self, newest: SentRun, sample: AckSample, minimum_rtt: float) -> None:
        """`sample.acked` bytes arrived, those of `newest` the last ones sent; the rest of `sample` is filled in."""
        now = sample.now
        self.delivered += sample.acked
        self._delivered_time = now
        if self._limited_until and self.delivered > self._limited_until:
            self._limited_until = 0
        interval = max(newest.time - newest.first_sent, now - newest.delivered_time)
        self._first_sent = newest.time
        sample.delivered = self.delivered
        sample.prior_delivered = newest.delivered
        sample.prior_in_flight = newest.in_flight
        sample.lost_since = self.lost - newest.lost
        sample.app_limited = newest.app_limited
        sample.peak = max(self._peak, self._peak_before)
        if newest.delivered >= self._round_end:
            self._round_end = self.delivered
            self._peak_before = self._peak
            self._peak = sample.remaining
        # Shorter than any round trip: ACKs bunched up on the way, which says nothing of the path.
        sample.rate = (self.delivered - newest.delivered) / interval if interval >= minimum_rtt > 0 else 0.0
