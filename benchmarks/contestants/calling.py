"""The tests with calls, the same for all RPC libraries: sequential, and by 64 callers in greenlets or threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import gevent

from benchmarks.contestants import latencies

Call = Callable[[Any], Any]

CALLERS = 64
DICT = {"id": 12345, "name": "alice", "tags": ["a", "b"], "value": 1.5, "ok": True}
LARGE = bytes(range(256)) * 256
_WARM_UP = 50


def measure(test: str, open_call: Callable[[], Call], seconds: float, threads: bool) -> dict[str, float]:
    """Do `test`; `open_call` gives each caller a function that sends its argument and returns the answer."""
    if test == "calls-64":
        return _concurrent(open_call, seconds, _run_in_threads if threads else _run_in_greenlets)
    return _sequential(open_call(), LARGE if test == "calls-64k" else DICT, seconds)


def _call_until(call: Call, argument: Any, end: float, times: list[float]) -> None:
    while (begin := time.perf_counter()) < end:
        call(argument)
        times.append(time.perf_counter() - begin)


def _figures(times: list[float], elapsed: float, cpu: float) -> dict[str, float]:
    return {"calls/s": len(times) / elapsed, **latencies(times, cpu)}


def _sequential(call: Call, argument: Any, seconds: float) -> dict[str, float]:
    for _ in range(_WARM_UP):
        call(argument)
    times: list[float] = []
    begin, cpu = time.perf_counter(), time.process_time()
    _call_until(call, argument, begin + seconds, times)
    return _figures(times, time.perf_counter() - begin, time.process_time() - cpu)


def _concurrent(
    open_call: Callable[[], Call], seconds: float, run: Callable[[list[Callable[[], None]]], None]
) -> dict[str, float]:
    calls = [open_call() for _ in range(CALLERS)]
    times: list[float] = []

    def phase(length: float) -> float:
        begin = time.perf_counter()
        run([lambda call=call: _call_until(call, DICT, begin + length, times) for call in calls])  # type: ignore[misc]
        return time.perf_counter() - begin

    phase(seconds / 5)
    times.clear()
    cpu = time.process_time()
    elapsed = phase(seconds)
    return _figures(times, elapsed, time.process_time() - cpu)


def _run_in_greenlets(functions: list[Callable[[], None]]) -> None:
    gevent.joinall([gevent.spawn(function) for function in functions], raise_error=True)


def _run_in_threads(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
