"""Links with names: those that figures are taken on, and the emulators of Pantheon.

Pantheon's settings (pantheon.stanford.edu: six calibrated to real paths, twelve that are hard on purpose) are made of
mahimahi's shells: a packet takes an opportunity of its trace, may be lost, and travels. Traces are synthetic, since the
originals are not distributed with this repository: steady ones have the same rate, evenly in each millisecond instead
of all at once; those with Poisson arrivals are drawn from a seed, and so is the cellular one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.netlab import traces
from tests.netlab.emulator import Direction

Directions = tuple[Direction, Direction]


@dataclass(frozen=True)
class Link:
    """A path.

    Attributes:
        title: for tables and charts.
        rate: bit/s of IP packets from a to b, at the most or on the average.
        round_trip: milliseconds, when it is empty.
        text: what it is.
        directions: a to b and b to a; it may write traces into the folder that it is given.
    """

    title: str
    rate: float
    round_trip: float
    text: str
    directions: Callable[[Path], Directions]


def _simple(ab: Direction) -> Callable[[Path], Directions]:
    """As `ab` says, with nothing but the delay on the way back."""
    return lambda folder: (ab, Direction(delay=ab.delay))


def _cellular(folder: Path) -> Directions:
    times = traces.cellular(18e6, 1e6, 45e6, seed=12)
    trace = traces.written(folder, "cellular", times)
    return Direction(delay=30, queue_bytes=3_000_000, trace=trace), Direction(delay=30)


LINKS = {
    "wan": Link(
        "100 Mbit/s, 40 ms",
        100e6,
        40,
        "A queue of one bandwidth-delay product (500 kB), no loss but there.",
        _simple(Direction(delay=20, rate=100e6, queue_bytes=500_000)),
    ),
    "lossy": Link(
        "50 Mbit/s, 100 ms, 2 % loss",
        50e6,
        100,
        "Random loss, as on a bad radio link; the queue is one bandwidth-delay product (625 kB).",
        _simple(Direction(delay=50, rate=50e6, queue_bytes=625_000, loss=0.02)),
    ),
    "satellite": Link(
        "20 Mbit/s, 600 ms, 0.5 % loss",
        20e6,
        600,
        "A geostationary satellite; the queue is one bandwidth-delay product (1.5 MB).",
        _simple(Direction(delay=300, rate=20e6, queue_bytes=1_500_000, loss=0.005)),
    ),
    "wifi": Link(
        "Wi-Fi with bursts of loss",
        100e6,
        10,
        "100 Mbit/s, 10 ms, a millisecond of jitter; each 330 packets a burst of some five, of which four in five are "
        "lost (Gilbert-Elliott); a queue of 250 kB.",
        _simple(
            Direction(delay=5, jitter=1, rate=100e6, queue_bytes=250_000, ge_enter=0.003, ge_leave=0.2, ge_loss=0.8)
        ),
    ),
    "lte": Link(
        "LTE with bufferbloat",
        18e6,
        60,
        "A synthetic trace that wanders from 1 to 45 Mbit/s (seeded), 60 ms, a queue of 3 MB.",
        _cellular,
    ),
    "interop": Link(
        "10 Mbit/s, 30 ms",
        10e6,
        30,
        "The link of the QUIC interop runner: a queue of 25 packets.",
        _simple(Direction(delay=15, rate=10e6, queue_packets=25)),
    ),
}


def _shells(
    title: str, rate: float, delay: float, times: Sequence[float], back: Sequence[float] | None = None, **up: Any
) -> Link:
    """A setting of Pantheon: `up` is what happens on the way from a to b only, beside the trace and the delay."""

    def directions(folder: Path) -> Directions:
        there = traces.written(folder, "up", times)
        back_again = traces.written(folder, "down", times if back is None else back)
        # A policer polices both ways.
        down = {"queue_packets": 1} if up.get("queue_packets") == 1 else {}
        return Direction(delay=delay, trace=there, **up), Direction(delay=delay, trace=back_again, **down)

    return Link(title, rate, 2 * delay, f"{rate / 1e6:g} Mbit/s, {2 * delay:g} ms.", directions)


def _calibrated(title: str, mbit: float, delay: float, packets: int, loss: float = 0, poisson: int = 0) -> Link:
    times: Sequence[float] = traces.poisson(mbit * 1e6, poisson) if poisson else traces.steady(mbit * 1e6)
    return _shells(title, mbit * 1e6, delay, times, queue_packets=packets, loss=loss)


_TWELVE = traces.steady(12e6)

PANTHEON = {
    1: _calibrated("Nepal to India", 0.57, 28, 14, loss=0.0477, poisson=1),
    2: _calibrated("Mexico, cellular, to California", 2.64, 88, 130, poisson=2),
    3: _calibrated("Brazil to Colombia, cellular", 3.04, 130, 426, poisson=3),
    4: _calibrated("India to India", 100.42, 27, 173),
    5: _calibrated("Korea to China", 77.72, 51, 94, loss=0.0006),
    6: _calibrated("California to Mexico", 114.68, 45, 450),
    **{
        number: _shells(
            f"Policer, {mbit} Mbit/s, {2 * delay} ms", mbit * 1e6, delay, traces.steady(mbit * 1e6), queue_packets=1
        )
        for number, (delay, mbit) in enumerate(((d, m) for d in (10, 50) for m in (12, 60, 108)), 7)
    },
    13: _shells("ACKs once in 100 ms", 12e6, 10, _TWELVE, traces.every(100)),
    14: _shells("Ten packets of ACKs in 200 ms", 12e6, 10, _TWELVE, traces.every(200, 10)),
    **{
        number: _shells(f"Queue of {title}", 12e6, 30, _TWELVE, queue_bytes=size)
        for number, (title, size) in enumerate(
            (("BDP/10", 9_000), ("BDP/3", 30_000), ("BDP/2", 45_000), ("one BDP", 90_000)), 15
        )
    },
}
