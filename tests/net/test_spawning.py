"""Greenlets of handlers: pools that are shared, greenlets that are used again, what `stop` ends."""

from __future__ import annotations

import weakref
from contextvars import ContextVar

import gevent
import pytest
from gevent.pool import Pool

import jsp
from tests.net.support import serving, until


def test_pool_that_is_shared() -> None:
    pool = Pool(1)

    class Held(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            stream.sendall(b"held")
            stream.recv(1)

    with serving(Held, spawn=pool) as first, serving(Held, spawn=pool) as second:
        one, two = jsp.connect(first.url), jsp.connect(second.url)
        busy = one.open_stream()
        assert busy.recv(10) == b"held"
        waiting = two.open_stream()
        two.ping()
        with pytest.raises(ConnectionRefusedError):
            jsp.connect(second.url)
        busy.close()
        waiting.settimeout(2)
        assert waiting.recv(10) == b"held"
        waiting.close()
        until(lambda: not pool.full())
        jsp.connect(second.url).close()
        jsp.connect(first.url).close()
        one.abort()
        two.abort()


def test_messages_of_all_connections_share_greenlets_that_do_not_wait() -> None:
    seen: list[tuple[object, str]] = []
    told: ContextVar[str] = ContextVar("told", default="nothing")

    class Quick(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            seen.append((gevent.getcurrent(), told.get()))
            told.set("something")
            if message.data == b"wait":
                gevent.sleep(0.05)
            elif message.data == b"fail":
                raise SystemError("on purpose")
            self.conn.send(message.data)

    with serving(Quick) as server, jsp.connect(server.url) as one, jsp.connect(server.url) as two:
        for conn in (one, two, one):
            conn.send(b"quick")
            assert conn.recv(2).data == b"quick"
        greenlets = [greenlet for greenlet, _ in seen]
        assert len(set(greenlets)) == 1 and server._spawner.idle == [greenlets[0]]
        # None sees the context variables of another one.
        assert {text for _, text in seen} == {"nothing"}
        for conn in (one, two):
            conn.send(b"wait")
        assert {one.recv(2).data, two.recv(2).data} == {b"wait"}
        assert seen[-1][0] is not seen[-2][0]
        until(lambda: len(server._spawner.idle) == 2)
        one.send(b"fail")
        two.send(b"quick")
        assert two.recv(2).data == b"quick"
        assert not server._spawner.greenlets
        assert all(greenlet.work is None for greenlet in server._spawner.idle)
        kept = [weakref.ref(greenlet) for greenlet in server._spawner.idle]
        del seen[:], greenlets
    until(lambda: not any(greenlet() for greenlet in kept))


def test_stop_ends_messages_that_wait() -> None:
    events: list[str] = []

    class Slow(jsp.Handler):
        def handle_message(self, message: jsp.Message) -> None:
            events.append("began")
            try:
                gevent.sleep(60)
            finally:
                events.append("ended")

        def finish(self) -> None:
            events.append("finish")

    with serving(Slow) as server, jsp.connect(server.url) as conn:
        conn.send(b"1")
        conn.send(b"2")
        until(lambda: bool(events))
        server.stop(0.1)
        assert events[:2] == ["began", "ended"] and events[-1] == "finish"
        assert not server._spawner.greenlets and not server._spawner.idle
