# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Cursors over raw bytes: the only code that indexes them outside the packet seal.

`Reader` walks untrusted bytes: every pull checks against the end first and moves after, so whatever the bytes
say, the outcome is a value or `BadPacket`. `Writer` fills a kept buffer up to a limit its owner sets; it trusts
its caller to have asked `room()`. `PacketBuffer` is a kept datagram buffer with the memoryviews of each packet
slot made once, since making three views for each packet costs more than sealing it.

Integers are RFC 9000 section 16 varints or big-endian.
"""

from __future__ import annotations

import jsp.wire.memory as memory
from jsp.errors import BadPacket

VARINT_MAX = (1 << 62) - 1

# The most bytes one UDP datagram carries over IPv4; a GSO train has the same bound.
DATAGRAM_MAX = 65_507
_SPANS_MAX = 1024


def varint_size(value: int) -> int:
    """How many bytes `value` takes as a varint: 1, 2, 4 or 8."""
    if value < 64:
        return 1
    if value < 16384:
        return 2
    if value < 1073741824:
        return 4
    return 8


class Reader:
    """A cursor over untrusted bytes. Every pull checks first and moves after."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes | bytearray | memoryview = b"", pos: int = 0, end: int = -1) -> None:
        self.data = data if isinstance(data, bytearray) else bytearray(data)
        self.pos = pos
        self.end = len(data) if end < 0 else end

    def reset(self, data: bytearray, pos: int, end: int) -> None:
        """Walk `data[pos:end]` next."""
        self.data = data
        self.pos = pos
        self.end = end

    def remaining(self) -> int:
        """Bytes not yet pulled."""
        return self.end - self.pos

    def pull_u8(self) -> int:
        pos = self.pos
        if pos >= self.end:
            raise BadPacket("truncated")
        self.pos = pos + 1
        return self.data[pos]

    def pull_uint(self, size: int) -> int:
        """A big-endian unsigned integer of `size` bytes."""
        pos = self.pos
        if self.end - pos < size:
            raise BadPacket("truncated")
        self.pos = pos + size
        data = self.data
        if size > 7:
            return int.from_bytes(data[pos : pos + size], "big")
        value = 0
        for i in range(pos, pos + size):
            value = value << 8 | data[i]
        return value

    def pull_varint(self) -> int:
        pos = self.pos
        if pos >= self.end:
            raise BadPacket("truncated")
        first = self.data[pos]
        if first < 64:
            self.pos = pos + 1
            return first
        size = 1 << (first >> 6)
        if self.end - pos < size:
            raise BadPacket("truncated")
        self.pos = pos + size
        data = self.data
        if size == 2:
            return ((first & 63) << 8) | data[pos + 1]
        if size == 4:
            return ((first & 63) << 24) | (data[pos + 1] << 16) | (data[pos + 2] << 8) | data[pos + 3]
        return ((first & 63) << 56) | int.from_bytes(data[pos + 1 : pos + 8], "big")

    def pull_bytes(self, size: int) -> bytes:
        pos = self.pos
        if size < 0 or self.end - pos < size:
            raise BadPacket("truncated")
        self.pos = pos + size
        return memory.piece(self.data, pos, pos + size)

    def skip(self, size: int) -> int:
        """Move past `size` bytes; returns where they start."""
        pos = self.pos
        if self.end - pos < size:
            raise BadPacket("truncated")
        self.pos = pos + size
        return pos

    def expect_end(self) -> None:
        """Refuse trailing bytes."""
        if self.pos != self.end:
            raise BadPacket("trailing bytes")


class PacketBuffer:
    """A kept buffer for datagrams, with the views of each packet slot made once.

    Attributes:
        data: the bytes themselves.
        view: one memoryview of all of `data`.
    """

    __slots__ = ("_spans", "data", "view")

    def __init__(self, size: int = DATAGRAM_MAX + 2048) -> None:
        self.data = bytearray(size)
        self.view = memoryview(self.data)
        self._spans: dict[int, tuple[memoryview, memoryview, memoryview]] = {}

    def spans(self, start: int, body: int, end: int) -> tuple[memoryview, memoryview, memoryview]:
        """Views of a packet's header, its plaintext `[body:end]`, and the same with the tag's 16 bytes."""
        # Positions fit 17 bits each; a header is shorter than 64 KiB, so the key is unique.
        key = (start << 34) | (body << 17) | end
        found = self._spans.get(key)
        if found is None:
            if len(self._spans) >= _SPANS_MAX:
                self._spans.clear()
            view = self.view
            found = (view[start:body], view[body:end], view[body : end + 16])
            self._spans[key] = found
        return found


class Writer:
    """A cursor that fills `buffer` from `pos` up to `end`. The caller checks `room()` first."""

    __slots__ = ("buffer", "end", "pos")

    def __init__(self, buffer: bytearray, pos: int = 0, end: int = -1) -> None:
        self.buffer = buffer
        self.pos = pos
        self.end = len(buffer) if end < 0 else end

    def room(self) -> int:
        """Bytes left before `end`."""
        return self.end - self.pos

    def push_u8(self, value: int) -> None:
        self.buffer[self.pos] = value
        self.pos += 1

    def push_varint(self, value: int) -> None:
        pos = self.pos
        if value < 64:
            self.buffer[pos] = value
            self.pos = pos + 1
        elif value < 16384:
            self.buffer[pos] = 0x40 | (value >> 8)
            self.buffer[pos + 1] = value & 255
            self.pos = pos + 2
        elif value < 1073741824:
            buffer = self.buffer
            buffer[pos] = 0x80 | (value >> 24)
            buffer[pos + 1] = (value >> 16) & 255
            buffer[pos + 2] = (value >> 8) & 255
            buffer[pos + 3] = value & 255
            self.pos = pos + 4
        else:
            self.buffer[pos] = 0xC0 | (value >> 56)
            self.buffer[pos + 1 : pos + 8] = (value & 0xFFFFFFFFFFFFFF).to_bytes(7, "big")
            self.pos = pos + 8

    def push_bytes(self, data: bytes | bytearray | memoryview) -> None:
        pos = self.pos
        end = pos + len(data)
        self.buffer[pos:end] = data
        self.pos = end
