"""Messages with a deadline over an emulated link, at a steady pace, from host a to a server on host b."""

from __future__ import annotations

import time
from dataclasses import dataclass

import gevent

import jsp
from tests.netlab.emulator import Direction
from tests.netlab.lab import HOSTS, Lab
from tests.netlab.support import IDENTITY, PORT, connect


@dataclass(frozen=True)
class Outcome:
    """Seconds from `send` to the handler of those that arrived, in the order they were sent; UDP payload sent."""

    delays: list[float]
    sent_bytes: int
    repair_bytes: int
    recovered: int


class _Arrivals(jsp.Handler):
    """Notes when each message is there; `seen` and `conns` are those of the run."""

    seen: dict[int, float] = {}  # noqa: RUF012 - one run's, emptied by `run_dated`
    conns: list[jsp.Connection] = []  # noqa: RUF012

    def setup(self) -> None:
        self.conns.append(self.conn)

    def handle_message(self, message: jsp.Message) -> None:
        number = int(message.data[:8])
        assert number not in self.seen, "a message came twice"
        self.seen[number] = time.monotonic()


def run_dated(
    link: Direction,
    config: jsp.Config,
    *,
    count: int,
    gap: float = 0.002,
    size: int = 200,
    ttl: float = 0.05,
    seed: int,
) -> Outcome:
    """Send `count` messages of `size` bytes, one every `gap` seconds, over a link with `link` in both directions."""
    _Arrivals.seen.clear()
    _Arrivals.conns.clear()
    with Lab(link, link, seed=seed) as lab:
        with lab.inside("b"):
            server = jsp.Server((HOSTS["b"], PORT), _Arrivals, identity=IDENTITY, config=config)
            server.start()
        with connect(lab, server, config) as conn:
            conn.ping()  # both ends know that the handshake is over
            before = conn.stats().bytes_sent
            sent = []
            start = time.monotonic()
            for i in range(count):
                gevent.sleep(max(start + i * gap - time.monotonic(), 0))
                sent.append(time.monotonic())
                conn.send((b"%08d" % i).ljust(size, b"."), mode=jsp.PartiallyReliable(ttl=ttl))
            gevent.sleep(4 * ttl)
            stats = conn.stats()
            recovered = _Arrivals.conns[0].stats().messages_recovered
        server.stop(1.0)
    delays = [at - sent[i] for i, at in sorted(_Arrivals.seen.items())]
    return Outcome(delays, stats.bytes_sent - before, stats.repair_bytes, recovered)
