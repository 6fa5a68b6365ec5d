"""What becomes of one TCP connection in a tunnel: bytes, half-closed ends, resets both ways, back-pressure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import SHUT_WR
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer as TcpServer

import jsp
from jsp.cli.tunnel import RESET, carry, reset_tcp
from tests.net.support import LOOPBACK, serving, until

Target = Callable[[socket.socket], Any]


@contextmanager
def tunnel(target: Target, connections: list[jsp.Connection] | None = None) -> Iterator[tuple[str, int]]:
    """The TCP address of a tunnel to a TCP server that calls `target` with each connection.

    The connection that the tunnel goes through is added to `connections`.
    """

    def to_target(connection: jsp.Connection) -> None:
        while True:
            stream = connection.accept_stream()
            gevent.spawn(carry, dial(end.socket.getsockname()), stream)

    def to_stream(tcp: socket.socket, address: Any) -> None:
        carry(tcp, connection.open_stream())

    end = TcpServer(LOOPBACK, lambda tcp, address: target(tcp))
    with serving(to_target) as server, jsp.connect(server.url) as connection:
        if connections is not None:
            connections.append(connection)
        begin = TcpServer(LOOPBACK, to_stream)
        end.start()
        begin.start()
        try:
            yield begin.socket.getsockname()
        finally:
            begin.stop()
            end.stop()


def dial(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, 10)


def read_all(tcp: socket.socket) -> bytes:
    parts = []
    while data := tcp.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def send_and_end(tcp: socket.socket, content: bytes) -> None:
    tcp.sendall(content)
    tcp.shutdown(SHUT_WR)


def test_large_values_survive_both_ways_at_once() -> None:
    content, reply = os.urandom(6_000_000), os.urandom(5_000_000)
    seen = []

    def target(tcp: socket.socket) -> None:
        writing = gevent.spawn(tcp.sendall, reply)
        seen.append(hashlib.sha256(read_all(tcp)).digest())
        writing.join()

    with tunnel(target) as address, dial(address) as tcp:
        writing = gevent.spawn(send_and_end, tcp, content)
        assert hashlib.sha256(read_all(tcp)).digest() == hashlib.sha256(reply).digest()
        writing.get()
    assert seen == [hashlib.sha256(content).digest()]


def test_half_closed_by_the_client_the_answer_still_comes() -> None:
    def target(tcp: socket.socket) -> None:
        question = read_all(tcp)
        gevent.sleep(0.05)
        tcp.sendall(question.upper())

    with tunnel(target) as address, dial(address) as tcp:
        tcp.sendall(b"who is there")
        tcp.shutdown(SHUT_WR)
        assert read_all(tcp) == b"WHO IS THERE"


def test_half_closed_by_the_target_the_question_still_goes() -> None:
    heard = []

    def target(tcp: socket.socket) -> None:
        tcp.sendall(b"last words")
        tcp.shutdown(SHUT_WR)
        heard.append(read_all(tcp))

    with tunnel(target) as address, dial(address) as tcp:
        assert read_all(tcp) == b"last words"
        gevent.sleep(0.05)
        tcp.sendall(b"and yet I speak")
        tcp.shutdown(SHUT_WR)
        until(lambda: heard == [b"and yet I speak"])


def test_reset_by_the_target_is_a_reset_for_the_client() -> None:
    with tunnel(reset_tcp) as address, dial(address) as tcp, pytest.raises(ConnectionResetError):
        tcp.recv(1)


def test_reset_by_the_client_is_a_reset_for_the_target() -> None:
    heard: list[BaseException | bytes] = []

    def target(tcp: socket.socket) -> None:
        tcp.sendall(b"welcome")
        try:
            heard.append(tcp.recv(100))
        except OSError as error:
            heard.append(error)

    with tunnel(target) as address:
        tcp = dial(address)
        assert tcp.recv(100) == b"welcome"
        reset_tcp(tcp)
        until(lambda: heard)
        assert isinstance(heard[0], ConnectionResetError)


def test_reset_while_the_other_direction_is_half_closed() -> None:
    def target(tcp: socket.socket) -> None:
        read_all(tcp)
        reset_tcp(tcp)

    with tunnel(target) as address, dial(address) as tcp:
        tcp.shutdown(SHUT_WR)
        with pytest.raises(ConnectionResetError):
            tcp.recv(1)


def test_lost_connection_is_no_clean_end() -> None:
    connections: list[jsp.Connection] = []

    def target(tcp: socket.socket) -> None:
        tcp.sendall(b"welcome")
        gevent.sleep(10)

    with tunnel(target, connections) as address, dial(address) as tcp:
        assert tcp.recv(100) == b"welcome"
        connections[0].abort(1, "a test")
        with pytest.raises(ConnectionResetError):
            tcp.recv(1)


def test_slow_reader_slows_the_writer() -> None:
    go = gevent.event.Event()
    received = []

    def target(tcp: socket.socket) -> None:
        go.wait()
        received.append(len(read_all(tcp)))

    with tunnel(target) as address, dial(address) as tcp:
        tcp.settimeout(0.5)
        sent = 0
        try:
            while sent < 1 << 28:
                sent += tcp.send(bytes(1 << 16))
        except TimeoutError:
            pass
        # The windows of two TCP connections and a stream, and nothing beside them.
        assert sent < 48 << 20
        go.set()
        tcp.shutdown(SHUT_WR)
        until(lambda: received == [sent])


def test_killed_tunnel_resets_both_ends() -> None:
    with serving(lambda connection: connection.wait_closed()) as server, jsp.connect(server.url) as connection:
        ours, theirs = _tcp_pair()
        with ours:
            stream = connection.open_stream()
            greenlet = gevent.spawn(carry, theirs, stream)
            ours.sendall(b"something")
            gevent.sleep(0.05)
            greenlet.kill()
            with pytest.raises(ConnectionResetError):
                ours.recv(1)
            with pytest.raises(OSError, match="closed"):
                stream.recv(1)


def test_reset_stream_tells_its_code() -> None:
    codes = []

    def handle(connection: jsp.Connection) -> None:
        stream = connection.accept_stream()
        try:
            stream.recv(1)
        except jsp.StreamReset as error:
            codes.append(error.error_code)

    with serving(handle) as server, jsp.connect(server.url) as connection:
        ours, theirs = _tcp_pair()
        reset_tcp(ours)
        carry(theirs, connection.open_stream())
        until(lambda: codes == [RESET])


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listener:
        listener.bind(LOOPBACK)
        listener.listen(1)
        ours = dial(listener.getsockname())
        theirs, _ = listener.accept()
        return ours, theirs
