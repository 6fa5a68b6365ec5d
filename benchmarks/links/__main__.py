"""Measures jsp, kernel TCP and aioquic over emulated links: `make bench-links`. Needs root."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.figures import environment
from benchmarks.links import figures, report
from benchmarks.links.catalogue import CONTESTANTS, CUBIC, FAST, LINKS, SECONDS, SHARED, Contestant, missing
from benchmarks.links.running import Flows, Run, run
from benchmarks.process import ContestantError
from benchmarks.rounds import show_progress
from tests.netlab.lab import why_not

OUTPUT = Path(__file__).parent.parent / "results" / "links.json"

# Of three flows of a kind, seconds between two beginnings.
_STAGGER = 3.0

# Seconds for flows to find their shares: BBR looks for more bandwidth every two or three, CUBIC every five.
_SHARING = 30.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.links", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds; medians are shown (default 3)")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="length of a run; slow links take more (default 20)"
    )
    parser.add_argument("--only", action="append", choices=tuple(LINKS), help="this link only; may be repeated")
    parser.add_argument("--who", action="append", choices=tuple(CONTESTANTS), help="this one only; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of loss and jitter, in the first round (default 1)")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="where the JSON goes (default %(default)s)")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds < 2:
        parser.error("at least one round of two seconds")
    return args


@dataclass(frozen=True)
class _Kind:
    """Something to measure of each contestant. Attributes: flows: who sends for it; seconds: how long."""

    name: str
    flows: Callable[[Contestant], Flows]
    seconds: float
    figures: Callable[[Run], figures.Sample]


def _kinds(link: str, seconds: float) -> Iterator[_Kind]:
    """What one does alone, and where the link is shared, with two of its kind and with CUBIC."""
    seconds = max(seconds, SECONDS.get(link, 0))
    yield _Kind("alone", lambda who: [(who, 0)], seconds, figures.alone)
    if link in SHARED:
        seconds = max(seconds, _SHARING)
        since = 2 * _STAGGER + seconds / 3
        three = partial(figures.together, since=since)
        yield _Kind("three", lambda who: [(who, i * _STAGGER) for i in range(3)], seconds + 2 * _STAGGER, three)
        two = partial(figures.together, since=seconds / 3)
        yield _Kind("beside cubic", lambda who: [(who, 0), (CONTESTANTS[CUBIC], 0)], seconds, two)


def _crowds(link: str, names: list[str]) -> list[list[str]]:
    """Who is measured at the same time, each over a link of its own."""
    return [[name] for name in names] if link in FAST else [names]


def main() -> None:
    args = _arguments()
    if (reason := why_not()) is not None:
        sys.exit(f"there can be no emulated links here: {reason}")
    reasons = {name: missing(contestant) for name, contestant in CONTESTANTS.items()}
    left_out = {CONTESTANTS[name].label: reason for name, reason in reasons.items() if reason}
    if reasons[CUBIC]:
        sys.exit("the kernel has no CUBIC to compare with")
    names = [name for name, reason in reasons.items() if not reason and (not args.who or name in args.who)]
    links = args.only or LINKS
    samples: dict[str, dict[str, list[figures.Samples]]] = {link: {name: [] for name in names} for link in links}
    result = {
        "environment": environment(),
        "rounds": 0,
        "seconds": args.seconds,
        "seed": args.seed,
        "samples": samples,
        "left out": left_out,
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    for number in range(args.rounds):
        for link in links:
            made: dict[str, figures.Samples] = {name: {} for name in names}
            for crowd, kind in itertools.product(_crowds(link, names), _kinds(link, args.seconds)):
                labels = [CONTESTANTS[name].label for name in crowd]
                show_progress(f"round {number + 1}/{args.rounds}: {LINKS[link].title}, {', '.join(labels)}")
                flows = [kind.flows(CONTESTANTS[name]) for name in crowd]
                runs = run(LINKS[link], flows, kind.seconds, args.seed + number)
                for name, label, found in zip(crowd, labels, runs, strict=True):
                    if isinstance(found, ContestantError):
                        left_out[f"{label}, {LINKS[link].title}, round {number + 1}"] = str(found)
                    else:
                        made[name][kind.name] = kind.figures(found)
            for name in names:
                samples[link][name].append(made[name])
        result["rounds"] = number + 1
        args.output.write_text(json.dumps(result, indent=1) + "\n")
    show_progress("")
    report.print_all(result)
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
