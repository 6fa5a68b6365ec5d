"""How surely a message is delivered (spec section 8.4)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reliable:
    """Sent until it arrives."""


@dataclass(frozen=True, slots=True)
class PartiallyReliable:
    """Sent until it arrives, its time is up, or it was sent again often enough; whichever is first.

    Attributes:
        ttl: seconds from `send`; None: no limit.
        max_retransmits: how often any part of it is sent again; None: no limit.
    """

    ttl: float | None = None
    max_retransmits: int | None = None

    def __post_init__(self) -> None:
        if self.ttl is not None and not self.ttl > 0:
            raise ValueError("ttl: seconds above 0, or None")
        if self.max_retransmits is not None and self.max_retransmits < 0:
            raise ValueError("max_retransmits: 0 or more, or None")


@dataclass(frozen=True, slots=True)
class BestEffort:
    """Sent once."""


Mode = Reliable | PartiallyReliable | BestEffort
RELIABLE = Reliable()
BEST_EFFORT = BestEffort()
