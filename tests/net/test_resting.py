"""Connections that are silent go without ciphers, then sleep; no timer runs while none has anything to let go of."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

import jsp
from jsp.crypto import protection
from jsp.crypto.aead import HeaderMasker, PacketAead
from jsp.crypto.provider import PORTABLE, Provider
from jsp.engine import hibernation
from jsp.net import clock, resting
from jsp.net.resting import Resting
from tests.net.support import serving, until


class Timer:
    def __init__(self, delay: float, ref: bool) -> None:
        assert not ref
        self.delay = delay
        self.active = False

    def start(self, callback: Any, update: bool) -> None:
        assert update
        self.active, self.callback = True, callback

    def stop(self) -> None:
        self.active = False

    def close(self) -> None:
        assert not self.active


class Loop:
    """Makes timers, and lets them fire when their time has come."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Timer]] = []
        self.fired = 0
        monkeypatch.setattr(clock, "now", lambda: self.now)

    def timer(self, delay: float, ref: bool) -> Timer:
        timer = Timer(delay, ref)
        self.timers.append((self.now + delay, timer))
        return timer

    def armed(self) -> int:
        return sum(timer.active for _, timer in self.timers)

    def run_to(self, end: float) -> None:
        while due := [(at, timer) for at, timer in self.timers if timer.active and at <= end]:
            at, timer = min(due, key=lambda pair: pair[0])
            self.now = max(self.now, at)
            self.fired += 1
            timer.callback()
        self.now = end


class Core:
    """Stands for a connection and its keys."""

    def __init__(self) -> None:
        self.keys = self
        self.rests = self.sleeps = 0

    def rest(self) -> None:
        self.rests += 1


@pytest.fixture(autouse=True)
def _sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    def hibernate(core: Any) -> bool:
        if isinstance(core, Core):
            core.sleeps += 1
            return True
        return hibernation.hibernate(core)

    monkeypatch.setattr(resting, "hibernate", hibernate)


def test_a_silent_one_rests_then_sleeps_and_the_timer_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    rests: Any = Resting(loop)
    assert loop.armed() == 0
    core = Core()
    rests.touch(core)
    assert loop.armed() == 1
    loop.run_to(104.9)
    assert core.rests == 0
    loop.run_to(105.1)
    assert (core.rests, core.sleeps, loop.armed()) == (1, 0, 1)
    loop.run_to(114.9)
    assert core.sleeps == 0
    loop.run_to(116.1)
    assert (core.rests, core.sleeps, loop.armed()) == (1, 1, 0)
    fired = loop.fired
    loop.run_to(1000)
    assert (core.rests, core.sleeps, loop.fired) == (1, 1, fired)
    rests.touch(core)
    loop.run_to(1006)
    assert (core.rests, core.sleeps, loop.armed()) == (2, 1, 1)
    # Used again before it sleeps: all of it from the beginning.
    rests.touch(core)
    loop.run_to(1020)
    assert (core.rests, core.sleeps) == (3, 1)
    loop.run_to(1030)
    assert (core.rests, core.sleeps, loop.armed()) == (3, 2, 0)


def test_a_busy_one_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    rests: Any = Resting(loop)
    busy, idle = Core(), Core()
    rests.touch(idle)
    for step in range(3000):
        loop.run_to(100 + step / 50)
        rests.touch(busy)
    assert (busy.rests, idle.rests, busy.sleeps, idle.sleeps) == (0, 1, 0, 1)
    assert loop.fired < 70
    assert loop.armed() == 1
    loop.run_to(180)
    assert (busy.rests, busy.sleeps, loop.armed()) == (1, 1, 0)


def test_many_at_once_take_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    rests: Any = Resting(loop)
    cores = [Core() for _ in range(1700)]
    for core in cores:
        rests.touch(core)
    loop.run_to(105.005)
    assert sum(core.rests for core in cores) == 500
    loop.run_to(105.2)
    assert [core.rests for core in cores] == [1] * 1700
    loop.run_to(115.305)
    assert 0 < sum(core.sleeps for core in cores) < 1700
    loop.run_to(117.5)
    assert [core.sleeps for core in cores] == [1] * 1700
    assert loop.armed() == 0


def test_what_is_over_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    rests: Any = Resting(loop)
    first, second = Core(), Core()
    rests.touch(first)
    rests.touch(second)
    rests.forget(first)
    rests.forget(first)
    loop.run_to(106)
    assert (first.rests, second.rests) == (0, 1)
    rests.forget(second)
    loop.run_to(130)
    assert second.sleeps == 0
    rests.touch(first)
    rests.stop()
    assert loop.armed() == 0
    loop.run_to(200)
    assert first.rests == 0
    rests.stop()


def test_a_connection_goes_on_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def aead(suite: int, key: bytes) -> PacketAead:
        made.append("aead")
        return PORTABLE.aead(suite, key)

    def masker(key: bytes) -> HeaderMasker:
        made.append("masker")
        return PORTABLE.masker(key)

    monkeypatch.setattr(protection, "chosen", lambda: Provider("counting 1.0", aead, masker))
    monkeypatch.setattr(resting, "_SILENCE_S", 0.3)
    monkeypatch.setattr(resting, "_LONG_SILENCE_S", 0.4)
    monkeypatch.setattr(resting, "_GRAIN_S", 0.05)
    with serving() as server, jsp.connect(server.url) as conn:
        stream = conn.open_stream()
        for _ in range(3):
            stream.sendall(b"hello")
            assert stream.recv(100) == b"hello"
            # One of each for a direction and an end; more where this process was kept waiting meanwhile.
            assert made.count("aead") >= 4
            assert made.count("masker") >= 4
            endpoints = [conn._endpoint, *(shell._endpoint for shell in server.connections())]
            until(lambda ends=endpoints: not any(end._resting._used or end._resting._rested for end in ends))
            assert all(end._resting._timer is None for end in endpoints)
            del made[:]


def test_a_connection_goes_on_after_its_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "_SILENCE_S", 0.1)
    monkeypatch.setattr(resting, "_LONG_SILENCE_S", 0.2)
    monkeypatch.setattr(resting, "_GRAIN_S", 0.05)
    with serving() as server, jsp.connect(server.url) as conn:
        (other,) = server.connections()
        for what in ("stream", "message", "look", "ping", "nothing"):
            until(lambda: bool(conn._core.asleep and other._core.asleep))
            if what == "stream":
                with conn.open_stream() as stream:
                    stream.sendall(b"hello")
                    assert stream.recv(100) == b"hello"
            elif what == "message":
                conn.send(b"hello")
                assert conn.recv(5.0).data == b"hello"
            elif what == "look":
                # Whoever looks wakes it; it goes to sleep again by itself.
                assert conn.stats().packets_sent and conn.paths and conn.explain() and conn.remote_address
                assert conn._core.asleep is None
            elif what == "ping":
                assert other.ping() > 0
                assert conn._core.asleep is None
        until(lambda: bool(conn._core.asleep))
    assert conn.closed and other.closed


def test_whoever_waits_for_a_message_gets_it_although_the_connection_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "_SILENCE_S", 0.1)
    monkeypatch.setattr(resting, "_LONG_SILENCE_S", 0.2)
    monkeypatch.setattr(resting, "_GRAIN_S", 0.05)
    with serving(lambda conn: conn.wait_closed()) as server, jsp.connect(server.url) as conn:
        (other,) = server.connections()
        waiting = gevent.spawn(other.recv)
        streams = gevent.spawn(conn.accept_stream)
        until(lambda: bool(conn._core.asleep and other._core.asleep))
        conn.send(b"news")
        assert waiting.get(timeout=5).data == b"news"
        until(lambda: bool(conn._core.asleep and other._core.asleep))
        other.open_stream().sendall(b"more")
        assert streams.get(timeout=5).recv(10) == b"more"


def test_an_endpoint_that_is_closed_has_no_timer() -> None:
    with serving() as server:
        conn = jsp.connect(server.url)
        endpoint = conn._endpoint
        assert endpoint._resting._timer is not None
        conn.close()
        endpoint.close()
        assert endpoint._resting._timer is None
        assert not endpoint._resting._used and not endpoint._resting._rested
