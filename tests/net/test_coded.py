"""Compression through the API: streams that still pass for sockets, messages, peers of all kinds."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import gevent
import pytest

import jsp
import jsp.rpc
from jsp.coding.streams import HELD
from jsp.errors import Code
from tests.coding.test_zstd import TEXT
from tests.net.support import IDENTITY, Echo, serving, until

# Bytes are counted: no probes for larger datagrams among them.
ON = jsp.Config(compression=jsp.Compression(), max_datagram_size=1200)
SHARED = jsp.Config(compression=jsp.Compression(dictionary=TEXT[:5000]), max_datagram_size=1200)
OFF = jsp.Config()


class Zipped(Echo):
    """Answers compressed."""

    def handle_stream(self, stream: jsp.Stream) -> None:
        stream.compress = self.conn.core.config.compression is not None
        super().handle_stream(stream)

    def handle_message(self, message: jsp.Message) -> None:
        compress = self.conn.core.config.compression is not None
        self.conn.send(message.data, mode=message.mode, compress=compress)


@contextmanager
def connected(client: jsp.Config = ON, server: jsp.Config = ON) -> Iterator[jsp.Connection]:
    with serving(Zipped, config=server) as s, jsp.connect(s.url, config=client) as conn:
        yield conn


def exchange(stream: jsp.Stream, data: bytes) -> bytes:
    writer = gevent.spawn(stream.sendall, data)
    got = b""
    while len(got) < len(data):
        part = stream.recv(100_000)
        assert part
        got += part
    writer.get()
    return got


@pytest.mark.parametrize("settings", [(ON, ON), (SHARED, SHARED), (SHARED, ON), (ON, OFF), (OFF, ON), (OFF, OFF)])
def test_peers_of_all_kinds_understand_each_other(settings: tuple[jsp.Config, jsp.Config]) -> None:
    both = OFF not in settings
    with connected(*settings) as conn:
        assert conn.negotiated["compression"] == ("zstd" if both else None)
        for compress in (False, True):
            stream = conn.open_stream()
            if settings[0] is not OFF:
                stream.compress = compress
            before = conn.stats().bytes_sent
            assert exchange(stream, TEXT) == TEXT
            if both and compress:
                assert conn.stats().bytes_sent - before < len(TEXT) * 0.6
            stream.close()
            receipt = conn.send(TEXT, compress=compress and settings[0] is not OFF)
            assert conn.recv(timeout=5).data == TEXT
            assert receipt.wait(5) == "delivered"


def test_asking_for_what_this_end_cannot_do_says_so() -> None:
    with connected(OFF, ON) as conn:
        with pytest.raises(jsp.LocalError, match="compression"):
            conn.open_stream().compress = True
        with pytest.raises(jsp.LocalError, match="compression"):
            conn.send(b"x", compress=True)
    with connected(ON, OFF) as conn:
        stream = conn.open_stream()
        stream.compress = True
        assert not stream.compress


def test_compress_is_decided_before_the_first_byte() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.compress = True
        stream.sendall(b"x")
        with pytest.raises(jsp.LocalError, match="first byte"):
            stream.compress = False
        assert stream.compress and stream.recv(1) == b"x"


def test_small_writes_are_not_held_back() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.compress = True
        stream.settimeout(5)
        for i in range(100):
            line = b"request %d of some length, so that it is compressed\n" % i
            stream.sendall(line)
            assert stream.recv(1000) == line


def test_compressed_stream_has_socket_manners() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.compress = True
        stream.settimeout(0.02)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.setblocking(False)
        with pytest.raises(BlockingIOError):
            stream.recv(1)
        stream.settimeout(5)
        with stream.makefile("rwb") as file:
            file.write(b"a line\nand another one\n")
            file.flush()
            assert file.readline() == b"a line\n"
            assert file.readline() == b"and another one\n"
        stream.sendall(memoryview(TEXT))
        buffer = bytearray(100)
        assert stream.recv_into(buffer) == 100 and buffer == TEXT[:100]
        assert stream.recv_into(buffer, 7) == 7 and buffer[:7] == TEXT[100:107]
        assert stream.recv(0) == b""
        stream.shutdown(socket.SHUT_WR)
        rest = b"".join(iter(lambda: stream.recv(5000), b""))
        assert TEXT[:107] + rest == TEXT
        assert stream.recv(10) == b""
        with pytest.raises(jsp.StreamStopped):
            stream.sendall(b"x")
        stream.close()
        with pytest.raises(jsp.StreamClosed):
            stream.recv(1)


def test_what_was_decoded_is_gone_when_reading_is_shut() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.compress = True
        stream.sendall(TEXT[:1000])
        assert stream.recv(1) == TEXT[:1]
        assert stream.has_news()
        stream.shutdown(socket.SHUT_RD)
        assert stream.recv(10) == b""


class Plain(Echo):
    """Answers as it always did."""


@pytest.mark.parametrize("handler", [Zipped, Plain])
def test_news_are_what_can_be_read(handler: type[jsp.Handler]) -> None:
    with serving(handler, config=ON) as server, jsp.connect(server.url, config=ON) as conn:
        stream = conn.open_stream()
        assert not stream.has_news()
        stream.compress = True
        for _ in range(3):
            stream.sendall(TEXT[:1000])
            with gevent.Timeout(5):
                while not stream.has_news():
                    gevent.sleep(0.001)
            assert stream.recv(2000) == TEXT[:1000]
            assert not stream.has_news()
        stream.shutdown(socket.SHUT_WR)
        with gevent.Timeout(5):
            while not stream.has_news():
                gevent.sleep(0.001)
        assert stream.recv(1) == b""


def test_calls_go_over_connections_with_compression() -> None:
    service = jsp.rpc.Service()

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    @service.method
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    with (
        jsp.rpc.Server(("127.0.0.1", 0), service, identity=IDENTITY, config=ON) as server,
        jsp.rpc.connect(server.url, config=ON) as client,
    ):
        assert [client.call("add", i, i, timeout=5) for i in range(50)] == list(range(0, 100, 2))
        assert list(client.stream("count", 1000)) == list(range(1000))
        assert client.call("add", b"x" * 200_000, b"y", timeout=5) == b"x" * 200_000 + b"y"


def test_empty_and_abandoned_streams() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.compress = True
        stream.shutdown(socket.SHUT_WR)
        assert stream.recv(10) == b""
        other = conn.open_stream()
        other.compress = True
        other.sendall(TEXT)
        other.reset(7)
        assert conn.ping() > 0


def test_megabytes_of_everything_in_both_directions() -> None:
    rng = random.Random(4)
    data = b"".join(rng.choice((TEXT, rng.randbytes(50_000), bytes(70_000))) for _ in range(60))
    with connected() as conn:
        streams = [conn.open_stream() for _ in range(3)]
        for stream in streams:
            stream.compress = True
        for greenlet in [gevent.spawn(exchange, stream, data) for stream in streams]:
            assert greenlet.get(timeout=50) == data


def test_largest_message_is_as_large_with_compression() -> None:
    config = replace(ON, max_message=50_000)
    with connected(config, config) as conn:
        for compress in (False, True):
            conn.send(bytes(50_000), compress=compress)
            assert conn.recv(timeout=5).data == bytes(50_000)
            with pytest.raises(jsp.MessageTooLarge, match="50000"):
                conn.send(bytes(50_001), compress=compress)


def test_decompressors_count_for_the_memory_of_the_endpoint() -> None:
    config = replace(ON, receive_window=1 << 20, max_message=1000, memory_limit=1 << 20)
    with serving(Echo, config=config) as server, jsp.connect(server.url, config=ON) as conn:
        memory = server._endpoint.core.memory
        for _ in range(10):
            with conn.open_stream() as stream:
                stream.compress = True
                assert exchange(stream, TEXT[:1000]) == TEXT[:1000]
                assert memory.held == HELD
            until(lambda: not memory.held)
        streams = [conn.open_stream() for _ in range(3)]
        for stream in streams:
            stream.compress = True
            stream.sendall(TEXT[:1000])
        assert conn.wait_closed(5)
        with pytest.raises(jsp.ConnectionClosed) as error:
            conn.ping()
        assert error.value.code == Code.EXCESSIVE_LOAD
        until(lambda: not memory.held)


def test_stream_with_nonsense_in_it_ends_the_connection() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.inner.send.write(b"\x01\x02\x00\x05\x00\x05nonsense")
        conn.changed()
        with pytest.raises(jsp.ConnectionClosed) as error:
            stream.recv(1)
        assert error.value.code == Code.CODING and error.value.by_peer


def test_stream_that_breaks_off_in_a_chunk_ends_the_connection() -> None:
    with connected() as conn:
        stream = conn.open_stream()
        stream.inner.send.write(b"\x01\x00\x00\x05abc")
        stream.shutdown(socket.SHUT_WR)
        with pytest.raises(jsp.ConnectionClosed) as error:
            stream.recv(1)
        assert error.value.code == Code.CODING


def test_message_with_nonsense_in_it_ends_the_connection() -> None:
    with connected() as conn:
        conn.core.send_messages.send(b"\x01nonsense", jsp.RELIABLE, False, 0.0)
        conn.changed()
        with pytest.raises(jsp.ConnectionClosed) as error:
            conn.recv(timeout=5)
        assert error.value.code == Code.CODING


class Trickling(jsp.Handler):
    """Begins a chunk, and goes on a byte at a time."""

    def handle_stream(self, stream: jsp.Stream) -> None:
        stream.inner.send.write(b"\x01\x00\x20\x00")
        while not self.conn.closed:
            stream.inner.send.write(b"x")
            self.conn.changed()
            gevent.sleep(0.005)


def test_chunk_that_trickles_in_does_not_stretch_a_timeout() -> None:
    with serving(Trickling, config=ON) as server, jsp.connect(server.url, config=ON) as conn:
        stream = conn.open_stream()
        stream.settimeout(0.1)
        with pytest.raises(TimeoutError), gevent.Timeout(20):
            stream.recv(1)
        assert stream.inner.recv.window.received > 4
