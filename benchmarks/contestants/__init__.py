"""Who is measured. Each contestant is a module run in processes of its own: `serve` in one, tests in another.

A module offers `serve()`, which prints `ready ADDRESS` and runs until it is killed; `TESTS`, the names of what it
can do; and `run(test, address, seconds)`, which returns numbers. All do the same work:

    bulk        one stream, server to client, for about `seconds`           -> {"MB/s": ...}
    rtt         64 bytes there and back on an open stream, one at a time    -> {"p50 us": ..., "p99 us": ...}
    messages    64-byte messages one way, as fast as the API takes them     -> {"messages/s": ...}
    handshakes  connect, make sure of it, close; one after another          -> {"handshakes/s": ...}
"""

from __future__ import annotations

import statistics

BLOCK = bytes(range(256)) * 1024
SMALL = b"m" * 64
DATAGRAM = 1452


def percentiles(samples: list[float]) -> dict[str, float]:
    """p50 and p99 of `samples` (seconds), in microseconds."""
    ordered = sorted(samples)
    return {"p50 us": statistics.median(ordered) * 1e6, "p99 us": ordered[int(len(ordered) * 0.99)] * 1e6}
