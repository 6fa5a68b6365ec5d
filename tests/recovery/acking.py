"""Acknowledgements made by hand, as controllers hear of them."""

from __future__ import annotations

from jsp.recovery.controller import AckSample, Controller


def acked(
    controller: Controller, size: int, *, sent: float = 0.0, now: float = 0.0, peak: int = -1, rtt: float = 0.0
) -> None:
    """`size` bytes that left at `sent` arrived; `peak`: most bytes under way lately (-1: a window)."""
    sample = AckSample()
    sample.now = now
    sample.acked = size
    sample.fresh = size if sent > controller.recovery_start else 0
    sample.in_flight = controller.window
    sample.peak = controller.window if peak < 0 else peak
    sample.rtt = rtt
    controller.on_ack(sample)
