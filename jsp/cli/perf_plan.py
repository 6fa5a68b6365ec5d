"""What a test of `jsp perf` does, and the protocol jsp-perf/1 by which both ends agree on it.

The client's first stream is for control: JSON objects, one a line.

    client    {"plan": {...}}              see `Plan`
    server    {"ready": true}              or {"error": "why not"}, and the connection is closed
    both      {"sent": 12345}              when all is written: how many messages that was (0 for streams)
    both      {"received": true}           when all that the other end wrote was read
    both      {"result": {...}}            when both have said so: see `perf_load.Result`

After "ready" the client opens `Plan.streams` more streams, unless the test is one of messages. Who sends writes to
all of them for `Plan.time` seconds and then ends them; who does not ends its half at once. What is written means
nothing. Both ends know the whole plan, so each knows by itself when it has everything: the end of every stream,
or as many messages as "sent" said (for modes that may lose some: when no more come).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import jsp
from jsp.cli.common import CommandError

PROTOCOL = "jsp-perf/1"

MODES: dict[str, Any] = {
    "reliable": jsp.RELIABLE,
    # What a game or a call would ask for: of no use after a fifth of a second.
    "partial": jsp.PartiallyReliable(ttl=0.2, max_retransmits=3),
    "best-effort": jsp.BEST_EFFORT,
}

STREAMS_MAX = 128  # as iperf3
BLOCK_MAX = 16 << 20  # Config.max_message, which is also more than any send buffer
TIME_MAX = 86_400.0

# Seconds without any progress after which the other end counts as stuck: a slow path has to empty full buffers.
STALL = 60.0

# A result has two numbers for each stream; with 128 streams that is some kilobytes.
_LINE_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. Raises ValueError for what cannot be done, whoever asks for it.

    Attributes:
        time: seconds to send for.
        streams: how many at once.
        length: bytes a write.
        messages: bytes a message; 0: streams are tested, not messages.
        mode: of messages, one of `MODES`.
        reverse: the server sends and the client receives.
        bidir: both send and receive.
    """

    time: float = 10.0
    streams: int = 1
    length: int = 128 * 1024
    messages: int = 0
    mode: str = "reliable"
    reverse: bool = False
    bidir: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = (int, float) if field.type == "float" else type(field.default)
            if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
                raise ValueError(f"{field.name}: wrong type")
        _check(math.isfinite(self.time) and 0 < self.time <= TIME_MAX, f"time: up to {TIME_MAX:g} seconds")
        _check(1 <= self.streams <= STREAMS_MAX, f"streams: 1 to {STREAMS_MAX}")
        _check(1 <= self.length <= BLOCK_MAX, f"length: 1 to {BLOCK_MAX} bytes")
        _check(0 <= self.messages <= BLOCK_MAX, f"messages: up to {BLOCK_MAX} bytes")
        _check(self.mode in MODES, f"mode: one of {', '.join(MODES)}")
        _check(not (self.reverse and self.bidir), "reverse or bidir, not both")

    @property
    def client_sends(self) -> bool:
        """Whether the client sends."""
        return not self.reverse

    @property
    def server_sends(self) -> bool:
        """Whether the server sends."""
        return self.reverse or self.bidir

    @property
    def data_streams(self) -> int:
        """How many streams the client opens for data."""
        return 0 if self.messages else self.streams

    def to_json(self) -> dict[str, Any]:
        """The plan as it is sent."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Plan:
        """The plan a client sent; CommandError when it is none."""
        if not isinstance(value, dict):
            raise CommandError("the plan is not an object")
        unknown = value.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise CommandError(f"the plan has parts unknown here: {', '.join(sorted(unknown))}")
        try:
            return cls(**value)
        except ValueError as error:
            raise CommandError(str(error)) from None


def _check(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


class Control:
    """The control stream: one JSON object a line, read with a bound and a time limit."""

    def __init__(self, stream: jsp.Stream, timeout: float) -> None:
        stream.settimeout(timeout)
        self._stream = stream
        self._reader = stream.makefile("rb")

    def allow(self, seconds: float) -> None:
        """The next lines may take this long."""
        self._stream.settimeout(seconds)

    def write(self, **line: Any) -> None:
        """Send a line."""
        self._stream.sendall(json.dumps(line).encode() + b"\n")

    def read(self, name: str) -> Any:
        """The value of `name` in the next line.

        Raises CommandError when the line holds something else or an error, OSError when there is no line.
        """
        line = self._reader.readline(_LINE_MAX)
        if not line:
            raise ConnectionError("the other end broke the test off")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise CommandError("the other end does not speak jsp-perf/1") from None
        if isinstance(value, dict) and "error" in value:
            raise CommandError(f"the other end refuses: {value['error']}")
        if not isinstance(value, dict) or name not in value:
            raise CommandError(f"the other end did not send {name!r}")
        return value[name]

    def close(self) -> None:
        """Nothing more will be said."""
        self._reader.close()
        self._stream.close()
