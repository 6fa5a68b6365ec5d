"""What is measured and who takes part: the tests with their units, the contestants with what they need."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Test:
    """Something to measure.

    Attributes:
        title: for the head of a table or chart.
        unit: the figure that contestants are compared by; one of those that a contestant's `run` returns.
        less_is_better: whether a smaller figure wins.
        text: one sentence: what is done.
    """

    title: str
    unit: str
    text: str
    less_is_better: bool = False


TESTS = {
    "bulk": Test(
        "Bulk transfer, one stream",
        "MB/s",
        "The server writes to one stream as fast as it can, the client reads; 1,452-byte datagrams unless said "
        "otherwise (kernel TCP moves 64 KiB segments on loopback).",
    ),
    "rtt": Test(
        "Round trip of 64 bytes",
        "p50 us",
        "64 bytes there and back on a stream that is open, one at a time.",
        less_is_better=True,
    ),
    "messages": Test(
        "Messages of 64 bytes, one way",
        "messages/s",
        "One API call for each message, as fast as the API takes them; the clock stops when the server has all.",
    ),
    "handshakes": Test(
        "Handshakes, one after another",
        "handshakes/s",
        "Connect, make sure of it, go away. jsp's keys are hybrid post-quantum (X25519 + ML-KEM-768); those of aioquic "
        "and TLS are X25519 with a P-256 certificate.",
    ),
    "handshakes-8": Test(
        "Handshakes, eight at a time",
        "handshakes/s",
        "The same from eight greenlets or tasks: while one side computes for one of them, the other does for another. "
        "The bare operations of both sides are those of one core.",
    ),
    "calls": Test(
        "Calls with a small dict, one at a time",
        "calls/s",
        "A method that returns its argument is called with a dict of five entries. Only jsp encrypts.",
    ),
    "calls-64": Test(
        "Calls with a small dict, 64 callers",
        "calls/s",
        "The same from 64 greenlets or threads, each with one call at a time.",
    ),
    "calls-64k": Test(
        "Calls with 64 KiB, one at a time",
        "calls/s",
        "The same with 64 KiB of bytes, there and back.",
    ),
    "seal": Test(
        "Sealing 1,400 bytes",
        "us",
        "One `encrypt_into` of the cryptography package: the unit that CPU time per packet is counted in.",
        less_is_better=True,
    ),
}

_TRANSPORT = ("bulk", "rtt", "messages", "handshakes", "handshakes-8")
_CALLS = ("calls", "calls-64", "calls-64k")


@dataclass(frozen=True)
class Contestant:
    """Somebody who takes part.

    Attributes:
        label: the name in tables and charts.
        module: its module in `benchmarks.contestants`.
        tests: what it does.
        packages: what must be importable.
        environment: set for its processes.
        peer: takes part only when peers are asked for.
    """

    label: str
    module: str
    tests: tuple[str, ...]
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    peer: bool = False

    def missing(self) -> str | None:
        """The first package that is not installed."""
        return next((name for name in self.packages if importlib.util.find_spec(name) is None), None)


OURS = "jsp"
LIMIT = "limit"
BARE = "bare"

CONTESTANTS = {
    OURS: Contestant("jsp", "jsp_", _TRANSPORT),
    "jsp-rpc": Contestant("jsp.rpc", "rpc", _CALLS),
    LIMIT: Contestant("limit: no protocol", "limit", ("bulk",)),
    BARE: Contestant("limit: bare cryptography", "bare", ("handshakes", "handshakes-8", "seal")),
    "jsp-65000": Contestant("jsp, 65,000 B datagrams", "jsp_", ("bulk",), environment={"JSP_BENCH_DATAGRAM": "65000"}),
    "jsp-rpc-65000": Contestant(
        "jsp.rpc, 65,000 B datagrams", "rpc", ("calls-64k",), environment={"JSP_BENCH_DATAGRAM": "65000"}
    ),
    "jsp-pure": Contestant("jsp, pure Python", "jsp_", ("bulk",), environment={"JSP_PURE": "1"}),
    "aioquic": Contestant("aioquic", "aioquic_", _TRANSPORT, ("aioquic",), peer=True),
    "qh3": Contestant("qh3", "qh3_", _TRANSPORT, ("qh3",), peer=True),
    "tls": Contestant("gevent TLS 1.3 over TCP", "tls", _TRANSPORT, peer=True),
    "tcp": Contestant("gevent TCP, no encryption", "tcp", _TRANSPORT, peer=True),
    "grpc": Contestant("gRPC, no encryption", "grpc_", _CALLS, ("grpc",), peer=True),
    "pyro5": Contestant("Pyro5, no encryption", "pyro5", _CALLS, ("Pyro5",), peer=True),
    "zerorpc": Contestant("zerorpc, no encryption", "zerorpc_", _CALLS, ("zerorpc",), peer=True),
}


def ours(test: str) -> str:
    """The contestant of ours that others are compared with in `test`."""
    return "jsp-rpc" if test in _CALLS else OURS


def choose(peers: bool, tests: list[str]) -> tuple[list[str], dict[str, str]]:
    """Who takes part in `tests`: names, and for those left out the reason."""
    chosen, left_out = [], {}
    for name, contestant in CONTESTANTS.items():
        if (contestant.peer and not peers) or not set(contestant.tests) & set(tests):
            continue
        missing = contestant.missing()
        if missing is None:
            chosen.append(name)
        else:
            left_out[name] = f"{missing} is not installed"
    return chosen, left_out
