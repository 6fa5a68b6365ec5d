"""Handshakes a server does in a second of processor time, with workers and alone: `python -m benchmarks.workers`.

Processor time rather than time by the clock, so that what else the machine does counts less, and rounds of both
interleaved. Each connection is told by its handler which process it is in and what that has used so far.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict

from gevent.pool import Pool

import jsp

_CLIENTS = 8
# What a worker does first, it does once.
_WARM_UP = 8


class _Tell(jsp.Handler):
    def setup(self) -> None:
        self.conn.send(json.dumps([os.getpid(), time.process_time()]).encode())


def _serve(workers: int) -> None:
    server = jsp.Server(("127.0.0.1", 0), _Tell, identity=jsp.Identity.generate(), workers=workers)
    server.start()
    print(server.url, flush=True)
    server.serve_forever()


def _connect(url: str) -> tuple[int, float]:
    conn = jsp.connect(url, timeout=30)
    pid, used = json.loads(conn.recv(timeout=30).data)
    conn.abort()
    return pid, used


def measure(workers: int, connections: int) -> dict[str, float]:
    """Start a server with so many workers and connect to it so often: handshakes a CPU second, shares in per cent."""
    command = [sys.executable, "-m", "benchmarks.workers", "serve", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            samples: dict[int, list[float]] = defaultdict(list)
            for pid, used in Pool(_CLIENTS).imap_unordered(_connect, [url] * (connections + workers * _WARM_UP)):
                samples[pid].append(used)
        finally:
            process.terminate()
    counted = [sorted(used)[_WARM_UP:] for used in samples.values() if len(used) > _WARM_UP + 1]
    done = sum(len(used) - 1 for used in counted)
    shares = [100 * len(used) / sum(map(len, samples.values())) for used in samples.values()]
    return {
        "handshakes/CPU s": done / sum(used[-1] - used[0] for used in counted),
        "least share %": min(shares) if len(shares) == workers else 0.0,
        "most share %": max(shares),
    }


def compare(workers: int = 2, connections: int = 400, rounds: int = 5) -> dict[str, float]:
    """`measure` with and without workers, interleaved: medians of both, and the ratio of handshakes a CPU second."""
    alone, together = [], []
    for _ in range(rounds):
        alone.append(measure(1, connections))
        together.append(measure(workers, connections))
    rate = "handshakes/CPU s"
    return {
        f"1 worker: {rate}": statistics.median(m[rate] for m in alone),
        **{f"{workers} workers: {key}": statistics.median(m[key] for m in together) for key in together[0]},
        "ratio": statistics.median(t[rate] / a[rate] for t, a in zip(together, alone, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for name, value in compare(args.workers, args.connections, args.rounds).items():
        print(f"{name:36} {value:8.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _serve(int(sys.argv[2]))
    else:
        main()
