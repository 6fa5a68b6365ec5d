"""Connections through real sockets: messages, pings, close, errors."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.subprocess
import pytest

import jsp
from jsp.engine.timers import NEVER
from jsp.engine.traffic import Transmit
from jsp.errors import Code
from tests.net.support import IDENTITY, OTHER, Echo, burn, echo_connection, leftovers, serving, until


def test_messages_in_every_mode_come_back() -> None:
    with echo_connection() as conn:
        for mode in (jsp.RELIABLE, jsp.BEST_EFFORT, jsp.PartiallyReliable(ttl=5.0)):
            conn.send(b"hello", mode=mode)
            message = conn.recv(timeout=2)
            assert bytes(message) == b"hello"
            assert type(message.mode) is type(mode)


def test_large_message_arrives_whole() -> None:
    content = bytes(range(256)) * 8000
    with echo_connection() as conn:
        conn.send(memoryview(content))
        assert conn.recv(timeout=10).data == content


def test_recv_times_out_and_can_be_called_again() -> None:
    with echo_connection() as conn:
        with pytest.raises(TimeoutError):
            conn.recv(timeout=0.01)
        conn.send(b"x")
        assert len(conn.recv(timeout=2)) == 1


def test_timeouts_count_from_the_call() -> None:
    class Late(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            stream.recv(1)
            gevent.sleep(0.05)
            stream.sendall(b"y")

    with serving(Late) as server, jsp.connect(server.url) as conn:
        stream = conn.open_stream()
        stream.sendall(b"x")
        burn(0.4)
        stream.settimeout(0.3)
        assert stream.recv(1) == b"y"
        burn(0.4)
        conn.ping(0.3)


def test_ping_and_reports() -> None:
    with echo_connection() as conn:
        assert 0 < conn.ping() < 1
        stats = conn.stats()
        assert stats.packets_sent > 0
        assert stats.rtt > 0
        assert conn.peer == IDENTITY.peer_id
        assert conn.paths[0].state == "validated"
        assert conn.paths[0].kind == "udp"
        assert "path 0" in conn.explain()
        assert conn.negotiated["kem"] == "x25519mlkem768"


def test_calls_after_the_end_say_why() -> None:
    class Rude(jsp.Handler):
        def setup(self) -> None:
            self.conn.abort(42, "out of order")

    with serving(Rude) as server:
        conn = jsp.connect(server.url)
        with pytest.raises(jsp.ConnectionClosed, match="out of order") as caught:
            conn.recv(timeout=5)
        assert (caught.value.code, caught.value.by_peer, caught.value.application) == (42, True, True)
        with pytest.raises(OSError, match="out of order"):
            conn.open_stream()
        with pytest.raises(ConnectionError):
            conn.send(b"x")
        with pytest.raises(ConnectionError):
            conn.ping()
        conn.close()


def test_waiting_calls_are_woken_when_the_peer_goes() -> None:
    with serving() as server:
        conn = jsp.connect(server.url)
        stream = conn.open_stream()
        waiting = [gevent.spawn(f) for f in (conn.recv, conn.accept_stream, lambda: stream.recv(1))]
        gevent.sleep(0.05)
        server.stop(0)
        gevent.joinall(waiting, timeout=2)
        for greenlet in waiting:
            assert isinstance(greenlet.exception, jsp.ConnectionClosed)


def test_close_delivers_and_refuses_new_writes() -> None:
    got = bytearray()

    class Sink(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            while data := stream.recv(1 << 20):
                got.extend(data)

    with serving(Sink) as server:
        conn = jsp.connect(server.url)
        stream = conn.open_stream()
        stream.sendall(bytes(3_000_000))
        closing = gevent.spawn(conn.close, 7, "bye")
        gevent.sleep(0)
        with pytest.raises(jsp.ConnectionClosed):
            conn.open_stream()
        closing.join(5)
        until(lambda: len(got) == 3_000_000)


@pytest.mark.parametrize("code", [-1, 1 << 62])
def test_error_code_that_no_frame_can_carry_is_refused_at_once(code: int) -> None:
    with echo_connection() as conn:
        stream = conn.open_stream()
        for call in (stream.reset, conn.close, conn.abort):
            with pytest.raises(ValueError, match="2\\^62"):
                call(code)
        stream.sendall(b"still there")
        assert stream.recv(100) == b"still there"
        stream.reset((1 << 62) - 1)


def test_reason_that_is_no_text_is_told_as_well_as_it_can_be() -> None:
    ended: list[jsp.Connection] = []

    def handle(connection: jsp.Connection) -> None:
        connection.wait_closed()
        ended.append(connection)

    with serving(handle) as server:
        jsp.connect(server.url).close(7, "b\udc80d")
        until(lambda: bool(ended))
    assert ended[0].closed_error().reason == "b?d"


def test_leaving_by_an_exception_closes_at_once() -> None:
    with serving() as server:
        conn = jsp.connect(server.url)

        def fail() -> None:
            with conn:
                conn.open_stream().sendall(b"x" * 1000)
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert conn.closed
        until(lambda: not server.connections())


def test_received_data_can_be_read_after_the_peer_closed() -> None:
    class Gift(jsp.Handler):
        def setup(self) -> None:
            stream = self.conn.open_stream()
            stream.sendall(b"a gift")
            stream.close()
            self.conn.send(b"and a card")
            self.conn.close()

    with serving(Gift) as server:
        conn = jsp.connect(server.url)
        until(lambda: conn.closed)
        assert conn.recv(timeout=1).data == b"and a card"
        stream = conn.accept_stream(timeout=1)
        assert stream.recv(100) == b"a gift"
        assert stream.recv(100) == b""


def test_open_stream_waits_for_a_free_place() -> None:
    with echo_connection(max_streams=2) as conn:
        streams = [conn.open_stream() for _ in range(2)]
        with pytest.raises(jsp.Timeout):
            conn.open_stream(timeout=0.05)
        opened = gevent.spawn(conn.open_stream)
        gevent.sleep(0.01)
        assert not opened.ready()
        streams[0].close()
        opened.get(timeout=5)


def test_send_blocks_while_the_queue_is_full() -> None:
    class Slow(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            gevent.sleep(0.03)

    small = jsp.Config(receive_window=100_000, max_message=50_000, stream_window=16384, stream_window_max=65536)
    with serving(Slow, config=small) as server:
        conn = jsp.connect(server.url, config=jsp.Config(send_buffer=50_000))

        def send_all(count: int, timeout: float) -> None:
            for _ in range(count):
                conn.send(bytes(10_000), timeout=timeout)

        with pytest.raises(jsp.Timeout):
            send_all(100, 0.02)
        send_all(20, 5)
        conn.abort()


def test_another_thread_is_told_off() -> None:
    with echo_connection() as conn:
        stream = conn.open_stream()
        pool = gevent.get_hub().threadpool
        calls = (conn.ping, lambda: stream.sendall(b"x"), lambda: conn.send(b"x"), conn.close, conn.wait_closed)
        for call in (*calls, stream.close):
            with pytest.raises(jsp.WrongHub):
                pool.apply(call)
        stream.sendall(b"untouched")
        assert stream.recv(9) == b"untouched"


def test_message_too_large_is_an_oserror_with_the_limit() -> None:
    with echo_connection(max_message=1000) as conn, pytest.raises(OSError, match="1000 at most"):
        conn.send(bytes(1001))


def test_thousand_streams_one_after_another_and_hundred_at_once() -> None:
    with echo_connection() as conn:

        def talk(i: int) -> bytes:
            with conn.open_stream() as stream:
                stream.sendall(str(i).encode())
                stream.shutdown(1)
                out = b""
                while data := stream.recv(100):
                    out += data
                return out

        for i in range(300):
            assert talk(i) == str(i).encode()
        jobs = [gevent.spawn(talk, i) for i in range(300)]
        gevent.joinall(jobs, timeout=20)
        assert [job.value for job in jobs] == [str(i).encode() for i in range(300)]
        until(lambda: conn.stats().streams_open == 0)


def test_both_ends_stream_megabytes_at_once() -> None:
    content = bytes(range(256)) * 20_000
    with echo_connection(max_datagram_size=1452) as conn:
        stream = conn.open_stream()

        def write() -> None:
            stream.sendall(content)
            stream.shutdown(1)

        writer = gevent.spawn(write)
        got = bytearray()
        while data := stream.recv(1 << 20):
            got += data
        writer.get()
        assert bytes(got) == content


def test_nothing_is_left_behind() -> None:
    gevent.sleep(0.2)
    before = leftovers()
    for _ in range(3):
        with serving() as server, jsp.connect(server.url, identity=OTHER) as conn:
            conn.open_stream().sendall(b"x")
            conn.send(b"y")
            conn.recv(timeout=2)
    until(lambda: leftovers() <= before)


def test_connection_survives_another_source_address() -> None:
    # The client's socket is replaced by another one under it: a NAT's new mapping, for real.
    with serving() as server:
        conn = jsp.connect(server.url)
        stream = conn.open_stream()
        stream.sendall(b"before")
        assert stream.recv(10) == b"before"
        endpoint = conn._endpoint
        old, new = endpoint.socket, type(endpoint.socket)(("127.0.0.1", 0), endpoint.socket.family)
        endpoint._reader.stop()
        endpoint.socket = new
        endpoint._reader = endpoint.hub.loop.io(new.fileno(), 1)
        endpoint._reader.start(endpoint._on_readable)
        old.close()
        stream.sendall(b"after")
        assert stream.recv(10) == b"after"
        peer = server.connections()[0]
        until(lambda: peer.paths[0].remote == new.address and peer.paths[0].state == "validated")
        conn.close()


def test_handler_class_and_connection_recv_exclude_each_other() -> None:
    errors: list[Exception] = []

    class Confused(Echo):
        def setup(self) -> None:
            gevent.sleep(0)
            for call in (self.conn.recv, self.conn.accept_stream):
                try:
                    call(timeout=0.01)
                except Exception as error:
                    errors.append(error)

    with serving(Confused) as server, jsp.connect(server.url):
        until(lambda: len(errors) == 2)
    assert all(isinstance(error, jsp.LocalError) for error in errors)


def test_program_that_ends_with_close_has_said_goodbye() -> None:
    program = "import jsp, sys\nwith jsp.connect(sys.argv[1]) as conn: conn.ping()"
    with serving() as server:
        gevent.subprocess.run([sys.executable, "-c", program, server.url], check=True, timeout=20)
        until(lambda: not server.connections(), 2.0)


def test_program_that_ends_with_a_close_that_had_to_deliver_has_said_goodbye() -> None:
    class Sink(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            while stream.recv(1 << 20):
                pass

    program = (
        "import jsp, sys\n"
        "conn = jsp.connect(sys.argv[1])\n"
        "stream = conn.open_stream(); stream.sendall(bytes(300_000)); stream.close()\n"
        "conn.close()\n"
    )
    with serving(Sink) as server:
        gevent.subprocess.run([sys.executable, "-c", program, server.url], check=True, timeout=20)
        until(lambda: not server.connections(), 2.0)


def test_reset_code_reaches_a_peer_that_writes() -> None:
    codes: list[int] = []

    class Writer(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            try:
                while True:
                    stream.sendall(bytes(100_000))
            except jsp.StreamStopped as error:
                codes.append(error.error_code)

    with serving(Writer) as server, jsp.connect(server.url) as conn:
        stream = conn.open_stream()
        stream.recv(1)
        stream.reset(77)
        until(lambda: codes == [77])


def test_local_address_is_the_one_in_use() -> None:
    with echo_connection() as conn:
        assert conn.local_address[0] == "127.0.0.1"
        assert conn.paths[0].local[1] > 0


def test_a_mistake_in_one_connection_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def stop(self) -> None:
            raise RuntimeError("a mistake of ours")

    with serving() as server, jsp.connect(server.url) as first, jsp.connect(server.url) as second:
        first.ping()
        second.ping()
        broken, sound = server.connections()
        broken.disarm()
        broken.timer, broken.armed_for = Broken(), NEVER
        broken.changed()
        sound.send(b"still here")
        assert second.recv(timeout=2).data == b"still here"
        until(lambda: first.closed)
        assert first.closed_error().code == Code.INTERNAL
        until(lambda: server.connections() == [sound])
    assert "a mistake of ours" in caplog.text


def test_what_is_due_waits_quietly_for_a_full_socket() -> None:
    timers = 0

    class CountingLoop:
        def __init__(self, loop: Any) -> None:
            self._loop = loop

        def __getattr__(self, name: str) -> Any:
            return getattr(self._loop, name)

        def timer(self, *args: Any) -> Any:
            nonlocal timers
            timers += 1
            return self._loop.timer(*args)

    with serving() as server, jsp.connect(server.url) as conn:
        endpoint = conn._endpoint
        conn.ping()
        endpoint._unsent = Transmit(conn.remote_address, b"", 1)
        endpoint.hub = SimpleNamespace(loop=CountingLoop(endpoint.hub.loop))
        server.connections()[0].send(b"wants an acknowledgement")
        gevent.sleep(0.2)
        assert timers < 20
        endpoint._on_writable()
        conn.ping(1.0)


def test_a_mistake_while_receiving_does_not_cost_the_port_its_reader(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        endpoint = server._endpoint
        assert endpoint is not None

        class Broken:
            def __bool__(self) -> bool:
                raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(endpoint.core, "accepted", Broken())
            for i in range(5):
                stranger.sendto(b"\x80" + bytes(60), server.address[:2])
                until(lambda i=i: endpoint._mistakes > i)
        with jsp.connect(server.url, timeout=5) as conn:
            assert conn.ping() > 0
    # The 1st, 2nd and 4th are logged, with what happened.
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


def test_who_spins_still_lets_others_have_their_turn() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            gevent.sleep(0)

    with echo_connection(spin=0.001) as conn:
        stream = conn.open_stream()
        ticking = gevent.spawn(tick)
        for number in range(300):
            word = number.to_bytes(8, "big")
            stream.sendall(word)
            assert stream.recv(100) == word
            conn.send(word)
            assert conn.recv(timeout=5).data == word
        ticking.kill()
        assert ticks > 10
        stream.settimeout(0.05)
        with pytest.raises(jsp.Timeout):
            stream.recv(1)


def test_who_spins_hears_of_the_end() -> None:
    def handle(conn: jsp.Connection) -> None:
        conn.accept_stream().recv(1)
        conn.close()

    with serving(handle) as server, jsp.connect(server.url, config=jsp.Config(spin=0.001)) as conn:
        stream = conn.open_stream()
        stream.sendall(b"x")
        with pytest.raises(jsp.ConnectionClosed):
            stream.recv(1)
