"""Going over TCP across an emulated link that lets no UDP through, or does again."""

from __future__ import annotations

import socket
import time
from statistics import median

import gevent
import pytest
from gevent import socket as gevent_socket

import jsp
from jsp.net import fallback
from tests.netlab.emulator import Direction
from tests.netlab.lab import HOSTS, Lab
from tests.netlab.support import MB, connect, content, fetch, serving

pytestmark = [pytest.mark.slow, pytest.mark.root]

PLAIN_PORT = 5001


def config(kind: str) -> jsp.Config:
    # This process stays in a namespace that has neither host's addresses.
    return jsp.Config(tcp_fallback=kind, stream_window=8 << 20, migrate=False)


def taken(lab: Lab, server: jsp.Server, kind: str) -> float:
    """Seconds that connecting takes."""
    begin = time.monotonic()
    conn = connect(lab, server, config(kind))
    end = time.monotonic()
    assert conn.paths[0].kind == kind
    conn.close()
    return end - begin


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_connecting_takes_little_longer_than_tcp_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = Direction(delay=20, no_udp=1)
    with Lab(both, both) as lab, serving(lab, config(kind)) as server:
        racing = median(taken(lab, server, kind) for _ in range(5))
        monkeypatch.setattr(fallback, "_ROUND_TRIPS", 0.0)
        monkeypatch.setattr(fallback, "_COMPUTING_S", 0.0)
        alone = median(taken(lab, server, kind) for _ in range(5))
    print(f"{kind}: {racing * 1e3:.1f} ms, alone {alone * 1e3:.1f} ms, ratio {racing / alone:.2f}")
    # Loosely, for machines are busy at times; 1.5 is what is wanted.
    assert racing < 2 * alone


def plain(lab: Lab, size: int) -> float:
    """Seconds that the kernel's TCP takes to carry `size` bytes from b to a."""
    with lab.inside("b"):
        listener = gevent_socket.socket()
    listener.bind((HOSTS["b"], PLAIN_PORT))
    listener.listen()

    def serve() -> None:
        taken, _ = listener.accept()
        taken.sendall(content(0, size))
        taken.close()

    serving = gevent.spawn(serve)
    begin = time.monotonic()
    with lab.inside("a"):
        client = gevent_socket.socket()
    client.connect((HOSTS["b"], PLAIN_PORT))
    got = 0
    while data := client.recv(1 << 16):
        got += len(data)
    assert got == size
    client.close()
    serving.join()
    listener.close()
    return time.monotonic() - begin


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_two_recoveries_do_not_fight(loss: float) -> None:
    both = Direction(delay=10, rate=20e6, queue_bytes=250_000, loss=loss, no_udp=1)
    size = 4 * MB
    times, alone = [], []
    for seed in range(3):
        with Lab(both, both, seed=seed) as lab:
            alone.append(plain(lab, size))
        with Lab(both, both, seed=seed) as lab, serving(lab, config("tcp")) as server:
            conn = connect(lab, server, config("tcp"))
            begin = time.monotonic()
            fetch(conn, size)
            times.append(time.monotonic() - begin)
            assert conn.stats().packets_lost == 0 and server.connections()[0].stats().packets_lost == 0
            conn.close()
    print(f"loss {loss:.0%}: {median(times):.2f} s, TCP alone {median(alone):.2f} s")
    assert median(times) < 1.5 * median(alone)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_udp_comes_and_goes_under_a_stream(kind: str) -> None:
    both = Direction(delay=10, rate=30e6, queue_bytes=100_000, no_udp=1)
    # Sockets are made under way, by the client only.
    with Lab(both, both) as lab, serving(lab, config(kind)) as server, lab.inside("a"):
        conn = connect(lab, server, config(kind))
        fetching = gevent.spawn(fetch, conn, 40 * MB)
        for blocked, wanted, within in ((0, "udp", 5), (1, kind, 10), (0, "udp", 5)):
            gevent.sleep(0.5)
            lab.set(no_udp=blocked)
            begin = time.monotonic()
            with gevent.Timeout(within):
                while [path.kind for path in conn.paths if path.state == "validated"] != [wanted]:
                    gevent.sleep(0.01)
            print(f"over {wanted} after {time.monotonic() - begin:.2f} s")
            # A message, as well.
            conn.send(b"!")
            assert conn.recv(timeout=5).data == b"!"
        fetching.get(timeout=60)
        conn.close()


def test_a_host_that_takes_no_tcp_costs_nothing() -> None:
    with Lab(Direction(delay=20), Direction(delay=20)) as lab, serving(lab) as server:
        with lab.inside("b"):
            silent = socket.create_server((HOSTS["b"], server.server_port))
        conn = connect(lab, server, config("tcp"))
        assert conn.paths[0].kind == "udp"
        fetch(conn, 100_000)
        conn.close()
        silent.close()
