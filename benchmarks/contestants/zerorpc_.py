"""zerorpc: msgpack over ZeroMQ and TCP, in gevent, without heartbeats. All callers share one client."""

from __future__ import annotations

import socket
from typing import Any

import zerorpc

from benchmarks.contestants import calling


class _Service:
    def echo(self, x: Any) -> Any:
        return x


def serve() -> None:
    # It does not tell which port it got when asked for any.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = zerorpc.Server(_Service(), heartbeat=None)
    server.bind(f"tcp://127.0.0.1:{port}")
    print("ready", port, flush=True)
    server.run()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    client = zerorpc.Client(heartbeat=None)
    client.connect(f"tcp://127.0.0.1:{address}")
    result = calling.measure(test, lambda: client.echo, seconds, threads=False)
    client.close()
    return result
