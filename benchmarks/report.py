"""Writes a result into the documentation: `python -m benchmarks.report RESULT.json`.

The charts go to docs/img/, the tables between two markers of docs/benchmarks.md. Nothing there is typed by hand, and a
test compares it with benchmarks/results/baseline.json, so figures and charts cannot drift apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import chart, table
from benchmarks.catalogue import BARE, CONTESTANTS, LIMIT, TESTS
from benchmarks.chart import Bar

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = "img"
BEGIN = "<!-- figures: written by benchmarks/report.py -->"
END = "<!-- end of figures -->"

# Share of the machine that others may take before readers are warned.
_NOISE_MAX = 0.1

# Tests that are compared by a chart; the rest are a number in a table.
_CHARTS = ("bulk", "rtt", "messages", "handshakes", "handshakes-8", "calls", "calls-64", "calls-64k")


def _kind(name: str) -> str:
    if name in (LIMIT, BARE):
        return chart.LIMIT
    return chart.OURS if name.startswith("jsp") else chart.OTHER


def charts(result: dict[str, Any]) -> dict[str, str]:
    """File name -> SVG, for each test in `result` that has something to compare."""
    drawn = {}
    for test in _CHARTS:
        medians = result["medians"].get(test)
        if not medians:
            continue
        unit, less = TESTS[test].unit, TESTS[test].less_is_better
        bars = []
        for name, figures in sorted(medians.items(), key=lambda item: item[1][unit], reverse=not less):
            low, high = result["spread"][test][name]
            value = figures[unit]
            bars.append(Bar(CONTESTANTS[name].label, value, f"{table.number(value)}", low, high, _kind(name)))
        note = f"{unit}, {'less' if less else 'more'} is better; bars are medians, thin lines reach from least to most"
        drawn[f"bench-{test}.svg"] = chart.draw(TESTS[test].title, note, bars)
    return drawn


def where(result: dict[str, Any]) -> str:
    """A sentence about the machine, the versions and the command."""
    e = result["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in e["versions"].items())
    compiled = "compiled" if e["compiled"] else "not compiled"
    return (
        f"Taken {e['time'][:10]} on {e['processor']}, {e['cores']} cores, Linux {e['kernel']}, Python {e['python']}; "
        f"jsp {compiled}, {e['cipher']}. {versions}. `{e['command']}`"
    )


def _noise(result: dict[str, Any]) -> str:
    """A warning when the machine was busy; empty when it was not."""
    medians = [figures for contestants in result["medians"].values() for figures in contestants.values()]
    noise = statistics.median(m["others"] + m["steal"] for m in medians) if medians else 0.0
    if noise < _NOISE_MAX:
        return ""
    return (
        f"**The machine was busy: others took {noise:.0%} of its CPU time.** Rates are too low and times too long, "
        "those of programs that need much CPU time most of all. `make bench-peers` on a quiet machine replaces what is "
        "below."
    )


def markdown(result: dict[str, Any]) -> str:
    """What stands between the markers."""
    parts = [text for text in (where(result), _noise(result)) if text]
    for test, medians in result["medians"].items():
        if not medians:
            continue
        parts.append(f"### {TESTS[test].title}\n\n{TESTS[test].text}")
        if test in _CHARTS:
            parts.append(f"![{TESTS[test].title}]({IMAGES}/bench-{test}.svg)")
        parts.append(table.as_markdown(table.comparison(result, test)))
    if len(table.extra_ratios(result)) > 1:
        parts.append("### Variants\n\n" + table.as_markdown(table.extra_ratios(result)))
    if result["seals per packet"]:
        parts.append("### What a packet costs\n\n" + table.as_markdown(table.packet_costs(result)))
    if result["load"]:
        parts.append("### Many connections\n\n" + table.as_markdown(table.load(result)))
    remarks = [
        f"* {CONTESTANTS[name].label}: {text}" for kind in ("left out", "notes") for name, text in result[kind].items()
    ]
    if remarks:
        parts.append("### Remarks\n\n" + "\n".join(remarks))
    return "\n\n".join(parts)


def filled(page: str, result: dict[str, Any]) -> str:
    """`page` with the figures of `result` between its markers; ValueError when it has none."""
    return insert(page, markdown(result))


def insert(page: str, text: str) -> str:
    """`page` with `text` between its markers; ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the figures: {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def write_charts(drawn: dict[str, str], folder: Path, kind: str) -> None:
    """`drawn` into `folder`, and no `kind`-*.svg of another result."""
    folder.mkdir(exist_ok=True)
    for name, svg in drawn.items():
        (folder / name).write_text(svg)
    for old in folder.glob(f"{kind}-*.svg"):
        if old.name not in drawn:
            old.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("result", type=Path, help="JSON that `python -m benchmarks` wrote")
    args = parser.parse_args()
    try:
        result = json.loads(args.result.read_text())
        PAGE.write_text(filled(PAGE.read_text(), result))
        write_charts(charts(result), PAGE.parent / IMAGES, "bench")
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{args.result}: {error}")


if __name__ == "__main__":
    main()
