"""Writes the results into docs/links.md and their plots into docs/img/: `python -m benchmarks.links.report`.

As `benchmarks.report` does for docs/benchmarks.md: nothing between the markers is typed by hand.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from benchmarks import chart, table
from benchmarks.chart import Point
from benchmarks.links import pantheon
from benchmarks.links.catalogue import CONTESTANTS, CUBIC, LINKS, PANTHEON
from benchmarks.links.figures import Samples, median
from benchmarks.report import ROOT, insert, where, write_charts

PAGE = ROOT / "docs" / "links.md"
IMAGES = "img"
RESULTS = ROOT / "benchmarks" / "results" / "links.json"

_BETTER = "up and to the left is better; medians"

# Lateness (ms, 99th percentile) of the emulator above which a run says more about the machine than about the link.
_LATE_MAX = 2.0


def _against(samples: dict[str, list[Samples]], who: str) -> float | None:
    """Goodput in terms of kernel CUBIC's of the same round, median."""
    pairs = [
        (one["alone"], other["alone"])
        for one, other in zip(samples[who], samples.get(CUBIC, []), strict=False)
        if "alone" in one and "alone" in other
    ]
    ratios = [one["goodput"] / other["goodput"] for one, other in pairs if other["goodput"]]
    return statistics.median(ratios) if ratios else None


def _shown(value: float | None, scale: float = 1.0, unit: str = "") -> str:
    return "" if value is None else f"{table.number(value * scale)}{unit}"


def _alone(samples: dict[str, list[Samples]]) -> list[list[str]]:
    rows = [["", "Mbit/s", "of TCP CUBIC", "of IP, steady", "queueing p50 ms", "p95 ms", "retransmitted"]]
    for who, runs in samples.items():
        if median(runs, "alone", "goodput") is None:
            continue
        figures = [median(runs, "alone", f"queueing {p}") for p in ("p50", "p95")]
        rows.append(
            [
                CONTESTANTS[who].label,
                _shown(median(runs, "alone", "goodput")),
                _shown(_against(samples, who), 1, " x"),
                _shown(median(runs, "alone", "link")),
                *(_shown(figure) for figure in figures),
                _shown(median(runs, "alone", "retransmitted"), 100, " %"),
            ]
        )
    return rows


def _shared(samples: dict[str, list[Samples]]) -> list[list[str]]:
    rows = [["", "Jain's index of three", "their sum, Mbit/s", "share beside kernel CUBIC"]]
    for who, runs in samples.items():
        if (index := median(runs, "three", "jain")) is not None:
            total, share = median(runs, "three", "goodput"), median(runs, "beside cubic", "share")
            rows.append([CONTESTANTS[who].label, _shown(index), _shown(total), _shown(share, 100, " %")])
    return rows


def plots(result: dict[str, Any]) -> dict[str, str]:
    """File name -> SVG: throughput against delay, for each link; Pantheon's in one."""
    drawn = {}
    for link, samples in result["samples"].items():
        points = []
        for who, runs in samples.items():
            x, y = median(runs, "alone", "queueing p95"), median(runs, "alone", "goodput")
            if x is not None and y is not None and link not in PANTHEON:
                points.append(Point(CONTESTANTS[who].label, x, y, pantheon.colour(who)))
        if points:
            across, up = "95th percentile of queueing delay, ms", "goodput, Mbit/s"
            drawn[f"link-{link}.svg"] = chart.scatter(LINKS[link].title, _BETTER, across, up, points)
    if points := pantheon.points(result["samples"]):
        across, up = "95th percentile of queueing delay, in round trips of the empty path", "goodput, share of the link"
        drawn["link-pantheon.svg"] = chart.scatter(pantheon.TITLE, _BETTER, across, up, points)
    return drawn


def markdown(result: dict[str, Any]) -> str:
    """What stands between the markers."""
    runs = [run[kind] for who in result["samples"].values() for each in who.values() for run in each for kind in run]
    parts = [f"{where(result)} Rounds: {result['rounds']}, seconds: {result['seconds']:g}, seed: {result['seed']}."]
    noise = statistics.median(run["others"] + run["steal"] for run in runs) if runs else 0.0
    # Figures are medians of the rounds, and so is what says whether they are worth something.
    alone = [
        [run["alone"]["lateness"] for run in each if "alone" in run]
        for who in result["samples"].values()
        for each in who.values()
    ]
    late = max((statistics.median(each) for each in alone if each), default=0.0)
    late_runs = sum(lateness > _LATE_MAX for each in alone for lateness in each)
    warning = " **That is too much: take the figures again.**" if late > _LATE_MAX else ""
    parts.append(
        f"Meanwhile other programs and the hypervisor took {noise:.0%} of the CPU time (median); 99 % of the packets "
        f"left the emulator at most {late:.2g} ms late (median of the rounds; {late_runs} of {sum(map(len, alone))} "
        f"runs: more than {_LATE_MAX:g} ms).{warning}"
    )
    for link, samples in result["samples"].items():
        if link in PANTHEON:
            continue
        parts.append(f"### {LINKS[link].title}\n\n{LINKS[link].text}")
        parts.append(f"![{LINKS[link].title}]({IMAGES}/link-{link}.svg)")
        parts.append(table.as_markdown(_alone(samples)))
        if len(shared := _shared(samples)) > 1:
            parts.append(table.as_markdown(shared))
    if rows := pantheon.rows(result["samples"]):
        parts.append(f"### {pantheon.TITLE}\n\n{pantheon.TEXT}")
        parts.append(f"![{pantheon.TITLE}]({IMAGES}/link-pantheon.svg)")
        parts.append(table.as_markdown(rows))
        if len(rows := pantheon.shared(result["samples"])) > 1:
            parts.append(table.as_markdown(rows))
    if result["left out"]:
        parts.append("### Left out\n\n" + "\n".join(f"* {who}: {why}" for who, why in result["left out"].items()))
    return "\n\n".join(parts)


def print_all(result: dict[str, Any]) -> None:
    """The tables on the terminal."""
    for link, samples in result["samples"].items():
        for rows in (_alone(samples), _shared(samples)):
            if len(rows) > 1 and link not in PANTHEON:
                print(f"\n{LINKS[link].title}\n{table.as_text(rows)}")
    if rows := pantheon.rows(result["samples"]):
        print(f"\n{pantheon.TITLE}\n{table.as_text(rows)}\n{table.as_text(pantheon.shared(result['samples']))}")


def main() -> None:
    result = json.loads(RESULTS.read_text())
    PAGE.write_text(insert(PAGE.read_text(), markdown(result)))
    write_charts(plots(result), PAGE.parent / IMAGES, "link")


if __name__ == "__main__":
    main()
