"""gevent over kernel TCP: bare, and (see `tls`) with TLS on top. Kernel TCP moves 64 KiB segments on loopback."""

from __future__ import annotations

import socket as stdlib_socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer

from benchmarks.contestants import BLOCK, SMALL, TOGETHER, WARM_UP, latencies

# A gevent socket, plain or of TLS.
Socket = Any
Connect = Callable[[], Socket]


def _no_delay(conn: Socket) -> None:
    conn.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)


def handle(conn: Socket, _: object) -> None:
    """Serve one connection, which says in its first byte what it wants."""
    _no_delay(conn)
    try:
        what = conn.recv(1)
        if what == b"B":
            while True:
                conn.sendall(BLOCK)
        elif what == b"E":
            while data := conn.recv(65536):
                conn.sendall(data)
        elif what == b"M":
            while (data := conn.recv(65536)) and not data.endswith(b"END"):
                pass
            conn.sendall(b"!")
        else:
            conn.sendall(what)
    except OSError:
        return


def serve(**options: Any) -> None:
    server = StreamServer(("127.0.0.1", 0), handle, **options)
    server.start()
    print("ready", server.server_port, flush=True)
    server.serve_forever()


def open_tcp(address: str) -> Socket:
    """A connection to the server at port `address`."""
    conn = socket.create_connection(("127.0.0.1", int(address)))
    _no_delay(conn)
    return conn


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    return run_over(lambda: open_tcp(address), test, seconds)


def run_over(connect: Connect, test: str, seconds: float) -> dict[str, float]:
    """Do `test` over connections that `connect` makes."""
    return _TESTS[test](connect, seconds)


def _bulk(connect: Connect, seconds: float) -> dict[str, float]:
    conn = connect()
    conn.sendall(b"B")
    buffer = bytearray(1 << 18)
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        conn.recv_into(buffer)
    got = 0
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
        got += conn.recv_into(buffer)
    return {"MB/s": got / (now - begin) / 1e6}


def _rtt(connect: Connect, seconds: float) -> dict[str, float]:
    conn = connect()
    conn.sendall(b"E")
    samples = []
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        conn.sendall(SMALL)
        left = len(SMALL)
        while left:
            left -= len(conn.recv(left))
        samples.append(time.perf_counter() - begin)
    return latencies(samples, time.process_time() - cpu)


def _messages(connect: Connect, seconds: float) -> dict[str, float]:
    conn = connect()
    conn.sendall(b"M")
    sent = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in range(100):
            conn.sendall(SMALL)
        sent += 100
    conn.sendall(b"END")
    conn.recv(1)
    return {"messages/s": sent / (time.perf_counter() - begin)}


def _handshakes(connect: Connect, seconds: float, together: int = 1) -> dict[str, float]:
    begin = time.perf_counter()

    def repeat() -> int:
        count = 0
        while time.perf_counter() - begin < seconds:
            conn = connect()
            conn.sendall(b"x")
            conn.recv(1)
            conn.close()
            count += 1
        return count

    jobs = [gevent.spawn(repeat) for _ in range(together)]
    count = sum(job.get() for job in jobs)
    return {"handshakes/s": count / (time.perf_counter() - begin)}


_TESTS: dict[str, Callable[[Connect, float], dict[str, float]]] = {
    "bulk": _bulk,
    "rtt": _rtt,
    "messages": _messages,
    "handshakes": _handshakes,
    "handshakes-8": partial(_handshakes, together=TOGETHER),
}
