"""Measures jsp beside its limits, and with `--peers` others too: `make bench`, `make bench-peers`.

Absolute figures mean little on a shared machine: what counts is the ratio of two contestants in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import compiling, figures, rounds, table
from benchmarks.catalogue import LIMIT, TESTS, choose
from benchmarks.load import crowd
from benchmarks.process import ContestantError

RESULTS = Path(__file__).parent / "results"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="measure other transports and RPC libraries beside jsp")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are shown (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement (default 1)")
    parser.add_argument("--only", action="append", choices=(*TESTS, "load"), help="measure this only; may be repeated")
    parser.add_argument("--idle", type=int, default=crowd.IDLE, help=f"load: connections (default {crowd.IDLE:,})")
    parser.add_argument(
        "--live", type=int, default=crowd.LIVE, help=f"load: those that exchange messages (default {crowd.LIVE:,})"
    )
    parser.add_argument("-o", "--output", type=Path, help="where the JSON goes (default benchmarks/results/)")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or not 0 <= args.live <= args.idle:
        parser.error("rounds and seconds are above 0, and at most all connections are live")
    return args


def main() -> None:
    args = _arguments()
    tests = [test for test in TESTS if not args.only or test in args.only]
    names, left_out = choose(args.peers, tests)
    notes = {LIMIT: compiling.build()} if LIMIT in names else {}
    samples = rounds.measure(names, tests, args.rounds, args.seconds)
    samples.left_out.update(left_out)
    load = {} if args.only and "load" not in args.only else crowd.measure(args.idle, args.live)
    result = figures.summarise(samples, notes, load)
    table.print_all(result)
    output = args.output or RESULTS / f"{'peers' if args.peers else 'bench'}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {output}")
    try:
        samples.check_ours()
    except ContestantError as error:
        sys.exit(f"incomplete: {error}")


if __name__ == "__main__":
    main()
