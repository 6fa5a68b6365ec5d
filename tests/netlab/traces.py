"""Traces of delivery opportunities in mahimahi's format: one a line, its time in milliseconds, good for 1,504 bytes."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

OPPORTUNITY = 1504

# Bytes that Pantheon's traces are named after: "12mbps" has an opportunity each millisecond.
_PACKET = 1500


def steady(rate: float, seconds: float = 1.0) -> list[float]:
    """Opportunities at `rate` bit/s, evenly: in mahimahi's own traces those of a millisecond come at once."""
    count = round(rate * seconds / 8 / _PACKET)
    return [(i + 1) * seconds * 1000 / count for i in range(count)]


def every(milliseconds: int, count: int = 1) -> list[int]:
    """`count` opportunities at once, each so many milliseconds."""
    return [milliseconds] * count


def poisson(rate: float, seed: int, seconds: float = 60.0) -> list[int]:
    """Opportunities at `rate` bit/s on the average, independent of each other, as of a cellular path that is shared."""
    rng = random.Random(seed)
    at, mean, times = 0.0, _PACKET * 8 / rate, []
    while (at := at + rng.expovariate(1 / mean)) < seconds:
        times.append(math.ceil(at * 1000))
    return [*times, round(seconds * 1000)]


def cellular(mean: float, least: float, most: float, seed: int, seconds: float = 60.0) -> list[int]:
    """A mobile link: the rate wanders between `least` and `most` bit/s around `mean`, with a deep fade now and then."""
    rng = random.Random(seed)
    step, level, credit = 20, 0.0, 0.0
    times = []
    for begin in range(0, round(seconds * 1000), step):
        level = 0.985 * level + rng.gauss(0, 0.14)
        if rng.random() < 0.0008:
            level = -3.0
        rate = min(most, max(least, mean * math.exp(level)))
        for at in range(begin, begin + step):
            credit += rate / 8 / 1000 / OPPORTUNITY
            while credit >= 1:
                times.append(at + 1)
                credit -= 1
    return [*times, round(seconds * 1000)]


def written(folder: Path, name: str, times: Sequence[float]) -> str:
    """Path of a file with `times`."""
    path = folder / f"{name}.trace"
    path.write_text("".join(f"{at:.6g}\n" for at in times))
    return str(path)
