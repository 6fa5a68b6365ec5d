# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Explicit congestion notification of one path: whether it can be had, and what it says (RFC 9000 section 13.4).

The first packets are marked ECT(0). When their acknowledgements report as many marks as arrived, the path carries
them, and every packet is marked from then on; when they do not, or all of the first are lost, none is (appendix
A.4). Only 1-RTT packets are marked.
"""

from __future__ import annotations

ECT0 = 2
TESTING, UNKNOWN, CAPABLE, FAILED = range(4)
TEST_PACKETS = 10
_ECT0, _TEST_PACKETS = ECT0, TEST_PACKETS
_TESTING, _UNKNOWN, _CAPABLE, _FAILED = range(4)


class Ecn:
    """Attributes:
    state: TESTING, UNKNOWN (enough is marked, and nothing heard yet), CAPABLE or FAILED.
    marked: packets that left marked.
    ce: of those, how many the peer has seen with a congestion mark.
    """

    __slots__ = ("_ect0", "_lost", "_tested", "ce", "marked", "state")

    def __init__(self) -> None:
        self.state = _TESTING
        self.marked = 0
        self.ce = 0
        self._ect0 = 0
        # Of the packets that test the path.
        self._tested = 0
        self._lost = 0

    def restart(self) -> None:
        """The path leads over another network: test that. The counts go on."""
        self.state = _TESTING
        self._tested = self._lost = 0

    def mark(self) -> int:
        """The ECN field for the datagrams about to leave."""
        return _ECT0 if self.state == _CAPABLE or self.state == _TESTING else 0

    def on_sent(self, count: int) -> None:
        """`count` packets left marked."""
        self.marked += count
        if self.state == _TESTING:
            self._tested += count
            if self._tested >= _TEST_PACKETS:
                self.state = _UNKNOWN

    def on_silence(self) -> None:
        """Nothing was heard for three probe timeouts: what leaves now must not wait for a path that drops marks."""
        if self.state == _TESTING and self._tested:
            self.state = _UNKNOWN

    def on_lost(self, count: int) -> None:
        """`count` marked packets are lost."""
        if self.state == _UNKNOWN:
            self._lost += count
            if self._lost >= self._tested:
                self.state = _FAILED

    def on_ack(self, acked: int, counts: tuple[int, int, int] | None) -> bool:
        """An ACK that moves the largest number on acknowledges `acked` marked packets for the first time.

        `counts`: of ECT(0), ECT(1) and CE, if it has them. True when more congestion marks have arrived.
        """
        if self.state == _FAILED:
            return False
        if counts is None:
            if acked:
                self.state = _FAILED
            return False
        ect0, ect1, ce = counts
        seen = ect0 - self._ect0 + ce - self.ce
        if ect1 or ect0 + ce > self.marked or ect0 < self._ect0 or ce < self.ce or seen < acked:
            self.state = _FAILED
            return False
        more = ce > self.ce
        self._ect0 = ect0
        self.ce = ce
        if acked:
            self.state = _CAPABLE
        return more
