# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Which packets arrived, and when that must be told (spec section 10.2; RFC 9000 section 13.2).

One set of numbers serves two ends: nothing is taken twice, and ACK frames are written from it. A receive batch
is acknowledged once; a lone packet waits for a second one or for the delay we promised; a gap or reordering is
told at once. A sender of much may ask for less (ACK_FREQUENCY; draft-ietf-quic-ack-frequency).
"""

from __future__ import annotations

from jsp.wire.ranges import RangeSet

NEVER = float("inf")

# How far behind the largest number a packet may come and still be taken. Older ones count as duplicates.
REPLAY_WINDOW = 4096
_WINDOW = REPLAY_WINDOW
# Packets that ACK_SHORT tells of at most, beyond what is acknowledged for sure. Its eight bits reach four times as far,
# which is what may be under way meanwhile.
_SHORT_MAX = 64
# Ranges told in one ACK: the newest ones; older ones were told before.
ACK_RANGES_SENT = 64
# The shortest delay that may be asked for, which is what the loop's timer resolves, and the longest (RFC 9000 18.2).
MIN_DELAY_S = 0.001
MAX_DELAY_S = 16.384
# Packets after which a lone one is acknowledged, and a missing one told of, unless the peer asks for something else.
PACKETS = 2
REORDERING = 1
# Looking for gaps costs as many steps as this: who asks for more gets ACKs sooner than asked.
_REORDERING_MAX = 128


class AckTracker:
    """Received numbers of one packet number space.

    Attributes:
        largest: highest number received, -1 before any.
        deadline: when an ACK must be on its way; `NEVER` when none is owed.
        pending: ack-eliciting packets not yet acknowledged.
        ect0, ect1, ce: packets that arrived with these marks (RFC 9000 section 13.4.1).
        max_delay: seconds an ACK may be held back.
        packets: how many ack-eliciting packets are acknowledged without waiting any longer.
        reordering: how many numbers later than a missing one the ACK is sent that tells of it; 0: none is for that.
    """

    __slots__ = (
        "_ack_floor",
        "_filled",
        "_floor",
        "_largest_time",
        "_marks_known",
        "_requested",
        "_told",
        "_urgent",
        "ce",
        "deadline",
        "ect0",
        "ect1",
        "largest",
        "max_delay",
        "packets",
        "pending",
        "ranges",
        "reordering",
    )

    def __init__(self, max_delay: float) -> None:
        self.max_delay = max_delay
        self.packets = PACKETS
        self.reordering = REORDERING
        self.ranges = RangeSet()
        self.largest = -1
        self.deadline = NEVER
        self.pending = 0
        self.ect0 = self.ect1 = self.ce = 0
        # Of ECT(1) and CE, how many the peer knows of.
        self._marks_known = 0
        self._floor = 0
        self._ack_floor = 0
        # Numbers that filled a gap, and the end of what had come by then.
        self._filled: list[tuple[int, int]] = []
        self._largest_time = 0.0
        self._urgent = False
        # The largest number of the last ACK; the sequence number of the last ACK_FREQUENCY.
        self._told = -1
        self._requested = -1

    def is_new(self, number: int) -> bool:
        """Whether `number`, which is not above the largest, was not seen before and is not too old to tell."""
        return number >= self._floor and number > self.largest - 2 * _WINDOW and number not in self.ranges

    def accept(self, number: int, now: float) -> bool:
        """Note an authenticated packet; False when it was seen before or is too old to tell."""
        if number == self.largest + 1 and number:
            # The usual case: the newest range grows by one.
            self.ranges.stops[-1] = number + 1
            self.largest = number
            self._largest_time = now
            return True
        if number <= self.largest and not self.is_new(number):
            return False
        if number != self.largest + 1 and self.reordering == 1:
            self._urgent = True
        self.ranges.add(number, number + 1)
        if number < self.largest:
            self._filled.append((number, self.largest + 1))
            if len(self._filled) > ACK_RANGES_SENT:
                del self._filled[0]
        if number < self._ack_floor:
            # It fills a gap that acknowledged ACKs have told: the peer must hear of it, or takes it for lost.
            self._ack_floor = number
        if number > self.largest:
            self.largest = number
            self._largest_time = now
        if number > self._floor + 2 * _WINDOW:
            self._floor = number - _WINDOW
            self.ranges.drop_below(self._floor)
        return True

    def on_request(self, sequence: int, packets: int, max_delay: float, reordering: int) -> None:
        """ACK_FREQUENCY: how the peer wants to be acknowledged; nothing if it has asked for something else since."""
        if sequence > self._requested:
            self._requested = sequence
            self.packets = packets
            self.max_delay = max_delay
            self.reordering = min(reordering, _REORDERING_MAX)

    def hurry(self) -> None:
        """The next ACK must not wait: somebody measures a round trip, or asks whether we are there."""
        self._urgent = True

    def on_marks(self, mark: int, count: int) -> None:
        """`count` of the packets accepted since the last `on_batch` had the ECN field `mark`."""
        if mark == 2:
            self.ect0 += count
        elif mark == 1:
            self.ect1 += count
        elif mark == 3:
            self.ce += count
            # RFC 9000 13.2.1: congestion is told at once.
            self._urgent = True

    def is_marked(self) -> bool:
        """Whether ACKs must have counts of marks."""
        return self.ect0 + self.ect1 + self.ce > 0

    def on_batch(self, eliciting: int, now: float) -> None:
        """`eliciting` of the packets accepted since the last call ask for an acknowledgement."""
        if eliciting:
            self.pending += eliciting
            if self.pending >= self.packets or self._urgent or (self.reordering > 1 and self._has_news()):
                self.deadline = now
            elif self.deadline == NEVER:
                self.deadline = now + self.max_delay
            self._urgent = False

    def _has_news(self) -> bool:
        """Whether a number is missing for long enough that the peer should hear of it, and was not at the last ACK."""
        starts, stops = self.ranges.starts, self.ranges.stops
        told = self._told - self.reordering
        tell = self.largest - self.reordering
        i = len(starts) - 1
        while i > 0 and starts[i] - 1 > told:
            if max(stops[i - 1], told + 1) <= min(starts[i] - 1, tell):
                return True
            i -= 1
        return False

    def first_told(self) -> int:
        """Index of the first of `ranges` that an ACK should tell; all that follow belong to it."""
        stops = self.ranges.stops
        i = len(stops) - 1
        least = max(0, i + 1 - ACK_RANGES_SENT)
        while i > least and stops[i - 1] > self._ack_floor:
            i -= 1
        return i

    def delay(self, now: float) -> float:
        """Seconds the largest number has waited for its ACK."""
        return max(0.0, now - self._largest_time)

    def is_short(self) -> bool:
        """Whether ACK_SHORT is enough: the peer has heard of all but the last few numbers, of which none is missing,
        and of all marks that are not what it sent."""
        floor = self._ack_floor
        return (
            floor > 0
            and self.ranges.starts[-1] <= floor
            and self.largest - floor < _SHORT_MAX
            and not self._filled
            and self.ect1 + self.ce == self._marks_known
        )

    def on_sent(self) -> int:
        """An ACK left; returns what `on_acked` wants to hear when it arrived, unless it was an ACK_SHORT."""
        self.pending = 0
        self.deadline = NEVER
        self._told = self.largest
        return self.largest + 1

    def on_acked(self, told: int, marks: int) -> None:
        """The peer has an ACK that told everything below `told`, but what filled a gap after it had left, and `marks`
        of ECT(1) and CE."""
        self._marks_known = max(self._marks_known, marks)
        filled = self._filled
        while filled and filled[0][1] < told:
            del filled[0]
        for number, _ in filled:
            told = min(told, number)
        self._ack_floor = max(self._ack_floor, told)

    def on_lost(self, told: int, _: int) -> None:
        """An ACK frame was lost; the next one tells the same and more."""
