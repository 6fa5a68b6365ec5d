"""Measures what headers cost, in bytes: `make bench-headers`. Counts are exact and the same on every machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.figures import environment
from benchmarks.headers import figures, report
from benchmarks.headers.mix import load
from benchmarks.rounds import show_progress
from benchmarks.table import as_text


def measure(quick: bool) -> dict[str, Any]:
    """All figures; `quick`: without those for which a million messages or a GiB must pass first."""
    result: dict[str, Any] = {"environment": environment(), "mixes": {}}
    for name in (*figures.CALLS, figures.BULK):
        mix = load(name)
        found = {}
        for loss in figures.LOSSES:
            show_progress(f"{name}, {loss:.0%} lost")
            found[str(loss)] = figures.headers(mix, loss)
        result["mixes"][name] = {"what": mix.what, "messages": mix.messages(), "losses": found}
    parts = [figures.coalescing, figures.acknowledging, figures.allocations, figures.cost]
    for part in parts if quick else [*parts, figures.further, figures.far]:
        show_progress(part.__name__)
        result[part.__name__] = part()
    show_progress("")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.headers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out what comes after a GiB and a million messages")
    parser.add_argument("-o", "--output", type=Path, default=report.RESULTS, help="where the JSON goes")
    args = parser.parse_args()
    result = measure(args.quick)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    for title, rows in report.tables(result):
        print(f"\n{title}\n\n{as_text(rows)}")
    print(f"\nwritten to {args.output}")


if __name__ == "__main__":
    main()
