# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Bytes on their way out: written, sent, lost, acknowledged. Serves streams and the handshake's CRYPTO data.

Large writes are kept as they come (immutable, so without a copy), small ones gather in a bytearray. Bytes leave
the buffer from the front once everything before them is acknowledged.
"""

from __future__ import annotations

from bisect import bisect_right

import jsp.wire.memory as memory
from jsp.wire.ranges import RangeSet

# Writes from this size on are kept as their own chunk.
_OWN_CHUNK = 4096
_GATHER_MAX = 65536


class SendBuffer:
    """Offsets count bytes since the start of the stream.

    Attributes:
        end: bytes written.
        sent: bytes sent at least once.
        base: bytes acknowledged without a gap.
        lost: ranges to send again.
    """

    __slots__ = ("_acked", "_chunks", "_near", "_starts", "base", "end", "lost", "sent")

    def __init__(self) -> None:
        self._chunks: list[bytes | bytearray] = []
        self._starts: list[int] = []
        # Which chunk was copied from last: the next piece is mostly there, or in the one after it.
        self._near = 0
        self._acked: RangeSet | None = None
        self.lost: RangeSet | None = None
        self.base = 0
        self.sent = 0
        self.end = 0

    def write(self, data: bytes) -> None:
        """Append `data`; it must not change afterwards."""
        size = len(data)
        if size >= _OWN_CHUNK:
            self._chunks.append(data)
            self._starts.append(self.end)
        elif size:
            last = self._chunks[-1] if self._chunks else b""
            if type(last) is bytearray and len(last) < _GATHER_MAX:
                last += data
            elif 0 < len(last) < _OWN_CHUNK:
                self._chunks[-1] = bytearray(last) + data
            else:
                # One that stays alone, as a request does, needs no copy.
                self._chunks.append(data)
                self._starts.append(self.end)
        self.end += size

    def copy_to(self, buffer: bytearray, pos: int, offset: int, size: int) -> None:
        """Write `size` bytes from `offset` on into `buffer` at `pos`."""
        if not size:
            return
        starts = self._starts
        i = self._near
        if i >= len(starts) or starts[i] > offset or (i + 2 < len(starts) and starts[i + 2] <= offset):
            i = bisect_right(starts, offset) - 1
        elif i + 1 < len(starts) and starts[i + 1] <= offset:
            i += 1
        self._near = i
        while size:
            chunk = self._chunks[i]
            at = offset - starts[i]
            n = len(chunk) - at
            if n > size:
                n = size
            memory.copy(buffer, pos, chunk, at, n)
            pos += n
            offset += n
            size -= n
            i += 1

    def on_acked(self, start: int, stop: int) -> None:
        """`start <= offset < stop` arrived."""
        if self.lost:
            self.lost.remove(start, stop)
        if start > self.base:
            if self._acked is None:
                self._acked = RangeSet()
            self._acked.add(start, stop)
            return
        if stop <= self.base:
            return
        self.base = stop
        acked = self._acked
        if acked:
            while acked.starts and acked.starts[0] <= self.base:
                self.base = max(self.base, acked.stops[0])
                acked.drop_below(self.base)
        self._drop_chunks()

    def _drop_chunks(self) -> None:
        chunks, starts, base = self._chunks, self._starts, self.base
        done = 0
        while done < len(chunks) and starts[done] + len(chunks[done]) <= base:
            done += 1
        if not done:
            return
        self._near = 0
        if done == len(chunks):
            chunks.clear()
            starts.clear()
        else:
            del chunks[:done]
            del starts[:done]

    def on_lost(self, start: int, stop: int) -> None:
        """`start <= offset < stop` must be sent again, where it was not acknowledged meanwhile."""
        start = max(start, self.base)
        if start >= stop:
            return
        if self.lost is None:
            self.lost = RangeSet()
        if self._acked:
            for a, b in self._acked.missing(start, stop):
                self.lost.add(a, b)
        else:
            self.lost.add(start, stop)

    def take_lost(self, size: int) -> tuple[int, int]:
        """Take up to `size` offsets off the first lost range: (start, stop)."""
        assert self.lost
        start = self.lost.starts[0]
        stop = min(self.lost.stops[0], start + size)
        self.lost.remove(start, stop)
        return start, stop

    def clear(self) -> None:
        """Forget everything that is not yet acknowledged."""
        self._chunks.clear()
        self._starts.clear()
        self._near = 0
        self._acked = self.lost = None
