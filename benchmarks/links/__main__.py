"""Measures jsp, kernel TCP and aioquic over emulated links: `make bench-links`. Needs root."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.figures import environment
from benchmarks.links import figures, report
from benchmarks.links.catalogue import CONTESTANTS, CUBIC, LINKS, PANTHEON, PLAIN, SECONDS, SHARED, Contestant, missing
from benchmarks.links.running import run
from benchmarks.process import ContestantError
from benchmarks.rounds import show_progress
from tests.netlab.lab import why_not

OUTPUT = Path(__file__).parent.parent / "results" / "links.json"

# Of three flows of a kind, seconds between two beginnings.
_STAGGER = 3.0

# Seconds for flows to find their shares: BBR looks for more bandwidth every two or three.
_SHARING = 18.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.links", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are shown (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="length of a run; slow links take more (default 10)"
    )
    parser.add_argument("--only", action="append", choices=tuple(LINKS), help="this link only; may be repeated")
    parser.add_argument("--pantheon", action="store_true", help="the eighteen emulators of Pantheon instead")
    parser.add_argument("--who", action="append", choices=tuple(CONTESTANTS), help="this one only; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of loss and jitter, in the first round (default 1)")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="where the JSON goes (default %(default)s)")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds < 2:
        parser.error("at least one round of two seconds")
    return args


def _measure(samples: figures.Samples, name: str, who: Contestant, seconds: float, seed: int) -> None:
    """Add what `who` does alone to `samples`, and where the link is shared, with two of its kind and with CUBIC."""
    link, seconds = LINKS[name], max(seconds, SECONDS.get(name, 0))
    samples["alone"] = figures.alone(run(link, [(who, 0)], seconds, seed))
    if name in SHARED:
        seconds = max(seconds, _SHARING)
        three = run(link, [(who, i * _STAGGER) for i in range(3)], seconds + 2 * _STAGGER, seed)
        samples["three"] = figures.together(three, 2 * _STAGGER + seconds / 3)
        two = run(link, [(who, 0), (CONTESTANTS[CUBIC], 0)], seconds, seed)
        samples["beside cubic"] = figures.together(two, seconds / 3)


def main() -> None:
    args = _arguments()
    if (reason := why_not()) is not None:
        sys.exit(f"there can be no emulated links here: {reason}")
    reasons = {name: missing(contestant) for name, contestant in CONTESTANTS.items()}
    left_out = {CONTESTANTS[name].label: reason for name, reason in reasons.items() if reason}
    if reasons[CUBIC]:
        sys.exit("the kernel has no CUBIC to compare with")
    names = [name for name, reason in reasons.items() if not reason and (not args.who or name in args.who)]
    links = args.only or (PANTHEON if args.pantheon else PLAIN)
    samples: dict[str, dict[str, list[figures.Samples]]] = {link: {name: [] for name in names} for link in links}
    for number in range(args.rounds):
        for link in links:
            for name in names:
                show_progress(f"round {number + 1}/{args.rounds}: {LINKS[link].title}, {CONTESTANTS[name].label}")
                made: figures.Samples = {}
                samples[link][name].append(made)
                try:
                    _measure(made, link, CONTESTANTS[name], args.seconds, args.seed + number)
                except ContestantError as failure:
                    left_out[f"{CONTESTANTS[name].label}, {LINKS[link].title}, round {number + 1}"] = str(failure)
    show_progress("")
    result = {
        "environment": environment(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "seed": args.seed,
        "samples": samples,
        "left out": left_out,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    report.print_all(result)
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
