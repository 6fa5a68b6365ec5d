"""Runs flows over a link: processes at both ends, started together, and what the link saw meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.links.catalogue import Contestant
from benchmarks.links.flow import Arrivals
from benchmarks.noise import Snapshot
from benchmarks.process import ContestantError
from tests.netlab.lab import Lab
from tests.netlab.links import Link

_PORT = 5000

# Seconds from the signal to begin until flows do: receivers are there by then.
_LEAD = 1.0

# Seconds that a process may take to say what it has seen, when its time is over.
_PATIENCE = 30.0


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


def run(link: Link, flows: list[tuple[Contestant, float]], seconds: float, seed: int) -> Run:
    """Send `flows`, each beginning so many seconds after the first, for `seconds` in all.

    ContestantError when one of them fails.
    """
    with tempfile.TemporaryDirectory() as folder, Lab(*link.directions(Path(folder)), seed=seed) as lab:
        receivers = [lab.start("b", _command(who, "receive", _PORT + i, i, 0)) for i, (who, _) in enumerate(flows)]
        senders = [lab.start("a", _command(who, "send", _PORT + i, i, offset)) for i, (who, offset) in enumerate(flows)]
        for running in receivers + senders:
            _wait_ready(running)
        before = Snapshot.take()
        begin = time.monotonic() + _LEAD
        end = begin + seconds
        for running in receivers + senders:
            assert running.stdin is not None
            running.stdin.write(f"{begin} {end}\n")
            running.stdin.flush()
        time.sleep(begin + seconds / 2 - time.monotonic())
        half = lab.link.stats()["ab"]
        time.sleep(max(0.0, end - time.monotonic()))
        stats = lab.link.stats()["ab"]
        noise = Snapshot.take().since(before)
        arrivals = [_result(running).get(str(i), {}) for i, running in enumerate(receivers)]
        counts = [_result(running) for running in senders]
    stats["steady_bytes"] = stats["delivered_bytes"] - half["delivered_bytes"]
    flat = [{int(period): size for period, size in flow.items()} for flow in arrivals]
    return Run(begin, end, flat, counts, stats, noise)
