"""Measures jsp, and with `--peers` others beside it, interleaved; a table on the terminal, JSON in benchmarks/results/.

Absolute figures mean little on a shared machine: what counts is the ratio of two contestants in the same rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from benchmarks import memory
from benchmarks.process import Running

RESULTS = Path(__file__).parent / "results"
TESTS = ("bulk", "rtt", "messages", "handshakes")
PEERS = {"jsp_": "jsp", "aioquic_": "aioquic", "qh3_": "qh3", "tls": "gevent TLS 1.3"}
# What the ratio is taken of; for a round trip less is better.
HEADLINE = {"bulk": "MB/s", "rtt": "p50 us", "messages": "messages/s", "handshakes": "handshakes/s"}
PACKAGES = ("gevent", "cryptography", "msgpack", "zstandard", "aioquic", "qh3")

Samples = dict[str, dict[str, list[dict[str, float]]]]


def _stolen() -> tuple[float, float]:
    with open("/proc/stat") as file:
        fields = [float(x) for x in file.readline().split()[1:]]
    return fields[7], sum(fields[:8])


def _environment() -> dict[str, object]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "versions": versions,
        "command": " ".join([Path(sys.executable).name, "-m", "benchmarks", *sys.argv[1:]]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:60}\r", end="", file=sys.stderr, flush=True)


def _rounds(names: list[str], tests: list[str], rounds: int, seconds: float) -> Samples:
    samples: Samples = {name: {test: [] for test in tests} for name in names}
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Running(name)) for name in names]
        for number in range(rounds):
            for test in tests:
                for contestant in running:
                    _progress(f"round {number + 1}/{rounds}: {test}, {PEERS[contestant.name]}")
                    samples[contestant.name][test].append(contestant.measure(test, seconds))
        _progress("")
    return samples


def _median(samples: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(s[key] for s in samples) for key in samples[0]}


def _ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]], test: str) -> float:
    """Median over rounds of how much better we are (above 1: better)."""
    key = HEADLINE[test]
    ratios = [o[key] / t[key] for o, t in zip(ours, theirs, strict=True)]
    median = statistics.median(ratios)
    return 1 / median if test == "rtt" else median


def _print_table(samples: Samples, names: list[str], tests: list[str]) -> None:
    for test in tests:
        print(f"\n{test}")
        for name in names:
            numbers = _median(samples[name][test])
            spread = sorted(s[HEADLINE[test]] for s in samples[name][test])
            text = "  ".join(f"{value:12,.1f} {unit}" for unit, value in numbers.items())
            line = f"  {PEERS[name]:16}{text}   ({spread[0]:,.0f} to {spread[-1]:,.0f})"
            if name != names[0]:
                line += f"   jsp is {_ratio(samples[names[0]][test], samples[name][test], test):.2f} x"
            print(line)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure aioquic, qh3 and gevent TLS beside jsp")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are shown (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement (default 1)")
    parser.add_argument("--only", action="append", choices=TESTS, help="measure this only; may be repeated")
    parser.add_argument("-o", "--output", type=Path, help="where the JSON goes (default benchmarks/results/)")
    args = parser.parse_args()
    names = list(PEERS) if args.peers else ["jsp_"]
    tests = args.only or list(TESTS)
    stolen = _stolen()
    samples = _rounds(names, tests, args.rounds, args.seconds)
    idle = {} if args.only else memory.measure()
    after = _stolen()
    steal = (after[0] - stolen[0]) / max(1.0, after[1] - stolen[1])
    _print_table(samples, names, tests)
    if idle:
        print(f"\nmemory\n  jsp             {idle['bytes/connection']:12,.0f} bytes/idle connection (server)")
    print(f"\nCPU time stolen by the hypervisor: {steal:.1%}")
    result = {
        "environment": _environment() | {"steal": steal},
        "samples": samples,
        "medians": {n: {t: _median(samples[n][t]) for t in tests} for n in names},
        "ratios": {n: {t: _ratio(samples["jsp_"][t], samples[n][t], t) for t in tests} for n in names[1:]},
        "memory": idle,
    }
    output = args.output or RESULTS / f"{'peers' if args.peers else 'bench'}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {output}")


if __name__ == "__main__":
    main()
