"""A class with one method of each kind, servers and clients on loopback, and a client that speaks raw frames."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import Greenlet
from gevent.event import Event

import jsp
import jsp.rpc
from jsp.rpc.codec import Encoder, Frame, Framer
from jsp.rpc.workers import Worker

IDENTITY = jsp.Identity.from_seed(bytes(range(32)))
LOOPBACK = ("127.0.0.1", 0)


class Bench:
    """What the methods of `Methods` leave for tests to look at.

    Attributes:
        log: what was noted.
        running, most: calls of `wait` that run now, and how many did at most.
        gate: what `wait` waits for.
    """

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.running = 0
        self.most = 0
        self.gate = Event()


class Methods:
    """Methods of every kind."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    @jsp.rpc.method
    def add(self, a: int, b: int = 1) -> int:
        """Adds."""
        return a + b

    @jsp.rpc.method
    def note(self, value: Any) -> None:
        self._bench.log.append(value)

    @jsp.rpc.method
    def fail(self, text: str) -> None:
        raise ValueError(text)

    @jsp.rpc.method
    def type_error(self) -> None:
        len(5)  # type: ignore[arg-type]  # what is wanted

    @jsp.rpc.method
    def sleep(self, seconds: float) -> str:
        gevent.sleep(seconds)
        return "slept"

    @jsp.rpc.method
    def wait(self, name: str) -> str:
        bench = self._bench
        bench.running += 1
        bench.most = max(bench.most, bench.running)
        try:
            bench.gate.wait()
            bench.log.append(f"{name} done")
            return name
        except BaseException as error:
            bench.log.append(f"{name} {type(error).__name__}")
            raise
        finally:
            bench.running -= 1

    @jsp.rpc.method
    def blob(self, size: int) -> bytes:
        return bytes(size)

    @jsp.rpc.method
    def size(self, data: bytes) -> int:
        return len(data)

    @jsp.rpc.method
    def thing(self) -> object:
        return object()

    @jsp.rpc.method
    def count(self, n: int, size: int = 0) -> Iterator[Any]:
        try:
            for i in range(n):
                self._bench.log.append(i)
                yield bytes(size) if size else i
        finally:
            self._bench.log.append("closed")

    @jsp.rpc.method
    def drip(self, n: int) -> Iterator[int]:
        try:
            for i in range(n):
                yield i
                gevent.sleep(10)
        except BaseException as error:
            self._bench.log.append(type(error).__name__)
            raise

    @jsp.rpc.method
    def total(self, numbers: Iterator[int], start: int = 0) -> int:
        for number in numbers:
            start += number
        return start

    @jsp.rpc.method
    def doubled(self, numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            yield 2 * number


@contextmanager
def serving(service: Any = None, **options: Any) -> Iterator[jsp.rpc.Server]:
    """A started server on a free port."""
    options.setdefault("identity", IDENTITY)
    server = jsp.rpc.Server(LOOPBACK, Methods(Bench()) if service is None else service, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(0.5)


@contextmanager
def pair(bench: Bench | None = None, **options: Any) -> Iterator[jsp.rpc.Client]:
    """A client connected to a server with the service above."""
    with serving(Methods(bench or Bench()), **options) as server, jsp.rpc.connect(server.url) as client:
        yield client


def quiet(client: jsp.rpc.Client) -> bool:
    """Whether the client has forgotten every call."""
    return not client._session.calls and not client._slots.calls and not client._slots.held


def until(condition: Any, timeout: float = 5.0) -> None:
    """Wait until `condition()` holds."""
    with gevent.Timeout(timeout):
        while not condition():
            gevent.sleep(0.002)


def _alive() -> int:
    gc.collect()
    greenlets = sum(1 for o in gc.get_objects() if isinstance(o, Greenlet | Worker) and not o.dead)
    links = [os.path.join("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    return greenlets + sum(os.path.exists(p) and os.readlink(p).startswith("socket:") for p in links)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fails when greenlets or sockets outlive the block. A closed connection keeps its socket for some round trips."""
    before = _alive()
    yield
    until(lambda: _alive() <= before)


class RawClient:
    """Sends what a client should not, and shows what comes back."""

    def __init__(self, url: str) -> None:
        self.connection = jsp.connect(url, config=jsp.rpc.rpc_config())
        self.lane = self.connection.open_stream(unidirectional=True)
        self.encoder = Encoder()
        self._framer = Framer()
        self._frames: list[Frame] = []
        self._incoming: jsp.Stream | None = None

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.connection.abort()

    def send(self, kind: int, call: int, value: Any) -> None:
        """A frame with a payload."""
        self.lane.sendall(self.encoder.frame(kind, call, value))

    def receive(self) -> Frame:
        """The next frame on the server's first lane."""
        if self._incoming is None:
            self._incoming = self.connection.accept_stream(timeout=5)
            self._incoming.settimeout(5)
        while not self._frames:
            self._frames += self._framer.receive(self._incoming.recv(65536))
        return self._frames.pop(0)

    def closed_with(self) -> tuple[int, str]:
        """Code and reason with which the server closed the connection."""
        assert self.connection.wait_closed(5), "the server keeps the connection"
        error = self.connection.closed_error()
        assert error.application and error.by_peer
        return error.code, error.reason
