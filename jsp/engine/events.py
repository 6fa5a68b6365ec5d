"""What the engine tells its owner: facts, in the past tense. No event carries a copy of stream data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsp.crypto.handshake import Presented

# A network address as the owner's sockets write it; to the engine only equality and the host part matter.
Endpoint = tuple[Any, ...]


@dataclass(slots=True)
class Received:
    """One receive batch: datagrams of `segment_size` bytes each, back to back, the last one maybe shorter."""

    size: int
    segment_size: int
    remote: Endpoint
    local: Endpoint | None = None
    ecn: int = 0


@dataclass(slots=True)
class Transmit:
    """Datagrams to send to `remote`, back to back in `data`; valid until the next `poll_transmit`."""

    remote: Endpoint
    data: memoryview | bytes
    segment_size: int
    local: Endpoint | None = None
    ecn: int = 0


class Event:
    """Base of all events."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PeerPresented(Event):
    """The peer proved who it is. Answer with `accept_peer` or `refuse_peer`; the handshake waits for it."""

    presented: Presented


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """The handshake is over and both sides agree: the connection is open."""


@dataclass(frozen=True, slots=True)
class StreamOpened(Event):
    """The peer opened a stream."""

    stream_id: int


# These two are not frozen, which would treble the time it takes to make one: they come with every batch.
@dataclass(slots=True)
class StreamReadable(Event):
    """A stream has bytes, its end or a reset to read; said once until something is read."""

    stream_id: int


@dataclass(slots=True)
class StreamWritable(Event):
    """A stream whose buffer was full takes bytes again, or its peer stopped reading."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamsAvailable(Event):
    """The peer allows more streams to be opened."""


@dataclass(frozen=True, slots=True)
class MessagesReadable(Event):
    """At least one whole message can be read; said once until one is read."""


@dataclass(frozen=True, slots=True)
class MessagesWritable(Event):
    """The message queue, once full, takes messages again."""


@dataclass(frozen=True, slots=True)
class PingAnswered(Event):
    """The PING of `token` was acknowledged after `rtt` seconds."""

    token: int
    rtt: float


@dataclass(frozen=True, slots=True)
class PathChanged(Event):
    """The peer is at another address now and has proven that it can be reached there."""

    path_id: int
    remote: Endpoint


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The connection is over; nothing more can be written, data already received can still be read."""

    code: int
    reason: str
    by_peer: bool
    application: bool = False
    "Whether `code` is the application's."
