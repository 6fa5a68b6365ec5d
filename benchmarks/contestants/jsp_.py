"""jsp itself, at 1,452-byte datagrams unless JSP_BENCH_DATAGRAM says otherwise; 0: as large as it finds out."""

from __future__ import annotations

import json
import os
import socket
import time

import gevent

import jsp
from benchmarks.contestants import BLOCK, DATAGRAM, SMALL, TOGETHER, WARM_UP, latencies

CONFIG = jsp.Config(max_datagram_size=int(os.environ.get("JSP_BENCH_DATAGRAM", DATAGRAM)) or None, max_streams=1000)


class Service(jsp.Handler):
    """Streams say what they want in their first byte; messages are counted."""

    received = 0

    def handle_stream(self, stream: jsp.Stream) -> None:
        what = stream.recv(1)
        if what == b"B":
            self._bulk(stream)
        elif what == b"E":
            while data := stream.recv(65536):
                stream.sendall(data)
        elif what == b"C":
            stream.sendall(self.received.to_bytes(8, "big"))
        elif what == b"U":
            stream.priority = 0
            stream.sendall(json.dumps([time.thread_time(), self.conn.stats().packets_sent]).encode())

    def _bulk(self, stream: jsp.Stream) -> None:
        try:
            while True:
                stream.sendall(BLOCK)
        except OSError:
            return

    def handle_message(self, message: jsp.Message) -> None:
        self.received += 1


def serve() -> None:
    server = jsp.Server(("127.0.0.1", 0), Service, identity=jsp.Identity.generate(), config=CONFIG)
    server.start()
    print("ready", server.url, flush=True)
    server.serve_forever()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    if test.startswith("handshakes"):
        return _handshakes(address, seconds, TOGETHER if test == "handshakes-8" else 1)
    with jsp.connect(address, config=CONFIG) as conn:
        if test == "bulk":
            return _bulk(conn, seconds)
        if test == "rtt":
            return _rtt(conn, seconds)
        return _messages(conn, seconds)


def _ask(conn: jsp.Connection, what: bytes) -> bytes:
    with conn.open_stream() as stream:
        stream.sendall(what)
        stream.shutdown(socket.SHUT_WR)
        return bytes(stream.makefile("rb").read())


def _server_usage(conn: jsp.Connection) -> tuple[float, int]:
    """CPU seconds and packets of the server's side so far."""
    cpu, packets = json.loads(_ask(conn, b"U"))
    return cpu, packets


def _bulk(conn: jsp.Connection, seconds: float) -> dict[str, float]:
    stream = conn.open_stream()
    stream.sendall(b"B")
    buffer = bytearray(1 << 20)
    end = time.perf_counter() + WARM_UP
    while time.perf_counter() < end:
        stream.recv_into(buffer)
    before = _server_usage(conn)
    got = 0
    begin = time.perf_counter()
    cpu = time.thread_time()
    packets = conn.stats().packets_received
    while (now := time.perf_counter()) - begin < seconds:
        got += stream.recv_into(buffer)
    packets = conn.stats().packets_received - packets
    used = time.thread_time() - cpu
    after = _server_usage(conn)
    stream.reset(0)
    return {
        "MB/s": got / (now - begin) / 1e6,
        "tx us/packet": (after[0] - before[0]) / max(1, after[1] - before[1]) * 1e6,
        "rx us/packet": used / max(1, packets) * 1e6,
    }


def _rtt(conn: jsp.Connection, seconds: float) -> dict[str, float]:
    stream = conn.open_stream()
    stream.sendall(b"E")
    samples = []
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        stream.sendall(SMALL)
        left = len(SMALL)
        while left:
            left -= len(stream.recv(left))
        samples.append(time.perf_counter() - begin)
    return latencies(samples, time.process_time() - cpu)


def _messages(conn: jsp.Connection, seconds: float) -> dict[str, float]:
    begin = time.perf_counter()
    sent = 0
    while time.perf_counter() - begin < seconds:
        for _ in range(100):
            conn.send(SMALL)
        sent += 100
    # The count is asked for on a stream, so it can overtake the last messages.
    while int.from_bytes(_ask(conn, b"C"), "big") < sent:
        gevent.sleep(0.001)
    return {"messages/s": sent / (time.perf_counter() - begin)}


def _handshakes(address: str, seconds: float, together: int) -> dict[str, float]:
    begin = time.perf_counter()

    def repeat() -> int:
        count = 0
        while time.perf_counter() - begin < seconds:
            jsp.connect(address, config=CONFIG).abort()
            count += 1
        return count

    jobs = [gevent.spawn(repeat) for _ in range(together)]
    count = sum(job.get() for job in jobs)
    return {"handshakes/s": count / (time.perf_counter() - begin)}
