# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Round-trip time estimate and probe timeout of one path (RFC 9002 sections 5 and 6.2)."""

from __future__ import annotations

INITIAL_RTT_S = 0.333  # RFC 9002 section 6.2.2
GRANULARITY_S = 0.001


class RttEstimator:
    """Seconds throughout.

    Attributes:
        latest, smoothed, variance, minimum: as RFC 9002 section 5 defines them; `minimum` is 0 before a sample.
        sampled: whether any sample was taken; before that `smoothed` is a guess.
    """

    __slots__ = ("latest", "minimum", "sampled", "smoothed", "variance")

    def __init__(self, initial: float = INITIAL_RTT_S) -> None:
        self.reset(initial)

    def reset(self, initial: float = INITIAL_RTT_S) -> None:
        """Forget all samples, as on a new network path."""
        self.latest = 0.0
        self.minimum = 0.0
        self.smoothed = initial
        self.variance = initial / 2
        self.sampled = False

    def update(self, sample: float, ack_delay: float) -> None:
        """Take the RTT `sample`, of which the peer says it held back `ack_delay` (already capped)."""
        self.latest = sample
        if not self.sampled:
            self.sampled = True
            self.minimum = sample
            self.smoothed = sample
            self.variance = sample / 2
            return
        self.minimum = min(self.minimum, sample)
        # RFC 9002 5.3 takes the whole sample when it would fall below the minimum, and then counts most of a delayed
        # ACK as network when the minimum was measured on a slow first packet; the minimum itself is nearer the truth.
        adjusted = max(self.minimum, sample - ack_delay)
        self.variance += (abs(self.smoothed - adjusted) - self.variance) / 4
        self.smoothed += (adjusted - self.smoothed) / 8

    def forget_minimum(self) -> None:
        """The path may have become longer: after persistent congestion (section 5.2)."""
        self.minimum = self.latest

    def probe_timeout(self, max_ack_delay: float) -> float:
        """PTO before backoff (RFC 9002 section 6.2.1)."""
        return self.smoothed + max(4 * self.variance, GRANULARITY_S) + max_ack_delay

    def longest(self) -> float:
        """The longer of the last round trip and the usual one, `GRANULARITY_S` at least."""
        return max(self.latest, self.smoothed, GRANULARITY_S)

    def loss_delay(self, threshold: float) -> float:
        """How much later than an acknowledged packet one may be before it counts as lost (section 6.1.2)."""
        return max(threshold * max(self.latest, self.smoothed), GRANULARITY_S)
