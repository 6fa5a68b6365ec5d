"""Recovery and delivery as a program gets them: by `connect` and `Server`, through a network that loses datagrams."""

from __future__ import annotations

import sys

import gevent
import pytest

import jsp
from jsp.config import CONGESTION
from jsp.recovery.congestion import make_controller
from jsp.recovery.ecn import CAPABLE
from tests.net.support import Echo, ask, echo_connection, serving
from tests.net.wire_proxy import WireProxy


@pytest.mark.parametrize("congestion", CONGESTION)
def test_each_controller_carries_a_stream_through_losses(congestion: str) -> None:
    config = jsp.Config(congestion=congestion, max_datagram_size=1200)
    with (
        serving(config=config) as server,
        WireProxy(server.url, loss=0.02, delay=0.002, seed=1) as proxy,
        jsp.connect(proxy.url, config=config) as conn,
    ):
        ask(conn, 500_000)
        assert type(conn.core.paths[0].recovery.controller) is type(make_controller(congestion, 1200))
        assert proxy.dropped > 0 and conn.stats().packets_lost > 0


def test_bulk_is_acknowledged_by_the_dozen() -> None:
    with echo_connection(max_datagram_size=1200) as conn:
        ask(conn, 4_000_000)
        path = conn.core.paths[0]
        assert path.ack_frequency is not None and path.ack_frequency.packets > 2
        assert conn.stats().acks_sent < conn.stats().packets_received / 4


@pytest.mark.skipif(sys.platform != "linux", reason="ECN fields are read and written on Linux only")
def test_packets_are_marked_where_the_path_carries_it() -> None:
    with echo_connection() as conn:
        ask(conn, 200_000)
        assert conn.core.paths[0].recovery.ecn.state == CAPABLE


def test_repairs_bring_messages_back_that_are_lost() -> None:
    class Listener(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            got.add(message.data)
            peers.add(self.conn)

    got: set[bytes] = set()
    peers: set[jsp.Connection] = set()
    config = jsp.Config(congestion="bbr")
    with (
        serving(Listener, config=config) as server,
        WireProxy(server.url, loss=0.2, delay=0.02, seed=2) as proxy,
        jsp.connect(proxy.url, config=config) as conn,
    ):
        for i in range(400):
            conn.send(b"%d" % i, mode=jsp.PartiallyReliable(ttl=0.07))
            gevent.sleep(0.003)
        gevent.sleep(0.3)
        assert conn.stats().repairs_sent > 20
        (peer,) = peers
        assert peer.stats().messages_recovered > 5
    assert len(got) > 320


def test_nothing_is_repaired_where_nothing_is_lost() -> None:
    with serving(Echo) as server, WireProxy(server.url, delay=0.02) as proxy, jsp.connect(proxy.url) as conn:
        for i in range(200):
            conn.send(b"%d" % i, mode=jsp.PartiallyReliable(ttl=0.07))
            gevent.sleep(0.003)
        assert conn.stats().repairs_sent == 0
