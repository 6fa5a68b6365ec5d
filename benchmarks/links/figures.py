"""What a run comes to: goodput, delay, retransmissions, fairness."""

from __future__ import annotations

import statistics

from benchmarks.links.flow import PERIOD, Arrivals
from benchmarks.links.running import Run
from benchmarks.process import significant

Sample = dict[str, float]

Samples = dict[str, Sample]
"""Of one round: "alone", and where they are measured "three" and "beside cubic"; empty when the contestant failed."""


def goodput(arrivals: Arrivals, begin: float, end: float) -> float:
    """Mbit/s of payload that arrived from `begin` to `end` (seconds by the clock; whole periods count)."""
    first, last = round(begin / PERIOD), round(end / PERIOD)
    return (
        sum(size for period, size in arrivals.items() if first <= period < last) * 8 / ((last - first) * PERIOD) / 1e6
    )


def median(rounds: list[Samples], kind: str, name: str) -> float | None:
    """Of one figure, over the rounds that have it."""
    values = [samples[kind][name] for samples in rounds if kind in samples]
    return statistics.median(values) if values else None


def jain(rates: list[float]) -> float:
    """Jain's index of fairness: 1 when all are alike, 1/n when one has it all."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0


def alone(run: Run) -> Sample:
    """Of the first flow, which has the link for itself.

    goodput, steady: Mbit/s of payload, from the first moment on, and in the second half. link: Mbit/s of IP in the
    second half. queueing p50, p95: milliseconds that packets waited for the link. retransmitted: share of the packets
    sent. lateness: the emulator's own, 99th percentile, milliseconds: a run is worth as much as this is small.
    """
    middle = (run.begin + run.end) / 2
    (counts,) = run.counts
    sample = {
        "goodput": goodput(run.arrivals[0], run.begin, run.end),
        "steady": goodput(run.arrivals[0], middle, run.end),
        "link": run.link["steady_bytes"] * 8 / (run.end - middle) / 1e6,
        "queueing p50": run.link["queueing_p50"],
        "queueing p95": run.link["queueing_p95"],
        "retransmitted": counts["retransmitted"] / max(1, counts["sent"]),
        "lateness": run.link["lateness_p99"],
        **run.noise,
    }
    return {name: significant(value) for name, value in sample.items()}


def together(run: Run, since: float) -> Sample:
    """Of several flows, `since` seconds after the begin: Jain's index, the first one's share, the sum in Mbit/s."""
    rates = [goodput(arrivals, run.begin + since, run.end) for arrivals in run.arrivals]
    total = sum(rates)
    sample = {"jain": jain(rates), "share": rates[0] / total if total else 0.0, "goodput": total, **run.noise}
    return {name: significant(value) for name, value in sample.items()}
