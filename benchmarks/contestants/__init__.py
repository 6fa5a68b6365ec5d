"""Who is measured. Each contestant is a module run in processes of its own: `serve` in one, tests in another.

A module offers `serve()`, which prints `ready ADDRESS` and runs until it is killed, and `run(test, address, seconds)`,
which returns numbers. `benchmarks.catalogue` says which tests each does. All do the same work:

    bulk        one stream, server to client, for about `seconds`           -> {"MB/s": ...}
    rtt         64 bytes there and back on an open stream, one at a time    -> {"p50 us": ..., and others}
    messages    64-byte messages one way, as fast as the API takes them     -> {"messages/s": ...}
    handshakes  connect, make sure of it, close; one after another          -> {"handshakes/s": ...}
    handshakes-8  the same, eight at a time                                 -> {"handshakes/s": ...}
    calls ...   see `calling`                                               -> {"calls/s": ..., and others}

Those that split packets themselves add what one costs each side in CPU time: "tx us/packet" and "rx us/packet".
"""

from __future__ import annotations

import statistics

BLOCK = bytes(range(256)) * 1024
SMALL = b"m" * 64
TOGETHER = 8
DATAGRAM = 1452

# Seconds of a bulk transfer before the clock starts: windows have opened by then.
WARM_UP = 0.2


def latencies(times: list[float], cpu: float) -> dict[str, float]:
    """Of requests that took `times`, and the client `cpu` together (seconds): p50, p99 and CPU time of one, in us.

    The first tenth, while caches fill, does not count for the percentiles.
    """
    ordered = sorted(times[len(times) // 10 :])
    p99 = ordered[int(len(ordered) * 0.99)]
    return {"p50 us": statistics.median(ordered) * 1e6, "p99 us": p99 * 1e6, "cpu us": cpu / len(times) * 1e6}
