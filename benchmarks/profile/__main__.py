"""Shows where the time of a packet goes on either side, in bulk and in small round trips: `make profile`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict

from benchmarks import table
from benchmarks.process import ContestantError
from benchmarks.profile import Cost, Profile, sampling, tracing

TESTS = ("bulk", "rtt")
_SIDES = {
    "bulk": {"server": ("sender", "tx us/packet"), "client": ("receiver", "rx us/packet")},
    "rtt": {"server": ("who answers", ""), "client": ("who asks", "")},
}
_ROOM_SHARE_MIN = 0.005


def rooms(costs: list[Cost]) -> list[tuple[str, float]]:
    """Shares by room, greatest first."""
    shares: defaultdict[str, float] = defaultdict(float)
    for cost in costs:
        shares[cost.room] += cost.share
    return sorted(shares.items(), key=lambda item: -item[1])


def _rows(head: str, shares: list[tuple[str, float]], cost: float | None) -> table.Rows:
    rows = [[head, "share", *([] if cost is None else ["us/packet"])]]
    for name, share in shares:
        rows.append([name, f"{share:.1%}", *([] if cost is None else [f"{share * cost:.2f}"])])
    return rows


def _functions(costs: list[Cost], count: int) -> list[tuple[str, float]]:
    return [(f"{cost.room}  {cost.function}", cost.share) for cost in costs[:count]]


def show(side: str, profile: Profile, cost: float | None, count: int) -> None:
    """Print tables by room and of the `count` costliest functions. `cost`: CPU us of a packet, if that is known."""
    total = "" if cost is None else f", {cost:.2f} us of CPU time a packet"
    print(f"\n{side}{total}")
    by_room = [(room, share) for room, share in rooms(profile.own) if share >= _ROOM_SHARE_MIN]
    answerable = _functions(profile.answerable, count)
    for head, shares in (
        ("where", by_room),
        ("compiled function, with what it calls outside of jsp", answerable),
        ("function, without what it calls", _functions(profile.own, count)),
    ):
        if shares:
            print(f"\n{table.as_text(_rows(head, shares, cost))}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--only", action="append", choices=TESTS, help="profile this only")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long (default 4)")
    parser.add_argument("--functions", type=int, default=25, help="how many functions to list (default 25)")
    parser.add_argument("--pure", action="store_true", help="trace the Python sources with cProfile instead of perf")
    args = parser.parse_args()
    use_perf = not args.pure and sampling.available()
    for test in args.only or TESTS:
        try:
            profiles, figures = (sampling if use_perf else tracing).measure(test, args.seconds)
        except (subprocess.CalledProcessError, ContestantError) as error:
            sys.exit(f"{test} could not be profiled: {error}")
        how = "perf" if use_perf else "cProfile on the Python sources (no perf, or not asked for)"
        print(f"\n== {test}, by {how}: " + ", ".join(f"{table.number(v)} {k}" for k, v in figures.items()))
        for process, (side, unit) in _SIDES[test].items():
            show(side, profiles[process], figures.get(unit), args.functions)


if __name__ == "__main__":
    main()
