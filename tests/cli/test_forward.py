"""`jsp forward` carrying programs that know nothing of it: curl and a web server, Redis, sockets that half-close."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from jsp.cli.common import load_identity
from tests.cli.support import (
    PATIENCE,
    Program,
    connects,
    free_port,
    jsp_program,
    redis,
    run_here,
    web_server,
)

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None or shutil.which("redis-cli") is None, reason="Redis is not installed"
)


@contextmanager
def forwarding(target: int) -> Iterator[int]:
    """The TCP port of this machine that leads to `target` through both ends of `jsp forward`."""
    with (
        jsp_program("forward", "serve", "--target", f"127.0.0.1:{target}", "--listen", "127.0.0.1:0") as server,
        jsp_program("forward", server.line(), "--tcp-listen", "127.0.0.1:0") as client,
    ):
        yield int(client.line().removeprefix("127.0.0.1:"))
        for end in (client, server):
            assert end.process.poll() is None
            assert end.errors().replace(made_line(end), "") == ""
            assert end.stop() == 0


def made_line(program: Program) -> str:
    """What `program` said of the identity that it made, if it did."""
    return next((line for line in program.errors().splitlines(True) if "made a new identity" in line), "")


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def read_all(tcp: socket.socket) -> bytes:
    parts = []
    while data := tcp.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


# --- the web -----------------------------------------------------------------------------------------------------


@needs_curl
def test_curl_and_a_web_server(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    content = os.urandom(12_000_000)
    (site / "large").write_bytes(content)
    (site / "small").write_text("hello")
    with web_server(site) as target, forwarding(target) as port:
        base = f"http://127.0.0.1:{port}"
        small = subprocess.run(("curl", "-sS", f"{base}/small"), capture_output=True, timeout=30)
        assert (small.stdout, small.stderr) == (b"hello", b"")
        # Six at once.
        got = [tmp_path / f"got{i}" for i in range(6)]
        outputs = [part for path in got for part in ("-o", str(path), f"{base}/large")]
        parallel = ("curl", "-s", "--fail", "--parallel", "--parallel-immediate", *outputs)
        subprocess.run(parallel, capture_output=True, timeout=50, check=True)
        wanted = hashlib.sha256(content).digest()
        assert all(hashlib.sha256(path.read_bytes()).digest() == wanted for path in got)
        # One that goes away in the middle must not disturb the next.
        early = ("curl", "-sS", "--max-filesize", "1000", f"{base}/large")
        assert subprocess.run(early, capture_output=True, timeout=30).returncode == 63
        missing = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{base}/missing")
        assert subprocess.run(missing, capture_output=True, timeout=30).stdout == b"404"


# --- Redis -------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """The forwarded port of a Redis server."""
    with redis(tmp_path) as target, forwarding(target) as port:
        yield port


def redis_cli(port: int, *arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(
        ("redis-cli", "-p", str(port), *arguments), input=given, capture_output=True, timeout=50, check=True
    )
    assert done.stderr == b""
    return done.stdout


@needs_redis
def test_redis_takes_a_pipelined_load_and_a_large_value(redis_port: int) -> None:
    load = b"".join(b"SET key%d value%d\r\n" % (i, i) for i in range(20_000))
    assert b"errors: 0, replies: 20000" in redis_cli(redis_port, "--pipe", given=load)
    assert redis_cli(redis_port, "DBSIZE") == b"20000\n"
    assert redis_cli(redis_port, "GET", "key12345") == b"value12345\n"
    value = os.urandom(8_000_000)
    assert redis_cli(redis_port, "-x", "SET", "large", given=value) == b"OK\n"
    back = redis_cli(redis_port, "--raw", "GET", "large")
    assert hashlib.sha256(back.removesuffix(b"\n")).digest() == hashlib.sha256(value).digest()


@needs_redis
@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")
def test_redis_benchmark_runs_through(redis_port: int) -> None:
    command = ("redis-benchmark", "-p", str(redis_port), "-n", "4000", "-c", "20", "-P", "8", "-t", "set,get", "--csv")
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    rates = {
        line.split(",")[0].strip('"'): float(line.split(",")[1].strip('"')) for line in done.stdout.splitlines()[1:]
    }
    assert rates["SET"] > 0
    assert rates["GET"] > 0


@needs_redis
def test_fifty_connections_at_once(redis_port: int) -> None:
    barrier = threading.Barrier(50)

    def converse(number: int) -> bool:
        with dial(redis_port) as tcp, tcp.makefile("rwb") as file:
            barrier.wait(PATIENCE)
            for turn in range(20):
                file.write(b"ECHO %d-%d\r\n" % (number, turn))
                file.flush()
                size = int(file.readline()[1:])
                if file.read(size + 2) != b"%d-%d\r\n" % (number, turn):
                    return False
        return True

    with ThreadPoolExecutor(50) as pool:
        assert all(pool.map(converse, range(50)))


# --- ends and resets ---------------------------------------------------------------------------------------------


def test_half_close_and_reset_through_two_processes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target, forwarding(target.getsockname()[1]) as port:
        target.settimeout(PATIENCE)
        with dial(port) as tcp:
            tcp.sendall(b"question")
            tcp.shutdown(socket.SHUT_WR)
            there, _ = target.accept()
            with there:
                assert read_all(there) == b"question"
                there.sendall(b"answer")
            assert read_all(tcp) == b"answer"
        with dial(port) as tcp:
            there, _ = target.accept()
            # Not before it is connected for sure, or it counts as a target that cannot be reached.
            there.sendall(b"!")
            assert tcp.recv(1) == b"!"
            reset(there)
            with pytest.raises(ConnectionResetError):
                tcp.recv(1)
        tcp = dial(port)
        there, _ = target.accept()
        with there:
            there.sendall(b"!")
            assert tcp.recv(1) == b"!"
            there.settimeout(PATIENCE)
            reset(tcp)
            with pytest.raises(ConnectionResetError):
                there.recv(1)


def reset(tcp: socket.socket) -> None:
    """Close with an RST."""
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.close()


def test_target_that_is_not_there() -> None:
    target = free_port()
    with (
        jsp_program("forward", "serve", "--target", f"127.0.0.1:{target}", "--listen", "127.0.0.1:0") as server,
        jsp_program("forward", server.line(), "--tcp-listen", ":0", "--json") as client,
    ):
        line = client.line()
        assert line.startswith('{"tcp_listen": "127.0.0.1:')
        port = int(line.rsplit(":", 1)[1].strip('"}'))
        with dial(port) as tcp, pytest.raises(ConnectionResetError):
            tcp.recv(1)
        server.wait_for_error(f"cannot reach 127.0.0.1:{target} for 127.0.0.1: Connection refused")
        complaints = server.errors().replace(made_line(server), "")
        assert complaints.count("\n") == 1
        # It comes up later, and all is well.
        with socket.create_server(("127.0.0.1", target)) as listener, dial(port) as tcp:
            listener.settimeout(PATIENCE)
            there, _ = listener.accept()
            with there:
                there.sendall(b"here I am")
            assert read_all(tcp) == b"here I am"


# --- the connection between ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_connects_again_by_itself(number: signal.Signals) -> None:
    load_identity(None)
    with socket.create_server(("127.0.0.1", 0)) as target, ExitStack() as programs:
        target.settimeout(PATIENCE)
        host, port = target.getsockname()
        place = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        serve = ("forward", "serve", "--target", f"{host}:{port}", "--listen", place, "--public")
        server = programs.enter_context(jsp_program(*serve))
        client = programs.enter_context(jsp_program("forward", server.line(), "--tcp-listen", ":0"))
        entrance = int(client.line().removeprefix("127.0.0.1:"))
        with dial(entrance) as tcp:
            there, _ = target.accept()
            server.stop(number)
            programs.enter_context(jsp_program(*serve)).line()
            # What went over the old connection is lost, and both ends are told.
            with pytest.raises(ConnectionResetError):
                converse_until_it_breaks(tcp)
            there.close()
        client.wait_for_error("connected again")
        with dial(entrance) as tcp:
            there, _ = target.accept()
            with there:
                there.sendall(b"back")
            assert read_all(tcp) == b"back"
        assert client.stop() == 0


def test_serve_with_workers() -> None:
    load_identity(None)
    with socket.create_server(("127.0.0.1", 0)) as target, ExitStack() as programs:
        target.settimeout(PATIENCE)
        serve = ("forward", "serve", "--target", f"127.0.0.1:{target.getsockname()[1]}", "--listen", "127.0.0.1:0")
        server = programs.enter_context(jsp_program(*serve, "--workers", "2"))
        client = programs.enter_context(jsp_program("forward", server.line(), "--tcp-listen", ":0"))
        with dial(int(client.line().removeprefix("127.0.0.1:"))) as tcp:
            there, _ = target.accept()
            with there:
                there.sendall(b"hello")
            assert read_all(tcp) == b"hello"
        for end in (client, server):
            assert end.stop() == 0
            assert end.errors() == ""


def converse_until_it_breaks(tcp: socket.socket) -> None:
    # Enough for a packet that a server which has forgotten the connection answers with a reset (spec section 4.6).
    tcp.sendall(bytes(1000))
    tcp.recv(1)


def test_without_a_connection_tcp_is_reset_in_time() -> None:
    load_identity(None)
    with jsp_program("forward", "serve", "--target", "127.0.0.1:1", "--listen", "127.0.0.1:0") as server:
        client = jsp_program("forward", server.line(), "--tcp-listen", ":0", "--timeout", "1")
        with client:
            port = int(client.line().removeprefix("127.0.0.1:"))
            server.stop()
            client.wait_for_error("trying again")
            with dial(port) as tcp, pytest.raises(ConnectionResetError):
                tcp.recv(1)
            assert "was not carried: there was no connection for 1 s" in client.errors()
            assert connects(port)


def test_no_server_and_no_free_port_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    identity = load_identity(None).peer_id
    capsys.readouterr()
    nobody = f"{identity}@127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    assert run_here("forward", nobody, "--tcp-listen", ":0") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.endswith("nobody listens there (port unreachable)\n")
    assert output.err.count("\n") == 1
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        jsp_program("forward", "serve", "--target", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--public") as server,
    ):
        port = taken.getsockname()[1]
        assert run_here("forward", server.line(), "--tcp-listen", f"127.0.0.1:{port}") == 1
    assert capsys.readouterr().err == f"jsp: cannot listen on TCP 127.0.0.1:{port}: Address already in use\n"


def test_strangers_are_not_let_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --public nobody reaches the target who has neither key nor a known identity."""
    with jsp_program("forward", "serve", "--target", "127.0.0.1:1", "--listen", "127.0.0.1:0") as server:
        address = server.line()
        who, _, where = address.partition("@")
        key = who.partition(":")[2]
        stranger = f"{who.partition(':')[0]}@{where}"
        assert run_here("forward", stranger, "--tcp-listen", ":0") == 1
        assert capsys.readouterr().err.count("\n") == 1
        file = tmp_path / "key"
        file.write_text(key)
        with jsp_program("forward", stranger, "--tcp-listen", ":0", "--key-file", str(file)) as client:
            assert connects(int(client.line().removeprefix("127.0.0.1:")))
