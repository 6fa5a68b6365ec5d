"""Runs contestants in processes of their own, pinned to cores: `python -m benchmarks.process MODULE serve|TEST ...`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Self

from benchmarks.catalogue import CONTESTANTS
from benchmarks.noise import Snapshot

SERVER_CORE = 1
CLIENT_CORE = 0


class ContestantError(Exception):
    """A contestant did not start, or did not finish its measurement."""


def pin(core: int) -> None:
    """Keep this process on one of the cores it may use."""
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[core % len(available)]})


def significant(value: float) -> float:
    """`value` with the digits that a measurement can have."""
    return float(f"{value:.5g}")


def command(module: str, *words: str) -> list[str]:
    """The command line that runs a contestant's module."""
    return [sys.executable, "-m", "benchmarks.process", module, *words]


class ServerProcess:
    """A program that prints `ready ADDRESS` and serves until it is killed; use it in a `with` block.

    Attributes:
        address: what it printed, for its clients.
        pid: the process.
    """

    def __init__(self, words: list[str], environment: Mapping[str, str] | None = None) -> None:
        self._environment = {**os.environ, **(environment or {})}
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=self._environment)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if len(line) != 2 or line[0] != "ready":
            self.stop()
            raise ContestantError(f"the server did not start: {' '.join(words[1:])}")
        self.address = line[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Running(ServerProcess):
    """A contestant's server, and measurements from client processes. Attributes: name: as `catalogue` has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._module = CONTESTANTS[name].module
        super().__init__(command(self._module, "serve"), CONTESTANTS[name].environment)

    def measure(self, test: str, seconds: float) -> dict[str, float]:
        """Run `test` from a client process; its numbers, and the noise meanwhile."""
        if self._process.poll() is not None:
            raise ContestantError(f"{self.name}: the server ended")
        before = Snapshot.take()
        try:
            done = subprocess.run(
                command(self._module, test, self.address, str(seconds)),
                stdout=subprocess.PIPE,
                text=True,
                timeout=seconds * 10 + 60,
                check=True,
                env=self._environment,
            )
            numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            raise ContestantError(f"{self.name}: {test} failed") from error
        return {key: significant(value) for key, value in (numbers | Snapshot.take().since(before)).items()}


def main() -> None:
    name, what = sys.argv[1:3]
    module = importlib.import_module(f"benchmarks.contestants.{name}")
    if what == "serve":
        pin(SERVER_CORE)
        module.serve()
    else:
        pin(CLIENT_CORE)
        print(json.dumps(module.run(what, sys.argv[3], float(sys.argv[4]))))


if __name__ == "__main__":
    main()
