"""Congestion control of a path that TCP carries (spec section 2.1): there is none, for TCP has its own.

What may be sent is what the TCP socket takes (`LossDetector.held`). The window only bounds what an end that does not
acknowledge can make us keep.
"""

from __future__ import annotations

from jsp.recovery.controller import AckSample, Controller

# With its length such a datagram fits a record of TLS.
CARRIED_DATAGRAM = 16_000
_WINDOW = 8 << 20


class Carried(Controller):
    """A window that stays what it is."""

    __slots__ = ()

    def __init__(self, datagram_size: int) -> None:
        super().__init__(datagram_size)
        self.window = _WINDOW
        self.slow_start = False

    def on_ack(self, sample: AckSample) -> None:
        """TCP sees to that."""
