"""TLS 1.3 over kernel TCP in gevent: what people would use instead. Kernel TCP moves 64 KiB segments on loopback."""

from __future__ import annotations

import socket as stdlib_socket
import time

from gevent import socket, ssl
from gevent.server import StreamServer

from benchmarks.contestants import BLOCK, SMALL, certificate, percentiles

TESTS = ("bulk", "rtt", "messages", "handshakes")


def _handle(conn: ssl.SSLSocket, _: object) -> None:
    conn.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    try:
        what = conn.recv(1)
        if what == b"B":
            while True:
                conn.sendall(BLOCK)
        elif what == b"E":
            while data := conn.recv(65536):
                conn.sendall(data)
        elif what == b"M":
            count = 0
            while (data := conn.recv(65536)) and not data.endswith(b"END"):
                count += len(data)
            conn.sendall(b"!")
        else:
            conn.sendall(what)
    except OSError:
        return


def serve() -> None:
    cert, key = certificate.make()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    server = StreamServer(("127.0.0.1", 0), _handle, ssl_context=context)
    server.start()
    print("ready", server.server_port, flush=True)
    server.serve_forever()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connect(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    conn = context.wrap_socket(socket.create_connection(("127.0.0.1", int(address))))
    conn.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    return conn


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    context = _context()
    begin = time.perf_counter()
    if test == "handshakes":
        count = 0
        while time.perf_counter() - begin < seconds:
            conn = _connect(address, context)
            conn.sendall(b"x")
            conn.recv(1)
            conn.close()
            count += 1
        return {"handshakes/s": count / (time.perf_counter() - begin)}
    conn = _connect(address, context)
    begin = time.perf_counter()
    if test == "bulk":
        conn.sendall(b"B")
        buffer = bytearray(1 << 18)
        got = 0
        while (now := time.perf_counter()) - begin < seconds:
            got += conn.recv_into(buffer)
        return {"MB/s": got / (now - begin) / 1e6}
    if test == "rtt":
        return _rtt(conn, seconds)
    conn.sendall(b"M")
    sent = 0
    while time.perf_counter() - begin < seconds:
        for _ in range(100):
            conn.sendall(SMALL)
        sent += 100
    conn.sendall(b"END")
    conn.recv(1)
    return {"messages/s": sent / (time.perf_counter() - begin)}


def _rtt(conn: ssl.SSLSocket, seconds: float) -> dict[str, float]:
    conn.sendall(b"E")
    samples = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        conn.sendall(SMALL)
        left = len(SMALL)
        while left:
            left -= len(conn.recv(left))
        samples.append(time.perf_counter() - begin)
    return percentiles(samples[len(samples) // 10 :])
