"""One end of a flow, a process: `python -m benchmarks.links.flow MODULE send|receive PORT LABEL CONGESTION OFFSET`.

It prints "ready", reads when to begin and to end, and prints what it has to say as JSON when it is over.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import defaultdict

# Seconds of one of the periods that arrivals are counted in.
PERIOD = 0.1

# Seconds that receivers stay after the end, so that no sender finds them gone.
LINGER = 0.5

HOST = "10.77.0.2"
BLOCK = bytes(1 << 16)
DATAGRAM = 1472

Arrivals = dict[int, int]
"Period (number since the clock's zero) -> bytes."


class Receipts:
    """Arrivals by flow. Attributes: flows: label -> arrivals."""

    def __init__(self) -> None:
        self.flows: dict[int, Arrivals] = defaultdict(lambda: defaultdict(int))

    def add(self, label: int, size: int) -> None:
        """`size` bytes arrived now."""
        self.flows[label][int(time.monotonic() / PERIOD)] += size


def main() -> None:
    name, role, port, label, congestion, offset = sys.argv[1:]
    module = importlib.import_module(f"benchmarks.links.{name}")
    print("ready", flush=True)
    begin, end = (float(word) for word in sys.stdin.readline().split())
    if role == "receive":
        result = module.receive(int(port), end + LINGER)
    else:
        time.sleep(max(0.0, begin + float(offset) - time.monotonic()))
        result = module.send(int(port), int(label), congestion, end)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
