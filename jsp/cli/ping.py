"""`jsp ping`: authenticated round trips to any server of this protocol, reported as ping(8) does.

A round trip is a PING frame and its acknowledgement inside an established connection, so an answer proves that the
peer holds the connection's keys. Nothing of any application is spoken; the handshake offers every application
protocol of this project only so that whatever is there takes the connection.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import gevent

import jsp
from jsp.cli.common import (
    KNOWN_PROTOCOLS,
    CommandError,
    add_common_arguments,
    add_connect_arguments,
    connect,
    parse_target,
    seconds,
    whole,
    without_key,
)
from jsp.net import clock


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp`."""
    text = "Measure authenticated round trips to a server until Ctrl-C, or as often as -c says."
    parser = commands.add_parser("ping", help="authenticated round trips with min/avg/max", description=text)
    add_common_arguments(parser, json_help="print one JSON object at the end; times are milliseconds, null when lost")
    parser.add_argument("address", metavar="ADDRESS", help="jsp1...@HOST:PORT as the server printed it, or HOST:PORT")
    parser.add_argument("-c", "--count", metavar="N", type=whole, help="stop after this many (default: never)")
    parser.add_argument(
        "-i", "--interval", metavar="SECONDS", type=seconds, default=1.0, help="time between two (default: 1)"
    )
    add_connect_arguments(parser)
    parser.set_defaults(command=ping)


def ping(args: argparse.Namespace) -> int:
    """Connect, measure, report. Returns 1 when there was no answer at all."""
    address = parse_target(args.address, args)
    # Long intervals must not look like a peer that has gone.
    config = jsp.Config(protocols=KNOWN_PROTOCOLS, keep_alive=10.0)
    report = Report(address, args.json)
    with connect(address, args, config) as connection:
        report.start(connection)
        try:
            _measure(connection, args, report)
        except KeyboardInterrupt:
            # How ping is meant to be ended; what was measured is what its user waits for.
            pass
        except jsp.ConnectionClosed as error:
            report.finish()
            raise CommandError(str(error)) from None
    return report.finish()


def _measure(connection: jsp.Connection, args: argparse.Namespace, report: Report) -> None:
    begin = clock.now()
    number = 0
    while True:
        number += 1
        try:
            report.add(connection.ping(args.timeout))
        except jsp.Timeout:
            report.add(None)
        if number == args.count:
            return
        gevent.sleep(max(0.0, begin + number * args.interval - clock.now()))


class Report:
    """What was measured, as text while it happens or as JSON at the end."""

    def __init__(self, address: jsp.Address, as_json: bool) -> None:
        self._address = without_key(address)
        self._json = as_json
        self._peer = ""
        self._protocol = ""
        self._sent = 0
        self._answered = 0
        self._sum = 0.0
        self._squares = 0.0
        self._least = math.inf
        self._most = 0.0
        # Every one of them, but only for those who asked for it: a ping may run for months.
        self._times: list[float | None] = []

    def start(self, connection: jsp.Connection) -> None:
        """The connection is there."""
        self._peer = str(connection.peer)
        self._protocol = connection.negotiated["protocol"]
        if not self._json:
            kem, cipher = connection.negotiated["kem"], connection.negotiated["cipher"]
            print(f"PING {self._address}: {self._protocol}, {kem}, {cipher}", flush=True)

    def add(self, time: float | None) -> None:
        """A round trip took `time` seconds, or (None) there was no answer."""
        self._sent += 1
        if time is not None:
            self._answered += 1
            self._sum += time
            self._squares += time * time
            self._least = min(self._least, time)
            self._most = max(self._most, time)
        if self._json:
            self._times.append(None if time is None else _milli(time))
        else:
            outcome = "no answer" if time is None else f"time={time * 1e3:.3f} ms"
            print(f"seq={self._sent} {outcome}", flush=True)

    def finish(self) -> int:
        """Print the summary. Returns the exit status: 1 when there was no answer at all."""
        lost = 100 * (1 - self._answered / self._sent) if self._sent else 0.0
        summary = self._summary()
        if self._json:
            document = {
                "address": self._address,
                "peer": self._peer,
                "protocol": self._protocol,
                "sent": self._sent,
                "answered": self._answered,
                "lost_percent": round(lost, 3),
                "rtt_ms": summary,
                "times_ms": self._times,
            }
            print(json.dumps(document), flush=True)
        else:
            print(f"--- {self._address} ---")
            print(f"{self._sent} sent, {self._answered} answered, {lost:.3g}% lost")
            if summary is not None:
                print("rtt min/avg/max/mdev = " + "/".join(f"{value:.3f}" for value in summary.values()) + " ms")
        return 0 if self._answered else 1

    def _summary(self) -> dict[str, float] | None:
        """Least, mean, greatest, and standard deviation (which ping calls mdev), in milliseconds; None for no times."""
        if not self._answered:
            return None
        mean = self._sum / self._answered
        deviation = math.sqrt(max(0.0, self._squares / self._answered - mean * mean))
        return {
            "min": _milli(self._least), "avg": _milli(mean), "max": _milli(self._most), "mdev": _milli(deviation),
        }  # fmt: skip


def _milli(seconds: float) -> float:
    return round(seconds * 1e3, 4)
