"""The regression gate: `make bench-check` compares ratios with those in expected.json, and fails past a tolerance.

Only ratios of one run are compared, for absolute figures say more about the machine and its neighbours than about jsp:
jsp to TLS, to aioquic, to the limits measured beside it. Each says how many times as good jsp is, so lower is worse.
Round trips are compared by the client's CPU time: most of the rest is the kernel's time to wake somebody up, and on a
busy machine nearly all of it.
What fails is measured once more, alone and longer, before it counts: noise is dodged, regressions are not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from benchmarks import compiling, figures, rounds, table
from benchmarks.catalogue import BARE, LIMIT, OURS, choose
from benchmarks.process import ContestantError
from benchmarks.rounds import Samples

EXPECTED = Path(__file__).parent / "expected.json"

# How much lower than expected a ratio may be. Ratios of 5 rounds on a busy machine vary by a quarter.
TOLERANCE = 0.35

TESTS = ("bulk", "rtt", "messages", "handshakes", "handshakes-8", "calls", "calls-64", "seal")
_PEERS = {OURS, "jsp-rpc", "jsp-pure", LIMIT, BARE, "aioquic", "tls", "grpc"}
_ROUNDS, _SECONDS = 5, 0.5
_RETRY_ROUNDS, _RETRY_SECONDS = 7, 1.0
_SEALS = "packet: "
_BY_CPU = ("rtt", "calls")

Ratios = dict[str, float]


def ratios_of(samples: Samples) -> Ratios:
    """All ratios of a run: to others, and how much of a packet's CPU time is its seal, on each side."""
    found = {key: ratio for key, ratio in figures.ratios(samples).items() if key.partition(":")[0] not in _BY_CPU}
    for test, first, second in figures.pairs():
        ratio = figures.advantage(samples, test, first, second, "cpu us") if test in _BY_CPU else None
        if ratio is not None:
            found[f"{test}: {first} / {second}, CPU time"] = ratio
    for side, seals in figures.packet_costs(samples).get(OURS, {}).items():
        found[f"{_SEALS}seal / {side}"] = 1 / seals
    return found


def too_low(expected: Ratios, found: Ratios) -> list[str]:
    """Which of the expected ratios were measured and are below what they may be."""
    return [key for key, ratio in expected.items() if key in found and found[key] < ratio * (1 - TOLERANCE)]


def tests_of(keys: Collection[str]) -> list[str]:
    """The tests that ratios come from."""
    needed = {key.partition(":")[0] for key in keys}
    if any(key.startswith(_SEALS) for key in keys):
        needed |= {"bulk", "seal"}
    return [test for test in TESTS if test in needed]


def _measure(tests: list[str], count: int, seconds: float) -> Ratios:
    names = [name for name in choose(True, tests)[0] if name in _PEERS]
    samples = rounds.measure(names, tests, count, seconds)
    samples.check_ours()
    return ratios_of(samples)


def check(expected: Ratios, measure: Callable[[list[str], int, float], Ratios]) -> tuple[Ratios, list[str]]:
    """Measure, and once more what fails; the ratios, and which of them are too low in the end."""
    found = measure(list(TESTS), _ROUNDS, _SECONDS)
    low = too_low(expected, found)
    if low:
        again = measure(tests_of(low), _RETRY_ROUNDS, _RETRY_SECONDS)
        found |= {key: again[key] for key in low if key in again}
        low = too_low(expected, found)
    return found, low


def _print(expected: Ratios, found: Ratios, low: list[str]) -> None:
    rows = [["ratio", "expected", "found", ""]]
    for key in dict.fromkeys([*expected, *found]):
        verdict = "TOO LOW" if key in low else "" if key in found and key in expected else "not compared"
        rows.append([key, *(f"{d[key]:.3f}" if key in d else "-" for d in (expected, found)), verdict])
    print(table.as_text(rows))


def _update() -> None:
    found = _measure(list(TESTS), _RETRY_ROUNDS, _RETRY_SECONDS)
    EXPECTED.write_text(json.dumps({key: round(ratio, 3) for key, ratio in found.items()}, indent=1) + "\n")
    print(f"{len(found)} ratios written to {EXPECTED}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write what was measured to expected.json")
    args = parser.parse_args()
    compiling.build()
    try:
        if args.update:
            _update()
            return
        expected = json.loads(EXPECTED.read_text())
        found, low = check(expected, _measure)
    except ContestantError as error:
        sys.exit(f"not measured: {error}")
    _print(expected, found, low)
    if low:
        sys.exit(f"{len(low)} of {len(expected)} ratios are more than {TOLERANCE:.0%} lower than expected")
    if not set(expected) & set(found):
        sys.exit("nothing could be compared")


if __name__ == "__main__":
    main()
