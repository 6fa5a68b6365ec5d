"""Runs the load test: connections that do nothing, then some of them exchanging a message a second."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.noise import Snapshot, cpu_of, resident_of
from benchmarks.process import ContestantError, ServerProcess, significant
from benchmarks.rounds import show_progress

LIVE = 10_000
# A hundred thousand work too, and take as long to set up as so many handshakes do.
IDLE = 10_000

# Client processes; more of them would have more handshakes under way than a server takes from one address.
_CLIENTS_MAX = 4
_FIRST = 20
_SETTLE = 1.0
# By then connections that say nothing have let go of their ciphers.
_RESTED = 7.0
# By then they sleep: seconds, and how many are put to sleep in one at least.
_ASLEEP = 18.0
_ASLEEP_A_SECOND = 700.0
# What sleep saves is seen by what as many again cost. With more than these, some sleep before the last ones come.
_AGAIN_MAX = 20_000
_WARM_UP = 4.0


class Client:
    """A client process with `count` connections; use it in a `with` block."""

    def __init__(self, address: str, count: int) -> None:
        words = [sys.executable, "-m", "benchmarks.load.client", address, str(count)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def read(self) -> dict[str, Any]:
        """What the client has to say next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError("a client of the load test ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def exchange(self, live: int, seconds: float, warm_up: float) -> None:
        """Begin to exchange messages; `read` gets the outcome."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{live} {seconds} {warm_up}\n")
        self._process.stdin.flush()


def shares(count: int, parts: int) -> list[int]:
    """`count` in `parts` parts, as equal as can be."""
    return [count // parts + (i < count % parts) for i in range(parts)]


def measure(idle: int = IDLE, live: int = LIVE, seconds: float = 10.0) -> dict[str, float]:
    """Connect `idle` clients and look at the server, then let `live` of them exchange messages for `seconds`; when all
    sleep, connect as many again: they live in what the others gave back, and memory grows by what those are kept as.

    Returns figures named as `table.LOAD_UNITS` has them.
    """
    parts = max(1, min(_CLIENTS_MAX, len(os.sched_getaffinity(0)) - 1))
    with contextlib.ExitStack() as stack:
        words = [sys.executable, "-m", "benchmarks.load.server", str(2 * idle)]
        server = stack.enter_context(ServerProcess(words))
        # What the first connections bring into memory is not what a further one costs.
        stack.enter_context(Client(server.address, _FIRST)).read()
        time.sleep(_SETTLE)
        before = resident_of(server.pid)
        show_progress(f"load: {idle:,} connections")
        begin = time.perf_counter()
        clients = [stack.enter_context(Client(server.address, share)) for share in shares(idle, parts)]
        for client in clients:
            client.read()
        elapsed = time.perf_counter() - begin
        time.sleep(_RESTED)
        result = {
            "connections": idle,
            "handshakes/s": idle / elapsed,
            "bytes/connection": (resident_of(server.pid) - before) / max(1, idle),
        }
        if live:
            result |= _exchange(server.pid, clients, shares(live, parts), seconds)
        show_progress("load: all go to sleep")
        time.sleep(_ASLEEP + idle / _ASLEEP_A_SECOND)
        result["idle cpu"] = _cpu_share(server.pid, seconds / 2)
        if idle <= _AGAIN_MAX:
            awake = resident_of(server.pid)
            for client in [stack.enter_context(Client(server.address, share)) for share in shares(idle, parts)]:
                client.read()
            time.sleep(_RESTED)
            result["bytes/asleep"] = (resident_of(server.pid) - awake) / max(1, idle)
        show_progress("")
    return {key: significant(value) for key, value in result.items()}


def _cpu_share(pid: int, seconds: float) -> float:
    """Share of a core that `pid` uses during the next `seconds`."""
    begin, cpu = time.perf_counter(), cpu_of(pid)
    time.sleep(seconds)
    return (cpu_of(pid) - cpu) / (time.perf_counter() - begin)


def _exchange(server: int, clients: list[Client], live: list[int], seconds: float) -> dict[str, float]:
    show_progress(f"load: {sum(live):,} connections exchange messages")
    for client, share in zip(clients, live, strict=True):
        client.exchange(share, seconds, _WARM_UP)
    time.sleep(_WARM_UP)
    before = Snapshot.take()
    begin, clients_cpu = time.perf_counter(), sum(cpu_of(client.pid) for client in clients)
    used = _cpu_share(server, seconds)
    clients_cpu = (sum(cpu_of(client.pid) for client in clients) - clients_cpu) / (time.perf_counter() - begin)
    noise = Snapshot.take().since(before)
    answers = [client.read() for client in clients]
    times = sorted(t for answer in answers for t in answer["ms"])
    if not times:
        raise ContestantError("no message of the load test was answered")
    return {
        "live": sum(live),
        "messages/s": len(times) / seconds,
        "p50 ms": times[len(times) // 2],
        "p99 ms": times[int(len(times) * 0.99)],
        "missing": sum(answer["sent"] for answer in answers) - len(times),
        "live cpu": used,
        "clients cpu": clients_cpu / len(clients),
        **noise,
    }
