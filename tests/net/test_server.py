"""Servers: life, handlers, pools, clean ends."""

from __future__ import annotations

import logging
import signal
import socket as stdlib_socket
import subprocess
import sys
import time
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gevent.pool import Pool

import jsp
from tests.cli.support import interrupts
from tests.net.support import IDENTITY, LOOPBACK, Echo, leftovers, serving, until


def test_life_cycle_words() -> None:
    server = jsp.Server(LOOPBACK, Echo, identity=IDENTITY)
    assert not server.started
    server.start()
    server.start()
    assert server.started
    assert server.address[1] > 0
    first = server.address
    server.stop()
    server.stop()
    assert server.closed
    server.start()
    assert server.address != LOOPBACK
    assert first
    server.close()


def test_port_in_use_is_one_clear_line() -> None:
    with serving() as server, pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{server.address[1]}"):
        jsp.Server(("127.0.0.1", server.address[1]), Echo).start()


@pytest.mark.parametrize("listener", ["nonsense", "host:port", ("", 70_000), ("", "http"), -1])
def test_bad_listener(listener: Any) -> None:
    with pytest.raises(jsp.LocalError):
        jsp.Server(listener, Echo)


@pytest.mark.parametrize("listener", ["0", 0, ":0", ("", "0"), (None, 0), "127.0.0.1:0", ("::1", "0"), "[::1]:0"])
def test_listener_in_every_form(listener: Any) -> None:
    with jsp.Server(listener, Echo, identity=IDENTITY) as server, jsp.connect(server.url, timeout=5) as conn:
        conn.ping()
        assert (server.server_host, server.server_port) == server.address[:2]
        assert not server.full()


@pytest.mark.parametrize("module", [stdlib_socket, gevent_socket])
def test_socket_as_listener(module: Any) -> None:
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as unbound, module.socket() as tcp:
        for wrong in (unbound, tcp):
            with pytest.raises(jsp.LocalError, match=r"bind it first|not a UDP socket"):
                jsp.Server(wrong, Echo)
    bound = module.socket(module.AF_INET, module.SOCK_DGRAM)
    bound.bind(LOOPBACK)
    address = bound.getsockname()
    server = jsp.Server(bound, Echo, identity=IDENTITY)
    assert server.address == address
    for _ in range(2):
        server.start()
        assert server.address == address
        with jsp.connect(server.url, timeout=5) as conn:
            conn.ping()
        server.stop()
        assert bound.fileno() == -1


def test_plain_callable_has_the_connection_for_its_life() -> None:
    done: list[str] = []

    def handle(conn: jsp.Connection) -> None:
        message = conn.recv(timeout=5)
        conn.send(message.data.upper())
        done.append("returned")

    with serving(handle) as server:
        conn = jsp.connect(server.url)
        conn.send(b"shout")
        assert conn.recv(timeout=5).data == b"SHOUT"
        until(lambda: conn.closed)
        assert done == ["returned"]


def test_callable_that_fails_closes_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    def handle(conn: jsp.Connection) -> None:
        if conn.recv(timeout=5).data == b"fail":
            raise RuntimeError("broken handler")
        conn.send(b"fine")
        conn.recv(timeout=5)

    with serving(handle) as server:
        good, bad = jsp.connect(server.url), jsp.connect(server.url)
        bad.send(b"fail")
        good.send(b"work")
        assert good.recv(timeout=5).data == b"fine"
        until(lambda: bad.closed)
        assert not good.closed
        good.abort()
    assert "broken handler" in caplog.text


def test_handler_methods_in_order_and_finish_always() -> None:
    calls: list[str] = []

    class Full(jsp.Handler):
        def setup(self) -> None:
            calls.append("setup")
            gevent.sleep(0.02)
            calls.append("set up")

        def handle_stream(self, stream: jsp.Stream) -> None:
            calls.append("stream")
            stream.recv(100)

        def handle_message(self, message: jsp.Message) -> None:
            calls.append(message.data.decode())

        def finish(self) -> None:
            calls.append("finish")

    with serving(Full) as server:
        with jsp.connect(server.url) as conn:
            conn.open_stream().sendall(b"x")
            for word in (b"one", b"two", b"three"):
                conn.send(word, ordered=True)
            until(lambda: "three" in calls)
        until(lambda: "finish" in calls)
    assert calls[:2] == ["setup", "set up"]
    assert [c for c in calls if c in ("one", "two", "three")] == ["one", "two", "three"]
    assert calls[-1] == "finish"
    assert calls.count("finish") == 1


def test_messages_are_handled_one_at_a_time() -> None:
    running = 0
    most = 0
    seen = 0

    class One(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            nonlocal running, most, seen
            running += 1
            most = max(most, running)
            gevent.sleep(0.001)
            running -= 1
            seen += 1

    with serving(One) as server, jsp.connect(server.url) as conn:
        for _ in range(30):
            conn.send(b"x")
        until(lambda: seen == 30)
    assert most == 1


def test_setup_that_fails_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    finished: list[bool] = []

    class Bad(jsp.Handler):
        def setup(self) -> None:
            raise ValueError("no database")

        def finish(self) -> None:
            finished.append(True)

    with serving(Bad) as server:
        conn = jsp.connect(server.url)
        until(lambda: conn.closed)
        until(lambda: bool(finished))
    assert "no database" in caplog.text


def test_stream_handler_that_fails_resets_that_stream(caplog: pytest.LogCaptureFixture) -> None:
    class Picky(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            if stream.recv(100) == b"bad":
                raise ValueError("bad input")
            stream.sendall(b"good")

    with serving(Picky) as server, jsp.connect(server.url) as conn:
        bad, good = conn.open_stream(), conn.open_stream()
        bad.sendall(b"bad")
        good.sendall(b"ok")
        assert good.recv(10) == b"good"
        with pytest.raises(jsp.StreamReset):
            bad.recv(10)
        assert not conn.closed
    assert "bad input" in caplog.text


def test_idle_connections_hold_no_greenlet() -> None:
    with serving() as server:
        before = leftovers()[0]
        conns = [jsp.connect(server.url) for _ in range(20)]
        gevent.sleep(0.05)
        assert leftovers()[0] <= before
        for conn in conns:
            conn.close()


def test_full_pool_refuses_new_connections() -> None:
    release = gevent.event.Event()

    def handle(conn: jsp.Connection) -> None:
        release.wait()

    with serving(handle, spawn=2) as server:
        conns = [jsp.connect(server.url) for _ in range(2)]
        until(lambda: server._spawner.full())
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError, match="later"):
                jsp.connect(server.url)
        assert len(server._endpoint.core.connections) == 2  # type: ignore[union-attr]
        release.set()
        until(lambda: not server._spawner.full())
        conns.append(jsp.connect(server.url))
        for conn in conns:
            conn.abort()


def test_streams_wait_for_a_place_in_the_pool() -> None:
    running = 0
    most = 0

    class Busy(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            gevent.sleep(0.005)
            running -= 1
            stream.sendall(b"done")

    with serving(Busy, spawn=Pool(3)) as server, jsp.connect(server.url) as conn:
        streams = [conn.open_stream() for _ in range(20)]
        for stream in streams:
            assert stream.recv(10) == b"done"
    assert most == 3


def test_stop_lets_handlers_end_and_then_kills_them() -> None:
    events: list[str] = []

    class Stubborn(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            try:
                gevent.sleep(60)
            finally:
                events.append("killed")

        def finish(self) -> None:
            events.append("finish")

    with serving(Stubborn) as server:
        conn = jsp.connect(server.url)
        conn.open_stream()
        gevent.sleep(0.05)
        begin = time.monotonic()
        server.stop(0.2)
        assert 0.15 < time.monotonic() - begin < 2
        assert events[0] == "killed"
        until(lambda: conn.closed)


def test_stop_that_is_interrupted_can_be_called_again() -> None:
    ended: list[bool] = []

    class Long(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            try:
                gevent.sleep(60)
            finally:
                gevent.sleep(0.3)
                ended.append(True)

    with serving(Long) as server:
        conn = jsp.connect(server.url)
        conn.open_stream()
        conn.ping()
        with gevent.Timeout(0.1, False):
            server.stop(10)
        assert not server.started
        server.stop(1)
        assert ended
        server.start()
        with jsp.connect(server.url) as again:
            again.ping()
        conn.abort()


def test_stop_inside_a_handler_does_not_wait_for_it() -> None:
    took: list[float] = []

    class Last(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            begin = time.monotonic()
            server.stop(5)
            took.append(time.monotonic() - begin)

    with serving(Last) as server:
        conn = jsp.connect(server.url)
        conn.open_stream()
        until(lambda: bool(took))
        assert took[0] < 2
        assert not server.started
        conn.abort()


def test_server_belongs_to_one_thread() -> None:
    with serving() as server:
        with pytest.raises(jsp.WrongHub):
            gevent.get_hub().threadpool.apply(server.stop)
        assert server.started


def test_stop_tells_the_clients() -> None:
    with serving() as server:
        conn = jsp.connect(server.url)
        conn.ping()
        server.stop(1)
        until(lambda: conn.closed)
        with pytest.raises(jsp.ConnectionClosed, match="server stops"):
            conn.recv()


def test_stream_server_is_gevents() -> None:
    def handle(stream: jsp.Stream, address: tuple[str, int]) -> None:
        stream.sendall(f"hello {address[0]}: ".encode() + stream.recv(100))

    server = jsp.StreamServer(LOOPBACK, handle, 256, 10, identity=IDENTITY)
    server.start()
    try:
        with jsp.connect(server.url) as conn:
            for _ in range(3):
                stream = conn.open_stream()
                stream.sendall(b"you")
                assert stream.recv(100) == b"hello 127.0.0.1: you"
                assert stream.recv(100) == b""
    finally:
        server.stop()


def test_server_without_identity_says_so(caplog: pytest.LogCaptureFixture) -> None:
    server = jsp.Server(LOOPBACK, Echo)
    with caplog.at_level(logging.WARNING, "jsp"):
        server.start()
    assert "no identity given" in caplog.text
    assert server.url.startswith("jsp1")
    server.stop()


@interrupts
def test_ctrl_c_ends_serve_forever_cleanly() -> None:
    program = (
        "import jsp, sys\n"
        "class H(jsp.Handler):\n"
        "    def finish(self): print('finished', flush=True)\n"
        "server = jsp.Server(('127.0.0.1', 0), H)\n"
        "server.start(); print(server.url, flush=True)\n"
        "try:\n    server.serve_forever()\n"
        "except KeyboardInterrupt:\n    print('interrupted', server.started, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    conn = jsp.connect(process.stdout.readline().strip())
    conn.ping()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert "finished" in out
    assert "interrupted False" in out
    assert "Traceback" not in err
    until(lambda: conn.closed)
    assert process.returncode == 0


@interrupts
def test_ctrl_c_that_no_poll_notices_ends_the_wait() -> None:
    # As when it comes between the hub's look for signals and its poll: another thread takes it, the poll goes on.
    program = (
        "import os, signal, threading, time, gevent\n"
        "from jsp.net.interrupts import orderly_interrupts\n"
        "def other():\n"
        "    time.sleep(0.2); os.kill(os.getpid(), signal.SIGINT); time.sleep(100)\n"
        "with orderly_interrupts():\n"
        "    threading.Thread(target=other, daemon=True).start()\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "    try: gevent.sleep(100)\n"
        "    except KeyboardInterrupt: print('interrupted')\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_forked_child_cannot_use_the_parents_connection() -> None:
    program = (
        "import os, jsp, gevent, sys\n"
        "class E(jsp.Handler):\n"
        "    def handle_stream(self, s):\n"
        "        while d := s.recv(100): s.sendall(d)\n"
        "server = jsp.Server(('127.0.0.1', 0), E); server.start()\n"
        "conn = jsp.connect(server.url); s = conn.open_stream(); s.sendall(b'x'); s.recv(1)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    gevent.sleep(0.01)\n"
        "    with conn, s: pass\n"
        "    server.stop()\n"
        "    calls = [lambda: conn.core.keys.seal.seal_train(conn.core.train.slots, 1, 100, 100, 7, 0, 5),\n"
        "        lambda: s.sendall(b'z'), lambda: s.recv(1), conn.ping, conn.recv, conn.close, s.close]\n"
        "    for call in calls:\n"
        "        try: call()\n"
        "        except jsp.ForkedConnection: continue\n"
        "        os._exit(1)\n"
        "    with jsp.Server(('127.0.0.1', 0), E) as own, jsp.connect(own.url) as c: c.ping()\n"
        "    os._exit(33)\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "s.sendall(b'y'); assert s.recv(1) == b'y'\n"
        "conn.close(); server.stop(); sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 33, done.stderr


def test_works_with_everything_monkey_patched() -> None:
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import jsp, threading, queue\n"
        "class E(jsp.Handler):\n"
        "    def handle_stream(self, s):\n"
        "        f = s.makefile('rwb')\n"
        "        for line in f: f.write(line.upper()); f.flush()\n"
        "server = jsp.Server(('127.0.0.1', 0), E); server.start()\n"
        "def client(out):\n"
        "    with jsp.connect(server.url) as c:\n"
        "        f = c.open_stream().makefile('rw')\n"
        "        f.write('hello\\n'); f.flush(); out.put(f.readline())\n"
        "q = queue.Queue()\n"
        "ts = [threading.Thread(target=client, args=(q,)) for _ in range(5)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\n"
        "assert [q.get() for _ in ts] == ['HELLO\\n'] * 5\n"
        "server.stop(); print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "fine\n", done.stderr


def test_importing_the_library_patches_and_starts_nothing() -> None:
    program = (
        "import sys, socket, threading, subprocess\n"
        "before = (socket.socket, threading.Thread, subprocess.Popen)\n"
        "import jsp\n"
        "assert before == (socket.socket, threading.Thread, subprocess.Popen)\n"
        "assert 'oqs' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
        "assert not {'jsp.rpc', 'jsp.transfer'} & set(sys.modules)\n"
        "assert jsp.rpc.Service and jsp.transfer.push\n"
        "assert not hasattr(jsp, 'nonsense')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
