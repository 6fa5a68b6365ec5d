# cython: language_level=3, annotation_typing=False, nonecheck=True
"""An acknowledgement or a timeout in; what arrived, what is lost, and the congestion window out (RFC 9002).

`PacketSpace` is one packet number space: what was sent, what arrived. `LossDetector` is the recovery state of
one path: round-trip time, congestion controller, pacer, bytes in flight, probe timeout. Path 0 has three spaces
while the handshake lasts, every path has one afterwards.

Owners of frames are told through their tokens; the caller learns only how much arrived.
"""

from __future__ import annotations

import math
from itertools import pairwise

from jsp.config import DEFAULT_DATAGRAM_SIZE
from jsp.errors import Code, ProtocolViolation
from jsp.recovery.acks import NEVER, AckTracker
from jsp.recovery.controller import AckSample, Controller
from jsp.recovery.ecn import Ecn
from jsp.recovery.pacer import Pacer
from jsp.recovery.rate import DeliveryRate
from jsp.recovery.reordering import Reordering
from jsp.recovery.resume import CarefulResume
from jsp.recovery.rtt import RttEstimator
from jsp.recovery.sent import SentLedger, SentRun

PERSISTENT_CONGESTION_THRESHOLD = 3  # section 7.6.1
PROBES = 2
# Backing off for longer than this would only lengthen an outage that is over (RFC 9002 allows any bound).
PROBE_INTERVAL_MAX_S = 10.0
# On a carrier that sends again by itself silence may be its patience (RFC 6298: a second at first), and is no loss.
RELIABLE_PROBE_MIN_S = 1.0
# Numbers left out on purpose that are remembered, and the least packets between two: what is older was settled long
# ago, and windows of a few large datagrams shall not have a gap in each.
_SKIPPED_KEPT = 4
_SKIP_AFTER_MIN = 16
_BASE = DEFAULT_DATAGRAM_SIZE
_ANY_SIZE = 1 << 62


class PacketSpace:
    """One packet number space.

    Attributes:
        next_number: number of the next packet to send.
        largest_acked: highest number the peer acknowledged, -1 before any.
        in_flight: bytes of this space under way.
        last_eliciting: when the last packet that asks for an acknowledgement left.
        waiting_since: when an answer was last got, or first waited for; what was sent since does not change that.
        loss_time: when the oldest packet not yet acknowledged counts as lost, or `NEVER`.
        probes: packets to send whatever the window says.
        skip_at: from this number on the next train leaves one out; 0: not drawn yet.
        skipped: the last numbers left out, ascending. Whoever acknowledges one has not seen what it acknowledges.
        handshake: whether this space belongs to the handshake: its packets are acknowledged at once.
        sticky_backoff: ACKs here do not end the backing off of probe timeouts: a client's Initial space, whose
            ACKs do not say that the server may answer at length (RFC 9002 section 6.2.1).
    """

    __slots__ = (
        "acks", "handshake", "in_flight", "largest_acked", "last_eliciting", "loss_time", "next_number", "probes",
        "sent", "skip_at", "skipped", "sticky_backoff", "waiting_since",
    )  # fmt: skip

    def __init__(self, max_ack_delay: float, handshake: bool) -> None:
        self.handshake = handshake
        self.sticky_backoff = False
        self.acks = AckTracker(0.0 if handshake else max_ack_delay)
        self.sent = SentLedger()
        self.next_number = 0
        self.largest_acked = -1
        self.in_flight = 0
        self.last_eliciting = self.waiting_since = 0.0
        self.loss_time = NEVER
        self.probes = 0
        self.skip_at = 0
        self.skipped: list[int] = []

    def skip_number(self, packets: int, chance: int) -> None:
        """`skip_at` was reached: leave a number out, and plan the next.

        `packets`: how many the congestion window holds; `chance`: a random number, larger than that.
        """
        if self.skip_at:
            self.skipped = [*self.skipped[1 - _SKIPPED_KEPT :], self.next_number]
            self.next_number += 1
        packets = max(packets, _SKIP_AFTER_MIN)
        self.skip_at = self.next_number + packets + chance % packets


class LossDetector:
    """Recovery state of one path.

    Attributes:
        spaces: the packet number spaces that share this path.
        in_flight: bytes under way over all of them.
        pto_count: probe timeouts in a row without an answer.
        deadline: when `on_timeout` wants to be called.
        peer_max_ack_delay: seconds the peer may hold an ACK back.
        packets_lost: how many were taken for lost, in all; `reordering.late` of them arrived.
        large_lost: packets above the base size lost since one as large was acknowledged: a path that takes no more?
        resume: the window of an earlier connection, while it is not decided whether it fits; mostly None.
        held: what carries the path takes nothing more now.
        reliable: what carries the path delivers everything in order, and does the rest: nothing is lost on the way,
            paced, or sent again because of time.
        pacing_at: when the pacer lets the next datagram go, as of the last `allowance`; `NEVER`: it does not hold it.
    """

    __slots__ = (
        "_anti_deadlock", "_large", "_sample", "_sampled_at", "controller", "deadline", "ecn",
        "handshake_done", "held", "in_flight", "large_lost", "packets_lost", "pacer", "pacing_at", "peer_max_ack_delay",
        "pto_count", "rate", "reliable", "reordering", "resume", "rtt", "spaces",
    )  # fmt: skip

    def __init__(self, controller: Controller) -> None:
        self.rtt = RttEstimator()
        self.controller = controller
        self.pacer = Pacer()
        self.rate = DeliveryRate()
        self.reordering = Reordering()
        self.ecn = Ecn()
        self.resume: CarefulResume | None = None
        self.spaces: list[PacketSpace] = []
        self.in_flight = 0
        self.pto_count = 0
        self.deadline = NEVER
        self.peer_max_ack_delay = 0.0
        self.handshake_done = False
        self.reliable = self.held = False
        self.packets_lost = 0
        self.large_lost = 0
        # The smallest of those.
        self._large = _ANY_SIZE
        self.pacing_at = NEVER
        self._anti_deadlock = NEVER
        self._sample = AckSample()
        self._sampled_at = 0.0

    # --- sending -------------------------------------------------------------------------------------------

    def on_sent(self, space: PacketSpace, run: SentRun) -> None:
        """Packets that ask for an acknowledgement left."""
        space.sent.add(run)
        if not self.in_flight and self.rate.is_app_limited():
            self.controller.on_restart(run.time)
        self.rate.on_sent(run, self.in_flight)
        space.last_eliciting = run.time
        if not space.in_flight:
            space.waiting_since = run.time
        space.in_flight += run.total
        self.in_flight += run.total
        self.pacer.on_sent(run.total)

    def on_probe_sent(self, space: PacketSpace, run: SentRun) -> None:
        """A packet left that tries how large datagrams may be: it takes part in nothing else (RFC 9000 section 14.4).

        The ledger has it as 0 bytes: they are no part of the window, no sign of congestion, and no reason to probe.
        """
        run.size = run.total = 0
        self.rate.on_sent(run, self.in_flight)
        space.sent.add(run)

    def restart(self, controller: Controller) -> None:
        """The path leads elsewhere, or something else carries it: neither what was learnt of it holds any longer, nor
        what the pacer is owed, which takes no part over TCP."""
        self.controller = controller
        self.pacer = Pacer()
        self.resume = None
        self.rtt.reset()
        self.ecn.restart()
        self.rate.restart()

    def on_datagram_size(self, size: int) -> None:
        """The path's datagrams now carry `size` bytes."""
        self.controller.on_datagram_size(size)
        self._forget_large()

    def _forget_large(self) -> None:
        self.large_lost = 0
        self._large = _ANY_SIZE

    def available(self) -> int:
        """Bytes the congestion window still allows."""
        if self.held:
            return 0
        return self.controller.window - self.in_flight

    def allowance(self, datagram: int, now: float) -> int:
        """Bytes that may leave at `now`; when that is less than a `datagram`, more may at `pacing_at`."""
        controller = self.controller
        allowed = self.available()
        if allowed < datagram and not self.in_flight and not self.held:
            # However small the window is: no ACK would ever come to open it.
            allowed = datagram
        self.pacing_at = NEVER
        if allowed < datagram or self.reliable:
            return allowed
        rate = controller.pacing_rate(self.rtt.smoothed)
        if self.resume is not None:
            rate = self.resume.paced_at(rate, self.rtt.smoothed)
        self.pacer.update(rate, datagram, self.in_flight, controller.trains)
        budget = self.pacer.budget(now)
        if budget < datagram:
            self.pacing_at = self.pacer.ready_at(datagram)
        return min(allowed, budget)

    def on_app_limited(self) -> None:
        """There is nothing to send; while the window has room, what is measured is not what the path can do."""
        if self.available() > 0:
            self.rate.on_app_limited(self.in_flight)

    # --- acknowledgements ----------------------------------------------------------------------------------

    def on_ack(
        self, space: PacketSpace, starts: list[int], stops: list[int], delay: float, now: float,
        marks: tuple[int, int, int] | None = None, short: bool = False,
    ) -> int:  # fmt: skip
        """An ACK for `space` arrived: ranges, highest first, and counts of ECN marks. Returns the bytes newly acked.

        `short`: it could not have counts (ACK_SHORT), so that nothing follows from their absence.
        """
        largest = stops[0] - 1
        if largest >= space.next_number:
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "acknowledges a packet that was never sent")
        if space.skipped and _hold_any(starts, stops, space.skipped):
            # SPEC 10.2: it acknowledges blindly, to make us send faster than it receives.
            raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "acknowledges a packet that was left out")
        acked = space.sent.take_acked(starts, stops)
        further = largest > space.largest_acked
        if further:
            space.largest_acked = largest
        if self.reordering.waits() and not space.handshake:
            self._find_late(starts, stops, now)
        if not acked:
            return 0
        sample = self._sample
        sample.now = now
        sample.rtt = 0.0
        newest = acked[-1]
        if newest.size and newest.first + newest.count - 1 == largest:
            sample.rtt = self._measure(space, newest, delay, now)
        sample.in_flight = self.in_flight
        if not space.sticky_backoff:
            self.pto_count = 0
        collapsed = self._detect_lost(space, now, starts, stops)
        if further and not space.handshake and not short:
            self._read_marks(acked, marks, newest.time, now)
        controller = self.controller
        total = fresh = 0
        for run in acked:
            total += run.total
            if run.time > controller.recovery_start:
                fresh += run.total
            if run.size >= self._large:
                self._forget_large()
            run.tell_acked()
        if not total:
            return 0
        space.in_flight -= total
        space.waiting_since = now
        self.in_flight -= total
        sample.acked = total
        sample.fresh = 0 if collapsed else fresh
        sample.remaining = self.in_flight
        self.rate.on_acked(newest, sample, self.rtt.minimum)
        controller.on_ack(sample)
        resume = self.resume
        if resume is not None and not space.handshake:
            if resume.on_ack(controller, sample, self.rtt.smoothed, largest, space.next_number):
                self.resume = None
        return total

    def _measure(self, space: PacketSpace, newest: SentRun, delay: float, now: float) -> float:
        """The round trip of the last packet of `newest`, whose ACK was held back for `delay`."""
        # RFC 9002 5.3: the delay is capped once the handshake is confirmed, and not believed before.
        held = min(delay, self.peer_max_ack_delay) if self.handshake_done and not space.handshake else 0.0
        if not self.rtt.sampled:
            self._sampled_at = now
        self.rtt.update(max(now - newest.time, 0.0), held)
        return self.rtt.latest

    def _detect_lost(
        self, space: PacketSpace, now: float, starts: list[int] | None = None, stops: list[int] | None = None
    ) -> bool:
        """Tell whose packets are lost; True when that is persistent congestion."""
        largest = space.largest_acked
        if self.reliable:
            # It keeps order, so what an ACK passes over arrived, and the peer could do nothing with it.
            lost = space.sent.take_lost(largest, now, NEVER, largest)
            space.loss_time = NEVER
        else:
            delay = self.rtt.loss_delay(self.reordering.time)
            lost = space.sent.take_lost(largest - self.reordering.packets + 1, now, delay, largest)
            space.loss_time = space.sent.oldest_time(largest) + delay
        if not lost:
            return False
        total = 0
        probes: list[SentRun] = []
        for run in lost:
            if not run.size:
                probes.append(run)
                continue
            total += run.total
            self.packets_lost += run.count
            run.tell_lost()
            if run.size > _BASE:
                self.large_lost += run.count
                self._large = min(self._large, run.size)
            self.rate.lost += run.total
            if run.marked:
                self.ecn.on_lost(run.count)
            self.controller.on_lost(run, self.rate.lost - run.lost, now)
        for run in probes:
            run.tell_lost()
            lost.remove(run)
        if not lost:
            return False
        space.in_flight -= total
        self.in_flight -= total
        if self.reliable:
            return False
        newest = lost[-1]
        event = newest.time > self.controller.recovery_start
        self.controller.on_congestion(newest.time, now)
        if not space.handshake:
            self.reordering.on_lost(lost, event, now, self.rtt.longest())
        if not self.rtt.sampled or not self._persistent(lost, starts or [], stops or []):
            return False
        self.controller.on_persistent_congestion()
        self.resume = None
        self.rtt.forget_minimum()
        return True

    def _read_marks(
        self, acked: list[SentRun], marks: tuple[int, int, int] | None, sent_time: float, now: float
    ) -> None:
        """What an ACK that moves the largest number on says of ECN (RFC 9000 section 13.4.2)."""
        count = 0
        for run in acked:
            if run.marked:
                count += run.count
        if (count or marks is not None) and self.ecn.on_ack(count, marks) and not self.reliable:
            self.controller.on_mark(sent_time, now)
            self.reordering.on_mark()

    def _find_late(self, starts: list[int], stops: list[int], now: float) -> None:
        """Whether what was taken for lost has arrived; without a loss the window is what it was before."""
        if self.reordering.on_ack(starts, stops, now, self.rtt.longest()):
            self.controller.recovery_start = -math.inf
            self.controller.on_spurious_loss()

    def _persistent(self, lost: list[SentRun], starts: list[int], stops: list[int]) -> bool:
        """RFC 9002 section 7.6: nothing between two lost packets that far apart arrived."""
        duration = self.rtt.probe_timeout(self.peer_max_ack_delay) * PERSISTENT_CONGESTION_THRESHOLD
        # RFC 9002 7.6.2: what left before the first sample waited for a guess, much longer than the path's timeout.
        lost = [run for run in lost if run.time >= self._sampled_at]
        if not lost or lost[-1].time - lost[0].time <= duration:
            return False
        begin = lost[0]
        for previous, run in pairwise(lost):
            low = previous.first + previous.count
            if any(start < run.first and stop > low for start, stop in zip(starts, stops, strict=True)):
                begin = run
            elif run.time - begin.time > duration:
                return True
        return False

    # --- timeouts ------------------------------------------------------------------------------------------

    def update_deadline(self, now: float, anti_deadlock: bool, blocked: bool) -> None:
        """Work out `deadline` again; call after sending and after ACKs.

        `anti_deadlock`: the peer may be waiting for our datagrams to be allowed to send more (RFC 9002 section
        6.2.2.1). `blocked`: we may not send, whatever is due, until more arrives.
        """
        deadline = NEVER
        for space in self.spaces:
            if space.loss_time < deadline:
                deadline = space.loss_time
        if deadline == NEVER and not blocked:
            deadline = self._probe_deadline()
            if deadline == NEVER and anti_deadlock:
                if self._anti_deadlock == NEVER:
                    self._anti_deadlock = now + self._probe_after(0.0)
                deadline = self._anti_deadlock
            else:
                self._anti_deadlock = NEVER
        self.deadline = deadline

    def _probe_after(self, max_ack_delay: float) -> float:
        once = self.rtt.probe_timeout(max_ack_delay)
        if self.reliable and once < RELIABLE_PROBE_MIN_S:
            once = RELIABLE_PROBE_MIN_S
        return min(once * (1 << min(self.pto_count, 16)), max(once, PROBE_INTERVAL_MAX_S))

    def _probe_deadline(self) -> float:
        deadline = NEVER
        for space in self.spaces:
            if not space.in_flight or not (space.handshake or self.handshake_done):
                continue
            after = self._probe_after(0.0 if space.handshake else self.peer_max_ack_delay)
            # RFC 9002 6.2.1 has the timer begin anew with each packet: who sends all the time would never find out that
            # nobody is there, so it is put off once. Over TCP what is sent says nothing of what was sent before.
            due = space.waiting_since + after
            if not self.reliable:
                due = min(space.last_eliciting + after, due + after)
            if due < deadline:
                deadline = due
        return deadline

    def on_timeout(self, now: float) -> None:
        """`deadline` has come: declare losses, or let probes go out. Before it nothing happens."""
        if now < self.deadline:
            return
        waiting = [space for space in self.spaces if space.loss_time <= now]
        if waiting:
            for space in waiting:
                self._detect_lost(space, now)
            return
        self.pto_count += 1
        if self.pto_count > 1:
            self.ecn.on_silence()
        self._anti_deadlock = NEVER
        for space in self.spaces:
            # A handshake space may have nothing under way and still be what the peer waits for: its data was
            # lost, and other spaces fill the window. And a peer that has done with the handshake hears of another
            # address of ours by 1-RTT packets only (RFC 9002 section 6.2.4).
            if space.handshake or space.in_flight:
                space.waiting_since = now
                if self.reliable:
                    space.probes = 1
                else:
                    space.probes = PROBES
                    self._offer_again(space)

    def _offer_again(self, space: PacketSpace) -> None:
        # Owners ignore what was acknowledged meanwhile, so offering the oldest packets again is harmless.
        left = PROBES
        for run in list(space.sent.runs):
            if not run.size or (run.owner is None and not run.tokens):
                continue  # a PING: nothing to offer
            if run.count > left and run.owner is not None:
                run.owner.on_lost(run.start, run.start + run.step * left)
            else:
                run.tell_lost()
            left -= run.count
            if left <= 0:
                return

    def offer_all(self) -> None:
        """Nothing answers here, and something does elsewhere: all that is under way is offered again there."""
        for space in self.spaces:
            for run in list(space.sent.runs):
                if run.size:
                    run.tell_lost()
                    # Once: whatever becomes of it here, somebody else sees to what it carried.
                    run.owner = None
                    run.tokens = ()

    def give_up(self) -> None:
        """The path is abandoned, and what is under way on it with it."""
        self.offer_all()
        for space in self.spaces:
            for run in space.sent.runs:
                run.tell_lost()  # a probe of the datagram size
            space.sent.runs.clear()
            space.in_flight = space.probes = 0
            space.loss_time = NEVER
        self.in_flight = 0

    def discard(self, space: PacketSpace) -> None:
        """The keys of `space` are gone; so is what was in flight under them (RFC 9002 section 6.4)."""
        if space in self.spaces:
            self.spaces.remove(space)
            self.in_flight -= space.in_flight
            space.in_flight = 0
            self.pto_count = 0
            space.sent.runs.clear()


def _hold_any(starts: list[int], stops: list[int], numbers: list[int]) -> bool:
    """Whether the ranges (highest first) hold one of `numbers` (ascending)."""
    i = 0
    last = len(starts) - 1
    for number in reversed(numbers):
        while starts[i] > number:
            if i == last:
                return False
            i += 1
        if number < stops[i]:
            return True
    return False
