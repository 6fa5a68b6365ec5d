"""A program at either end of a lab: a stream of numbered pieces, and when each of them was sent and delivered.

    python -m tests.netlab.pieces serve HOST PORT CONFIG
    python -m tests.netlab.pieces call ADDRESS CONFIG [HOST ...]

`CONFIG` is a JSON object of `jsp.Config` fields. With hosts, these are what any name means, for a lab has no name
servers. A line of JSON says that it is ready: what "remote" does. Then each line on standard input is a command,
["name", argument ...], and a line answers it, {"is": ...} or {"error": ...}; the methods of `Server` and `Client` are
the commands. The tests' side of it is `talk.py`.

Both ends take the time from the one monotonic clock of the machine.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any

import gevent
from gevent.fileobject import FileObject

import jsp
from tests.netlab.support import IDENTITY

# Number of the piece, and when it was sent (s).
_HEAD = struct.Struct("!Qd")

# [number, sent, delivered] of each piece.
Pieces = list[tuple[int, float, float]]


def send_pieces(stream: jsp.Stream, count: int, size: int, every: float) -> None:
    """Send `count` pieces of `size` bytes, one each `every` seconds; 0: as fast as they are taken."""
    start = time.monotonic()
    for number in range(count):
        if every:
            gevent.sleep(max(start + number * every - time.monotonic(), 0))
        stream.sendall(_HEAD.pack(number, time.monotonic()).ljust(size, b"."))


def take_pieces(stream: jsp.Stream, file: Any, pieces: Pieces, count: int, size: int) -> None:
    """Read `count` pieces, and note in `pieces` what there is to know of them."""
    while len(pieces) < count:
        data = file.read(size)
        if len(data) < size:
            raise EOFError(f"the stream ends in piece {len(pieces)} of {count}")
        number, sent = _HEAD.unpack_from(data)
        assert number == len(pieces), "the pieces of a stream are in order"
        pieces.append((number, sent, time.monotonic()))


class Handler(jsp.Handler):
    """A stream begins with a line that says which way the pieces go. `conns` and `pieces` are the program's."""

    conns: list[jsp.Connection] = []  # noqa: RUF012
    pieces: Pieces = []  # noqa: RUF012

    def setup(self) -> None:
        self.conns.append(self.conn)

    def handle_stream(self, stream: jsp.Stream) -> None:
        file = stream.makefile("rb")
        order = json.loads(file.readline())
        if order.pop("way") == "down":
            send_pieces(stream, **order)
        else:
            self.pieces.clear()
            take_pieces(stream, file, self.pieces, order["count"], order["size"])


class Names:
    """A resolver that knows one name."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts

    def getaddrinfo(self, name: str, port: int, family: int, kind: int, *_: int) -> list[tuple[Any, ...]]:
        """All hosts, in the order they were given."""
        found: list[tuple[Any, ...]] = []
        for host in self._hosts:
            found += socket.getaddrinfo(host, port, family, kind, 0, socket.AI_NUMERICHOST)
        return found


def _paths(conn: jsp.Connection) -> list[dict[str, Any]]:
    names = ("id", "local", "remote", "state", "rtt", "mtu", "cwnd", "kind")
    return [{name: getattr(path, name, None) for name in names} for path in conn.paths]


class Server:
    """The commands of the server, which are about its newest connection."""

    def __init__(self, host: str, port: str, config: str) -> None:
        settings = jsp.Config(**json.loads(config))
        self._server = jsp.Server((host, int(port)), Handler, identity=IDENTITY, config=settings)
        self._server.start()

    def remote(self) -> list[tuple[Any, ...]]:
        """Where the clients are."""
        return [conn.remote_address for conn in Handler.conns if not conn.closed]

    def paths(self) -> list[dict[str, Any]]:
        """`conn.paths`."""
        return _paths(Handler.conns[-1])

    def pieces(self) -> Pieces:
        """What came of the transfer that began last."""
        return Handler.pieces


class Client:
    """The commands of the client."""

    def __init__(self, address: str, config: str, *hosts: str) -> None:
        if hosts:
            gevent.get_hub().resolver = Names(hosts)
        self._conn = jsp.connect(address, config=jsp.Config(**json.loads(config)))
        self._pieces: Pieces = []
        self._job: gevent.Greenlet[..., None] | None = None

    def remote(self) -> tuple[Any, ...]:
        """Where the server is."""
        return self._conn.remote_address

    def paths(self) -> list[dict[str, Any]]:
        """`conn.paths`."""
        return _paths(self._conn)

    def migrate(self, *address: str) -> None:
        """`conn.migrate`."""
        self._conn.migrate(*address)  # type: ignore[attr-defined]

    def add_path(self, address: str) -> None:
        """`conn.add_path`."""
        self._conn.add_path(address)  # type: ignore[attr-defined]

    def ping(self, timeout: float) -> float:
        """`conn.ping`."""
        return self._conn.ping(timeout)

    def transfer(self, way: str, count: int, size: int, every: float) -> None:
        """Begin to send pieces "up" to the server, or have it send them "down"."""
        self._pieces.clear()
        self._job = gevent.spawn(self._transfer, way, count, size, every)

    def _transfer(self, way: str, count: int, size: int, every: float) -> None:
        with self._conn.open_stream() as stream:
            order = {"way": way, "count": count, "size": size, "every": every}
            stream.sendall(json.dumps(order).encode() + b"\n")
            if way == "up":
                send_pieces(stream, count, size, every)
                stream.close()
            take_pieces(stream, stream.makefile("rb"), self._pieces, count if way == "down" else 0, size)

    def running(self) -> bool:
        """Whether the transfer is not over here. When it has failed, why is the answer."""
        assert self._job is not None
        if self._job.ready():
            self._job.get()
        return not self._job.ready()

    def wait(self, timeout: float) -> None:
        """Wait until the transfer is over."""
        assert self._job is not None
        self._job.get(timeout=timeout)

    def pieces(self) -> Pieces:
        """What came of the transfer that began last."""
        return self._pieces


def _obey(end: Server | Client, line: str) -> dict[str, Any]:
    name, *arguments = json.loads(line)
    try:
        return {"is": getattr(end, name)(*arguments)}
    except (Exception, gevent.Timeout) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main(kind: str, *words: str) -> None:
    """Be one end, until standard input ends."""
    end = Server(*words) if kind == "serve" else Client(*words)
    commands = FileObject(sys.stdin.fileno(), "r", closefd=False)
    print(json.dumps(_obey(end, '["remote"]')), flush=True)
    while line := commands.readline():
        print(json.dumps(_obey(end, line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
