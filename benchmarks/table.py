"""A result as tables: for a terminal, and as Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.catalogue import CONTESTANTS, TESTS, ours

Rows = list[list[str]]

LOAD_UNITS = {
    "connections": "connections",
    "handshakes/s": "handshakes a second while they were set up (all cores)",
    "bytes/connection": "bytes of server memory for an idle connection",
    "bytes/asleep": "bytes of server memory for one that sleeps, after 15 seconds of silence",
    "idle cpu": "of a core used by the server while all sleep",
    "live": "connections exchange a message a second each",
    "messages/s": "messages a second answered",
    "p50 ms": "ms from sending to answer, median",
    "p99 ms": "ms, 99th percentile",
    "live cpu": "of a core used by the server meanwhile",
    "clients cpu": "of a core used by each client process",
    "missing": "messages not answered",
    "steal": "of CPU time kept by the hypervisor",
    "others": "of CPU time used by other programs",
}
_SHARES = ("idle cpu", "live cpu", "clients cpu", "steal", "others")


def number(value: float) -> str:
    """Three digits that count; whole numbers whole."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def comparison(result: dict[str, Any], test: str) -> Rows:
    """A head, then a row for each contestant of `test`."""
    medians = result["medians"][test]
    unit = TESTS[test].unit
    all_keys = dict.fromkeys(key for figures in medians.values() for key in figures)
    more = [key for key in all_keys if key not in (unit, "steal", "others")]
    mine = ours(test)
    compared = mine in medians
    rows = [["", unit, "least to greatest", *more, *(["jsp is"] if compared else []), "others, steal"]]
    for name, figures in medians.items():
        low, high = result["spread"][test][name]
        row = [CONTESTANTS[name].label, number(figures[unit]), f"{number(low)} to {number(high)}"]
        row += [number(figures[key]) if key in figures else "" for key in more]
        if compared:
            ratio = result["ratios"].get(f"{test}: {mine} / {name}")
            row.append("" if ratio is None else f"{ratio:.2f} x")
        rows.append([*row, f"{figures['others']:.0%}, {figures['steal']:.0%}"])
    return rows


def extra_ratios(result: dict[str, Any]) -> Rows:
    """What our variants are to others, and what a packet costs."""
    rows = [["", "jsp is"]]
    for key, ratio in result["ratios"].items():
        test, _, pair = key.partition(": ")
        first, _, second = pair.partition(" / ")
        if first != ours(test):
            rows.append([f"{test}: {CONTESTANTS[first].label}, to {CONTESTANTS[second].label}", f"{ratio:.2f} x"])
    return rows


def packet_costs(result: dict[str, Any]) -> Rows:
    """CPU time of a packet in seals."""
    rows = [["CPU time of a packet, in seals of 1,400 bytes", "sender", "receiver"]]
    for name, costs in result["seals per packet"].items():
        rows.append([CONTESTANTS[name].label, *(f"{value:.2f}" for value in costs.values())])
    return rows


def load(result: dict[str, Any]) -> Rows:
    """The load test."""
    rows = [["", ""]]
    for key, text in LOAD_UNITS.items():
        if key in result["load"]:
            value = result["load"][key]
            rows.append([f"{value:.1%}" if key in _SHARES else number(value), text])
    return rows


def as_text(rows: Rows) -> str:
    """Columns for a terminal: the first to the left, the rest to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        lines.append("  " + "  ".join([first, *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]))
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(rows: Rows) -> str:
    """A Markdown table."""
    rule = ["---", *("--:" for _ in rows[0][1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])


def print_all(result: dict[str, Any]) -> None:
    """The whole result on the terminal."""
    for test in result["medians"]:
        if result["medians"][test]:
            print(f"\n{TESTS[test].title}\n{as_text(comparison(result, test))}")
    if len(extra_ratios(result)) > 1:
        print(f"\nVariants\n{as_text(extra_ratios(result))}")
    if result["seals per packet"]:
        print(f"\n{as_text(packet_costs(result))}")
    if result["load"]:
        print("\nMany connections")
        for value, text in load(result)[1:]:
            print(f"  {value:>10} {text}")
    for kind in ("left out", "notes"):
        for name, text in result[kind].items():
            print(f"\n{kind}: {CONTESTANTS[name].label}: {text}", end="")
    print()
