"""Interleaved rounds: each contestant does each test once a round, so that all meet the same weather."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field

from benchmarks.catalogue import CONTESTANTS
from benchmarks.process import ContestantError, Running

Sample = dict[str, float]


@dataclass
class Samples:
    """What was measured.

    Attributes:
        tests: test -> contestant -> one sample for each round.
        left_out: contestant -> why it did not take part, or not to the end.
    """

    tests: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def drop(self, name: str, reason: str) -> None:
        """Forget a contestant: rounds are compared in pairs, so one that misses some is of no use."""
        self.left_out[name] = reason
        for contestants in self.tests.values():
            contestants.pop(name, None)

    def check_ours(self) -> None:
        """Raise ContestantError when one of ours failed; peers may."""
        for name, reason in self.left_out.items():
            if not CONTESTANTS[name].peer:
                raise ContestantError(reason)


def show_progress(text: str) -> None:
    """Replace the last line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r{text:70}\r", end="", file=sys.stderr, flush=True)


def measure(names: list[str], tests: list[str], rounds: int, seconds: float) -> Samples:
    """`rounds` samples of `seconds` each, of every test that each of `names` can do."""
    samples = Samples({test: {n: [] for n in names if test in CONTESTANTS[n].tests} for test in tests})
    with contextlib.ExitStack() as stack:
        running: dict[str, Running] = {}
        for name in names:
            try:
                running[name] = stack.enter_context(Running(name))
            except ContestantError as failure:
                samples.drop(name, str(failure))
        for number in range(rounds):
            for test in tests:
                for name in list(samples.tests[test]):
                    show_progress(f"round {number + 1}/{rounds}: {test}, {CONTESTANTS[name].label}")
                    try:
                        samples.tests[test][name].append(running[name].measure(test, seconds))
                    except ContestantError as failure:
                        samples.drop(name, str(failure))
        show_progress("")
    return samples
