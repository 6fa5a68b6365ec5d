"""Bulk flows of bare packets through one bottleneck: recovery as the engine drives it, without engine or keys."""

from __future__ import annotations

from collections.abc import Sequence

from jsp.recovery.acks import NEVER, AckTracker
from jsp.recovery.congestion import make_controller
from jsp.recovery.loss import LossDetector, PacketSpace
from jsp.recovery.sent import make_run
from tests.sim.link import Link, LinkSpec
from tests.sim.world import World

MTU = 1452
MBIT = 125_000
TRAIN = 44
MAX_ACK_DELAY = 0.025


class Flow:
    """A sender that always (or while `open`) has something to send, and its receiver.

    Attributes:
        marks: (time, bytes acknowledged), once each time `mark` is called.
        data: limits what may be sent, bytes; None: no end.
    """

    def __init__(self, world: World, controller: str, there: Link, back: Link, start: float = 0.0) -> None:
        self.world = world
        self.path = LossDetector(make_controller(controller, MTU))
        self.space = PacketSpace(MAX_ACK_DELAY, False)
        self.path.spaces.append(self.space)
        self.path.handshake_done = True
        self.path.peer_max_ack_delay = MAX_ACK_DELAY
        self.acks = AckTracker(MAX_ACK_DELAY)
        self.there, self.back = there, back
        self.data: int | None = None
        self.delivered = 0
        self.sent = 0
        self.delays: list[float] = []
        self._timer = NEVER
        self._ack_timer = NEVER
        world.schedule(start, self.send)

    # --- the sender ----------------------------------------------------------------------------------------------

    def send(self) -> None:
        now = self.world.now
        path = self.path
        pacing = NEVER
        while True:
            if self.data is not None and self.sent >= self.data:
                path.on_app_limited()
                break
            allowed = path.allowance(MTU, now)
            if self.space.probes:
                allowed = max(allowed, self.space.probes * MTU)
            if allowed < MTU:
                pacing = path.pacing_at
                break
            count = min(allowed // MTU, TRAIN)
            if self.data is not None:
                count = min(count, -(-(self.data - self.sent) // MTU))
            first = self.space.next_number
            path.on_sent(self.space, make_run(first, count, MTU, MTU * count, now))
            self.space.next_number += count
            self.space.probes = max(0, self.space.probes - count)
            self.sent += MTU * count
            for number in range(first, first + count):
                packet = number.to_bytes(8, "big") + bytes(MTU - 8)
                self.there.send(now, packet, lambda data, at=now: self.on_packet(data, at))
        path.update_deadline(now, False, False)
        self._arm(min(path.deadline, pacing))

    def _arm(self, at: float) -> None:
        # The hub's timer has a millisecond.
        if at < self._timer:
            self._timer = at
            self.world.schedule(max(at, self.world.now + 0.0005), lambda: self._on_timer(at))

    def _on_timer(self, at: float) -> None:
        if self._timer == at:
            self._timer = NEVER
            self.path.on_timeout(self.world.now)
            self.send()

    def on_ack(self, starts: list[int], stops: list[int], delay: float) -> None:
        self.delivered += self.path.on_ack(self.space, starts, stops, delay, self.world.now)
        self.send()

    # --- the receiver --------------------------------------------------------------------------------------------

    def on_packet(self, packet: bytes, sent: float) -> None:
        now = self.world.now
        self.delays.append(now - sent)
        if self.acks.accept(int.from_bytes(packet[:8], "big"), now):
            self.acks.on_batch(1, now)
        if self.acks.deadline <= now:
            self.acknowledge()
        elif self._ack_timer != self.acks.deadline:
            self._ack_timer = at = self.acks.deadline
            self.world.schedule(at, lambda: self.acknowledge() if self.acks.deadline == at else None)

    def acknowledge(self) -> None:
        low = self.acks.first_told()
        starts, stops = self.acks.ranges.starts[low:], self.acks.ranges.stops[low:]
        delay = self.acks.delay(self.world.now)
        told = self.acks.on_sent()
        self.acks.on_acked(told - 4096, 0)
        self.back.send(self.world.now, bytes(50), lambda _: self.on_ack(starts[::-1], stops[::-1], delay))


class Bottleneck:
    """Flows that share a link each way. `rate` bytes a second, `rtt` seconds, `queue` bytes."""

    def __init__(self, seed: int, rate: float, rtt: float, queue: float, loss: float = 0.0) -> None:
        self.world = World(seed)
        self.rate = rate
        self.there = self.world.link(LinkSpec(delay=rtt / 2, rate=rate, queue=int(queue), loss=loss))
        self.back = self.world.link(LinkSpec(delay=rtt / 2))
        self.flows: list[Flow] = []

    def add(self, controller: str, start: float = 0.0) -> Flow:
        """A flow under `controller` that begins at `start`."""
        self.flows.append(Flow(self.world, controller, self.there, self.back, start))
        return self.flows[-1]

    def measure(self, until: float, since: float) -> list[float]:
        """Run until `until`; the share of the link each flow delivered from `since` on."""
        self.world.run_for(since - self.world.now)
        before = [flow.delivered for flow in self.flows]
        for flow in self.flows:
            flow.delays.clear()
        self.world.run_for(until - since)
        span = (until - since) * self.rate
        return [(flow.delivered - was) / span for flow, was in zip(self.flows, before, strict=True)]


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all are the same, 1/n when one has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
