"""`jsp perf`: how fast a connection is, by iperf3's habits: a server, a client, lines each second, totals.

`perf_plan` has the protocol, `perf_load` the work, `perf_report` the lines; here are the arguments and the two
ends that put these together.
"""

from __future__ import annotations

import argparse
import json
import logging
from typing import Any

import jsp
from jsp.cli.common import (
    CommandError,
    UsageError,
    add_common_arguments,
    add_connect_arguments,
    add_listen_arguments,
    connect,
    describe,
    load_identity,
    parse_target,
    seconds,
    serve,
    server_trust,
    whole,
)
from jsp.cli.perf_load import Load, Result
from jsp.cli.perf_plan import MODES, PROTOCOL, STALL, STREAMS_MAX, Control, Plan
from jsp.cli.perf_report import JsonReport, TextReport, scaled

log = logging.getLogger("jsp.cli")

# A client that is connected and says nothing holds nobody up, but once it has begun it must go on.
_PLAN_TIMEOUT = 10.0


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp`."""
    text = "Measure throughput between two machines."
    parser = commands.add_parser("perf", help="throughput, retransmits, rtt, cwnd, cpu", description=text)
    ends = parser.add_subparsers(metavar="server|client", required=True)
    text = "Wait for clients, one test at a time."
    server = ends.add_parser("server", help="the end that waits", description=text)
    add_common_arguments(server, json_help="print the address, and then each test, as a JSON object on a line")
    _add_datagram_size(server)
    add_listen_arguments(server)
    server.set_defaults(command=perf_server)

    text = "Run a test with a `jsp perf server`. The client sends, unless told otherwise."
    client = ends.add_parser("client", help="the end that says what to do", description=text)
    add_common_arguments(client, json_help="print one JSON object at the end, built like iperf3's")
    client.add_argument("address", metavar="ADDRESS", help="jsp1...@HOST:PORT as `jsp perf server` printed it")
    way = client.add_mutually_exclusive_group()
    way.add_argument("-R", "--reverse", action="store_true", help="the server sends")
    way.add_argument("--bidir", action="store_true", help="both send at once")
    client.add_argument(
        "-P", "--streams", metavar="N", type=whole, help=f"this many streams at once, up to {STREAMS_MAX} (default: 1)"
    )
    client.add_argument(
        "-l", "--length", metavar="SIZE", type=size, help="bytes in one write (K, M: 1024s; default: 128K)"
    )
    client.add_argument("--messages", metavar="SIZE", type=size, help="send messages of this size instead of streams")
    client.add_argument(
        "--mode", choices=tuple(MODES), help="of messages; partial: of no use after 0.2 s (default: reliable)"
    )
    client.add_argument("-t", "--time", metavar="S", type=seconds, default=10.0, help="seconds to send (default: 10)")
    client.add_argument(
        "-i", "--interval", metavar="S", type=seconds, default=1.0, help="seconds between lines (default: 1)"
    )
    _add_datagram_size(client)
    add_connect_arguments(client)
    client.set_defaults(command=perf_client)


def _add_datagram_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--datagram-size",
        metavar="BYTES",
        type=datagram_size,
        help="largest datagram this end sends, 1200 to 65507; the path must carry it (default: found out)",
    )


def size(text: str) -> int:
    """An argument type: a number of bytes above 0, with K or M for 1024s."""
    factor = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:].upper(), 1)
    return whole(text[:-1] if factor > 1 else text) * factor


def datagram_size(text: str) -> int:
    """An argument type: what `Config.max_datagram_size` takes."""
    value = whole(text)
    try:
        jsp.Config(max_datagram_size=value)
    except jsp.LocalError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("Config.")) from None
    return value


def _config(args: argparse.Namespace) -> jsp.Config:
    # One stream more than the data's, for control.
    return jsp.Config(protocols=(PROTOCOL,), max_streams=STREAMS_MAX + 1, max_datagram_size=args.datagram_size)


# --- the client --------------------------------------------------------------------------------------------------


def perf_client(args: argparse.Namespace) -> None:
    """Run one test and report it."""
    plan = _plan(args)
    address = parse_target(args.address, args)
    report = JsonReport(plan) if args.json else TextReport(plan)
    with connect(address, args, _config(args)) as connection:
        control = Control(connection.open_stream(), plan.time + STALL)
        control.write(plan=plan.to_json())
        control.read("ready")
        report.start(connection)
        load = Load(
            connection,
            plan,
            sends=plan.client_sends,
            receives=plan.server_sends,
            streams=[connection.open_stream() for _ in range(plan.data_streams)],
            interval=args.interval,
            on_sample=report.interval,
        )
        report.end(*load.run(control))
        control.close()


def _plan(args: argparse.Namespace) -> Plan:
    if args.messages and (args.streams or args.length):
        raise UsageError("--messages: there are no streams then, and no --length but the messages'")
    if args.mode and not args.messages:
        raise UsageError("--mode says how surely messages arrive: give --messages SIZE with it")
    given = {name: getattr(args, name) for name in ("streams", "length", "messages", "mode") if getattr(args, name)}
    try:
        return Plan(time=args.time, reverse=args.reverse, bidir=args.bidir, **given)
    except ValueError as error:
        raise UsageError(str(error)) from None


# --- the server --------------------------------------------------------------------------------------------------


def perf_server(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    perf = PerfServer(args.json)
    trust = server_trust(args)
    identity = load_identity(args.identity)
    return serve(jsp.Server(args.listen, perf.handle, identity=identity, trust=trust, config=_config(args)), args)


class PerfServer:
    """Runs tests for clients, one at a time: two at once would measure each other."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._busy = False

    def handle(self, connection: jsp.Connection) -> None:
        """The life of one client's connection."""
        who = str(jsp.Address(*connection.remote_address[:2]))
        # Until the client opens its first stream it may be there for other reasons: `jsp ping`, for one.
        control = Control(connection.accept_stream(), _PLAN_TIMEOUT)
        if self._busy:
            control.write(error="another test is running; try again later")
            connection.close()
            return
        self._busy = True
        try:
            plan, mine, theirs = self._test(connection, control)
        except (OSError, CommandError) as error:
            log.warning("a test by %s was broken off: %s", who, describe(error))
            return
        finally:
            self._busy = False
        self._tell(who, plan, mine, theirs)
        # The client closes when it has our result.
        connection.wait_closed(_PLAN_TIMEOUT)

    def _test(self, connection: jsp.Connection, control: Control) -> tuple[Plan, Result, Result]:
        try:
            plan = Plan.from_json(control.read("plan"))
        except CommandError as error:
            control.write(error=str(error))
            raise
        control.allow(plan.time + STALL)
        control.write(ready=True)
        load = Load(
            connection,
            plan,
            sends=plan.server_sends,
            receives=plan.client_sends,
            streams=[connection.accept_stream(_PLAN_TIMEOUT) for _ in range(plan.data_streams)],
        )
        return plan, *load.run(control)

    def _tell(self, who: str, plan: Plan, mine: Result, theirs: Result) -> None:
        if self._json:
            line = {"client": who, "plan": plan.to_json(), "result": mine.to_json(), "remote": theirs.to_json()}
            print(json.dumps(line), flush=True)
            return
        for verb, count, time in (
            ("sent", sum(mine.sent), mine.seconds_sending),
            ("received", sum(mine.received), mine.seconds_receiving),
        ):
            if count:
                rate = scaled(8 * count / max(time, 1e-9), 1000)
                print(f"{who}: {verb} {scaled(count, 1024)}Bytes in {time:.2f} s, {rate}bits/sec", flush=True)
