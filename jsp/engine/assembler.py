# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Puts pieces that arrive in any order back in order (streams, CRYPTO data).

In-order bytes go to the end of one bytearray, which is cheap to take from the front. Pieces ahead of a gap wait
as fragments, merged with their neighbours unless that would move much, so their number is about that of the gaps and
not of packets. How many bytes may wait is flow control's affair; how many fragments, the caller's.
"""

from __future__ import annotations

from bisect import bisect_right

import jsp.wire.memory as memory

# A neighbour on the right that is larger than this stays where it is. Moving it behind each byte that a peer chooses
# to send just before it would cost the peer a packet and us a window's copying, 150 times a packet.
_MOVED_MAX = 16 * 1024


class Assembler:
    """Offsets count bytes since the start.

    Attributes:
        ready: in-order bytes not yet taken.
        next: offset of the first byte that has not arrived in order.
    """

    __slots__ = ("_pieces", "_starts", "next", "ready")

    def __init__(self) -> None:
        self.ready = bytearray()
        self.next = 0
        self._starts: list[int] = []
        self._pieces: list[bytearray] = []

    def gaps(self) -> int:
        """Fragments that wait behind a gap."""
        return len(self._starts)

    def insert(self, offset: int, data: bytearray, start: int, stop: int) -> None:
        """`data[start:stop]` belongs at `offset`; what is there already is not taken again."""
        if offset > self.next:
            self._keep(offset, data[start:stop])
            return
        start += self.next - offset
        if start >= stop:
            return
        memory.append(self.ready, data, start, stop)
        self.next += stop - start
        if self._starts:
            self._join()

    def _join(self) -> None:
        done = 0
        for at, piece in zip(self._starts, self._pieces, strict=True):
            if at > self.next:
                break
            done += 1
            skip = self.next - at
            if skip < len(piece):
                self.ready += piece[skip:]
                self.next = at + len(piece)
        del self._starts[:done]
        del self._pieces[:done]

    def _keep(self, offset: int, piece: bytearray) -> None:
        starts, pieces = self._starts, self._pieces
        i = bisect_right(starts, offset)
        stop = offset + len(piece)
        if i:
            left = i - 1
            left_stop = starts[left] + len(pieces[left])
            if stop <= left_stop:
                return
            if offset <= left_stop:
                # Touches its left neighbour: becomes part of it.
                pieces[left] += piece[left_stop - offset :]
                self._merge_right(left)
                return
        if piece:
            starts.insert(i, offset)
            pieces.insert(i, piece)
            self._merge_right(i)

    def _merge_right(self, i: int) -> None:
        starts, pieces = self._starts, self._pieces
        stop = starts[i] + len(pieces[i])
        j = i + 1
        while j < len(starts) and starts[j] <= stop:
            tail = starts[j] + len(pieces[j]) - stop
            if tail > _MOVED_MAX:
                del pieces[i][starts[j] - starts[i] :]
                break
            if tail > 0:
                pieces[i] += pieces[j][-tail:]
                stop += tail
            j += 1
        del starts[i + 1 : j]
        del pieces[i + 1 : j]

    def take_into(self, target: memoryview) -> int:
        """Move as many in-order bytes as fit to `target`; returns how many."""
        ready = self.ready
        size = min(len(ready), len(target))
        if size == len(ready):
            target[:size] = ready
            self.ready = bytearray()
        else:
            with memoryview(ready) as view:
                target[:size] = view[:size]
            del ready[:size]
        return size

    def take(self, limit: int) -> bytes:
        """At most `limit` in-order bytes."""
        ready = self.ready
        if limit >= len(ready):
            self.ready = bytearray()
            return memory.piece(ready, 0, len(ready))
        out = memory.piece(ready, 0, limit)
        del ready[:limit]
        return out

    def clear(self) -> int:
        """Drop everything; returns how many bytes were ready."""
        size = len(self.ready)
        self.ready = bytearray()
        self._starts.clear()
        self._pieces.clear()
        return size
