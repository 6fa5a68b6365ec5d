"""Records what RPC and the message API write, on loopback: `JSP_PURE=1 python -m benchmarks.headers.record`.

The files it writes into benchmarks/mixes are the traffic that `python -m benchmarks.headers` measures. Every write of
either side is noted as it reaches a stream, with the turn of the loop it belongs to, and with the write of the other
side that came before it: in a replay it is made when that one has arrived.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import gevent

import jsp
from benchmarks.contestants.calling import CALLERS, DICT
from benchmarks.headers.mix import MIXES, Mix, Write
from jsp.compiled import is_compiled
from jsp.net.connection import Connection
from jsp.net.stream import Stream
from jsp.rpc.codec import Framer

_SEQUENTIAL = 300
_CALLS_EACH = 30
_ISSUED_TOGETHER = 100
_MESSAGES = 20_000
_MESSAGE_SIZE = 64
_BULK = 16 << 20


class Recorder:
    """Notes writes while it is `on`, if it is."""

    def __init__(self) -> None:
        self.on = False
        self.writes: list[Write] = []
        self._times: list[float] = []
        self._started = 0.0
        self._turn = -1
        self._now = 0.0

    def start(self) -> None:
        """From here on."""
        self.on = True
        self._started = self._time()

    def note(self, connection: Any, channel: str, size: int, count: int) -> None:
        """`count` messages were written, of `size` bytes together (each, on the channel "message")."""
        if not self.on:
            return
        now = self._time()
        side = int(connection.core.server)
        after = next((i for i in range(len(self.writes) - 1, -1, -1) if self.writes[i].side != side), -1)
        before = self._times[after] if after >= 0 else self._started
        last = self.writes[-1] if self.writes else None
        wait = round(max(now - before, 0.0), 6)
        if last is not None and channel == "message" and (last.side, last.size, last.wait) == (side, size, wait):
            self.writes[-1] = last._replace(messages=last.messages + count)
            return
        self.writes.append(Write(side, channel, size, count, after, wait))
        self._times.append(now)

    def _time(self) -> float:
        """The same for all that happens in one turn of the loop, whose own clock goes on within long ones."""
        loop = gevent.get_hub().loop
        if loop.iteration != self._turn:
            self._turn, self._now = loop.iteration, float(loop.now())
        return self._now


@contextmanager
def recording() -> Iterator[Recorder]:
    """Sees each write of a stream and each message."""
    recorder = Recorder()
    stream, connection = cast(Any, Stream), cast(Any, Connection)
    sendall, send = stream.sendall, connection.send

    def noted_sendall(self: Stream, data: bytes) -> None:
        recorder.note(self.connection, str(self.id), len(data), len(Framer().receive(bytes(data))))
        sendall(self, data)

    def noted_send(self: Connection, data: bytes, *rest: Any, **named: Any) -> Any:
        recorder.note(self, "message", len(data), 1)
        return send(self, data, *rest, **named)

    stream.sendall, connection.send = noted_sendall, noted_send
    try:
        yield recorder
    finally:
        stream.sendall, connection.send = sendall, send


def record_calls(callers: int, each: int) -> list[Write]:
    """`callers` greenlets on one connection, `each` calls of each, one after the other."""
    service = jsp.rpc.Service()

    @service.method
    def echo(x: Any) -> Any:
        return x

    with recording() as recorder, jsp.rpc.Server(("127.0.0.1", 0), service, identity=jsp.Identity.generate()) as server:
        server.start()
        with jsp.rpc.connect(server.url) as client:
            for _ in range(20):
                client.call("echo", DICT)
            recorder.start()
            gevent.joinall([gevent.spawn(_call, client, each) for _ in range(callers)], raise_error=True)
            recorder.on = False
    return recorder.writes


def _call(client: Any, count: int) -> None:
    for _ in range(count):
        client.call("echo", DICT)


def record_messages(count: int) -> list[Write]:
    """A client that sends messages as fast as it may."""

    def handle(conn: Any) -> None:
        with contextlib.suppress(jsp.ConnectionClosed):
            while True:
                conn.recv()

    with recording() as recorder, jsp.Server(("127.0.0.1", 0), handle, identity=jsp.Identity.generate()) as server:
        server.start()
        with jsp.connect(server.url) as conn:
            recorder.start()
            for _ in range(count):
                conn.send(bytes(_MESSAGE_SIZE))
            recorder.on = False
    return recorder.writes


def main() -> None:
    if is_compiled():
        raise SystemExit("compiled streams cannot be listened to: JSP_PURE=1 python -m benchmarks.headers.record")
    for mix in (
        Mix("rpc-sequential", "calls one after the other, a small dict each way", record_calls(1, _SEQUENTIAL)),
        Mix("rpc-64", f"{CALLERS} callers, a small dict each way", record_calls(CALLERS, _CALLS_EACH)),
        Mix("rpc-together", "calls issued in one turn", record_calls(_ISSUED_TOGETHER, 1)),
        Mix("messages-64", "messages of 64 bytes, as fast as they go", record_messages(_MESSAGES)),
        Mix("bulk", "one stream, all written at once", [Write(0, "2", _BULK, 1, -1, 0.0)]),
    ):
        path = MIXES / f"{mix.name}.json"
        path.write_text(mix.to_json())
        print(f"{path}: {len(mix.writes)} writes")


if __name__ == "__main__":
    main()
