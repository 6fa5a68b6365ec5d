# cython: language_level=3, annotation_typing=False, nonecheck=True
"""A train of 1-RTT packets under construction (spec section 7.4).

Packets lie back to back in one kept buffer, all of one size but the last, so that one system call sends them and
one call seals them. Owners of frames write at the cursor (`room`, `push_*`), leave a token for each frame that
matters (`note`), and ask for the next packet with `advance`. Packets that carry consecutive pieces of one range
become one record of the ledger.

A train has one owner at a time and nothing in it survives `seal`.
"""

from __future__ import annotations

from typing import Any

import jsp.recovery.sent as sent
import jsp.wire.memory as memory
from jsp.crypto.protection import BATCH_MAX, SealKeys
from jsp.recovery.sent import Owner, RangeOwner, SentRun, Token
from jsp.wire.buffer import DATAGRAM_MAX, PacketBuffer, Writer
from jsp.wire.packet import SAMPLE_OFFSET, SHORT_FIRST, SHORT_PHASE, SHORT_PN4, TAG_SIZE

_TAG = TAG_SIZE
_SAMPLE = SAMPLE_OFFSET
_SHORT = SHORT_FIRST
_PN4 = SHORT_PN4
_PHASE = SHORT_PHASE
_TRAIN_MAX = 65_000  # GSO takes less than 64 KiB in one call
_PACKETS_MAX = min(64, BATCH_MAX)  # UDP_MAX_SEGMENTS of older kernels


class Twin:
    """A frame that went by several paths: its owner hears once that it arrived, or that all of them are lost."""

    __slots__ = ("_a", "_acked", "_b", "_owner", "left")

    def __init__(self, token: Token) -> None:
        self._owner, self._a, self._b = token
        self._acked = False
        self.left = 1

    def on_acked(self, a: Any, b: Any) -> None:
        if not self._acked:
            self._acked = True
            self._owner.on_acked(self._a, self._b)

    def on_lost(self, a: Any, b: Any) -> None:
        self.left -= 1
        if not self.left and not self._acked:
            self._owner.on_lost(self._a, self._b)


class Kept:
    """Packets of a train before they were sealed, to go by another path as well.

    Attributes:
        data: their bytes, `segment` apart.
        count, header_size, number_size: of the packets.
        runs: what the ledger keeps of them, numbered from 0.
    """

    __slots__ = ("count", "data", "header_size", "number_size", "runs", "segment")

    def __init__(
        self, data: bytes, count: int, segment: int, header_size: int, number_size: int, runs: list[SentRun]
    ) -> None:
        self.data = data
        self.count = count
        self.segment = segment
        self.header_size = header_size
        self.number_size = number_size
        self.runs = runs


class Train(Writer):
    """Writes packets into its own buffer.

    Attributes:
        slots: the kept buffer.
        count: packets finished so far.
        runs: ledger records of the finished packets that ask for an acknowledgement.
        capacity: bytes of frames an empty packet of the path's full size holds.
        message: the last one of which the open packet has a frame; None: none yet.
        twice_from, twice_to: the first and the last packet that shall go by other paths, too; -1: none.
        alone: whether its connection has had one path only, so that frames may leave out more (spec section 9.3).
        time: when it leaves.
    """

    __slots__ = (
        "_a", "_b", "_cid", "_eliciting", "_first", "_first_number", "_header_size", "_kind_at", "_length_at",
        "_length_bit", "_limit", "_number", "_number_size", "_open", "_owner", "_run", "_run_owner", "_run_start",
        "_run_stop", "_segment", "_start", "_tokens", "alone", "capacity", "count", "message", "runs", "slots", "time",
        "twice_from", "twice_to",
    )  # fmt: skip

    def __init__(self) -> None:
        self.slots = PacketBuffer(DATAGRAM_MAX + 2048)
        super().__init__(self.slots.data)
        self.runs: list[SentRun] = []
        self.count = 0
        self.alone = True
        self.twice_from = self.twice_to = -1
        self.capacity = 0
        self._tokens: list[Token] = []
        # The packet's only token while that is a range: kept apart, for nearly all packets are like that.
        self._owner: RangeOwner | None = None
        self._a = 0
        self._b = 0
        # The last record while it may go on: its range is known when it is over.
        self._run: SentRun | None = None
        self._run_owner: RangeOwner | None = None
        self._run_start = 0
        self._run_stop = 0
        self.message: Any = None
        # The last frame that tells its length: where its type and its length stand, and the bit that says so.
        self._kind_at = -1
        self._length_at = 0
        self._length_bit = 0
        self._eliciting = False
        self._open = False
        self._start = 0
        self._segment = 0
        self._limit = 0
        self.time = 0.0
        self._first = 0
        self._cid = b""
        self._header_size = 0
        self._number = 0
        self._number_size = 2
        self._first_number = 0

    def begin(
        self, keys: SealKeys, cid: bytes, number: int, number_size: int, datagram: int, limit: int, now: float
    ) -> None:
        """Start a train of packets of `datagram` bytes, `limit` bytes in all, the first one numbered `number`."""
        self._first = _SHORT | (_PN4 if number_size == 4 else 0) | (_PHASE if keys.phase else 0)
        self._cid = cid
        self._header_size = 1 + len(cid) + number_size
        self._number = self._first_number = number
        self._number_size = number_size
        self._segment = datagram
        most = max(_TRAIN_MAX, datagram)
        self._limit = min(limit, most)
        self.time = now
        self.capacity = datagram - self._header_size - _TAG
        self.count = 0
        self.twice_from = self.twice_to = -1
        self.runs.clear()
        self._tokens = []
        self._run = self._run_owner = None
        self.pos = self.end = 0
        self._start = 0
        self._open_packet()

    def _open_packet(self) -> bool:
        start = self._start = self.pos
        # Only a train of one packet may be shorter than that.
        size = min(self._segment, self._limit) if not self.count else self._segment
        if start + size > self._limit or self.count == _PACKETS_MAX:
            return False
        buffer = self.buffer
        cid = self._cid
        buffer[start] = self._first
        memory.copy(buffer, start + 1, cid, 0, len(cid))
        at = start + 1 + len(cid)
        number = self._number
        if self._number_size == 2:
            buffer[at] = (number >> 8) & 255
            buffer[at + 1] = number & 255
        else:
            memory.put_u32(buffer, at, number)
        self.pos = start + self._header_size
        self.end = start + size - _TAG
        self._owner = None
        self.message = None
        self._kind_at = -1
        self._eliciting = False
        self._open = True
        return True

    def push_length(self, size: int, kind_at: int, bit: int) -> None:
        """The length of a frame whose `size` bytes follow; `bit` of its type, at `kind_at`, says that it is there."""
        self._kind_at = kind_at
        self._length_at = self.pos
        self._length_bit = bit
        self.push_varint(size)

    def note(self, owner: Owner, a: Any, b: Any) -> None:
        """The frame just written asks for an acknowledgement; `owner` hears what becomes of it."""
        self.note_quietly(owner, a, b)
        self._eliciting = True

    def note_quietly(self, owner: Owner, a: Any, b: Any) -> None:
        """The frame just written asks for no acknowledgement; `owner` hears of one that the packet gets anyway."""
        self._keep_range()
        self._tokens.append((owner, a, b))

    def note_range(self, owner: RangeOwner, start: int, stop: int) -> None:
        """Like `note`, for a piece of something that is sent in order: the next piece may share this one's record."""
        self._eliciting = True
        if self._owner is None and not self._tokens:
            self._owner = owner
            self._a = start
            self._b = stop
        else:
            self._keep_range()
            self._tokens.append((owner, start, stop))

    def _keep_range(self) -> None:
        if self._owner is not None:
            self._tokens.append((self._owner, self._a, self._b))
            self._owner = None

    def has_eliciting(self) -> bool:
        """Whether the packet under construction asks for an acknowledgement."""
        return self._eliciting

    def mark_eliciting(self) -> None:
        """The frame just written asks for an acknowledgement, but nobody needs to hear of it."""
        self._eliciting = True

    def advance(self) -> bool:
        """Finish the packet under construction and open the next; False when the train may not grow."""
        if not self._finish():
            return False
        return self._open_packet()

    def _finish(self) -> bool:
        """Close the open packet. Returns whether another of the same size may follow."""
        if not self._open:
            return False
        self._open = False
        start = self._start
        pos = self.pos
        if pos == start + self._header_size:
            self.pos = start
            return False
        # SPEC 7.3: the sample must lie inside the packet.
        least = start + self._header_size - self._number_size + _SAMPLE
        while pos < least:
            self.buffer[pos] = 0
            pos += 1
        pos += _TAG
        size = pos - start
        self.pos = self.end = pos
        if self._eliciting:
            self._record(size)
        elif self._tokens:
            self._tokens = []
        self.count += 1
        self._number += 1
        if size < self._segment:
            # Only the last packet may be shorter. A first one that is more than half full sets the size.
            if self.count > 1 or size <= self._segment // 2:
                return False
            self._segment = size
        return True

    def _record(self, size: int) -> None:
        run = self._run
        owner = self._owner
        if run is not None and owner is not None and owner is self._run_owner and self._a == self._run_stop:
            # The same owner's next piece, of the same width: one record for all.
            step = run.step if run.count > 1 else self._a - self._run_start
            if (
                self._b - self._a <= step
                and self._a - self._run_start == step * run.count
                and run.size == self._segment
                and run.first + run.count == self._number
            ):
                self._run_stop = self._b
                run.step = step
                run.count += 1
                run.total += size
                return
        self._end_run()
        run = sent.make_run(self._number, 1, size, size, self.time, self._tokens)
        self.runs.append(run)
        self._tokens = []
        if owner is not None:
            self._run = run
            self._run_owner = owner
            self._run_start = self._a
            self._run_stop = self._b

    def _end_run(self) -> None:
        if self._run is not None and self._run_owner is not None:
            self._run.carry(self._run_owner, self._run_start, self._run_stop, self._run.step)
            self._run = self._run_owner = None

    def _drop_length(self) -> None:
        """The last frame of the last packet needs no length: it goes to the end. (The others are all of one size.)"""
        if not self._open or self._kind_at < 0:
            return
        buffer = self.buffer
        at = self._length_at
        first = buffer[at]
        if first < 64:
            head = 1
            size = first
        else:
            head = 2
            size = (first & 63) << 8 | buffer[at + 1]
        # SPEC 7.3: PADDING must not follow, so what is left holds the sample.
        if first >= 128 or at + head + size != self.pos or size < _SAMPLE:
            return
        memory.copy(buffer, at, buffer, at + head, size)
        buffer[self._kind_at] ^= self._length_bit
        self.pos -= head

    def pad_to(self, size: int) -> None:
        """Fill the open packet with PADDING until its datagram has `size` bytes."""
        stop = self._start + min(size, self._segment) - _TAG
        if self.pos < stop:
            self.buffer[self.pos : stop] = bytes(stop - self.pos)
            self.pos = stop

    def mark_twice(self) -> None:
        """The packet under construction shall go by other paths, too."""
        if self.twice_from < 0:
            self.twice_from = self.count
        self.twice_to = self.count

    def finish(self) -> None:
        """Finish the last packet."""
        self._drop_length()
        self._finish()
        self._end_run()
        self.message = None

    def keep(self, first: int, last: int) -> Kept:
        """The finished packets from `first` to `last`, not sealed yet, for `repeat`."""
        start = first * self._segment
        stop = min((last + 1) * self._segment, self.pos)
        runs = []
        low, high = self._first_number + first, self._first_number + last + 1
        for run in self.runs:
            # Owners of single frames hear of them once.
            run.tokens = [(Twin(token), None, None) for token in run.tokens]
            copy = _copy(run, 0, run.time)
            if copy.first < low:
                copy.take(min(low - copy.first, copy.count))
            if copy.first + copy.count > high > copy.first:
                copy = copy.take(high - copy.first)
            if copy.first < high:
                runs.append(_copy(copy, -low, run.time))
        data = bytes(self.buffer[start:stop])
        return Kept(data, last + 1 - first, self._segment, self._header_size, self._number_size, runs)

    def repeat(self, kept: Kept, keys: SealKeys, cid: bytes, number: int, now: float) -> bool:
        """Be a train of the same packets for another path; False when its headers are of another size."""
        self.begin(keys, cid, number, kept.number_size, kept.segment, len(kept.data), now)
        if self._header_size != kept.header_size:
            return False
        self.buffer[: len(kept.data)] = kept.data
        head = bytes((self._first,)) + cid
        for i in range(kept.count):
            at = i * kept.segment
            self.buffer[at : at + len(head)] = head
            self.buffer[at + len(head) : at + kept.header_size] = (number + i).to_bytes(8, "big")[-kept.number_size :]
        self.pos = self.end = len(kept.data)
        self.count = kept.count
        self._open = False
        for run in kept.runs:
            for twin, _, _ in run.tokens:
                twin.left += 1  # type: ignore[attr-defined]  # `keep` made it one
            self.runs.append(_copy(run, number, now))
        return True

    def protect(self, keys: SealKeys, path_id: int) -> int:
        """Seal what is finished. Returns the train's size, 0 when it is empty."""
        if self.count:
            keys.seal_train(
                self.slots, self.count, self._segment, self.pos, self._header_size, path_id, self._first_number
            )
        return self.pos

    def seal(self, keys: SealKeys, path_id: int) -> int:
        """Finish the last packet and protect all. Returns the train's size, 0 when it is empty."""
        self.finish()
        return self.protect(keys, path_id)

    def segment_size(self) -> int:
        """Size of all packets but the last."""
        return self._segment


def _copy(run: SentRun, shift: int, now: float) -> SentRun:
    """The same run, numbered `shift` higher and sent at `now`."""
    copy = sent.make_run(run.first + shift, run.count, run.size, run.total, now, run.tokens)
    if run.owner is not None:
        copy.carry(run.owner, run.start, run.stop, run.step)
    return copy
