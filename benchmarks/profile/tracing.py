"""Costs by cProfile, of the pure Python modules: each function is seen, though tracing makes small ones look larger."""

from __future__ import annotations

import cProfile
import importlib
import json
import os
import pstats
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent

from benchmarks import process
from benchmarks.profile import Cost, Profile, Profiles

_PATIENCE = 20.0
_MODULE = "jsp_"


def measure(test: str, seconds: float) -> tuple[Profiles, dict[str, float]]:
    """What the two sides of jsp do in `test`, and the figures of the run."""
    pure = {"JSP_PURE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        server_file, client_file = Path(folder, "server"), Path(folder, "client")
        with process.ServerProcess(_words(server_file, "serve"), pure) as server:
            words = _words(client_file, test, server.address, str(seconds))
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **pure})
            os.kill(server.pid, signal.SIGTERM)
            deadline = time.monotonic() + _PATIENCE
            while not server_file.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        figures = json.loads(done.stdout.splitlines()[-1])
        return {"server": profile_of(server_file), "client": profile_of(client_file)}, figures


def _words(file: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.profile.tracing", str(file), _MODULE, *arguments]


def profile_of(file: Path) -> Profile:
    """What a file of cProfile's comes to."""
    stats: Any = pstats.Stats(str(file))
    total = sum(own for _, _, own, _, _ in stats.stats.values()) or 1.0
    costs = [
        Cost(_room_of(path), f"{function}:{line}" if line else function, own / total)
        for (path, line, function), (_, _, own, _, _) in stats.stats.items()
    ]
    return Profile(sorted(costs, key=lambda cost: -cost.share), [])


def _room_of(path: str) -> str:
    if path == "~":
        return "C functions"
    parts = Path(path).with_suffix("").parts
    for package in ("site-packages", "benchmarks", "jsp"):
        if package in parts:
            start = len(parts) - parts[::-1].index(package) - 1
            return ".".join(parts[start + (package == "site-packages") :])
    return Path(path).stem


def main() -> None:
    """The traced process: `process.main` under a profiler that counts CPU time."""
    file = Path(sys.argv.pop(1))
    importlib.import_module(f"benchmarks.contestants.{sys.argv[1]}")
    profiler = cProfile.Profile(time.thread_time)

    def finish() -> None:
        profiler.disable()
        # Whoever waits for the file should find it whole.
        profiler.dump_stats(f"{file}.new")
        os.replace(f"{file}.new", file)

    def on_term() -> None:
        finish()
        os._exit(0)

    gevent.signal_handler(signal.SIGTERM, on_term)
    profiler.enable()
    process.main()
    finish()


if __name__ == "__main__":
    main()
