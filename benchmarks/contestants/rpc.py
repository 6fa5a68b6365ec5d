"""jsp.rpc, at 1,452-byte datagrams unless JSP_BENCH_DATAGRAM says otherwise (0: found out). All callers share one
connection."""

from __future__ import annotations

import os
from typing import Any

import jsp
from benchmarks.contestants import DATAGRAM, calling

CONFIG = jsp.Config(max_datagram_size=int(os.environ.get("JSP_BENCH_DATAGRAM", DATAGRAM)) or None)


def serve() -> None:
    service = jsp.rpc.Service()

    @service.method
    def echo(x: Any) -> Any:
        return x

    server = jsp.rpc.Server(("127.0.0.1", 0), service, identity=jsp.Identity.generate(), config=CONFIG)
    server.start()
    print("ready", server.url, flush=True)
    server.serve_forever()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    with jsp.rpc.connect(address, config=CONFIG) as client:
        return calling.measure(test, lambda: lambda x: client.call("echo", x), seconds, threads=False)
