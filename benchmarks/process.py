"""Runs contestants in processes of their own, pinned to cores: `python -m benchmarks.process NAME serve|TEST ...`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

SERVER_CORE = 1
CLIENT_CORE = 0


def _pin(core: int) -> None:
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[core % len(available)]})


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.process", *words]


class Running:
    """A contestant's server process; use it in a `with` block."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process = subprocess.Popen(_command(name, "serve"), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if not line or line[0] != "ready":
            raise RuntimeError(f"{name} did not start")
        self.address = line[1]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()

    def resident(self) -> int:
        """Resident memory of the server, bytes."""
        with open(f"/proc/{self._process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def measure(self, test: str, seconds: float) -> dict[str, float]:
        """Run `test` from a client process; its numbers."""
        done = subprocess.run(
            _command(self.name, test, self.address, str(seconds)),
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds * 10 + 60,
            check=True,
        )
        numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return numbers


def main() -> None:
    name, what = sys.argv[1:3]
    module = importlib.import_module(f"benchmarks.contestants.{name}")
    if what == "serve":
        _pin(SERVER_CORE)
        module.serve()
    else:
        _pin(CLIENT_CORE)
        print(json.dumps(module.run(what, sys.argv[3], float(sys.argv[4]))))


if __name__ == "__main__":
    main()
