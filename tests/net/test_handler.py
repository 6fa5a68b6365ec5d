"""Handler classes: the order of their methods, what happens to what they do not take, greenlets and pools."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest

import jsp
from tests.net.support import serving, until


@pytest.mark.parametrize("spawn", ["default", 2])
@pytest.mark.parametrize("timeout", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("ends_by_itself", [False, True])
def test_finish_runs_last_and_before_stop_returns(spawn: str | int, timeout: float, ends_by_itself: bool) -> None:
    events: list[str] = []

    class Slow(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            try:
                if ends_by_itself:
                    stream.recv(100)
                    stream.recv(100)
                else:
                    gevent.sleep(60)
            finally:
                events.append("stream")

        def finish(self) -> None:
            gevent.sleep(0.2)
            events.append("finish")

    with serving(Slow, spawn=spawn) as server, jsp.connect(server.url) as conn:
        for _ in range(3):
            conn.open_stream().sendall(b"x")
        conn.ping()
        server.stop(timeout)
        assert events[-1] == "finish"
        assert events.count("finish") == 1


def test_handler_that_survives_being_killed(caplog: pytest.LogCaptureFixture) -> None:
    over = False
    events: list[str] = []

    class Immortal(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            while not over:
                try:
                    gevent.sleep(0.01)
                except gevent.GreenletExit:
                    events.append("survived")

        def finish(self) -> None:
            events.append("finish")

    with serving(Immortal) as server:
        conn = jsp.connect(server.url)
        conn.open_stream()
        conn.ping()
        server.stop(0)
        assert not server.started
        assert events == ["survived"]
        assert "do not end" in caplog.text
        over = True
        until(lambda: events == ["survived", "finish"])


def test_what_a_handler_does_not_take_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    class Deaf(jsp.Handler):
        pass

    small = jsp.Config(max_streams=4, receive_window=100_000, max_message=50_000, stream_window=16384)
    with serving(Deaf, config=small) as server:
        conns = [jsp.connect(server.url) for _ in range(2)]
        for conn in conns:
            for _ in range(20):
                stream = conn.open_stream(timeout=2)
                stream.sendall(b"hello?")
                with pytest.raises(jsp.StreamReset):
                    stream.recv(1)
                stream.close()
                conn.send(bytes(50_000), timeout=2)
            conn.close()
    assert caplog.text.count("does not take") == 1


def test_handler_that_takes_streams_and_messages_itself() -> None:
    class Own(jsp.Handler):
        def setup(self) -> None:
            gevent.sleep(0.05)
            first = self.conn.recv(timeout=2)
            self.pump = gevent.spawn(self.work, first)

        def work(self, message: jsp.Message) -> None:
            while True:
                # What comes meanwhile is for the next round.
                gevent.sleep(0.01)
                stream = self.conn.accept_stream(timeout=2)
                stream.sendall(message.data)
                message = self.conn.recv(timeout=2)

        def finish(self) -> None:
            self.pump.kill()

    with serving(Own) as server, jsp.connect(server.url) as conn:
        conn.send(b"0", ordered=True)
        for i in range(1, 6):
            conn.send(str(i).encode(), ordered=True)
        assert [conn.open_stream().recv(1) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("abort", [False, True])
def test_nothing_is_left_of_a_connection_for_the_collector_of_cycles(abort: bool) -> None:
    class Taker(jsp.Handler):
        def handle_stream(self, stream: jsp.Stream) -> None:
            stream.recv(100)

        def handle_message(self, message: jsp.Message) -> None:
            pass

    with serving(Taker) as server:
        gc.collect()
        gc.disable()
        try:
            conn = jsp.connect(server.url)
            conn.ping()
            there = server.connections()[0]
            seen = [weakref.ref(o) for o in (conn, conn.core, there, there.core)]
            if abort:
                conn.abort()
            else:
                conn.close()
            del conn, there
            until(lambda: all(ref() is None for ref in seen))
        finally:
            gc.enable()
