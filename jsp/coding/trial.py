"""Whether compressing is worth it: given up on data that does not get smaller, and tried again later."""

from __future__ import annotations

# Judged once this much was seen: the first bytes of a stream have nothing before them that they could repeat.
_JUDGED_BYTES = 16 * 1024
_WORTH = 0.9
_PAUSE_MIN = 256 * 1024
_PAUSE_MAX = 16 * 1024 * 1024


class Trial:
    """One for each stream, one for all messages of a connection. Pauses get longer while trying again fails."""

    __slots__ = ("_after", "_before", "_left", "_pause")

    def __init__(self) -> None:
        self._left = 0
        self._pause = _PAUSE_MIN
        self._before = 0
        self._after = 0

    def wants(self, size: int) -> bool:
        """Whether to compress the next `size` bytes."""
        if self._left > 0:
            self._left -= size
            return False
        return True

    def tell(self, before: int, after: int) -> None:
        """`before` bytes became `after`."""
        self._before += before
        self._after += after
        if self._before < _JUDGED_BYTES:
            return
        if self._after <= _WORTH * self._before:
            self._pause = _PAUSE_MIN
        else:
            self._left = self._pause
            self._pause = min(2 * self._pause, _PAUSE_MAX)
        self._before = self._after = 0
