"""gRPC for Python: the blocking API over HTTP/2 and TCP, msgpack for the bytes. All callers share one channel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import msgpack

from benchmarks.contestants import calling

_OPTIONS = [("grpc.max_receive_message_length", 1 << 24)]


def _echo(request: Any, context: object) -> Any:
    return request


def serve() -> None:
    server = grpc.server(ThreadPoolExecutor(calling.CALLERS), options=_OPTIONS)
    method = grpc.unary_unary_rpc_method_handler(_echo, msgpack.unpackb, msgpack.packb)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bench", {"echo": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("ready", port, flush=True)
    server.wait_for_termination()


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    with grpc.insecure_channel(f"127.0.0.1:{address}", options=_OPTIONS) as channel:
        call = channel.unary_unary("/Bench/echo", msgpack.packb, msgpack.unpackb)
        return calling.measure(test, lambda: call, seconds, threads=True)
