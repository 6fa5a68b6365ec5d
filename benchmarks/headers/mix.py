"""Traffic as a file: who writes how much to which channel, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MIXES = Path(__file__).parent.parent / "mixes"


class Write(NamedTuple):
    """What one `side` (0: the client) hands over at once.

    On the channel "message": that many messages of `size` bytes each; else `size` bytes of a stream, in which there are
    so many messages of whoever wrote them. Made `wait` seconds after write number `after`, which is the other side's,
    has arrived; -1: after the beginning.
    """

    side: int
    channel: str
    size: int
    messages: int
    after: int
    wait: float


@dataclass
class Mix:
    """Writes in the order they were made."""

    name: str
    what: str
    writes: list[Write]

    def messages(self) -> int:
        """What its applications call a message: requests and replies of RPC, messages; one of a bulk stream."""
        return sum(write.messages for write in self.writes)

    def to_json(self) -> str:
        """A line a write."""
        lines = ",\n".join(json.dumps(list(write)) for write in self.writes)
        head = json.dumps({"name": self.name, "what": self.what, "fields": list(Write._fields)})
        return f'{head[:-1]}, "writes": [\n{lines}\n]}}\n'


def load(name: str) -> Mix:
    """The mix of that name."""
    found = json.loads((MIXES / f"{name}.json").read_text())
    return Mix(found["name"], found["what"], [Write(*write) for write in found["writes"]])
