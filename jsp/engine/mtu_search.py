# cython: language_level=3, annotation_typing=False, nonecheck=True
"""How large the datagrams of one path may be: DPLPMTUD (RFC 8899; RFC 9000 section 14.3; spec section 4.9).

One probe at a time is under way, and only where data leaves anyway: first sizes that networks are made for, the
largest first, then the middle of what is left. A size fails when `MAX_PROBES` probes of it are lost and nothing else
was, four times as many with others (RFC 4821 section 7.6), or one that ICMP foretold. Of RFC 8899's states this is
SEARCHING and SEARCH_COMPLETE: the base size needs no search, for handshakes and the validation of an address travel in
datagrams of it (RFC 9000 section 14.1).
"""

from __future__ import annotations

from jsp.config import DEFAULT_DATAGRAM_SIZE
from jsp.engine.traffic import Endpoint

BASE = DEFAULT_DATAGRAM_SIZE
MAX_PROBES = 3
RAISE_S = 600.0  # PMTU_RAISE_TIMER
# Of what has passed: so much may be left to find.
STEP_DIVISOR = 64
# What a lost probe counts alone, and among other losses.
_ALONE, _TOGETHER = 4, 1
_BASE, _FAILS_AT, _RAISE_S, _STEP_DIVISOR = BASE, MAX_PROBES * _ALONE, RAISE_S, STEP_DIVISOR
# MTUs of most links: loopback, jumbo frames, Ethernet.
_LOOPBACK, _JUMBO, _ETHERNET = 65_536, 9_000, 1_500
_HEADERS_4, _HEADERS_6 = 20 + 8, 40 + 8


def header_bytes(remote: Endpoint) -> int:
    """Bytes of the IP and UDP headers in front of what goes to `remote`."""
    host = str(remote[0])
    return _HEADERS_6 if ":" in host and not host.startswith("::ffff:") else _HEADERS_4


class MtuSearch:
    """The search of one path. Sizes are those of UDP payloads, bytes.

    Attributes:
        passed: the largest that is known to pass.
        due: the size of the probe that should leave now; 0: none.
    """

    __slots__ = (
        "_failed", "_guess", "_headers", "_most", "_number", "_raise_at", "_size", "_told", "_tries", "due", "passed",
    )  # fmt: skip

    def __init__(self, most: int, headers: int) -> None:
        """Of sizes up to `most`, with `headers` bytes in front of them."""
        self.passed = _BASE
        self.due = 0
        self._most = most
        self._headers = headers
        # The smallest that is known, or was seen, not to pass.
        self._failed = most + 1
        # What is tried first, if it lies between the two.
        self._guess = 0
        # What ICMP said last; 0: nothing.
        self._told = 0
        # The size tried last, what its lost probes count, and the number of the one under way.
        self._size = 0
        self._tries = 0
        self._number = -1
        # When to search again; 0: the search goes on.
        self._raise_at = 0.0

    def is_complete(self) -> bool:
        """Whether nothing larger is being tried for now."""
        return self._raise_at > 0

    def plan(self, room: int, now: float) -> None:
        """Data is being sent: see what to try next, of `room` bytes at most."""
        if self._number >= 0 or now < self._raise_at:
            return
        if self._raise_at:
            self._raise_at = 0.0
            self._failed = self._most + 1
            self._told = 0
        size = self._choose()
        if not size:
            self._raise_at = now + _RAISE_S
        elif size <= room:
            self._due(size)
        else:
            # The window may grow; a size below that link's is worth having until then.
            size = self._usual(room)
            if size:
                self._due(size)

    def _choose(self) -> int:
        """The size to try next; 0: enough is known."""
        low, high = self.passed, self._failed
        if low < self._guess < high:
            return self._guess
        size = self._usual(self._most)
        if size:
            return size
        return (low + high) // 2 if high - low - 1 > low // _STEP_DIVISOR else 0

    def _usual(self, room: int) -> int:
        """The largest of `room` bytes at most that some kind of link is made for, and that may pass; 0: none."""
        for link in (_LOOPBACK, _JUMBO, _ETHERNET):
            size = min(link - self._headers, self._most)
            if self.passed < size < self._failed and size <= room:
                return size
        return 0

    def _due(self, size: int) -> None:
        if size != self._size:
            self._size = size
            self._tries = 0
        self.due = size

    def on_sent(self, number: int) -> None:
        """The probe that was due is packet `number`."""
        self._number = number
        self.due = 0

    def on_acked(self, number: int) -> bool:
        """Packet `number` arrived; whether larger datagrams are known to pass now."""
        if number != self._number:
            return False
        self._number = -1
        self._tries = 0
        if self._size <= self.passed:
            return False
        self.passed = self._size
        return True

    def on_lost(self, number: int, alone: bool) -> None:
        """Packet `number` did not arrive. `alone`: as far as is known nothing else was lost since it left."""
        if number != self._number:
            return
        self._number = -1
        self._tries += _ALONE if alone else _TOGETHER
        # ICMP is believed so far that it makes one lost probe enough.
        if self._size > self.passed and (self._tries >= _FAILS_AT or 0 < self._told < self._size):
            self._failed = min(self._failed, self._size)

    def on_hint(self, size: int) -> None:
        """ICMP says that `size` bytes are the most that pass (RFC 8899 section 4.6), which anybody can write."""
        if not _BASE <= size < self._failed:
            return
        self._told = self._guess = size
        if size < self.passed:
            # Its ACK will show that what was larger and left before it is lost.
            self._number = -1
            self._due(size)

    def on_too_large(self, size: int) -> None:
        """Our own host does not let datagrams of `size` bytes out."""
        self._number = -1
        self._failed = min(self._failed, max(size, _BASE + 1))

    def fall(self) -> None:
        """Nothing larger than the base size seems to pass any more: begin again, with the likeliest size."""
        if not _BASE <= self._told < self.passed:
            self._told = 0
            self._guess = self._size = self.passed
            # Enough of that size was lost: one probe more decides.
            self._tries = _FAILS_AT - _ALONE
        self.passed = _BASE
        self.due = 0
        self._number = -1
        self._raise_at = 0.0
