"""Real sockets find out how large datagrams may be."""

from __future__ import annotations

import sys

import pytest

import jsp
from tests.net.support import IDENTITY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere fragments cannot be forbidden")


class Sink(jsp.Handler):
    """Reads what comes."""

    def handle_stream(self, stream: jsp.Stream) -> None:
        while stream.recv(1 << 20):
            pass


@pytest.mark.parametrize(("host", "largest"), [("127.0.0.1", 65_507), ("::1", 65_488), ("::ffff:127.0.0.1", 65_507)])
def test_loopback_is_found_to_take_the_largest_there_are(host: str, largest: int) -> None:
    server = jsp.Server(("::" if ":" in host else host, 0), Sink, identity=IDENTITY)
    server.start()
    try:
        place = f"[{host}]" if ":" in host else host
        with jsp.connect(f"{IDENTITY.peer_id}@{place}:{server.address[1]}") as conn:
            assert conn.stats().mtu == conn.paths[0].mtu == 1_200
            with conn.open_stream() as stream:
                for _ in range(200):
                    stream.sendall(bytes(1 << 20))
                    if conn.stats().mtu == largest:
                        break
            assert conn.paths[0].mtu == largest
            assert f"datagrams of {largest} bytes" in conn.explain()
    finally:
        server.stop(1.0)


def test_a_size_that_is_configured_is_kept_to() -> None:
    config = jsp.Config(max_datagram_size=1_300)
    server = jsp.Server(("127.0.0.1", 0), Sink, identity=IDENTITY, config=config)
    server.start()
    try:
        with jsp.connect(server.url, config=config) as conn, conn.open_stream() as stream:
            for _ in range(10):
                stream.sendall(bytes(1 << 20))
            assert conn.stats().mtu == 1_300
    finally:
        server.stop(1.0)
