"""Frames of one batch: in order, by one worker until a method waits, and by the next from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent

import jsp.rpc
from jsp.rpc import codec
from jsp.rpc.codec import CALL, CANCEL, ERROR, NOTIFY, REPLY
from jsp.rpc.errors import CloseCode
from tests.rpc.support import RawClient, serving, until


class Methods:
    """Attributes: log: what ran, in order; greenlets: in which."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.greenlets: list[gevent.greenlet] = []

    @jsp.rpc.method
    def quick(self, name: str) -> None:
        self.log.append(name)
        self.greenlets.append(gevent.getcurrent())

    @jsp.rpc.method
    def wait(self, name: str) -> None:
        self.log.append(f"{name} begins")
        gevent.sleep(0.02)
        self.log.append(f"{name} ends")

    @jsp.rpc.method
    def compute(self, name: str) -> None:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        self.log.append("compute")
        if name == "wait":
            gevent.sleep(0)


@contextmanager
def sending(*frames: tuple[int, str, str], more: bytes = b"", **options: Any) -> Iterator[tuple[Methods, RawClient]]:
    """A client that has sent these requests (kind, method, name), numbered from 0 on, in one piece."""
    methods = Methods()
    with serving(methods, **options) as server, RawClient(server.url) as raw:
        requests = [raw.encoder.request(kind, i, method, (name,), {}) for i, (kind, method, name) in enumerate(frames)]
        raw.lane.sendall(b"".join(requests) + more)
        yield methods, raw


def test_quick_methods_share_a_greenlet() -> None:
    with sending(*((CALL, "quick", str(i)) for i in range(20))) as (methods, raw):
        assert [raw.receive()[:2] for _ in range(20)] == [(REPLY, i) for i in range(20)]
    assert methods.log == [str(i) for i in range(20)]
    assert len(set(methods.greenlets)) == 1


def test_a_method_that_waits_holds_up_nobody_and_is_run_once() -> None:
    calls = [(CALL, name.split()[0], name.split()[1]) for name in ("quick a", "wait b", "quick c", "wait d", "quick e")]
    with sending(*calls) as (methods, raw):
        got = [raw.receive()[:2] for _ in range(5)]
    assert got[:3] == [(REPLY, 0), (REPLY, 2), (REPLY, 4)], "what is quick leaves before what waits"
    assert sorted(got[3:]) == [(REPLY, 1), (REPLY, 3)]
    assert methods.log[:5] == ["a", "b begins", "c", "d begins", "e"]
    assert sorted(methods.log[5:]) == ["b ends", "d ends"]
    assert len(set(methods.greenlets)) == 3


def test_calls_above_the_limit_follow_in_order() -> None:
    calls = [(CALL, "wait", "a"), (CALL, "quick", "b"), (NOTIFY, "wait", "c"), (CALL, "quick", "d")]
    with sending(*calls, spawn=1) as (methods, raw):
        assert [raw.receive()[:2] for _ in range(4)] == [(REPLY, i) for i in range(4)]
    assert methods.log == ["a begins", "a ends", "b", "c begins", "c ends", "d"]


def test_a_cancel_in_the_batch_of_its_call() -> None:
    calls = [(CALL, "wait", "a"), (CALL, "quick", "b")]
    with sending(*calls, more=codec.bare_frame(CANCEL, 0) + codec.bare_frame(CANCEL, 1)) as (methods, raw):
        got = [raw.receive()[:2] for _ in range(3)]
    assert got[0] == (REPLY, 1) and sorted(got[1:]) == [(ERROR, 0), (ERROR, 1)]
    assert methods.log == ["a begins", "b"]


def test_what_came_before_a_mistake_is_run() -> None:
    wrong = codec.done_frame(7)
    calls = [(CALL, "quick", "a"), (CALL, "wait", "b"), (CALL, "quick", "c")]
    with sending(*calls, more=wrong) as (methods, raw):
        assert raw.closed_with()[0] == CloseCode.MALFORMED
        until(lambda: methods.log == ["a", "b begins", "c"])


def test_others_have_turns_whether_methods_wait_or_not() -> None:
    calls = [(CALL, "compute", "wait" if i % 3 else "") for i in range(40)]
    with sending(*calls) as (methods, _):

        def other() -> None:
            while True:
                methods.log.append("other")
                gevent.sleep(0.001)

        watching = gevent.spawn(other)
        until(lambda: methods.log.count("compute") == 40)
        watching.kill()
    runs = "".join(word[0] for word in methods.log).strip("o").split("o")
    assert max(map(len, runs)) <= 8, "a batch of requests was run in one go"
