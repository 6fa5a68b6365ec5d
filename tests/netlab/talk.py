"""The tests' side of `pieces.py`: start its programs in a lab, give them commands, and judge what arrived."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.netlab.lab import Hosts
from tests.netlab.support import IDENTITY, PORT


@dataclass(frozen=True)
class Deliveries:
    """When the pieces of a stream were sent and delivered: monotonic seconds, in the order of the stream."""

    sent: list[float]
    delivered: list[float]

    @property
    def seconds(self) -> float:
        """From the first that was sent to the last that was delivered."""
        return self.delivered[-1] - self.sent[0]

    def gap(self, after: float = float("-inf"), before: float = float("inf")) -> float:
        """The longest time without a delivery, seconds, of those that end after `after` and begin before `before`."""
        pairs = zip(self.delivered, self.delivered[1:], strict=False)
        return max((late - early for early, late in pairs if late > after and early < before), default=0.0)

    def told(self, *moments: float) -> str:
        """For the message of an assertion: the longest gap in the time after each of `moments`, and of all."""
        ends = (*moments[1:], float("inf"))
        after = ", ".join(f"{self.gap(*span) * 1e3:.0f}" for span in zip(moments, ends, strict=True))
        return f"gaps after what was done: {after} ms; longest of all: {self.gap() * 1e3:.0f} ms"


class End:
    """A program of `pieces.py` that runs."""

    def __init__(self, hosts: Hosts, host: str, *words: str) -> None:
        self._program: subprocess.Popen[str] = hosts.start(host, [sys.executable, "-m", "tests.netlab.pieces", *words])
        self.ready: Any = self._answer()

    def _answer(self) -> Any:
        assert self._program.stdout is not None
        line = self._program.stdout.readline()
        answer = json.loads(line or '{"error": "the program ended"}')
        assert "error" not in answer, answer["error"]
        return answer["is"]

    def ask(self, *command: object) -> Any:
        """Give a command; its answer."""
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps(command) + "\n")
        self._program.stdin.flush()
        return self._answer()

    def deliveries(self) -> Deliveries:
        """What this end got."""
        pieces = self.ask("pieces")
        return Deliveries([sent for _, sent, _ in pieces], [delivered for _, _, delivered in pieces])


class Pair:
    """A server and a client that is connected to it.

    Args:
        hosts: the lab, with hosts called `server` and `client`.
        addresses: the server's, that its name means to the client.
        config: fields of `jsp.Config`, for both.
    """

    def __init__(self, hosts: Hosts, *addresses: str, config: Mapping[str, object] | None = None) -> None:
        settings = json.dumps(config or {})
        self.server = End(hosts, "server", "serve", "::", str(PORT), settings)
        self.client = End(hosts, "client", "call", f"{IDENTITY.peer_id}@server:{PORT}", settings, *addresses)

    def begin(self, way: str, count: int, size: int = 1000, every: float = 0.01) -> None:
        """Begin to send pieces "up" or "down"."""
        self._way, self._count = way, count
        self.client.ask("transfer", way, count, size, every)

    def end(self, timeout: float) -> Deliveries:
        """Wait until all pieces are there."""
        limit = time.monotonic() + timeout
        self.client.ask("wait", timeout)
        receiver = self.client if self._way == "down" else self.server
        while len((got := receiver.deliveries()).sent) < self._count:
            assert time.monotonic() < limit, f"{len(got.sent)} of {self._count} pieces are there"
            time.sleep(0.02)
        return got


def judge(got: Deliveries, most: float, *moments: float) -> None:
    """No gap is longer than `most` seconds. (`pytest -rP` shows the figures of tests that pass.)"""
    told = f"{got.seconds:.1f} s, {got.told(*moments)}"
    print(told)
    assert got.gap() < most, told


def hosts(pair: Pair) -> list[str]:
    """Where the server sees its clients."""
    return [remote[0].removeprefix("::ffff:") for remote in pair.server.ask("remote")]
