"""Which share of what is sent a path loses, over the last while.

Of bytes whose fate became known, those that were lost, smoothed over some hundred packets, so that one burst neither
makes nor hides a lossy path. What becomes known while the path's queue grows does not count: that is the answer to
too much being sent, and says nothing of the path.
"""

from __future__ import annotations

from jsp.recovery.rate import DeliveryRate
from jsp.recovery.rtt import RttEstimator

# Bytes of a sample, and what one counts for when there were many.
_SAMPLE = 8192
_GAIN = 1 / 16
# A smoothed round trip this far above the shortest one (and by a quarter of that) means that a queue grows.
_QUEUE_S = 0.005


def is_queueing(rtt: RttEstimator) -> bool:
    """Whether the path's queue grows."""
    return rtt.smoothed - rtt.minimum > max(rtt.minimum / 4, _QUEUE_S)


class LossRate:
    """Of one path.

    Attributes:
        value: 0 to 1; 0 before there is a sample.
    """

    __slots__ = ("_known", "_lost", "_samples", "value")

    def __init__(self) -> None:
        self._known = 0
        self._lost = 0
        self._samples = 0
        self.value = 0.0

    def update(self, rate: DeliveryRate, rtt: RttEstimator, late: int) -> None:
        """Take what became known since the last sample, if that is enough for one.

        `late`: bytes that were taken for lost and arrived, in all.
        """
        known = rate.lost + rate.delivered - self._known
        lost = rate.lost - late - self._lost
        queueing = is_queueing(rtt)
        if known < _SAMPLE and not queueing:
            return
        self._known += known
        self._lost += lost
        if not queueing:
            self._samples += 1
            # Less than nothing was lost when more turned up late than was missed.
            self.value += (lost / known - self.value) * max(1 / self._samples, _GAIN)
            self.value = max(0.0, self.value)
