"""`Server(workers=N)`: real processes on one port, with the kernel's help and without."""

from __future__ import annotations

import math
import os
import signal
import socket as stdlib_socket
import threading
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.monkey import get_original

import jsp
from jsp.net import steering, supervisor
from jsp.net.workers import share_of
from tests.net.support import IDENTITY, LOOPBACK, OTHER, leftovers
from tests.net.wire_proxy import WireProxy
from tests.net.workers_support import (
    PATIENCE,
    Who,
    connections,
    connections_to_both,
    crew,
    descendants,
    eventually,
    has_ended,
    is_there,
    kernel_steers,
    who,
)


@pytest.fixture(params=["kernel", "fallback"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How datagrams find their worker; by the kernel alone, or by its usual choice and by what workers pass on."""
    if request.param == "fallback":
        monkeypatch.setattr(steering, "attach", lambda *_: False)
    elif not kernel_steers():
        pytest.skip("this kernel does not steer")
    else:
        monkeypatch.setattr(steering.Mailboxes, "send", lambda *_: None)
    return str(request.param)


# --- one port ------------------------------------------------------------------------------------------------------


def test_connections_spread_and_stay_with_their_worker_through_rebindings(way: str) -> None:
    with crew(workers=3) as server, WireProxy(server.url) as nat:
        made, spread = connections(nat.url, 24)
        assert len(spread) >= 2 and os.getpid() not in spread
        home = [who(conn) for conn in made]
        for _ in range(3):
            nat.rebind()
            assert [who(conn) for conn in made] == home
        assert not any(conn.closed for conn in made)
        for conn in made:
            conn.close()


def test_much_data_while_addresses_change(way: str) -> None:
    data = os.urandom(1 << 18)
    with crew(workers=2) as server, WireProxy(server.url) as nat:
        made, _ = connections(nat.url, 4)

        def echo(conn: jsp.Connection) -> bool:
            stream = conn.open_stream()
            stream.settimeout(PATIENCE)
            writer = gevent.spawn(stream.sendall, data)
            got = bytearray()
            while len(got) < len(data) and (more := stream.recv(65536)):
                got += more
            writer.get()
            return got == data

        tasks = [gevent.spawn(echo, conn) for conn in made]
        for _ in range(3):
            gevent.sleep(0.02)
            nat.rebind()
        assert [task.get() for task in tasks] == [True] * 4
        for conn in made:
            conn.abort()


def test_listening_on_all_addresses() -> None:
    for host in ("0.0.0.0", "::"):
        with jsp.Server((host, 0), Who, identity=IDENTITY, workers=2) as server:
            url = f"{IDENTITY.peer_id}@127.0.0.1:{server.address[1]}"
            assert server.server_port > 0 and str(server.server_port) in server.url
            made, _ = connections(url, 4)
            for conn in made:
                conn.abort()


def test_socket_as_listener_and_a_second_start() -> None:
    bound = stdlib_socket.socket(stdlib_socket.AF_INET, stdlib_socket.SOCK_DGRAM)
    bound.bind(LOOPBACK)
    address = bound.getsockname()
    server = jsp.Server(bound, Who, identity=IDENTITY, workers=2)
    for _ in range(2):
        with server:
            assert server.address == address
            made, _ = connections(server.url, 4)
            for conn in made:
                conn.abort()
        assert bound.fileno() == -1 and server.closed


def test_port_that_is_taken() -> None:
    with crew() as first:
        for workers in (1, 2):
            again = jsp.Server(first.address, Who, identity=IDENTITY, workers=workers)
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{first.address[1]}"):
                again.start()
            assert not again.started
    with jsp.Server(LOOPBACK, Who, identity=IDENTITY) as single, pytest.raises(OSError, match="cannot listen"):
        jsp.Server(single.address, Who, identity=IDENTITY, workers=2).start()


@pytest.mark.parametrize("workers", [0, -1, 257, 1.5, "2", None, True])
def test_numbers_that_make_no_sense(workers: Any) -> None:
    with pytest.raises(jsp.LocalError, match="from 1 to 256"):
        jsp.Server(LOOPBACK, Who, workers=workers)


def test_system_that_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    jsp.Server(LOOPBACK, Who, workers=1)
    with pytest.raises(jsp.LocalError, match="cannot fork"):
        jsp.Server(LOOPBACK, Who, workers=2)


def test_fork_that_is_refused_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    before = leftovers()
    with monkeypatch.context() as patch:
        patch.setattr(supervisor, "_fork", refuse)
        server = jsp.Server(LOOPBACK, Who, identity=IDENTITY, workers=2)
        with pytest.raises(OSError, match="temporarily"):
            server.start()
        assert not server.started and leftovers() <= before
    with server:
        connections(server.url, 1)[0][0].abort()


def test_limits_are_divided() -> None:
    config = jsp.Config(max_connections=1001, rate_limit=6.0, memory_limit=512 << 20)
    share = share_of(config, 4)
    assert (share.max_connections, share.rate_limit) == (250, 1.5)
    assert share.memory_limit == 128 << 20
    least = share_of(jsp.Config(max_connections=2), 256)
    assert (least.max_connections, least.rate_limit) == (1, None)
    assert least.memory_limit == least.receive_window

    def handle(conn: jsp.Connection) -> None:
        conn.recv(timeout=PATIENCE)

    with crew(handle, config=jsp.Config(max_connections=4)) as server:
        held, busy = [], 0
        for _ in range(20):
            try:
                held.append(jsp.connect(server.url, timeout=PATIENCE))
            except jsp.ConnectFailed as error:
                busy += "as many connections as it takes" in str(error)
        assert 2 <= len(held) <= 4 and busy == 20 - len(held)
        for conn in held:
            conn.abort()


# --- what handlers have --------------------------------------------------------------------------------------------


def test_trust_and_identity_hold_in_all_workers(tmp_path: Path) -> None:
    allowed = tmp_path / "authorized"
    allowed.write_text(f"{OTHER.peer_id}\n")
    known = tmp_path / "known"
    policies = [jsp.Trust.authorized(allowed), jsp.Trust.known_peers(known), jsp.Trust.access_key(bytes(16))]
    for trust in policies:
        with crew(trust=trust) as server:
            made, _ = connections_to_both(server.url, identity=OTHER)
            if trust.name == "authorized":
                for _ in range(6):
                    with pytest.raises(jsp.Error):
                        jsp.connect(server.url, identity=jsp.Identity.generate(), timeout=PATIENCE)
                allowed.write_text("")
                for _ in range(6):
                    with pytest.raises(jsp.Error):
                        jsp.connect(server.url, identity=OTHER, timeout=PATIENCE)
            for conn in made:
                conn.abort()
            if trust.name == "known_peers":
                assert len(known.read_text().splitlines()) == len(made)


def test_fresh_identity_is_one_for_all() -> None:
    with crew(identity=None) as server:
        for conn in connections(server.url, 8)[0]:
            conn.abort()


def test_other_servers() -> None:
    import jsp.rpc

    service = jsp.rpc.Service()
    service.method(os.getpid)
    with (
        jsp.rpc.Server(LOOPBACK, service, identity=IDENTITY, workers=2) as server,
        jsp.rpc.connect(server.url, timeout=PATIENCE) as client,
    ):
        assert client.call("getpid", timeout=PATIENCE) in descendants(os.getpid())

    def handle(stream: jsp.Stream, address: tuple[Any, ...]) -> None:
        stream.sendall(str(os.getpid()).encode())

    with (
        jsp.StreamServer(LOOPBACK, handle, identity=IDENTITY, workers=2) as server,
        jsp.connect(server.url, timeout=PATIENCE) as conn,
    ):
        stream = conn.open_stream()
        stream.settimeout(PATIENCE)
        assert int(stream.recv(100)) in descendants(os.getpid())


def test_greenlets_of_the_program_do_not_run_in_workers() -> None:
    ran: list[int] = []
    sink, pen = os.pipe()

    def busy() -> None:
        try:
            while True:
                ran.append(os.getpid())
                gevent.sleep(0.001)
        finally:
            os.write(pen, b"%d\n" % os.getpid())

    class Ran(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            gevent.get_hub().threadpool.apply(time.sleep, (0.01,))
            gevent.sleep(0.05)
            self.conn.send(repr(set(ran)).encode())

    other = gevent.spawn(busy)
    gevent.sleep(0.01)
    with crew(Ran) as server, jsp.connect(server.url, timeout=PATIENCE) as conn:
        conn.send(b"?")
        assert conn.recv(timeout=PATIENCE).data.decode() == repr({os.getpid()})
    other.kill()
    os.close(pen)
    with os.fdopen(sink, "rb") as file:
        assert file.read().split() == [b"%d" % os.getpid()]


def test_handler_that_stops_the_server_ends_its_worker() -> None:
    def handle(conn: jsp.Connection) -> None:
        conn.send(str(os.getpid()).encode())
        if conn.recv(timeout=PATIENCE).data == b"stop":
            server.stop(0.0)

    server = jsp.Server(LOOPBACK, handle, identity=IDENTITY, workers=2)
    with server:
        with jsp.connect(server.url, timeout=PATIENCE) as conn:
            pid = int(conn.recv(timeout=PATIENCE).data)
            conn.send(b"stop")
            eventually(lambda: not is_there(pid))
        assert server.started
        conn = jsp.connect(server.url, timeout=PATIENCE)
        assert int(conn.recv(timeout=PATIENCE).data) != pid
        conn.abort()


def test_process_that_a_handler_forks_does_not_hear_what_its_worker_is_told() -> None:
    def handle(conn: jsp.Connection) -> None:
        pid = gevent.fork()
        if pid == 0:
            try:
                gevent.sleep(1000)
            finally:
                os._exit(0)
        conn.send(f"{os.getpid()} {pid}".encode())
        conn.recv(timeout=PATIENCE)

    server = jsp.Server(LOOPBACK, handle, identity=IDENTITY, workers=2)
    with server, jsp.connect(server.url, timeout=PATIENCE) as conn:
        worker, forked = map(int, conn.recv(timeout=PATIENCE).data.split())
        try:
            server.stop(1.0)
            # Killed for not having heard it, the worker would not have said so.
            eventually(lambda: conn.closed)
            assert conn.closed_error().reason == "the server stops"
            assert not is_there(worker) and not has_ended(forked)
        finally:
            os.kill(forked, signal.SIGKILL)
        eventually(lambda: has_ended(forked))


# --- workers that die ----------------------------------------------------------------------------------------------


def test_killed_worker_is_replaced_and_others_go_on(way: str) -> None:
    with crew(workers=2) as server:
        made, spread = connections_to_both(server.url)
        victim, other = spread
        lost = [conn for conn in made if who(conn) == victim]
        kept = [conn for conn in made if conn not in lost]
        os.kill(victim, signal.SIGKILL)
        assert {who(conn) for conn in kept} == {other}
        fresh, now = connections_to_both(server.url)
        assert victim not in now and other in now
        assert {who(conn) for conn in kept} == {other}
        # Those who lost theirs hear of it when they say something: the new worker has the old one's reset secret.
        for conn in lost:
            conn.send(b"who?")
        eventually(lambda: all(conn.closed for conn in lost))
        assert not any(conn.closed for conn in kept)
        for conn in kept + fresh:
            conn.abort()


def test_workers_that_cannot_begin_do_not_spin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    begin = time.monotonic()

    def fail(self: jsp.Server, berth: Any) -> None:
        with tries.open("a") as file:
            file.write("x")
        raise RuntimeError("cannot set up")

    with monkeypatch.context() as patch:
        patch.setattr(jsp.Server, "_work", fail)
        with crew(workers=2) as server:
            eventually(lambda: tries.exists() and len(tries.read_text()) >= 4)
            gevent.sleep(1)
            # Each waits twice as long as the one before it: 0.1 s, 0.2 s ...
            assert len(tries.read_text()) <= 2 * (1 + math.log2(1 + (time.monotonic() - begin) / 0.1))
            assert server.started


# --- ends ----------------------------------------------------------------------------------------------------------


def test_nothing_is_left_after_stop() -> None:
    gevent.sleep(0.01)  # the hub is there, and what belongs to it
    before = leftovers()[0], len(os.listdir("/proc/self/fd"))
    finished, pen = os.pipe()

    class Late(Who):
        def finish(self) -> None:
            os.write(pen, b"f")

    made: list[jsp.Connection] = []
    with crew(Late) as server:
        made, spread = connections(server.url, 6)
    os.close(pen)
    with os.fdopen(finished, "rb") as file:
        assert file.read() == b"f" * 6
    eventually(lambda: all(conn.closed for conn in made))
    assert not any(is_there(pid) for pid in spread)
    assert server.closed
    server.stop()
    made.clear()
    # Connections of earlier tests may have ended meanwhile, so there may be less than before.
    eventually(lambda: leftovers()[0] <= before[0] and len(os.listdir("/proc/self/fd")) <= before[1])


def test_worker_that_hangs_is_killed_by_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.2)

    def handle(conn: jsp.Connection) -> None:
        conn.send(str(os.getpid()).encode())
        conn.recv(timeout=PATIENCE)
        get_original("time", "sleep")(1000)

    with crew(handle) as server, jsp.connect(server.url, timeout=PATIENCE) as conn:
        pid = int(conn.recv(timeout=PATIENCE).data)
        conn.send(b"hang")
        gevent.sleep(0.1)
        server.stop(0.1)
        assert not is_there(pid)
        conn.abort()


def test_stop_that_is_interrupted_leaves_no_process() -> None:
    def handle(conn: jsp.Connection) -> None:
        conn.send(str(os.getpid()).encode())
        gevent.sleep(1000)

    with crew(handle) as server, jsp.connect(server.url, timeout=PATIENCE) as conn:
        pid = int(conn.recv(timeout=PATIENCE).data)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
            server.stop(100)
        assert server.closed and not is_there(pid)
        conn.abort()


def test_stop_from_another_thread_is_refused() -> None:
    with crew() as server:
        raised: list[Exception] = []

        def stop() -> None:
            try:
                server.stop()
            except jsp.WrongHub as error:
                raised.append(error)

        thread = threading.Thread(target=stop)
        thread.start()
        thread.join()
        assert raised and server.started


def test_forked_child_cannot_stop_it_and_does_not_hold_it() -> None:
    server = jsp.Server(LOOPBACK, Who, identity=IDENTITY, workers=2)
    server.start()
    pid = os.fork()
    if pid == 0:
        try:
            server.stop()
            time.sleep(1000)
        finally:
            os._exit(0)
    try:
        with jsp.connect(server.url, timeout=PATIENCE) as conn:
            assert who(conn) != pid
        processes = descendants(server._crew._pid)  # type: ignore[union-attr]
        server.stop(1.0)
        assert not any(is_there(each) for each in processes)
        with jsp.Server(server.address, Who, identity=IDENTITY):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_supervisor_that_is_killed_ends_the_server_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    server = jsp.Server(LOOPBACK, Who, identity=IDENTITY, workers=2)
    server.start()
    made, spread = connections(server.url, 6)
    serving = gevent.spawn(server.serve_forever)
    gevent.sleep(0)
    os.kill(server._crew._pid, signal.SIGKILL)  # type: ignore[union-attr]
    with pytest.raises(ChildProcessError, match="supervisor"):
        serving.get(timeout=PATIENCE)
    assert server.closed and "supervisor" in caplog.text
    eventually(lambda: all(conn.closed for conn in made))
    # Nobody waits for them but the system, in a container perhaps nobody.
    eventually(lambda: all(has_ended(pid) for pid in spread))
    with server:
        connections(server.url, 1)[0][0].abort()
