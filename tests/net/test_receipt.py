"""Receipts: what they say, when they are settled, and who waits for them."""

from __future__ import annotations

import gevent
import pytest

import jsp
from tests.net.support import echo_connection, serving
from tests.net.wire_proxy import WireProxy


class Deaf(jsp.Handler):
    """Never reads a message."""

    def setup(self) -> None:
        gevent.sleep(60)


def test_every_mode_is_delivered_on_a_good_network() -> None:
    with echo_connection() as conn:
        for mode in (
            jsp.RELIABLE,
            jsp.BEST_EFFORT,
            jsp.PartiallyReliable(ttl=9),
            jsp.PartiallyReliable(max_retransmits=0),
        ):
            for size in (0, 10, 100_000):
                receipt = conn.send(bytes(size), mode=mode)
                assert receipt.status == "pending"
                assert receipt.wait(5) == receipt.status == "delivered"
                assert repr(receipt) == "<jsp.Receipt delivered>"
                conn.recv(timeout=5)


def test_waiting_in_vain_raises_timeout_and_can_be_repeated() -> None:
    with serving() as server, WireProxy(server.url) as proxy, jsp.connect(proxy.url) as conn:
        conn.ping()
        proxy.loss = 1.1
        receipt = conn.send(b"x")
        for _ in range(2):
            with pytest.raises(jsp.Timeout, match="not known yet"):
                receipt.wait(0.01)
        proxy.loss = 0.0
        assert receipt.wait(10) == "delivered"
        assert not conn.core.send_messages.watched


def test_messages_that_do_not_arrive_say_why() -> None:
    with serving() as server, WireProxy(server.url) as proxy, jsp.connect(proxy.url) as conn:
        conn.ping()
        proxy.loss = 1.1
        expired = conn.send(b"x", mode=jsp.PartiallyReliable(ttl=0.05))
        lost = conn.send(b"x", mode=jsp.PartiallyReliable(max_retransmits=0))
        best = conn.send(b"x", mode=jsp.BEST_EFFORT)
        assert expired.wait(10) == "expired"
        assert lost.wait(10) == best.wait(10) == "lost"
        waiting = [gevent.spawn(conn.send(b"late").wait) for _ in range(3)]
        gevent.sleep(0.01)
        conn.abort()
        assert [w.get(timeout=5) for w in waiting] == ["lost"] * 3


def test_receipts_of_a_connection_that_is_over_are_settled() -> None:
    with serving() as server:
        conn = jsp.connect(server.url)
        receipt = conn.send(b"x")
        conn.close()
        assert receipt.status == receipt.wait() == "delivered"
        conn = jsp.connect(server.url)
        receipt = conn.send(b"x")
        conn.abort()
        assert receipt.status == receipt.wait() == "lost"


def test_many_may_wait_for_one_receipt_and_for_many() -> None:
    with echo_connection() as conn:
        receipts = [conn.send(bytes(100)) for _ in range(500)]
        waiting = [gevent.spawn(receipt.wait, 10) for receipt in receipts for _ in range(2)]
        assert {w.get(timeout=20) for w in waiting} == {"delivered"}
        assert not conn.core.send_messages.watched


def test_newer_message_with_the_key_replaces_the_one_that_waits() -> None:
    config = jsp.Config(receive_window=64 * 1024, max_message=60_000, stream_window=16384, stream_window_max=16384)
    with serving(Deaf, config=config) as server, jsp.connect(server.url) as conn:
        conn.send(bytes(60_000))
        older = conn.send(bytes(30_000), key="k")
        newer = conn.send(b"new", key="k", mode=jsp.RELIABLE, priority=0)
        assert older.status == "replaced" == older.wait()
        assert newer.wait(5) == "delivered"
        conn.abort()


def test_priority_that_is_none_is_refused() -> None:
    with echo_connection() as conn:
        for urgency in (-1, 8):
            with pytest.raises(jsp.LocalError, match="priority"):
                conn.send(b"x", priority=urgency)


def test_urgent_messages_overtake_through_the_api() -> None:
    with echo_connection() as conn:
        for i in range(8):
            conn.send(b"%d" % i, priority=7 - i)
        assert [conn.recv(timeout=5).data for _ in range(8)] == [b"%d" % i for i in range(7, -1, -1)]


def test_receipt_belongs_to_its_thread() -> None:
    with echo_connection() as conn:
        receipt = conn.send(b"x")
        with pytest.raises(jsp.WrongHub):
            gevent.get_hub().threadpool.apply(receipt.wait)


def test_streams_that_are_not_incremental_say_so() -> None:
    with echo_connection() as conn:
        stream = conn.open_stream()
        assert stream.incremental
        stream.incremental = False
        assert not stream.incremental and stream.priority == 3
        stream.sendall(b"x")
        assert stream.recv(1) == b"x"
