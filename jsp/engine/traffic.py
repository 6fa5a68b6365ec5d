# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What engine and owner hand each other with every batch: batches themselves, and the most frequent events.

Plain records, compiled, because one of each is made every time. All that is rarer is in `events`.
"""

from __future__ import annotations

from typing import Any

# A network address as the owner's sockets write it; to the engine equality, the host, and what carries matter.
Endpoint = tuple[Any, ...]
UDP = "udp"


def carrier_of(local: Endpoint | None) -> str:
    """What carries datagrams from the address `local`: UDP, or what an address of ours names behind host and port.

    All others deliver everything, once and in order, as long as they last (spec section 2.1).
    """
    if local is not None and len(local) > 2 and isinstance(local[2], str):
        return local[2]
    return UDP


class Received:
    """One receive batch: datagrams of `segment_size` bytes each, back to back, the last one maybe shorter.

    Attributes:
        size: bytes of all.
        remote, local: where they came from, and to.
        ecn: the ECN field of their IP headers.
    """

    __slots__ = ("ecn", "local", "remote", "segment_size", "size")

    def __init__(
        self, size: int, segment_size: int, remote: Endpoint, local: Endpoint | None = None, ecn: int = 0
    ) -> None:
        self.size = size
        self.segment_size = segment_size
        self.remote = remote
        self.local = local
        self.ecn = ecn


class Transmit:
    """Datagrams of `segment_size` bytes to send to `remote`, back to back in `data`; the last one maybe shorter.

    Attributes:
        data: valid until the next `poll_transmit`.
        local: the address to send from; None: any.
        ecn: the ECN field for their IP headers.
    """

    __slots__ = ("data", "ecn", "local", "remote", "segment_size")

    def __init__(
        self,
        remote: Endpoint,
        data: memoryview | bytes,
        segment_size: int,
        local: Endpoint | None = None,
        ecn: int = 0,
    ) -> None:
        self.remote = remote
        self.data = data
        self.segment_size = segment_size
        self.local = local
        self.ecn = ecn


class Event:
    """Base of all events."""

    __slots__ = ()


class StreamReadable(Event):
    """A stream has bytes, its end or a reset to read; said once until something is read."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class StreamWritable(Event):
    """A stream whose buffer was full takes bytes again, or its peer stopped reading."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
