"""What was learnt of the ways to hosts, for the connections that come later (RFC 9040; spec section 10.3).

The round trip is where a new connection's timers begin; the window is only ever tried (`resume`). What is known of a
host holds between the same two addresses: over another interface the way is another one.
"""

from __future__ import annotations

from jsp.recovery.loss import LossDetector
from jsp.recovery.resume import CarefulResume, Known

KEPT = 1024
# What was learnt longer ago says too little of what is there now.
LIFETIME_S = 600.0
# A handshake's answer takes the peer some time beside the round trip, more when many come at once: a shorter guess
# would send the first packets twice for nothing.
RTT_MIN_S = 0.05

Route = tuple[object, object]


class Destinations:
    """The hosts heard of last; a `Route` is our host's address and the peer's."""

    def __init__(self) -> None:
        self._known: dict[Route, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, route: Route, now: float) -> Known | None:
        """What is known of `route`, unless that is too old."""
        known = self._known.get(route)
        return known if known is not None and now - known.time <= LIFETIME_S else None

    def recall(self, route: Route, recovery: LossDetector, now: float) -> None:
        """A connection begins: let it begin with what is known."""
        known = self.find(route, now)
        if known is None:
            return
        recovery.rtt.reset(max(known.rtt, RTT_MIN_S))
        if known.window // 2 > recovery.controller.window:
            recovery.resume = CarefulResume(known)

    def learn(self, route: Route, recovery: LossDetector, now: float) -> None:
        """A connection whose peer is proven ends: keep what it found."""
        if not recovery.rtt.sampled:
            return
        controller = recovery.controller
        # Slow start doubles: half of its window is what has been seen to arrive.
        window = controller.window // 2 if controller.slow_start else controller.window
        known = self.find(route, now) or Known()
        if window > known.window:
            known.window = window
        elif recovery.packets_lost > recovery.reordering.late:
            # One that had little to send and lost nothing does not know better; what is lost may be bad luck.
            known.window = (known.window + window) // 2
        known.rtt = recovery.rtt.smoothed
        known.minimum = recovery.rtt.minimum
        known.time = now
        self._known.pop(route, None)
        self._known[route] = known
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
