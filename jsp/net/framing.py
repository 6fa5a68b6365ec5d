"""Datagrams in a stream of bytes: each behind its length, two bytes, big-endian (spec section 2.1)."""

from __future__ import annotations

from jsp.engine.traffic import Transmit
from jsp.errors import BadPacket
from jsp.wire.buffer import DATAGRAM_MAX
from jsp.wire.packet import SHORT_MIN

LENGTH_SIZE = 2
# Shorter than any packet; and what one side must hold of a datagram that has not ended, at most.
FRAMED_MIN = SHORT_MIN
FRAMED_MAX = 16_384


def frame(transmit: Transmit) -> bytes:
    """The datagrams of `transmit`, each behind its length."""
    data, segment = transmit.data, transmit.segment_size
    pieces: list[bytes | memoryview] = []
    for start in range(0, len(data), segment):
        piece = data[start : start + segment]
        pieces += (len(piece).to_bytes(LENGTH_SIZE, "big"), piece)
    return b"".join(pieces)


def _length(data: bytes, at: int) -> int:
    length = int.from_bytes(data[at : at + LENGTH_SIZE], "big")
    if not FRAMED_MIN <= length <= FRAMED_MAX:
        raise BadPacket(f"a datagram of {length} bytes")
    return length


class Deframer:
    """Takes bytes as they come and gives datagrams, as many of one size as follow each other at a time."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def first(self) -> bytes:
        """The first datagram, which stays; empty when it is not whole. BadPacket when it cannot be one."""
        start = self._at + LENGTH_SIZE
        if start > len(self._data):
            return b""
        length = _length(self._data, self._at)
        datagram = self._data[start : start + length]
        return datagram if len(datagram) == length else b""

    def rest(self) -> bytes:
        """All that was not taken."""
        return self._data[self._at :]

    def take(self, target: bytearray) -> tuple[int, int]:
        """Put the next datagrams into `target`: bytes of all, and of each but the last, which may be shorter; 0: none.

        BadPacket when that cannot be what a peer sent: the rest of the stream means nothing then.
        """
        data, at = self._data, self._at
        size = segment = 0
        while at + LENGTH_SIZE <= len(data):
            length = _length(data, at)
            start = at + LENGTH_SIZE
            segment = segment or length
            if start + length > len(data) or length > segment or size + length > DATAGRAM_MAX:
                break
            target[size : size + length] = data[start : start + length]
            size += length
            at = start + length
            if length < segment:
                break
        self._at = at
        return size, segment
