"""What an idle connection costs a server: resident memory before and after a thousand of them."""

from __future__ import annotations

import gc
import json
import os
import sys

import gevent

import jsp
from benchmarks.process import Running


def measure(count: int = 1000) -> dict[str, float]:
    """Bytes of resident server memory for each of `count` connections that do nothing."""
    import subprocess

    with Running("jsp_") as server:
        command = [sys.executable, "-m", "benchmarks.memory", server.address, str(count)]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdout.readline()
        before = server.resident()
        client.stdin.write("go\n")
        client.stdin.flush()
        client.stdout.readline()
        after = server.resident()
        client.kill()
        client.wait()
    return {"bytes/connection": (after - before) / count}


def main() -> None:
    address, count = sys.argv[1], int(sys.argv[2])
    warm = [jsp.connect(address) for _ in range(20)]
    gevent.sleep(0.2)
    print(json.dumps("warm"), flush=True)
    sys.stdin.readline()
    conns = [jsp.connect(address) for _ in range(count)]
    gevent.sleep(0.5)
    gc.collect()
    print(len(conns) + len(warm), flush=True)
    sys.stdin.readline()
    os._exit(0)


if __name__ == "__main__":
    main()
