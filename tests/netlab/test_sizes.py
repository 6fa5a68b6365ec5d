"""A path takes smaller packets all at once, under a transfer: a router of the kernel's, with and without ICMP."""

from __future__ import annotations

import time

import gevent
import pytest

import jsp
from tests.net.support import until
from tests.netlab.routed import HOSTS, Routed, why_not
from tests.netlab.support import HEADERS, connect, serving

pytestmark = [pytest.mark.slow, pytest.mark.root]

PATIENCE_S = 5.0


@pytest.fixture(autouse=True)
def _needs_namespaces() -> None:
    if reason := why_not():
        pytest.skip(reason)


class Watch:
    """The sender of a transfer without end: what it sends, and for how long it could send nothing, at most."""

    def __init__(self, conn: jsp.Connection) -> None:
        self.conn = conn
        self.longest = 0.0
        self.bytes = 0
        self._over = False
        self._sender = gevent.spawn(self._send)

    def _send(self) -> None:
        with self.conn.open_stream() as stream:
            last = time.monotonic()
            while not self._over:
                stream.sendall(bytes(100_000))
                now = time.monotonic()
                self.longest = max(self.longest, now - last)
                last = now
                self.bytes += 100_000

    def until(self, most: int, least: int = 0) -> float:
        """Until datagrams have so many bytes; how long that takes, seconds."""
        begin = time.monotonic()
        until(lambda: least <= self.conn.stats().mtu <= most, PATIENCE_S)
        return time.monotonic() - begin

    def go_on(self, more: int) -> None:
        """Until so many more bytes are sent."""
        until(lambda wanted=self.bytes + more: self.bytes >= wanted, PATIENCE_S)

    def stop(self) -> None:
        self._over = True
        self._sender.get(timeout=10)


class Reader(jsp.Handler):
    """Throws away what comes."""

    def handle_stream(self, stream: jsp.Stream) -> None:
        while stream.recv(1 << 20):
            pass


@pytest.mark.parametrize("icmp", [True, False], ids=["icmp", "silent"])
@pytest.mark.parametrize(("link", "narrow"), [(1_500, 1_280), (9_000, 1_500)])
def test_a_path_that_becomes_narrower_is_noticed(link: int, narrow: int, icmp: bool) -> None:
    with Routed(link) as net:
        if not icmp:
            net.silence()
        with serving(net, addresses=HOSTS, handler=Reader) as server, connect(net, server) as conn:
            watch = Watch(conn)
            watch.until(link - HEADERS, least=link - HEADERS)
            gevent.sleep(0.2)
            watch.longest = 0.0
            net.narrow(narrow)
            found = watch.until(narrow - HEADERS)
            watch.until(narrow - HEADERS, least=(narrow - HEADERS) * 63 // 64)
            watch.go_on(1_000_000)
            watch.stop()
            print(f"{found:.3f} s to smaller datagrams, {watch.longest:.3f} s without data, {conn.stats().mtu} bytes")
            # Loosely: the machine may be busy. How many timeouts it takes is measured on the virtual clock.
            assert found < 2.0
            # Only who is told knows exactly.
            assert conn.stats().mtu == narrow - HEADERS or not icmp
            assert watch.longest < 3.0


def test_our_own_link_becomes_narrower() -> None:
    with Routed() as net, serving(net, addresses=HOSTS, handler=Reader) as server, connect(net, server) as conn:
        watch = Watch(conn)
        watch.until(1_472, least=1_472)
        net.narrow_own(1_300)
        watch.until(1_272, least=1_253)
        watch.go_on(1_000_000)
        watch.stop()
