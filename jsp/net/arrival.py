# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What the system tells of a batch of datagrams beside its bytes."""

from __future__ import annotations

from typing import Any


class Arrival:
    """Kept, and filled again with each batch.

    Attributes:
        segment: bytes of each datagram but the last.
        remote: where it came from, as the socket module writes addresses.
        ecn: the ECN field of their headers, when the socket was asked to tell.
        local: the packed address it came to, when the socket was asked to tell; else None.
    """

    __slots__ = ("ecn", "local", "name", "remote", "segment")

    def __init__(self) -> None:
        self.ecn = 0
        self.segment = 0
        self.remote: tuple[Any, ...] | None = None
        self.local: bytes | None = None
        # The socket address that `remote` was made of.
        self.name = b""
