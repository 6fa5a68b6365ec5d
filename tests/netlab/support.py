"""A server on host b that gives away made-up files, and clients on host a that fetch them."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsp
from tests.netlab.emulator import Direction
from tests.netlab.lab import HOSTS, Hosts, Lab

IDENTITY = jsp.Identity.from_seed(bytes(range(32)))
KB, MB = 1000, 1_000_000
PORT = 4433

# IPv4 and UDP.
HEADERS = 28


def content(number: int, size: int) -> bytes:
    """The file `number` of `size` bytes."""
    return random.Random(number).randbytes(size)


class Files(jsp.Handler):
    """Answers "NUMBER SIZE" with that file. `connections` are all that a test's server had."""

    connections: list[jsp.Connection] = []  # noqa: RUF012 - the tests' one list, emptied by `serving`

    def setup(self) -> None:
        self.connections.append(self.conn)

    def handle_stream(self, stream: jsp.Stream) -> None:
        number, size = stream.makefile("rb").read().split()
        stream.sendall(content(int(number), int(size)))

    def handle_message(self, message: jsp.Message) -> None:
        self.conn.send(message.data, mode=message.mode, ordered=message.ordered)


@contextmanager
def serving(
    lab: Hosts,
    config: jsp.Config | None = None,
    addresses: dict[str, str] = HOSTS,
    handler: type[jsp.Handler] = Files,
) -> Iterator[jsp.Server]:
    """A server on host b."""
    Files.connections.clear()
    with lab.inside("b"):
        server = jsp.Server((addresses["b"], PORT), handler, identity=IDENTITY, config=config or jsp.Config())
        server.start()
    try:
        yield server
    finally:
        server.stop(1.0)


def connect(lab: Hosts, server: jsp.Server, config: jsp.Config | None = None) -> jsp.Connection:
    """A connection from host a."""
    with lab.inside("a"):
        return jsp.connect(server.url, config=config or jsp.Config())


def fetch(conn: jsp.Connection, size: int, number: int = 0) -> None:
    """Get a file, and see that it is what it should be."""
    with conn.open_stream() as stream:
        stream.sendall(f"{number} {size}".encode())
        stream.shutdown(socket.SHUT_WR)
        assert stream.makefile("rb").read() == content(number, size)


def interop_link(*, seed: int = 1, log: Path | None = None, **more: Any) -> Lab:
    """The link of the QUIC interop runner, 10 Mbit/s, 15 ms, queues of 25 packets, with `more` in both directions."""
    both = Direction(**({"delay": 15, "rate": 10e6, "queue_packets": 25} | more))
    return Lab(both, both, seed=seed, log=log)


def events(log: Path) -> list[tuple[str, str, int, int]]:
    """What an emulator logged: direction, what happened, bytes of UDP payload, the first of them."""
    rows = [line.split() for line in log.read_text().splitlines()]
    return [(side, what, int(length) - HEADERS, int(first)) for _, side, what, _, length, first in rows]
