"""Servers and clients on loopback for the tests of the shell."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import Greenlet

import jsp

IDENTITY = jsp.Identity.from_seed(bytes(range(32)))
OTHER = jsp.Identity.from_seed(bytes(range(1, 33)))
LOOPBACK = ("127.0.0.1", 0)


class Echo(jsp.Handler):
    """Sends back what comes: streams byte for byte, messages in their own mode."""

    def handle_stream(self, stream: jsp.Stream) -> None:
        while data := stream.recv(65536):
            stream.sendall(data)

    def handle_message(self, message: jsp.Message) -> None:
        self.conn.send(message.data, mode=message.mode, ordered=message.ordered)


@contextmanager
def serving(handle: Any = Echo, host: str = "127.0.0.1", **options: Any) -> Iterator[jsp.Server]:
    """A started server on a free port."""
    options.setdefault("identity", IDENTITY)
    server = jsp.Server((host, 0), handle, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop(1.0)


@contextmanager
def echo_connection(**config: Any) -> Iterator[jsp.Connection]:
    """A client connected to an echo server."""
    settings = jsp.Config(**config)
    with serving(config=settings) as server, jsp.connect(server.url, config=settings) as conn:
        yield conn


def ask(conn: jsp.Connection, size: int = 100_000) -> None:
    """A stream there and back."""
    stream = conn.open_stream()
    gevent.spawn(lambda: (stream.sendall(b"x" * size), stream.shutdown(jsp.SHUT_WR)))
    got = 0
    while chunk := stream.recv(65_536):
        got += len(chunk)
    assert got == size
    stream.close()


def leftovers() -> tuple[int, int]:
    """Running greenlets, and open sockets, of this process."""
    gc.collect()
    greenlets = sum(1 for o in gc.get_objects() if isinstance(o, Greenlet) and not o.dead)
    sockets = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            sockets += os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
        except OSError:
            continue
    return greenlets, sockets


def until(condition: Any, timeout: float = 5.0) -> None:
    """Wait until `condition()` holds."""
    with gevent.Timeout(timeout):
        while not condition():
            gevent.sleep(0.002)


def burn(seconds: float) -> None:
    """Keep the processor, so that the loop's idea of the time is out of date afterwards."""
    gevent.sleep(0.001)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
