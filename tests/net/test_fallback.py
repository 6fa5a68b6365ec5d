"""Connections that go over TCP while UDP does not get through, and back, over real sockets.

The gate is UDP's way to the server, who listens for TCP where clients think it does, and for UDP behind the gate.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from gevent import socket as gevent_socket

import jsp
import jsp.net.clock as clock
from jsp.net.carriers import listening_socket
from jsp.net.fallback import Fallback
from tests.net.support import IDENTITY, OTHER, ask, leftovers, serving, until
from tests.net.wire_proxy import WireProxy
from tests.net.workers_support import crew, who

KINDS = pytest.mark.parametrize("kind", ["tcp", "tls"])


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = leftovers()
    yield
    until(lambda: leftovers() <= before)


def make_gate(loss: float = 0.0) -> WireProxy:
    """A gate to nowhere yet, whose port nobody has for TCP."""
    while True:
        gate = WireProxy(f"{IDENTITY.peer_id}@127.0.0.1:1", loss=loss)
        try:
            listening_socket("127.0.0.1", gate.port).close()
        except OSError:
            with gate:
                continue
        return gate


@contextmanager
def gated(kind: str, closed: bool = True, **options: object) -> Iterator[tuple[jsp.Server, WireProxy]]:
    """A server, and UDP's gate to it (`loss`: 1 is closed)."""
    gate = make_gate(float(closed))
    with gate, serving(config=jsp.Config(tcp_fallback=kind, tcp_port=gate.port), **options) as server:
        gate._target = ("127.0.0.1", server.server_port)
        yield server, gate


def connect(gate: WireProxy, kind: str | None, **config: object) -> jsp.Connection:
    return jsp.connect(gate.url, config=jsp.Config(tcp_fallback=kind, **config))  # type: ignore[arg-type]


@KINDS
def test_where_udp_is_blocked_tcp_carries_everything(kind: str) -> None:
    with gated(kind) as (server, gate), connect(gate, kind) as conn:
        assert [(path.kind, path.mtu, path.state) for path in conn.paths] == [(kind, 16_000, "validated")]
        assert kind.upper() in conn.explain()
        assert conn.remote_address == ("127.0.0.1", gate.port) and len(conn.local_address) == 2
        ask(conn, 5_000_000)
        assert server.connections()[0].paths[0].kind == kind
        assert server.connections()[0].remote_address == conn.local_address
        conn.send(b"x" * 300_000)
        assert len(conn.recv(timeout=5).data) == 300_000
        assert conn.ping() < 1
        assert conn.stats().packets_lost == 0


@KINDS
def test_back_over_udp_and_over_tcp_again(kind: str) -> None:
    with gated(kind) as (server, gate), connect(gate, kind) as conn:
        moving = gevent.spawn(ask, conn, 30_000_000)
        gevent.sleep(0.1)
        gate.loss = 0.0
        until(lambda: [path.kind for path in conn.paths if path.state == "validated"] == ["udp"])
        gate.loss = 1.0
        ask(conn)
        until(lambda: [path.kind for path in conn.paths if path.state == "validated"] == [kind])
        moving.get(timeout=30)
        gate.loss = 0.0
        until(lambda: [path.kind for path in conn.paths] == ["udp"], 15)
        # Nothing is left of TCP.
        until(lambda: not server._endpoint.carriers._carriers)  # type: ignore[union-attr]
        assert not conn._endpoint.carriers._carriers


def test_who_only_reads_notices_too() -> None:
    class Slow(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            for i in range(200):
                stream.sendall(bytes([i]))
                gevent.sleep(0.01)

    with gated("tcp", closed=False, handle=Slow) as (_, gate), connect(gate, "tcp", keep_alive=None) as conn:
        stream = conn.open_stream()
        stream.sendall(b"?")
        got = stream.recv(1)
        gevent.sleep(0.3)
        gate.loss = 1.0
        with gevent.Timeout(20):
            while data := stream.recv(100):
                got += data
        assert got == bytes(range(200)) and conn.paths[-1].kind == "tcp"


@pytest.mark.parametrize("attempt", range(4))
def test_a_connection_stays_with_its_worker(attempt: int) -> None:
    gate = make_gate()
    with gate, crew(workers=3, config=jsp.Config(tcp_fallback="tcp", tcp_port=gate.port)) as server:
        gate._target = ("127.0.0.1", server.server_port)
        with connect(gate, "tcp") as conn:
            worker = who(conn)
            until(lambda: [path.kind for path in conn.paths] == ["udp"])
            gate.loss = 1.0
            assert who(conn) == worker
            until(lambda: [path.kind for path in conn.paths if path.state == "validated"] == ["tcp"])
            gate.loss = 0.0
            until(lambda: [path.kind for path in conn.paths] == ["udp"])
            assert who(conn) == worker
        gate.loss = 1.0
        with connect(gate, "tcp") as conn:
            worker = who(conn)
            gate.loss = 0.0
            until(lambda: [path.kind for path in conn.paths] == ["udp"])
            assert who(conn) == worker


def test_where_udp_passes_tcp_is_not_needed() -> None:
    with gated("tcp", closed=False) as (server, gate):
        for _ in range(5):
            with connect(gate, "tcp") as conn:
                ask(conn)
                # Where both are as quick as here TCP may have won; that is over soon.
                until(lambda conn=conn: [path.kind for path in conn.paths] == ["udp"])
                assert not conn._endpoint.carriers._carriers
        until(lambda: not server._endpoint.carriers._carriers)  # type: ignore[union-attr]
        assert [c.paths[0].kind for c in server.connections()] == ["udp"] * len(server.connections())


@pytest.mark.parametrize("listens", [False, True])
def test_a_server_without_fallback_serves_clients_that_have_it(listens: bool) -> None:
    with serving() as server:
        stranger = listening_socket("127.0.0.1", server.server_port) if listens else None
        with jsp.connect(server.url, config=jsp.Config(tcp_fallback="tcp")) as conn:
            ask(conn)
            assert conn.paths[0].kind == "udp"
        if stranger is not None:
            stranger.close()


def test_round_trips_that_are_out_of_date_hold_nobody_up() -> None:
    with gated("tcp", closed=False) as (_, gate):
        with connect(gate, None) as conn:
            destinations = conn._endpoint.core.destinations
        known = destinations.find(("127.0.0.1", "127.0.0.1"), clock.now())
        assert known is not None
        found = known.rtt, known.minimum
        gate.loss = 1.0
        for smoothed, minimum, most in ((2.0, 0.01, 0.2), (2.0, 0.6, 0.5)):
            known.rtt, known.minimum = smoothed, minimum
            begun = time.monotonic()
            with connect(gate, "tcp"):
                assert time.monotonic() - begun < most
        known.rtt, known.minimum = found


def test_nobody_for_udp_is_not_nobody() -> None:
    free = gevent_socket.socket(type=socket.SOCK_DGRAM)
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with serving(config=jsp.Config(tcp_fallback="tcp", tcp_port=port)):
        address = f"{IDENTITY.peer_id}@127.0.0.1:{port}"
        with jsp.connect(address, config=jsp.Config(tcp_fallback="tcp")) as conn:
            ask(conn)
            assert conn.paths[0].kind == "tcp"
    with pytest.raises(jsp.ConnectRefused, match="nobody listens"):
        jsp.connect(address, config=jsp.Config(tcp_fallback="tcp"))


def test_who_it_is_is_proven_inside() -> None:
    with gated("tls", identity=OTHER) as (_, gate), pytest.raises(jsp.UnknownPeer):
        connect(gate, "tls")


def test_a_carrier_that_breaks_is_made_anew() -> None:
    with gated("tcp") as (server, gate), connect(gate, "tcp") as conn:
        for _ in range(3):
            moving = gevent.spawn(ask, conn, 3_000_000)
            gevent.sleep(0.02)
            carriers = server._endpoint.carriers  # type: ignore[union-attr]
            for carrier in list(carriers._carriers.values()):
                carriers.lose(carrier)
            moving.get(timeout=10)
            assert [path.kind for path in conn.paths if path.state == "validated"] == ["tcp"]


def test_a_carrier_that_breaks_behind_the_first_answer_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    end_race = Fallback._end_race

    def end_and_lose(fallback: Fallback) -> None:
        carrier = fallback._carrier
        end_race(fallback)
        fallback._endpoint.hub.loop.run_callback(fallback._carriers.lose, carrier)

    monkeypatch.setattr(Fallback, "_end_race", end_and_lose)
    with gated("tcp") as (_, gate), connect(gate, "tcp") as conn:
        ask(conn)
        assert [path.kind for path in conn.paths] == ["tcp"]


def test_a_carrier_that_breaks_in_the_handshake_leaves_it_to_udp() -> None:
    with gated("tcp") as (server, gate):
        server.stop()
        listener = listening_socket("127.0.0.1", gate.port)
        failing = gevent.spawn(connect, gate, "tcp", handshake_timeout=1.0)
        gevent.sleep(0.1)
        number, _ = listener._accept()
        socket.socket(fileno=number).close()
        with pytest.raises(jsp.ConnectTimeout):
            failing.get(timeout=5)
        listener.close()


def test_of_a_server_on_tcp_only_the_client_can_move() -> None:
    with gated("tcp") as (server, gate), connect(gate, "tcp") as conn:
        ask(conn)
        with pytest.raises(jsp.PathFailed, match="over TCP"):
            server.connections()[0].migrate()
        gate.loss = 0.0
        assert conn.migrate(timeout=5).kind == "udp"
        ask(conn)


def test_connections_end_over_tcp_as_over_udp() -> None:
    with gated("tcp") as (server, gate):
        conn = connect(gate, "tcp")
        ask(conn)
        conn.close(5, "that was all")
        until(lambda: not server.connections())
        conn = connect(gate, "tcp")
        server.stop()
        until(lambda: conn.closed)


def test_a_config_says_what_it_can_be() -> None:
    for wrong in ({"tcp_fallback": "udp"}, {"tcp_port": 0}, {"tcp_port": 65536}):
        with pytest.raises(jsp.LocalError, match="tcp_"):
            jsp.Config(**wrong)  # type: ignore[arg-type]
