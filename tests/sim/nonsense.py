"""A peer that acknowledges nonsense while it is being sent to: never sent, left out, repeated, counted down, too much.

What it does either ends the connection, with the code that belongs to it, or changes nothing that it should not. There
is no exception, nothing grows beyond what was sent, and no window is wider than what was acknowledged can make it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from jsp.config import CONGESTION, MIB, Config
from jsp.engine.connection import ConnectionCore
from jsp.errors import Code
from jsp.recovery.acks import MAX_DELAY_S
from jsp.recovery.controller import initial_window
from jsp.wire.frames import ACK, ACK_ECN, ACK_FREQUENCY
from tests.sim.hostile import ack, frames, send_frames
from tests.sim.link import LinkSpec
from tests.sim.world import Node, World, connected

SIZE = 400_000
HUGE = (1 << 62) - 1
VIOLATION, ENCODING = Code.PROTOCOL_VIOLATION, Code.FRAME_ENCODING
# What a lie makes a server close with; empty: it must not.
Verdict = tuple[Code, ...]


class Liar:
    """The client's end of a connection on which the server sends. `honest`: it acknowledges what came, too."""

    def __init__(self, client: Node, c: ConnectionCore, s: ConnectionCore, rng: random.Random, honest: bool) -> None:
        self.client, self.c, self.s = client, c, s
        self.rng = rng
        self.space = s.paths[0].space
        if not honest:
            c.paths[0].space.acks.on_request(HUGE, HUGE, MAX_DELAY_S, 0)

    def received(self) -> list[tuple[int, int]]:
        """What really came, the newest 64 ranges."""
        ranges = self.c.paths[0].space.acks.ranges
        return list(zip(ranges.starts, ranges.stops, strict=True))[:-65:-1]

    def tell(self, payload: bytes) -> None:
        send_frames(self.client, self.c, payload)

    # --- lies that must be found out -------------------------------------------------------------------------

    def never_sent(self) -> Verdict:
        largest = self.space.next_number + self.rng.choice((2000, 1 << 20, 1 << 60))
        self.tell(ack((self.rng.choice((0, largest)), largest + 1)))
        return (VIOLATION,)

    def left_out(self) -> Verdict:
        if not self.space.skipped:
            return ()
        number = self.rng.choice(self.space.skipped)
        self.tell(ack(self.rng.choice(((number, number + 1), (0, number + 1), (max(0, number - 3), number + 1)))))
        # By the time it arrives that number may be one of long ago.
        return (VIOLATION,) if number == self.space.skipped[-1] else (VIOLATION, Code.NO_ERROR)

    def below_zero(self) -> Verdict:
        self.tell(frames((ACK, 0, 5, 0, 1, 2, self.rng.choice((2, 5, HUGE)), self.rng.choice((1, HUGE)))))
        return (ENCODING,)

    def cut_short(self) -> Verdict:
        self.tell(frames((ACK, 0, 9, 0, self.rng.choice((255, 256, 1000, HUGE)), 0)))
        return (ENCODING,)

    def absurd_frequency(self) -> Verdict:
        packets, delay = self.rng.choice(((0, 25_000), (2, 0), (2, 999), (2, 16_384_001), (HUGE, HUGE)))
        values = (0, self.rng.choice((5, HUGE)), packets, delay, 1)
        body = frames(values)
        self.tell(frames((ACK_FREQUENCY, len(body)), body))
        return (VIOLATION if packets else ENCODING,)

    # --- nonsense that must not matter -----------------------------------------------------------------------

    def repeated(self) -> Verdict:
        for _ in range(self.rng.randrange(2, 30)):
            self.tell(ack(*self.received()))
        return ()

    def late_for_ever(self) -> Verdict:
        self.tell(ack(*self.received(), delay=self.rng.choice((1, 1 << 20, HUGE))))
        return ()

    def marks(self) -> Verdict:
        top = self.rng.choice((0, 1, 100, HUGE))
        ecn = (self.rng.choice((0, top)), self.rng.choice((0, 0, top)), self.rng.choice((0, 1, top)))
        for counts in (ecn, (0, 0, 0), ecn):
            self.tell(ack(*self.received(), ecn=counts))
        return ()

    def old_ranges(self) -> Verdict:
        """The oldest of what came, and pieces of it, as if the rest had been lost."""
        came = self.received()
        low, high = came[-1]
        self.tell(ack((low, self.rng.randrange(low, high) + 1)))
        return ()

    def many_ranges(self) -> Verdict:
        """Every other packet, as many ranges as an ACK has."""
        low, high = max(self.received(), key=lambda r: r[1] - r[0])
        numbers = range(high - 1, low - 1, -2)[:200]
        for _ in range(self.rng.randrange(1, 10)):
            self.tell(ack(*((n, n + 1) for n in numbers)))
        return ()

    def another_path(self) -> Verdict:
        self.tell(ack((0, HUGE), path=self.rng.choice((1, 77, HUGE))))
        return ()

    def another_frequency(self) -> Verdict:
        values = (self.rng.choice((0, 9)), self.rng.randrange(100), self.rng.choice((1, 100, HUGE)),
                  self.rng.choice((1000, 16_384_000)), self.rng.choice((0, 1, 128, HUGE)))  # fmt: skip
        body = frames(values)
        for _ in range(self.rng.randrange(1, 5)):
            self.tell(frames((ACK_FREQUENCY, len(body)), body))
        return ()

    # --- what may be either ----------------------------------------------------------------------------------

    def optimistic(self) -> Verdict:
        """All that was sent, whether or not it came."""
        self.tell(ack((0, self.space.next_number)))
        return (VIOLATION, Code.NO_ERROR)

    def anything(self) -> Verdict:
        values = [self.rng.choice((0, 1, 2, 7, 63, 64, 255, 1 << 14, 1 << 30, HUGE)) for _ in range(9)]
        self.tell(frames((self.rng.choice((ACK, ACK_ECN)), *values)))
        # What the ACK does not take is read as other frames, of streams maybe.
        return (VIOLATION, ENCODING, Code.STREAM_STATE, Code.STREAM_LIMIT, Code.NO_ERROR)


FATAL: tuple[Callable[[Liar], Verdict], ...] = (
    Liar.never_sent, Liar.left_out, Liar.below_zero, Liar.cut_short, Liar.absurd_frequency,
)  # fmt: skip
HARMLESS: tuple[Callable[[Liar], Verdict], ...] = (
    Liar.repeated, Liar.late_for_ever, Liar.marks, Liar.old_ranges, Liar.many_ranges, Liar.another_path,
    Liar.another_frequency,
)  # fmt: skip
EITHER: tuple[Callable[[Liar], Verdict], ...] = (Liar.optimistic, Liar.anything)


def run_nonsense(seed: int) -> None:
    """One peer's lies; an AssertionError names what they did."""
    rng = random.Random(seed)
    world = World(seed)
    config = Config(congestion=rng.choice(CONGESTION), stream_window=2 * MIB, idle_timeout=100.0)
    link = LinkSpec(
        delay=rng.choice((0.001, 0.02)), loss=rng.choice((0.0, 0.0, 0.05)), rate=rng.choice((None, 2_000_000))
    )
    client, server, c, s = connected(world, link, client_config=config, server_config=config)
    stream = s.open_stream()
    assert stream is not None and stream.send is not None
    stream.send.write(bytes(SIZE))
    stream.send.finish()
    server.flush(s)
    lies = rng.choice((HARMLESS, HARMLESS, FATAL + HARMLESS, EITHER + HARMLESS))
    liar = Liar(client, c, s, rng, honest=lies is HARMLESS or rng.random() < 0.5)
    allowed: set[Code] = set()
    for _ in range(rng.randrange(1, 25)):
        world.run_for(rng.choice((0.001, 0.01, 0.05)))
        if s.is_closed() or not liar.received():
            break
        verdict = rng.choice(lies)(liar)
        allowed |= set(verdict)
        world.run_for(4 * link.delay + 0.01)
        _check_bounds(s, world.now, seed)
        if verdict and Code.NO_ERROR not in verdict and not link.loss:
            assert s.is_closed(), f"seed {seed}: not found out"
    if s.is_closed():
        closed = s.lifecycle.closed
        assert closed is not None and closed.code in allowed - {Code.NO_ERROR}, f"seed {seed}: {closed}"
    elif lies is HARMLESS:
        _finish(world, client, c, s, seed)


def _check_bounds(s: ConnectionCore, now: float, seed: int) -> None:
    """Nothing is larger than what was sent and acknowledged can have made it."""
    path = s.paths[0]
    recovery, space = path.recovery, path.space
    most = initial_window(path.mtu) + recovery.rate.delivered + path.mtu
    assert recovery.controller.window <= most, f"seed {seed}: a window of {recovery.controller.window}"
    assert recovery.rate.delivered <= s.counters.bytes_sent
    assert 0 < recovery.rtt.minimum <= max(recovery.rtt.smoothed, recovery.rtt.latest)
    assert recovery.rtt.smoothed <= max(1.0, now)
    # A run is a packet at least, and every packet counts in full.
    assert sum(run.count for run in space.sent.runs) <= space.next_number
    assert len(space.sent.runs) <= 1 + recovery.in_flight // 20
    assert len(space.skipped) <= 4
    acks = space.acks
    assert acks.deadline == float("inf") or acks.deadline <= now + MAX_DELAY_S
    assert recovery.peer_max_ack_delay <= MAX_DELAY_S


def _finish(world: World, client: Node, c: ConnectionCore, s: ConnectionCore, seed: int) -> None:
    """Nobody was harmed: all that was written arrives."""
    got = 0

    def read() -> bool:
        nonlocal got
        for stream in list(c.streams.streams.values()):
            got += len(c.read(stream, MIB))
        client.flush(c)
        return got == SIZE

    world.run_until(read, 600.0)
    world.run_until(lambda: not s.paths[0].recovery.in_flight, 600.0)
    assert not s.is_closed(), f"seed {seed}: {s.lifecycle.closed}"
