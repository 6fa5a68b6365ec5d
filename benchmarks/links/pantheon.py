"""The eighteen emulators of Pantheon in one table and one plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from benchmarks import chart, table
from benchmarks.chart import Point
from benchmarks.links.catalogue import CONTESTANTS, LINKS, PANTHEON
from benchmarks.links.figures import Samples, median

TITLE = "The emulators of Pantheon"
TEXT = (
    "Goodput in Mbit/s at the 95th percentile of queueing delay in ms. Somebody is dominated where CUBIC or BBR of the "
    "kernel has more goodput at no more one-way delay (a hundredth is not counted); the last row says on how many "
    "links each is not."
)

_MARGIN = 1.01

Measured = Mapping[str, Mapping[str, list[Samples]]]


def colour(who: str) -> str:
    """The kind of a point for `who`."""
    return chart.OURS if who.startswith("jsp") else chart.OTHER


def _figures(samples: Measured) -> dict[str, dict[str, tuple[float, float]]]:
    """Link -> contestant -> goodput and delay."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for link in PANTHEON:
        for who, rounds in samples.get(link, {}).items():
            rate, delay = median(rounds, "alone", "goodput"), median(rounds, "alone", "queueing p95")
            if rate is not None and delay is not None:
                found.setdefault(link, {})[who] = rate, delay
    return found


def dominated(who: str, link: str, on_link: Mapping[str, tuple[float, float]]) -> bool:
    """Whether another one, of the kernel, has more goodput than `who` at no more delay."""
    rate, delay = on_link[who]
    way = LINKS[link].round_trip / 2
    kernel = [figures for name, figures in on_link.items() if name.startswith("tcp") and name != who]
    return any(other > rate * _MARGIN and way + queued <= (way + delay) * _MARGIN for other, queued in kernel)


def rows(samples: Measured) -> table.Rows:
    """A row for each setting; nothing when none was measured."""
    found = _figures(samples)
    if not found:
        return []
    names = list(dict.fromkeys(who for on_link in found.values() for who in on_link))
    made = [["", *(CONTESTANTS[who].label for who in names)]]
    for link, on_link in found.items():
        cells = [" at ".join(table.number(figure) for figure in on_link.get(who, ())) for who in names]
        made.append([f"{link.removeprefix('pantheon-')}. {LINKS[link].title}", *cells])
    last = ["not dominated on"]
    for who in names:
        there = [dominated(who, link, on_link) for link, on_link in found.items() if who in on_link]
        last.append(f"{there.count(False)} of {len(there)}")
    return [*made, last]


def shared(samples: Measured) -> table.Rows:
    """A head, and a row for each setting where fairness was measured."""
    names = list(dict.fromkeys(who for link in PANTHEON for who in samples.get(link, {})))
    made = [["Jain's index of three; share beside kernel CUBIC", *(CONTESTANTS[who].label for who in names)]]
    for link in PANTHEON:
        row = [_fairness(samples.get(link, {}).get(who, [])) for who in names]
        if any(row):
            made.append([LINKS[link].title, *row])
    return made


def _fairness(rounds: list[Samples]) -> str:
    index, share = median(rounds, "three", "jain"), median(rounds, "beside cubic", "share")
    return "" if index is None or share is None else f"{table.number(index)}; {share:.0%}"


def points(samples: Measured) -> list[Point]:
    """Of each contestant the median over all settings, as shares of the link and of its round trip."""
    found = _figures(samples)
    relative: dict[str, list[tuple[float, float]]] = {}
    for link, on_link in found.items():
        for who, (rate, delay) in on_link.items():
            share = rate * 1e6 / LINKS[link].rate
            relative.setdefault(who, []).append((delay / LINKS[link].round_trip, share))
    made = []
    for who, pairs in relative.items():
        delay, share = (statistics.median(axis) for axis in zip(*pairs, strict=True))
        made.append(Point(CONTESTANTS[who].label, delay, share, colour(who)))
    return made
