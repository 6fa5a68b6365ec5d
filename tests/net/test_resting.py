"""Connections that are silent go without ciphers, and no timer runs while none has any."""

from __future__ import annotations

from typing import Any

import pytest

import jsp
from jsp.crypto import protection
from jsp.crypto.aead import HeaderMasker, PacketAead
from jsp.crypto.provider import PORTABLE, Provider
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
        self.rests = 0

    def rest(self) -> None:
        self.rests += 1


def test_a_silent_one_rests_once_and_the_timer_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    rests: Any = Resting(loop)
    assert loop.armed() == 0
    core = Core()
    rests.touch(core)
    assert loop.armed() == 1
    loop.run_to(104.9)
    assert core.rests == 0
    loop.run_to(105.1)
    assert (core.rests, loop.armed()) == (1, 0)
    loop.run_to(1000)
    assert (core.rests, loop.fired) == (1, 1)
    rests.touch(core)
    loop.run_to(1006)
    assert (core.rests, loop.armed()) == (2, 0)


def test_a_busy_one_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    rests: Any = Resting(loop)
    busy, idle = Core(), Core()
    rests.touch(idle)
    for step in range(3000):
        loop.run_to(100 + step / 50)
        rests.touch(busy)
    assert (busy.rests, idle.rests) == (0, 1)
    assert loop.fired < 70
    assert loop.armed() == 1
    loop.run_to(166)
    assert (busy.rests, loop.armed()) == (1, 0)


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
    assert (loop.armed(), loop.fired) == (0, 4)


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
            until(lambda ends=endpoints: not any(end._resting._used for end in ends))
            assert all(end._resting._timer is None for end in endpoints)
            del made[:]


def test_an_endpoint_that_is_closed_has_no_timer() -> None:
    with serving() as server:
        conn = jsp.connect(server.url)
        endpoint = conn._endpoint
        assert endpoint._resting._timer is not None
        conn.close()
        endpoint.close()
        assert endpoint._resting._timer is None
        assert not endpoint._resting._used
