"""One direction of a virtual link: rate and queue first, then loss, then delay; as a bottleneck router has it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial


@dataclass
class LinkSpec:
    """Probabilities are per datagram, times seconds, sizes bytes."""

    delay: float = 0.02
    jitter: float = 0.0
    "Mean of an exponential extra delay; order is kept unless `reorder` says otherwise."
    loss: float = 0.0
    burst: tuple[float, float] | None = None
    "Gilbert-Elliott: chance to enter and to leave a state in which everything is lost."
    drop: frozenset[int] = field(default_factory=frozenset)
    "Indices of datagrams to lose, counted from 0 on this direction."
    duplicate: float = 0.0
    reorder: float = 0.0
    "Chance that a datagram is held back by up to four delays."
    late: float = 0.0
    "Chance that a datagram is held back for up to five seconds."
    corrupt: float = 0.0
    "Chance that one bit flips."
    truncate: float = 0.0
    "Chance that the end is cut off."
    rate: float | None = None
    "Bytes a second."
    queue: int = 64_000
    "Bytes that wait for `rate`; more are dropped."
    mtu: int = 65_535
    "Larger datagrams vanish."
    icmp: bool = False
    "And their sender is told, a delay later."
    mark: int | None = None
    "Bytes of queue from which on datagrams that bear it get a congestion mark."
    bleach: bool = False
    "ECN fields are cleared."
    ecn_blackhole: bool = False
    "Datagrams with an ECN field vanish."


class Link:
    """Carries datagrams to `deliver` on the world's clock.

    Attributes:
        sent, lost: datagrams.
        blackhole: while set, everything vanishes.
        tap: sees every datagram offered.
    """

    def __init__(
        self, spec: LinkSpec, rng: random.Random, schedule: Callable[[float, Callable[[], None]], None]
    ) -> None:
        self.spec = spec
        self.sent = 0
        self.lost = 0
        self.blackhole = False
        self.tap: Callable[[bytes], None] | None = None
        self._rng = rng
        self._schedule = schedule
        self._free_at = 0.0
        self._last_arrival = 0.0
        self._bursting = False

    def send(self, now: float, data: bytes, deliver: Callable[[bytes], None]) -> None:
        """Carry `data` from `now` on, or lose it."""
        spec, rng = self.spec, self._rng
        index = self.sent
        self.sent += 1
        if self.tap is not None:
            self.tap(data)
        start = now
        if spec.rate is not None:
            if (max(self._free_at, now) - now) * spec.rate + len(data) > spec.queue:
                self.lost += 1
                return
            self._free_at = start = max(self._free_at, now) + len(data) / spec.rate
        if self._is_lost(index, len(data)):
            self.lost += 1
            return
        copies = 2 if rng.random() < spec.duplicate else 1
        for _ in range(copies):
            at = start + spec.delay
            if spec.jitter:
                at += rng.expovariate(1 / spec.jitter)
            if rng.random() < spec.reorder:
                at += rng.random() * 4 * spec.delay
            elif spec.late and rng.random() < spec.late:
                at += rng.random() * 5
            else:
                at = self._last_arrival = max(at, self._last_arrival)
            damaged = self._damage(data)
            self._schedule(at, partial(deliver, damaged))

    def mark(self, now: float, ecn: int) -> int:
        """The ECN field with which a datagram arrives that is sent at `now` with `ecn`; -1: not at all."""
        spec = self.spec
        if ecn and spec.ecn_blackhole:
            return -1
        if spec.bleach:
            return 0
        if ecn and spec.mark is not None and spec.rate is not None:
            return 3 if (self._free_at - now) * spec.rate > spec.mark else ecn
        return ecn

    def _is_lost(self, index: int, size: int) -> bool:
        spec, rng = self.spec, self._rng
        if spec.burst is not None:
            enter, leave = spec.burst
            if rng.random() < (leave if self._bursting else enter):
                self._bursting = not self._bursting
        return (
            self.blackhole
            or size > spec.mtu
            or index in spec.drop
            or self._bursting
            or (spec.loss > 0 and rng.random() < spec.loss)
        )

    def _damage(self, data: bytes) -> bytes:
        spec, rng = self.spec, self._rng
        if spec.corrupt and rng.random() < spec.corrupt:
            at = rng.randrange(len(data))
            data = data[:at] + bytes((data[at] ^ (1 << rng.randrange(8)),)) + data[at + 1 :]
        if spec.truncate and rng.random() < spec.truncate:
            data = data[: rng.randrange(len(data))]
        return data
