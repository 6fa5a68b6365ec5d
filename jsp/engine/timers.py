# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The timer table of a connection: one deadline per named reason.

Deadlines are lazy: setting one is a store, the next one due is a `min`, and a timer that fires early finds
nothing expired. So activity on a connection never touches the event loop's timers.
"""

from __future__ import annotations

NEVER = float("inf")

LOSS = 0  # When packets count as lost, or a probe must ask.
ACK = 1  # When an acknowledgement may be held back no longer.
PACING = 2  # When the pacer lets the next bytes go.
IDLE = 3  # When the silence has lasted too long.
KEEP_ALIVE = 4  # When a PING must show that we are here.
HANDSHAKE = 5  # When a handshake has taken too long.
PATH = 6  # When a path challenge must be repeated or given up.
KEYS = 7  # When the keys before a key update are forgotten.
LINGER = 8  # When a close stops waiting for deliveries.
DRAIN = 9  # When a closed connection is forgotten.
EXPIRY = 10  # When a message is no longer worth sending, or needs a repair behind it.
LULL = 11  # When who received a lot asks whether anybody is there, for nothing comes any more.
COUNT = 12

NAMES = (
    "LOSS", "ACK", "PACING", "IDLE", "KEEP_ALIVE", "HANDSHAKE", "PATH", "KEYS", "LINGER", "DRAIN", "EXPIRY", "LULL",
)  # fmt: skip


class TimerTable:
    """`deadlines[reason]` in seconds of the owner's clock; `NEVER` when not set."""

    __slots__ = ("deadlines",)

    def __init__(self) -> None:
        self.deadlines = [NEVER] * COUNT

    def next(self) -> float:
        """The earliest deadline."""
        earliest = NEVER
        for deadline in self.deadlines:
            if deadline < earliest:
                earliest = deadline
        return earliest

    def take_expired(self, now: float) -> list[int]:
        """The reasons whose time has come; they are cleared."""
        expired = [reason for reason, at in enumerate(self.deadlines) if at <= now]
        for reason in expired:
            self.deadlines[reason] = NEVER
        return expired

    def clear(self) -> None:
        """Forget all deadlines."""
        self.deadlines = [NEVER] * COUNT
