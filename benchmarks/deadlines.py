"""How many messages arrive before their deadline, with and without forward error correction, and what that costs.

Simulated on virtual time unless `--real` sends them through the link emulator (root). Extra bytes are UDP payload of
the sender, compared with the same messages on the same path without loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import mean

import jsp
from tests.netlab.dated import run_dated as run_real
from tests.netlab.emulator import Direction
from tests.netlab.lab import why_not
from tests.sim.dated import Traffic, run_dated
from tests.sim.link import LinkSpec


@dataclass(frozen=True)
class Setting:
    """Messages over a path with the same delay and loss both ways; the target is the first one."""

    text: str
    traffic: Traffic
    delay: float
    loss: float


_GAME = Traffic(count=5000)
_VOICE = Traffic(count=2000, gap=0.02, sizes=(80,), ttl=0.1)
SETTINGS = (
    Setting("500/s of 200 B in 50 ms, RTT 20 ms, 20 % loss", _GAME, 0.01, 0.2),
    Setting("the same, RTT 20 ms, 5 % loss", _GAME, 0.01, 0.05),
    Setting("the same, RTT 40 ms, 5 % loss", _GAME, 0.02, 0.05),
    Setting("the same, RTT 10 ms, 20 % loss", _GAME, 0.005, 0.2),
    Setting("50/s of 80 B in 100 ms, RTT 80 ms, 10 % loss", _VOICE, 0.04, 0.1),
)


@dataclass(frozen=True)
class Figures:
    """Of one run."""

    delays: list[float]
    sent_bytes: int
    repair_bytes: int


Run = Callable[[Setting, float, jsp.Config, int], Figures]


def _simulate(setting: Setting, loss: float, config: jsp.Config, seed: int) -> Figures:
    got = run_dated(seed, setting.traffic, LinkSpec(delay=setting.delay, loss=loss), config=config)
    return Figures(got.delays, got.sent_bytes, got.repair_bytes)


def _send(setting: Setting, loss: float, config: jsp.Config, seed: int) -> Figures:
    t = setting.traffic
    link = Direction(delay=setting.delay * 1e3, loss=loss)
    got = run_real(link, config, count=t.count, gap=t.gap, size=t.sizes[0], ttl=t.ttl, seed=seed)
    return Figures(sorted(got.delays), got.sent_bytes, got.repair_bytes)


def _row(name: str, setting: Setting, plain: list[Figures], lossy: list[Figures]) -> str:
    traffic = setting.traffic
    in_time = [sum(delay <= traffic.ttl + 1e-9 for delay in run.delays) / traffic.count for run in lossy]
    extra = [run.sent_bytes / base.sent_bytes - 1 for run, base in zip(lossy, plain, strict=True)]
    repairs = [run.repair_bytes / base.sent_bytes for run, base in zip(lossy, plain, strict=True)]
    delays = sorted(delay for run in lossy for delay in run.delays)
    p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    return (
        f"  {name:<16} in time {mean(in_time):7.2%} (worst {min(in_time):7.2%})   extra bytes {mean(extra):6.1%}"
        f" (repairs {mean(repairs):6.1%})   delay p50 {p50 * 1e3:5.1f} p99 {p99 * 1e3:5.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deadlines", description=__doc__)
    parser.add_argument("--real", action="store_true", help="real sockets and the link emulator (root)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each setting (default 5)")
    parser.add_argument("--congestion", default="bbr", help="the controller (default bbr)")
    parser.add_argument("--only", type=int, action="append", help="this setting only, from 1 on; may be repeated")
    args = parser.parse_args()
    if args.real and (reason := why_not()) is not None:
        sys.exit(f"there can be no emulated links here: {reason}")
    run: Run = _send if args.real else _simulate
    on = jsp.Config(congestion=args.congestion, max_datagram_size=1452)
    off = replace(on, repair=False)
    for number, setting in enumerate(SETTINGS, 1):
        if args.only and number not in args.only:
            continue
        print(f"{number}. {setting.text}", flush=True)
        plain = [run(setting, 0, off, seed) for seed in range(args.seeds)]
        for name, config in (("with repairs", on), ("without", off)):
            lossy = [run(setting, setting.loss, config, seed) for seed in range(args.seeds)]
            print(_row(name, setting, plain, lossy), flush=True)


if __name__ == "__main__":
    main()
