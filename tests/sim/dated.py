"""Messages with a deadline, one after the other at a steady pace: how many arrive in time, and for how many bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from jsp.config import LIMITS, Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import MessagesReadable
from jsp.engine.modes import PartiallyReliable
from jsp.engine.out_message import OUTCOMES, OutMessage
from jsp.engine.recv_repair import RecvRepair
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected


@dataclass(frozen=True)
class Traffic:
    """Seconds and bytes. `count` messages, a `burst` of them every `gap`, and a `pause` after so many bursts (0: none);
    `bulk`: a stream beside that never ends."""

    count: int = 1000
    gap: float = 0.002
    burst: int = 1
    sizes: tuple[int, ...] = (200,)
    ttl: float = 0.05
    retransmits: int | None = None
    ordered: bool = False
    bulk: bool = False
    bursts: int = 1
    pause: float = 0.0

    def duration(self) -> float:
        """How long it takes to send all."""
        bursts = self.count / self.burst
        return bursts * self.gap + (bursts / self.bursts) * self.pause


@dataclass
class Outcome:
    """What became of it.

    Attributes:
        delays: seconds from `send` to the receiver's application, of those that arrived, sorted.
        in_time: how many had arrived when their time was up.
        last_in_time: of the messages before a pause, the share of which that is true.
        lost_in_vain: how many arrived that were reported lost.
        sent_bytes: UDP payload of the sender.
        bulk_bytes: of the stream, read by the receiver.
    """

    delays: list[float] = field(default_factory=list)
    in_time: int = 0
    last_in_time: float = 0.0
    lost_in_vain: int = 0
    sent_bytes: int = 0
    bulk_bytes: int = 0
    repairs: int = 0
    repair_bytes: int = 0
    recovered: int = 0


class DatedRun:
    """One connection and its traffic on virtual time."""

    def __init__(self, seed: int, traffic: Traffic, up: LinkSpec, down: LinkSpec | None, config: Config) -> None:
        self.world = World(seed)
        self.traffic = traffic
        self.client, self.server, self.c, self.s = connected(
            self.world, up, down, client_config=config, server_config=config
        )
        self.server.handler = self._on_event
        self.sent: dict[bytes, tuple[float, OutMessage]] = {}
        self.got: dict[bytes, float] = {}
        self.order: list[bytes] = []
        self.last: list[bytes] = []
        self.outcome = Outcome()
        self._chance = random.Random(seed)
        self._bulk = self.c.open_stream() if traffic.bulk else None

    def run(self) -> Outcome:
        """Send, wait until all is settled, check that nothing is wrong, and count."""
        before = self.c.counters.bytes_sent
        self._send(self.traffic.count)
        messages = self.c.send_messages
        self.world.run_for(self.traffic.duration() + self.traffic.ttl)
        out = self.outcome
        out.sent_bytes = self.c.counters.bytes_sent - before
        self.world.run_until(lambda: not (messages.unresolved or messages.waiting or self.c.scheduler))
        self.world.run_for(1.0)
        self._check()
        out.delays = sorted(at - self.sent[data][0] for data, at in self.got.items())
        in_time = {data for data, at in self.got.items() if at - self.sent[data][0] <= self.traffic.ttl + 1e-9}
        out.in_time = len(in_time)
        out.last_in_time = sum(data in in_time for data in self.last) / max(len(self.last), 1)
        out.lost_in_vain = sum(OUTCOMES[self.sent[data][1].outcome] == "lost" for data in self.got)
        sender, receiver = self.c.send_messages.repair, self.s.recv_messages.repair
        if sender is not None:
            out.repairs, out.repair_bytes = sender.sent, sender.sent_bytes
        if receiver is not None:
            out.recovered = receiver.recovered
            check_bounds(receiver)
        return out

    def _send(self, left: int) -> None:
        traffic = self.traffic
        for i in range(left, max(left - traffic.burst, 0), -1):
            data = (b"%d:" % i).ljust(self._chance.choice(traffic.sizes), b"%d" % (i % 10))
            mode = PartiallyReliable(traffic.ttl, traffic.retransmits)
            message = self.c.send_message(self.world.now, data, mode, traffic.ordered)
            if message is None:
                continue  # more than the path takes, for long
            self.sent[data] = (self.world.now, message)
        if self._bulk is not None and self._bulk.send is not None and self._bulk.send.unsent() < 100_000:
            self._bulk.send.write(bytes(100_000))
        self.client.flush(self.c)
        left -= traffic.burst
        pause = 0.0
        if traffic.pause and (traffic.count - left) % (traffic.burst * traffic.bursts) == 0:
            self.last.append(data)
            pause = traffic.pause
        if left > 0:
            self.world.schedule(self.world.now + traffic.gap + pause, lambda: self._send(left))

    def _on_event(self, connection: ConnectionCore, event: object) -> None:
        if isinstance(event, MessagesReadable):
            while (message := connection.recv_messages.read()) is not None:
                assert message.data not in self.got, "a message came twice"
                self.got[message.data] = self.world.now
                self.order.append(message.data)
        elif self._bulk is not None and self._bulk.id in connection.streams.streams:
            self.outcome.bulk_bytes += len(connection.read(connection.streams.streams[self._bulk.id], 1 << 30))

    def _check(self) -> None:
        assert self.c.lifecycle.closed is None and self.s.lifecycle.closed is None
        assert set(self.got) <= set(self.sent), "a message that was never sent"
        for data, (_, message) in self.sent.items():
            assert message.outcome, "a message whose fate is not known"
            assert OUTCOMES[message.outcome] != "delivered" or data in self.got, "delivered, and did not arrive"
        if self.traffic.ordered:
            assert self.order == [data for data in self.sent if data in self.got]
        if not self.traffic.bulk:
            assert self.c.credit.used == self.s.window.received
            assert self.s.window.held() == 0


def check_bounds(repair: RecvRepair) -> None:
    """What is kept to recover messages from, as the module promises."""
    held = sum(map(len, repair._sources.values())) + sum(len(e.total) for e in repair._equations.values())
    held += sum(len(total) + LIMITS.message_overhead for sums in repair._sums.values() for total in sums.values())
    assert repair._held == repair._window.spare == held, "what is kept was not counted"
    assert held <= LIMITS.repair_bytes and len(repair._sources) <= 60 and len(repair._equations) <= 30
    assert not repair.solved


def run_dated(
    seed: int, traffic: Traffic, up: LinkSpec, down: LinkSpec | None = None, config: Config | None = None
) -> Outcome:
    """Run `traffic` from the client to the server."""
    return DatedRun(seed, traffic, up, down, config or Config()).run()


def run_random(seed: int) -> Outcome:
    """Traffic, link and configuration out of a seed; an AssertionError names what went wrong."""
    chance = random.Random(seed)
    traffic = Traffic(
        count=chance.choice((50, 300)),
        gap=chance.choice((0.0005, 0.005, 0.03)),
        burst=chance.choice((1, 1, 3, 12)),
        sizes=chance.choice(((20,), (200,), (20, 200, 1000), (1100,), (1130, 2500, 50), (2500, 40_000))),
        ttl=chance.choice((0.03, 0.1, 0.4)),
        ordered=chance.random() < 0.4,
        bulk=chance.random() < 0.2,
    )

    def link() -> LinkSpec:
        return LinkSpec(
            delay=chance.choice((0.005, 0.02, 0.1)),
            loss=chance.choice((0.0, 0.05, 0.2, 0.4)),
            burst=chance.choice((None, None, (0.02, 0.3))),
            duplicate=chance.choice((0.0, 0.1)),
            reorder=chance.choice((0.0, 0.0, 0.1)),
            jitter=chance.choice((0.0, 0.0, 0.003)),
            corrupt=chance.choice((0.0, 0.0, 0.02)),
            rate=chance.choice((None, None, 500_000)),
        )

    traffic = replace(
        traffic, retransmits=chance.choice((None, None, 0, 1)), bursts=chance.choice((1, 10)),
        pause=chance.choice((0.0, 0.0, 0.05, 0.5)),
    )  # fmt: skip
    config = Config(
        congestion=chance.choice(("cubic", "bbr")), max_datagram_size=chance.choice((1200, 1452, 4000)),
        idle_timeout=300.0, handshake_timeout=100.0,
    )  # fmt: skip
    return run_dated(seed, traffic, link(), link(), config)
