"""`jsp-rpc bench`: how many small calls a second a server answers, and how long one takes."""

from __future__ import annotations

import argparse
import json
import time
from array import array
from typing import Any

import gevent

import jsp.rpc
from jsp.cli.common import add_common_arguments, seconds, whole

from .client import add_address_arguments, open_client

# What goes there and back: the kind of thing that calls carry.
_SAMPLE = {"id": 12345, "name": "alice", "tags": ["a", "b"], "value": 1.5, "ok": True}
_METHOD = "jsp.echo"


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp-rpc`."""
    text = (
        "Call a method that every server has, which sends back its argument, from N greenlets on one connection, each "
        "with one call at a time, and report calls a second and how long calls took."
    )
    parser = commands.add_parser("bench", help="measure calls a second", description=text)
    add_common_arguments(parser, json_help="print one JSON object; times are microseconds")
    add_address_arguments(parser)
    parser.add_argument("--callers", metavar="N", type=whole, default=1, help="calls at a time (default: 1)")
    parser.add_argument("--time", metavar="SECONDS", type=seconds, default=5.0, help="how long (default: 5)")
    parser.set_defaults(command=bench)


def bench(args: argparse.Namespace) -> None:
    """Measure and report."""
    with open_client(args) as client:
        client.call(_METHOD, _SAMPLE, timeout=args.timeout)
        result = measure(client, args.callers, args.time)
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"{result['calls']} calls in {result['seconds']} s by {result['callers']}: "
        f"{result['calls_per_second']:.0f} calls/s, "
        f"p50 {result['p50_us']:.0f} us, p99 {result['p99_us']:.0f} us, most {result['max_us']:.0f} us"
    )


def measure(client: jsp.rpc.Client, callers: int, duration: float) -> dict[str, Any]:
    """Call for `duration` seconds from `callers` greenlets; the figures."""
    times = array("d")
    now = time.perf_counter
    begin = now()
    end = begin + duration

    def caller() -> None:
        call, note = client.call, times.append
        started = now()
        while started < end:
            call(_METHOD, _SAMPLE)
            stopped = now()
            note(stopped - started)
            started = stopped

    gevent.joinall([gevent.spawn(caller) for _ in range(callers)], raise_error=True)
    elapsed = now() - begin
    ordered = sorted(times)
    return {
        "callers": callers,
        "seconds": round(elapsed, 3),
        "calls": len(ordered),
        "calls_per_second": round(len(ordered) / elapsed, 1),
        "p50_us": _percentile(ordered, 0.50),
        "p99_us": _percentile(ordered, 0.99),
        "max_us": _percentile(ordered, 1.0),
    }


def _percentile(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6, 1)
