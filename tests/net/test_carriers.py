"""A server's TCP port: strangers cost little and not for long, and nobody is kept out by them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket

import jsp
from jsp.net.carriers import listening_socket
from tests.net.support import Echo, leftovers, serving, until


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = leftovers()
    yield
    until(lambda: leftovers() <= before)


def tcp_socket(server: jsp.Server) -> Any:
    made = gevent_socket.create_connection(("127.0.0.1", server.server_port), 5)
    made.settimeout(5)
    return made


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("says", [b"", b"\x04", b"\x04\xb0" + bytes(300), b"\x00\x20" + b"\xc0" * 32])
def test_who_says_nothing_that_counts_is_let_go(kind: str, says: bytes) -> None:
    with serving(config=jsp.Config(tcp_fallback=kind, handshake_timeout=0.3)) as server:
        stranger = tcp_socket(server)
        stranger.sendall(says)
        try:
            assert stranger.recv(10) == b"" or kind == "tls"
        except ConnectionResetError:
            pass
        stranger.close()
        until(lambda: not server._endpoint.carriers._carriers)  # type: ignore[union-attr]


def test_drop_by_drop_is_no_way_to_stay() -> None:
    with serving(config=jsp.Config(tcp_fallback="tcp", handshake_timeout=0.3)) as server:
        stranger = tcp_socket(server)

        def talk() -> None:
            while True:
                stranger.sendall(b"\x20")
                gevent.sleep(0.02)

        talking = gevent.spawn(talk)
        talking.join(5)
        assert isinstance(talking.exception, OSError)
        stranger.close()


def test_of_too_many_strangers_the_oldest_goes() -> None:
    with serving(config=jsp.Config(tcp_fallback="tcp", max_half_open=3)) as server:
        strangers = [tcp_socket(server) for _ in range(5)]
        until(lambda: len(server._endpoint.carriers._carriers) == 3)  # type: ignore[union-attr]
        assert strangers[0].recv(10) == b"" and strangers[1].recv(10) == b""
        strangers[4].setblocking(False)
        with pytest.raises(BlockingIOError):
            strangers[4].recv(10)
        for stranger in strangers:
            stranger.close()


def test_garbage_in_frames_is_a_datagram_of_nobody() -> None:
    with serving(config=jsp.Config(tcp_fallback="tcp")) as server:
        stranger = tcp_socket(server)
        dropped = server._endpoint.core.dropped  # type: ignore[union-attr]
        stranger.sendall((b"\x04\xb0" + b"\x80" + bytes(1199)) * 50)
        until(lambda: server._endpoint.core.dropped > dropped)  # type: ignore[union-attr]
        # No stateless reset: whoever is there has not forgotten anybody.
        stranger.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stranger.recv(1)
        stranger.close()


def test_when_the_system_has_no_sockets_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(config=jsp.Config(tcp_fallback="tcp")) as server:
        carriers = server._endpoint.carriers  # type: ignore[union-attr]
        listener = carriers._socket  # type: ignore[union-attr]

        class Full:
            family = socket.AF_INET

            def _accept(self) -> None:
                raise OSError(24, "Too many open files")

        carriers._socket = Full()  # type: ignore[union-attr]
        stranger = tcp_socket(server)
        until(lambda: carriers._pause is not None)  # type: ignore[union-attr]
        carriers._socket = listener  # type: ignore[union-attr]
        until(lambda: len(carriers._carriers) == 1)  # type: ignore[union-attr]
        stranger.close()


def test_a_port_that_is_taken_is_told() -> None:
    taken = listening_socket("127.0.0.1", 0)
    config = jsp.Config(tcp_fallback="tcp", tcp_port=taken.getsockname()[1])
    server = jsp.Server(("127.0.0.1", 0), Echo, config=config)
    with pytest.raises(OSError, match="cannot listen on TCP"):
        server.start()
    taken.close()
    server.start()
    server.stop()
