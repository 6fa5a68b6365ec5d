# cython: language_level=3, annotation_typing=False, nonecheck=True
"""How often a peer is asked to acknowledge (draft-ietf-quic-ack-frequency; spec section 10.2).

An ACK for every second packet is more than a large window needs: it costs both ends, and the way back. Sixteen for a
window are enough for what is learnt from them; four times as many in slow start, where HyStart++ looks for longer
round trips in every eight of a window that doubles. In small windows nothing is asked for. What is lost is told at
once as ever; where packets overtake each other, only what is late enough to count as lost.
"""

from __future__ import annotations

from jsp.engine.builder import Train
from jsp.recovery.acks import PACKETS, REORDERING
from jsp.recovery.loss import LossDetector
from jsp.recovery.reordering import PACKET_THRESHOLD
from jsp.wire.frames import push_ack_frequency

ACKS_PER_WINDOW = 16
ACKS_IN_SLOW_START = 64
PACKETS_MAX = 128
# Parts of a round trip that an ACK may be held back: the end of a burst should not wait for much longer.
_DELAY_DIVISOR = 4
# From this window on asking pays: for half as many ACKs.
BULK_PACKETS = 2 * PACKETS * ACKS_PER_WINDOW
_PER_WINDOW, _IN_SLOW_START, _MAX, _PACKETS, _REORDERING, _THRESHOLD = (
    ACKS_PER_WINDOW, ACKS_IN_SLOW_START, PACKETS_MAX, PACKETS, REORDERING, PACKET_THRESHOLD,
)  # fmt: skip


class AckFrequency:
    """What the peer of one path is asked for, in ACK_FREQUENCY frames; the owner of those.

    Attributes:
        packets: how many packets one ACK should be for.
        delay: seconds that it may be held back.
        longest: seconds that it may be on a path for which nothing was asked.
        reordering: how many numbers later than a missing one the peer should tell of it.
        due: whether the peer has not been told, as far as is known.
    """

    __slots__ = ("_recovery", "_sequence", "_shortest", "delay", "due", "longest", "packets", "reordering")

    def __init__(self, recovery: LossDetector, shortest: float) -> None:
        """`shortest`: seconds of delay that the peer lets itself be asked for."""
        self._recovery = recovery
        self._shortest = shortest
        self.longest = self.delay = recovery.peer_max_ack_delay
        self._sequence = -1
        self.packets = _PACKETS
        self.reordering = _REORDERING
        self.due = False

    def update(self, datagram: int) -> None:
        """Ask for what suits the window, of datagrams of `datagram` bytes, when that has changed by much."""
        recovery = self._recovery
        controller = recovery.controller
        packets = controller.window // (datagram * (_IN_SLOW_START if controller.slow_start else _PER_WINDOW))
        packets = max(_PACKETS, min(packets, _MAX))
        delay = self.longest
        if packets > _PACKETS:
            delay = min(delay, max(self._shortest, recovery.rtt.smoothed / _DELAY_DIVISOR))
        reordering = recovery.reordering.packets
        if reordering == _THRESHOLD:
            reordering = _REORDERING
        if (
            packets < 2 * self.packets
            and self.packets < 2 * packets
            and delay < 2 * self.delay
            and self.delay < 2 * delay
            and reordering == self.reordering
        ):
            return
        self.packets = packets
        self.delay = delay
        self.reordering = reordering
        self._sequence += 1
        self.due = True

    def write_frame(self, train: Train, path_id: int) -> None:
        """Write what is due, if there is room for it: it may wait for the next packet with data."""
        delay = round(self.delay * 1_000_000)
        if not push_ack_frequency(train, path_id, self._sequence, self.packets, delay, self.reordering):
            return
        self.due = False
        # Until the peer is known to keep to a shorter delay, it may keep to the last one.
        self._recovery.peer_max_ack_delay = max(self._recovery.peer_max_ack_delay, self.delay)
        train.note(self, self._sequence, 0)

    def on_acked(self, sequence: int, _: int) -> None:
        if sequence == self._sequence:
            self._recovery.peer_max_ack_delay = self.delay

    def on_lost(self, sequence: int, _: int) -> None:
        if sequence == self._sequence:
            self.due = True
