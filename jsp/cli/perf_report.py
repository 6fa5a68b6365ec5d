"""What `jsp perf` prints: lines like iperf3's, or one JSON object of the same build (start, intervals, end).

Retransmits, round trip and congestion window belong to the connection, which all streams share, so they stand in
the sums and not beside single streams. Units are iperf3's: transfers count in 1024s, rates in 1000s; in JSON bytes,
seconds, bits a second and, for round trips, microseconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jsp
from jsp.cli.perf_load import Result, Sample
from jsp.cli.perf_plan import PROTOCOL, Plan
from jsp.net import clock

_RULE = "- " * 25


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a test that is over: what its sender and what its receiver counted."""

    name: str
    sender: Result
    receiver: Result


def flows(plan: Plan, client: Result, server: Result) -> list[Flow]:
    """The directions that `plan` has."""
    found = []
    if plan.client_sends:
        found.append(Flow("TX", client, server))
    if plan.server_sends:
        found.append(Flow("RX", server, client))
    return found


# --- text --------------------------------------------------------------------------------------------------------


def scaled(value: float, base: int) -> str:
    """`value` with three digits and the prefix that fits: 1.21 G, 941 M, 0.00 (and a space for the unit)."""
    prefixes = ["T", "G", "M", "K", ""]
    while value >= 999.5 and len(prefixes) > 1:
        value /= base
        prefixes.pop()
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {prefixes[-1]}"


class TextReport:
    """Prints each interval as it ends."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Which directions have lines, by the client's point of view.
        self._sides = [side for side, there in (("TX", plan.client_sends), ("RX", plan.server_sends)) if there]

    def start(self, connection: jsp.Connection) -> None:
        """The test begins."""
        facts = connection.negotiated
        host, port = connection.remote_address[:2]
        mtu = connection.stats().mtu
        print(f"connected to {connection.peer}")
        print(f"at {host} port {port}: {facts['kem']}, {facts['cipher']}, datagrams of {mtu} bytes to begin with")
        amount = "Messages     Rate        " if self._plan.messages else ""
        print(f"[ ID] Interval            {amount}Transfer     Bitrate         Retr   RTT       Cwnd", flush=True)

    def interval(self, before: Sample, now: Sample) -> None:
        """An interval is over."""
        for side in self._sides:
            sending = side == "TX"
            past, present = (before.sent, now.sent) if sending else (before.received, now.received)
            sizes = [b - a for a, b in zip(past, present, strict=True)]
            messages = now.messages_sent - before.messages_sent
            if not sending:
                messages = now.messages_received - before.messages_received
            path = ""
            if sending:
                lost = now.lost - before.lost
                path = f"{lost:5d}  {now.rtt * 1e3:6.2f} ms  {scaled(now.cwnd, 1024)}Bytes"
            if len(sizes) > 1:
                for number, size in enumerate(sizes, 1):
                    self._line(f"{number:3d}", before.time, now.time, size, 0, "")
            self._line(self._label(side), before.time, now.time, sum(sizes), messages, path)

    def _label(self, side: str) -> str:
        if self._plan.bidir:
            return f" {side}"
        if self._plan.messages:
            return "MSG"
        return "SUM" if self._plan.streams > 1 else "  1"

    def _line(self, label: str, start: float, end: float, size: int, messages: int, rest: str) -> None:
        seconds = max(end - start, 1e-9)
        amount = ""
        if self._plan.messages:
            amount = f"{messages:9d}  {scaled(messages / seconds, 1000):>6}/s    "
        span = f"{start:6.2f}-{end:<6.2f}"
        transfer = f"{scaled(size, 1024):>6}Bytes"
        rate = f"{scaled(8 * size / seconds, 1000):>6}bits/sec"
        print(f"[{label}] {span} sec  {amount}{transfer:>11}  {rate:>15}  {rest}".rstrip(), flush=True)

    def end(self, mine: Result, theirs: Result) -> None:
        """The test is over."""
        print(_RULE)
        for flow in flows(self._plan, mine, theirs):
            sender, receiver = flow.sender, flow.receiver
            label = self._label(flow.name)
            rest = f"{sender.retransmits:5d}  sender"
            self._line(label, 0, sender.seconds_sending, sum(sender.sent), sender.messages_sent, rest)
            rest = "       receiver"
            self._line(label, 0, receiver.seconds_receiving, sum(receiver.received), receiver.messages_received, rest)
            if self._plan.messages and sender.messages_sent:
                share = 100 * receiver.messages_received / sender.messages_sent
                print(f"[{label}] {receiver.messages_received} of {sender.messages_sent} delivered ({share:.4g}%)")
        for who, end in (("here", mine), ("there", theirs)):
            total = end.cpu_user + end.cpu_system
            print(f"CPU {who}: {total:.1f}% (user {end.cpu_user:.1f}%, system {end.cpu_system:.1f}%)")


# --- JSON --------------------------------------------------------------------------------------------------------


def _span(start: float, end: float, size: int) -> dict[str, Any]:
    seconds = max(end - start, 1e-9)
    return {"start": start, "end": end, "seconds": seconds, "bytes": size, "bits_per_second": 8 * size / seconds}


def _messages(part: dict[str, Any], messages: int) -> dict[str, Any]:
    return {"messages": messages, "messages_per_second": messages / part["seconds"]}


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)


class JsonReport:
    """Collects all, prints one object at the end."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Whether the client sends in the directions there are.
        self._ways = [sends for sends, there in ((True, plan.client_sends), (False, plan.server_sends)) if there]
        self._document: dict[str, Any] = {"start": {}, "intervals": [], "end": {}}

    def start(self, connection: jsp.Connection) -> None:
        """The test begins."""
        plan = self._plan
        local, remote = connection.local_address, connection.remote_address
        where = {"local_host": local[0], "local_port": local[1], "remote_host": remote[0], "remote_port": remote[1]}
        self._document["start"] = {
            "connected": [where],
            "version": f"jsp {jsp.__version__}",
            "timestamp": {"timesecs": clock.wall_time()},
            "peer": str(connection.peer),
            "negotiated": connection.negotiated,
            "test_start": {
                "protocol": PROTOCOL,
                "num_streams": plan.data_streams,
                "blksize": plan.messages or plan.length,
                "duration": plan.time,
                "reverse": int(plan.reverse),
                "bidir": int(plan.bidir),
                "messages": plan.messages,
                "mode": plan.mode if plan.messages else None,
            },
        }

    def interval(self, before: Sample, now: Sample) -> None:
        """An interval is over."""
        sums = []
        rows = []
        for sends in [
            way for way, there in ((True, self._plan.client_sends), (False, self._plan.server_sends)) if there
        ]:
            past, present = (before.sent, now.sent) if sends else (before.received, now.received)
            sizes = [b - a for a, b in zip(past, present, strict=True)]
            for number, size in enumerate(sizes, 1):
                rows.append({"socket": number, **_span(before.time, now.time, size), "sender": sends})
            total = _span(before.time, now.time, sum(sizes))
            if self._plan.messages:
                old, new = before.messages_sent, now.messages_sent
                if not sends:
                    old, new = before.messages_received, now.messages_received
                total.update(_messages(total, new - old))
            if sends:
                total.update(
                    retransmits=now.lost - before.lost,
                    snd_cwnd=now.cwnd,
                    rtt=_micro(now.rtt),
                    rttvar=_micro(now.rtt_variance),
                    pmtu=now.mtu,
                )
            sums.append({**total, "sender": sends})
        entry = {"streams": rows, "sum": sums[0]}
        if len(sums) > 1:
            entry["sum_bidir_reverse"] = sums[1]
        self._document["intervals"].append(entry)

    def end(self, mine: Result, theirs: Result) -> None:
        """The test is over."""
        end: dict[str, Any] = {"streams": []}
        for flow, suffix in zip(flows(self._plan, mine, theirs), ("", "_bidir_reverse"), strict=False):
            sender, receiver = flow.sender, flow.receiver
            for number, (sent, received) in enumerate(zip(sender.sent, receiver.received, strict=True), 1):
                row = {
                    "sender": {"socket": number, **_span(0, sender.seconds_sending, sent)},
                    "receiver": {"socket": number, **_span(0, receiver.seconds_receiving, received)},
                }
                end["streams"].append(row)
            out = _span(0, sender.seconds_sending, sum(sender.sent))
            into = _span(0, receiver.seconds_receiving, sum(receiver.received))
            if self._plan.messages:
                out.update(_messages(out, sender.messages_sent))
                into.update(_messages(into, receiver.messages_received))
            out.update(
                retransmits=sender.retransmits,
                max_snd_cwnd=sender.cwnd_max,
                min_rtt=_micro(sender.rtt_min),
                mean_rtt=_micro(sender.rtt_mean),
                max_rtt=_micro(sender.rtt_max),
            )
            end["sum_sent" + suffix] = out
            end["sum_received" + suffix] = into
        end["cpu_utilization_percent"] = _cpu("host", mine) | _cpu("remote", theirs)
        self._document["end"] = end
        print(json.dumps(self._document), flush=True)


def _cpu(who: str, result: Result) -> dict[str, float]:
    return {
        f"{who}_total": result.cpu_user + result.cpu_system,
        f"{who}_user": result.cpu_user,
        f"{who}_system": result.cpu_system,
    }
