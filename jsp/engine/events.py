"""What the engine tells its owner: facts, in the past tense. No event carries a copy of stream data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsp.crypto.credentials import Presented
from jsp.engine.traffic import Endpoint, Event


@dataclass(frozen=True, slots=True)
class PeerPresented(Event):
    """The peer proved who it is. Answer with `accept_peer` or `close_now`; the handshake waits for it."""

    presented: Presented


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """The handshake is over and both sides agree: the connection is open."""


@dataclass(frozen=True, slots=True)
class StreamOpened(Event):
    """The peer opened a stream."""

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
class MessageSettled(Event):
    """It is known what became of a message that somebody watches."""

    watcher: Any


@dataclass(frozen=True, slots=True)
class PingAnswered(Event):
    """The PING of `token` was acknowledged after `rtt` seconds."""

    token: int
    rtt: float


class PathEvent(Event):
    """Something became of a path."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class PathsAvailable(PathEvent):
    """A path can be opened, for which the owner had asked in vain (`Mobility.wanted`)."""


@dataclass(frozen=True, slots=True)
class PathOpened(PathEvent):
    """The peer opened a path."""

    path_id: int


@dataclass(frozen=True, slots=True)
class PathChanged(PathEvent):
    """The peer has proven that it can be reached at `remote`, where it was not before."""

    path_id: int
    remote: Endpoint


@dataclass(frozen=True, slots=True)
class PathGone(PathEvent):
    """A path was abandoned, by either side."""

    path_id: int


@dataclass(frozen=True, slots=True)
class PathSilent(PathEvent):
    """Nothing answers on any path; perhaps another one can be found."""


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The connection is over; nothing more can be written, data already received can still be read."""

    code: int
    reason: str
    by_peer: bool
    application: bool = False
    "Whether `code` is the application's."
