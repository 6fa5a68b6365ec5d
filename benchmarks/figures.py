"""What samples come to: medians, ratios to ours, costs of a packet; and the JSON that holds all of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import statistics
import sys
import time
from typing import Any

import jsp
from benchmarks.catalogue import BARE, CONTESTANTS, LIMIT, OURS, TESTS, ours
from benchmarks.process import significant
from benchmarks.rounds import Sample, Samples
from jsp.compiled import is_compiled
from jsp.crypto import suites

PACKAGES = (
    "gevent", "greenlet", "cryptography", "msgpack", "zstandard", "Cython", "aioquic", "qh3", "grpcio", "Pyro5",
    "zerorpc",
)  # fmt: skip

# Pairs beyond "ours to each other": what our variants are for.
EXTRA_PAIRS = (
    ("bulk", "jsp-65000", "tls"),
    ("bulk", "jsp-pure", "aioquic"),
    ("calls-64k", "jsp-rpc-65000", "grpc"),
    ("calls-64k", "jsp-rpc-65000", "pyro5"),
)

SIDES = ("tx us/packet", "rx us/packet")


def environment() -> dict[str, Any]:
    """The machine, the versions and the command line."""
    versions = {"jsp": jsp.__version__}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "compiled": is_compiled(),
        "cipher": suites.NAMES[suites.preferred("auto")[0]],
        "versions": versions,
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def medians(samples: list[Sample]) -> Sample:
    """Of each figure in `samples`."""
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def spread(test: str, samples: list[Sample]) -> tuple[float, float]:
    """The least and the greatest of what `test` is compared by."""
    values = [sample[TESTS[test].unit] for sample in samples]
    return min(values), max(values)


def advantage(samples: Samples, test: str, first: str, second: str, time_key: str = "") -> float | None:
    """How many times as good `first` is as `second`: the median over rounds; None unless both took part.

    By what `test` is compared by, or by another figure, a time: `time_key`.
    """
    contestants = samples.tests.get(test, {})
    if not contestants.get(first) or not contestants.get(second):
        return None
    key = time_key or TESTS[test].unit
    ratio = statistics.median(a[key] / b[key] for a, b in zip(contestants[first], contestants[second], strict=True))
    return 1 / ratio if time_key or TESTS[test].less_is_better else ratio


def pairs() -> list[tuple[str, str, str]]:
    """(test, first, second) of all comparisons that are made."""
    found = [
        (test, ours(test), name)
        for test in TESTS
        for name, contestant in CONTESTANTS.items()
        if test in contestant.tests and test in CONTESTANTS[ours(test)].tests and name != ours(test)
    ]
    return found + list(EXTRA_PAIRS)


def ratios(samples: Samples) -> dict[str, float]:
    """ "test: first / second" -> `advantage`, for the pairs that took part."""
    found = {f"{test}: {a} / {b}": advantage(samples, test, a, b) for test, a, b in pairs()}
    return {key: significant(ratio) for key, ratio in found.items() if ratio is not None}


def packet_costs(samples: Samples) -> dict[str, Sample]:
    """Contestant -> CPU time of a packet on each side, in units of one seal of the same round."""
    seals = samples.tests.get("seal", {}).get(BARE)
    bulk = samples.tests.get("bulk", {})
    if not seals:
        return {}
    return {
        name: {
            side: significant(statistics.median(b[side] / s["us"] for b, s in zip(bulk[name], seals, strict=True)))
            for side in SIDES
        }
        for name in (OURS, LIMIT)
        if bulk.get(name)
    }


def summarise(samples: Samples, notes: dict[str, str], load: dict[str, float]) -> dict[str, Any]:
    """Everything about a run, for JSON.

    Args:
        samples: what was measured.
        notes: contestant -> what to know about it.
        load: figures of the load test, if it was run.
    """
    return {
        "environment": environment(),
        "left out": samples.left_out,
        "notes": notes,
        "medians": {
            test: {name: medians(values) for name, values in contestants.items()}
            for test, contestants in samples.tests.items()
        },
        "spread": {
            test: {name: spread(test, values) for name, values in contestants.items()}
            for test, contestants in samples.tests.items()
        },
        "ratios": ratios(samples),
        "seals per packet": packet_costs(samples),
        "load": load,
        "samples": samples.tests,
    }
