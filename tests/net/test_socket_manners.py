"""Streams pass for sockets: `http.client` and `gevent.pywsgi` talk over them unchanged, patched or not.

The web server and the web client here know nothing of this library. What they ask of a socket is then asked once
more, call by call. The last test runs all the others in a process in which gevent has patched everything.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import os
import socket as stdlib_socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer
from gevent.queue import Queue

import jsp
from tests.net.support import IDENTITY, LOOPBACK, serving, until

BIG = os.urandom(10 << 20)

# --- http --------------------------------------------------------------------------------------------------------


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A small web application with a page for each manner of answering."""
    path = environ["PATH_INFO"]
    if path == "/chunks":
        # Without a length the server has to send chunks.
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%d\n" % i for i in range(1000))
    if path == "/big":
        content = BIG
    elif path == "/digest":
        content = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
    else:
        content = f"{environ['REQUEST_METHOD']} {path}".encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


@contextmanager
def web() -> Iterator[jsp.Connection]:
    """A connection to a web server that has a stream for each TCP connection it would have."""
    wsgi = WSGIServer(LOOPBACK, application, log=None)
    # What WSGIServer.start() does beside listening.
    wsgi.update_environ()
    handle: Any = wsgi.handle  # which believes that it gets a socket
    with jsp.StreamServer(LOOPBACK, handle, identity=IDENTITY) as server, jsp.connect(server.url) as connection:
        yield connection


def client_on(connection: jsp.Connection) -> http.client.HTTPConnection:
    """An http.client connection whose socket is a stream."""
    client = http.client.HTTPConnection("test.example", timeout=20)
    client.sock = connection.open_stream()
    return client


def get(client: http.client.HTTPConnection, path: str, **options: Any) -> bytes:
    client.request("POST" if options else "GET", path, **options)
    response = client.getresponse()
    assert response.status == 200
    return response.read()


def test_requests_one_after_another_on_one_stream() -> None:
    with web() as connection:
        client = client_on(connection)
        stream = client.sock
        for number in range(20):
            assert get(client, f"/page/{number}") == b"GET /page/%d" % number
        assert client.sock is stream, "http.client gave up on keep-alive"
        client.close()
        until(lambda: connection.stats().streams_open == 0)


def test_posted_body_arrives_whole() -> None:
    body = os.urandom(3_000_000)
    with web() as connection:
        client = client_on(connection)
        digest = hashlib.sha256(body).hexdigest().encode()
        assert get(client, "/digest", body=body) == digest
        assert get(client, "/digest", body=io.BytesIO(body)) == digest
        chunks = (body[i : i + 100_000] for i in range(0, len(body), 100_000))
        assert get(client, "/digest", body=chunks, encode_chunked=True) == digest
        client.close()


def test_chunked_response() -> None:
    with web() as connection:
        client = client_on(connection)
        client.request("GET", "/chunks")
        response = client.getresponse()
        assert response.getheader("Transfer-Encoding") == "chunked"
        assert [int(line) for line in response] == list(range(1000))
        assert get(client, "/again") == b"GET /again"
        client.close()


def test_ten_mebibytes_arrive_whole() -> None:
    with web() as connection:
        client = client_on(connection)
        assert hashlib.sha256(get(client, "/big")).digest() == hashlib.sha256(BIG).digest()
        client.close()


def test_many_clients_at_once() -> None:
    with web() as connection:

        def browse(number: int) -> None:
            client = client_on(connection)
            for turn in range(5):
                assert get(client, f"/{number}/{turn}") == b"GET /%d/%d" % (number, turn)
            client.close()

        browsers = [gevent.spawn(browse, number) for number in range(30)]
        gevent.joinall(browsers, timeout=30, raise_error=True)
        assert all(browser.successful() for browser in browsers)


def test_client_that_goes_away_in_the_middle(capfd: pytest.CaptureFixture[str]) -> None:
    with web() as connection:
        for leave in ("close", "reset"):
            client = client_on(connection)
            stream = client.sock
            client.request("GET", "/big")
            assert client.getresponse().read(100_000) == BIG[:100_000]
            getattr(stream, leave)()
            client.close()
        until(lambda: connection.stats().streams_open == 0)
        client = client_on(connection)
        assert get(client, "/still/there") == b"GET /still/there"
        client.close()
    assert "Traceback" not in capfd.readouterr().err


# --- calls -------------------------------------------------------------------------------------------------------


@contextmanager
def pair(**settings: Any) -> Iterator[tuple[jsp.Stream, jsp.Stream]]:
    """Both ends of a stream: the client's and the server's."""
    config = jsp.Config(**settings)
    accepted: Queue[jsp.Stream] = Queue()

    def handle(connection: jsp.Connection) -> None:
        accepted.put(connection.accept_stream())
        connection.wait_closed()

    with serving(handle, config=config) as server, jsp.connect(server.url, config=config) as connection:
        here = connection.open_stream()
        with here, accepted.get(timeout=5) as there:
            yield here, there


def test_text_files_in_both_directions() -> None:
    with pair() as (here, there):
        with here.makefile("w", encoding="utf-8", newline="\r\n") as writer:
            for number in range(1000):
                print(f"line {number} äöü", file=writer)
        here.shutdown(stdlib_socket.SHUT_WR)
        with there.makefile("r", encoding="utf-8") as reader:
            assert [line.rstrip("\n") for line in reader] == [f"line {number} äöü" for number in range(1000)]
        with there.makefile("rw", encoding="ascii") as file:
            file.write("done\n")
            file.flush()
        assert here.makefile().readline() == "done\n"


def test_binary_files_and_readline_loops() -> None:
    lines = [os.urandom(size).replace(b"\n", b" ") + b"\n" for size in (0, 1, 100, 9000, 100_000)]
    with pair() as (here, there):
        with here.makefile("wb") as writer:
            writer.writelines(lines)
        here.shutdown(stdlib_socket.SHUT_WR)
        found = []
        with there.makefile("rb") as reader:
            while line := reader.readline():
                found.append(line)
        assert found == lines


def test_unbuffered_and_two_way_files() -> None:
    with pair() as (here, there):
        raw = here.makefile("rwb", buffering=0)
        assert raw.readable()
        assert raw.writable()
        assert raw.write(b"at once") == 7
        assert there.recv(100) == b"at once"
        with there.makefile("rwb") as file:
            file.write(b"later")
            here.settimeout(0)
            assert raw.read(10) is None
            file.flush()
            here.settimeout(5)
            assert raw.read(10) == b"later"
        raw.close()
        with pytest.raises(ValueError, match="closed"):
            raw.read(1)
        for wrong in ({"mode": "a"}, {"mode": "r", "buffering": 0}):
            with pytest.raises(ValueError, match=r"mode|binary"):
                here.makefile(**wrong)


def test_timeouts() -> None:
    with pair() as (here, there):
        assert here.gettimeout() is None
        here.settimeout(0.05)
        assert here.gettimeout() == here.timeout == 0.05
        with pytest.raises(TimeoutError):
            here.recv(1)
        with pytest.raises(stdlib_socket.timeout):
            here.recv_into(bytearray(1))
        with pytest.raises(TimeoutError):
            here.sendall(bytes(50 << 20))
        there.sendall(b"late, but not lost")
        assert here.recv(100) == b"late, but not lost"
        with pytest.raises(ValueError, match="seconds"):
            here.settimeout(-1)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_timeout_of_sendall_is_for_the_whole_call(kind: type) -> None:
    with pair(stream_window_max=256 << 10) as (here, there):
        reading = gevent.spawn(read_slowly, there)
        here.settimeout(0.3)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            # Each piece finds room in time, all of them do not.
            here.sendall(kind(20 << 20))
        assert 0.25 < time.monotonic() - begin < 1.0
        reading.kill()
        here.reset()


def read_slowly(stream: jsp.Stream) -> None:
    while stream.recv(100_000):
        gevent.sleep(0.02)


def test_calls_that_do_not_wait() -> None:
    with pair() as (here, there):
        here.setblocking(False)
        assert here.getblocking() is False
        with pytest.raises(BlockingIOError) as caught:
            here.recv(1)
        assert caught.value.errno == errno.EAGAIN
        there.sendall(b"x")
        until(lambda: here.inner.recv is not None and here.inner.recv.readable())
        assert here.recv(1) == b"x"
        with pytest.raises(BlockingIOError):
            send_until_full(here)
        here.setblocking(True)
        assert here.gettimeout() is None


def send_until_full(stream: jsp.Stream) -> None:
    for _ in range(1000):
        stream.send(bytes(1 << 20))


def test_a_stream_of_one_direction_can_be_reset() -> None:
    with pair() as (here, there):
        stream = here.connection.open_stream(unidirectional=True)
        stream.sendall(b"x")
        arrived = there.connection.accept_stream(timeout=5)
        assert arrived.recv(1) == b"x"
        stream.reset(7)
        arrived.settimeout(5)
        with pytest.raises(jsp.StreamReset, match="code 7"):
            arrived.recv(1)


def test_whether_reading_would_wait() -> None:
    with pair() as (mine, theirs):
        assert not mine.has_news()
        theirs.sendall(b"x")
        until(mine.has_news)
        assert mine.recv(1) == b"x" and not mine.has_news()
        theirs.shutdown(stdlib_socket.SHUT_WR)
        until(mine.has_news)
        assert mine.recv(1) == b"" and mine.has_news()
        mine.reset(7)
        until(theirs.has_news)
        with pytest.raises(jsp.StreamReset):
            theirs.recv(1)


def test_the_end_of_the_connection_is_news() -> None:
    with pair() as (mine, theirs):
        theirs.connection.abort()
        until(mine.has_news)
        with pytest.raises(jsp.ConnectionClosed):
            mine.recv(1)


def test_half_close_in_either_direction() -> None:
    with pair() as (here, there):
        here.sendall(b"question")
        here.shutdown(stdlib_socket.SHUT_WR)
        assert there.recv(100) == b"question"
        assert there.recv(100) == b""
        with pytest.raises(BrokenPipeError):
            here.sendall(b"more")
        there.sendall(b"answer")
        assert here.recv(100) == b"answer"
        here.shutdown(stdlib_socket.SHUT_RD)
        assert here.recv(100) == b""
        gevent.sleep(0.05)
        with pytest.raises(BrokenPipeError) as caught:
            there.sendall(b"anybody?")
        assert caught.value.errno == errno.EPIPE
        with pytest.raises(ValueError, match="SHUT_"):
            there.shutdown(7)


def test_what_came_before_the_close_can_be_read_after_it() -> None:
    with pair() as (here, there):
        there.sendall(b"a" * 100_000)
        there.close()
        gevent.sleep(0.05)
        received = b""
        while data := here.recv(30_000):
            received += data
        assert received == b"a" * 100_000
        assert here.recv(1) == b""
        assert here.recv_into(bytearray(1)) == 0


def test_close_waits_for_files() -> None:
    with pair() as (here, there):
        writer, reader = here.makefile("wb"), here.makefile("rb")
        here.close()
        with pytest.raises(OSError, match="closed") as caught:
            here.recv(1)
        assert caught.value.errno == errno.EBADF
        writer.write(b"still open")
        writer.close()
        assert there.recv(100) == b"still open"
        there.sendall(b"so is this\n")
        assert reader.readline() == b"so is this\n"
        there.settimeout(0.05)
        with pytest.raises(TimeoutError):
            there.recv(1)
        reader.close()
        there.settimeout(5)
        assert there.recv(1) == b""


def test_close_wakes_those_who_wait() -> None:
    with pair() as (here, _):
        waiting = gevent.spawn(here.recv, 1)
        gevent.sleep(0.01)
        here.close()
        waiting.join(timeout=5)
        assert isinstance(waiting.exception, jsp.StreamClosed)


def test_reset_is_a_reset_connection() -> None:
    with pair() as (here, there):
        there.reset(77)
        with pytest.raises(ConnectionResetError) as caught:
            here.recv(1)
        assert caught.value.errno == errno.ECONNRESET
        assert isinstance(caught.value, jsp.StreamReset)
        assert caught.value.error_code == 77
        with pytest.raises(BrokenPipeError):
            here.sendall(b"x")


def test_exception_in_a_with_block_resets() -> None:
    with pair() as (here, there):
        try:
            with there:
                there.sendall(b"half a")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        with pytest.raises(jsp.StreamReset):
            read_to_the_end(here)


def read_to_the_end(stream: jsp.Stream) -> None:
    while stream.recv(100):
        pass


def test_what_socket_code_looks_at() -> None:
    with pair() as (here, there):
        for call in (here.fileno, here.detach):
            with pytest.raises(OSError, match="descriptor"):
                call()
        here.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        here.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_KEEPALIVE, 1)
        assert here.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR) == 0
        assert here.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, 8) == bytes(8)
        assert here.getpeername() == there.getsockname()
        assert here.getpeername()[0] == "127.0.0.1"
        assert (here.family, here.type) == (stdlib_socket.AF_INET, stdlib_socket.SOCK_STREAM)
        here.sendall(b"x", stdlib_socket.MSG_NOSIGNAL)
        assert there.recv(1, stdlib_socket.MSG_NOSIGNAL) == b"x"
        for flags in (stdlib_socket.MSG_PEEK, stdlib_socket.MSG_WAITALL | stdlib_socket.MSG_NOSIGNAL):
            with pytest.raises(OSError, match="flags") as caught:
                here.recv(1, flags)
            assert caught.value.errno == errno.EOPNOTSUPP
        with pytest.raises(ValueError, match="priority"):
            here.priority = 8
        here.priority = 0
        assert here.priority == 0


def send_and_end(stream: jsp.Stream, content: Any) -> None:
    stream.sendall(content)
    stream.shutdown(stdlib_socket.SHUT_WR)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_buffers_of_every_kind(kind: type) -> None:
    content = os.urandom(1_000_000)
    with pair() as (here, there):
        sending = gevent.spawn(send_and_end, here, kind(content))
        room = bytearray(len(content))
        view, filled = memoryview(room), 0
        while size := there.recv_into(view[filled:], 50_000):
            assert size <= 50_000
            filled += size
        sending.get(timeout=5)
        assert bytes(room) == content
        assert there.send(kind(b"some")) == 4
        assert here.recv(0) == b""
        assert here.recv(10) == b"some"


def test_sizes_that_make_no_sense() -> None:
    with pair() as (here, there):
        there.sendall(b"abc")
        for call in (lambda: here.recv(-1), lambda: here.recv_into(bytearray(3), -1)):
            with pytest.raises(ValueError, match="below 0"):
                call()
        assert here.recv(3) == b"abc"


def test_data_that_changes_after_sendall_was_copied() -> None:
    with pair() as (here, there):
        data = bytearray(b"before")
        here.sendall(data)
        data[:] = b"after!"
        assert there.recv(100) == b"before"


# --- patched -----------------------------------------------------------------------------------------------------


def test_all_of_this_in_a_patched_process() -> None:
    if stdlib_socket.socket.__module__.startswith("gevent"):
        pytest.skip("this is the patched process")
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import sys, pytest\n"
        f"sys.exit(pytest.main(['-p', 'no:cacheprovider', {str(Path(__file__))!r}]))\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=root, env=environment, capture_output=True, text=True, timeout=55
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 1 skipped" in done.stdout
