"""Runs flows over a link: processes at both ends, started together, and what the link saw meanwhile."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.links.catalogue import Contestant
from benchmarks.links.flow import PERIOD, Arrivals
from benchmarks.noise import Snapshot
from benchmarks.process import ContestantError
from tests.netlab.lab import Lab
from tests.netlab.links import Directions, Link

_PORT = 5000

# Seconds from the signal to begin until flows do: receivers are there by then.
_LEAD = 1.0

# Seconds that a process may take to say what it has seen, when its time is over.
_PATIENCE = 30.0


Flows = list[tuple[Contestant, float]]
"""Who sends, and how many seconds after the first of them."""


@dataclass(frozen=True)
class Run:
    """What came of it.

    Attributes:
        begin, end: by the clock, seconds.
        arrivals: of each flow.
        counts: of each flow's sender.
        link: the emulator's figures of the direction of the data; "steady_bytes" of IP came in the second half.
        noise: shares of all CPU time (`benchmarks.noise`).
    """

    begin: float
    end: float
    arrivals: list[Arrivals]
    counts: list[dict[str, float]]
    link: dict[str, float]
    noise: dict[str, float]


def _command(contestant: Contestant, role: str, port: int, label: int, offset: float) -> list[str]:
    words = (contestant.module, role, str(port), str(label), contestant.congestion, str(offset))
    return [sys.executable, "-m", "benchmarks.links.flow", *words]


def _wait_ready(running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    if running.stdout.readline() != "ready\n":
        raise ContestantError(f"did not start: {running.args!r}")


def _result(running: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, _ = running.communicate(timeout=_PATIENCE)
        result: dict[str, Any] = json.loads(out)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise ContestantError(f"did not finish: {running.args!r}") from error
    return result


class _Started:
    """A lab with flows in it that wait to be told when to begin.

    Attributes:
        failure: why nothing is to be had of it.
    """

    def __init__(self, lab: Lab, directions: Directions, flows: Flows) -> None:
        self._lab = lab
        self._directions = directions
        self._receivers = [
            lab.start("b", _command(who, "receive", _PORT + i, i, 0)) for i, (who, _) in enumerate(flows)
        ]
        self._senders = [
            lab.start("a", _command(who, "send", _PORT + i, i, offset)) for i, (who, offset) in enumerate(flows)
        ]
        self._stats: list[dict[str, float]] = []
        self.failure: ContestantError | None = None

    def wait_ready(self) -> None:
        try:
            for running in self._receivers + self._senders:
                _wait_ready(running)
        except ContestantError as failure:
            self.failure = failure

    def tell(self, begin: float, end: float) -> None:
        for side, direction in zip(("ab", "ba"), self._directions, strict=True):
            # Traces begin anew, however long the processes took to start.
            self._lab.link.set(side, *(word for word in direction.words() if word.startswith("trace=")))
        try:
            for running in self._receivers + self._senders:
                assert running.stdin is not None
                running.stdin.write(f"{begin} {end}\n")
                running.stdin.flush()
        except OSError as error:
            self.failure = ContestantError(f"did not wait to begin: {error}")

    def take(self) -> None:
        """What the link has seen, when half of the time is over and at the end."""
        self._stats.append(self._lab.link.stats()["ab"])

    def result(self, begin: float, end: float, noise: dict[str, float]) -> Run | ContestantError:
        if self.failure is not None:
            return self.failure
        try:
            arrivals = [_result(running).get(str(i), {}) for i, running in enumerate(self._receivers)]
            counts = [_result(running) for running in self._senders]
        except ContestantError as failure:
            return failure
        half, whole = self._stats
        link = {**whole, "steady_bytes": whole["delivered_bytes"] - half["delivered_bytes"]}
        flat = [{int(period): size for period, size in flow.items()} for flow in arrivals]
        return Run(begin, end, flat, counts, link, noise)


def run(link: Link, crowds: Sequence[Flows], seconds: float, seed: int) -> list[Run | ContestantError]:
    """Send the flows of each crowd over a link of their own, all crowds at the same time, for `seconds`.

    Returns what came of each crowd, or why nothing did.
    """
    with ExitStack() as stack:
        started = []
        for flows in crowds:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            directions = link.directions(Path(folder))
            lab = stack.enter_context(Lab(*directions, seed=seed))
            started.append(_Started(lab, directions, flows))
        for each in started:
            each.wait_ready()
        left = [each for each in started if each.failure is None]
        # Receivers count in whole periods: it begins with one, and traces are always as old then.
        begin = math.ceil(time.monotonic() / PERIOD + 1) * PERIOD + _LEAD
        end = begin + seconds
        time.sleep(max(0.0, begin - _LEAD - time.monotonic()))
        before = Snapshot.take()
        for each in left:
            each.tell(begin, end)
        time.sleep(begin + seconds / 2 - time.monotonic())
        for each in left:
            each.take()
        time.sleep(max(0.0, end - time.monotonic()))
        for each in left:
            each.take()
        noise = Snapshot.take().since(before)
        return [each.result(begin, end, noise) for each in started]
