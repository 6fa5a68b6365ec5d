"""Pyro5 with its msgpack serializer over TCP; each caller has a connection, as its proxies are one thread's each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import Pyro5.api

from benchmarks.contestants import calling


@Pyro5.api.expose
class Service:
    """What is offered; Pyro5 exposes no private names."""

    def echo(self, x: Any) -> Any:
        return x


def serve() -> None:
    Pyro5.config.THREADPOOL_SIZE = 2 * calling.CALLERS
    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    print("ready", daemon.register(Service()), flush=True)
    daemon.requestLoop()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    Pyro5.config.SERIALIZER = "msgpack"
    return calling.measure(test, lambda: _caller(address), seconds, threads=True)


def _caller(uri: str) -> Callable[[Any], Any]:
    proxies = threading.local()

    def call(argument: Any) -> Any:
        if not hasattr(proxies, "echo"):
            proxies.echo = Pyro5.api.Proxy(uri).echo
        return proxies.echo(argument)

    return call
