# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The sending half of a stream: what is written, sent, lost, acknowledged, and its end (spec section 8.2).

The end is one virtual byte behind the last: a range that reaches `final_size + 1` carries FIN. So the ledger's
ranges, loss and acknowledgement need no case of their own for it.
"""

from __future__ import annotations

import jsp.wire.buffer as octets
import jsp.wire.frames as frames
from jsp.engine.builder import Train
from jsp.engine.flow import SendCredit
from jsp.engine.scheduler import Scheduler, Sender
from jsp.engine.send_buffer import SendBuffer
from jsp.engine.states import SENDING, Sending, SendMoved, can_move, move
from jsp.wire.buffer import Writer
from jsp.wire.frames import push_frame

_STREAM = frames.STREAM
_STREAM_NEXT = frames.STREAM_NEXT
_FIN = frames.STREAM_FIN
_LEN = frames.STREAM_LEN
_OFF = frames.STREAM_OFF

# With several paths nobody knows how far the receiver has got.
_ANYWHERE = 1 << 62

# Looking a member up in its class costs more than a comparison of it.
_OPEN = Sending.OPEN
_FINISHING = Sending.FINISHING


class SendStream(Sender):
    """Attributes:
    state: see `states.SENDING`.
    buffer: the bytes.
    credit: the peer's limit for this stream.
    stop_code: the peer's error code when it asked us to stop, else -1.
    """

    __slots__ = (
        "_announce", "_connection_credit", "_id_size", "_reset_code", "_reset_due", "_scheduler", "buffer", "credit",
        "id", "state", "stop_code",
    )  # fmt: skip

    def __init__(self, stream_id: int, limit: int, connection_credit: SendCredit, scheduler: Scheduler) -> None:
        Sender.__init__(self)
        self.id = self.place = stream_id
        self.state = Sending.OPEN
        self.buffer = SendBuffer()
        self.credit = SendCredit(limit)
        self.stop_code = -1
        self._connection_credit = connection_credit
        self._scheduler = scheduler
        self._id_size = octets.varint_size(stream_id)
        self._announce = False
        self._reset_code = 0
        self._reset_due = False

    # --- commands ------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Tell the peer that the stream exists, with an empty frame if there is nothing to say yet."""
        self._announce = True
        self._scheduler.add(self)

    def write(self, data: bytes) -> None:
        """Queue `data`, which must not change afterwards."""
        self.buffer.write(data)
        self._scheduler.add(self)

    def unsent(self) -> int:
        """Bytes written and never sent."""
        return max(0, self.buffer.end - self.buffer.sent)

    def finish(self) -> None:
        """No more will be written."""
        if self.state is Sending.OPEN:
            self.state = move(SENDING, self.state, SendMoved.FINISH)
            self._scheduler.add(self)

    def reset(self, code: int) -> None:
        """Abandon what is not yet delivered."""
        if can_move(SENDING, self.state, SendMoved.RESET):
            self.state = move(SENDING, self.state, SendMoved.RESET)
            self.buffer.clear()
            self._reset_code = code
            self._reset_due = True

    def on_stop(self, code: int) -> None:
        """The peer reads no more: what it has not got is abandoned (RFC 9000 section 3.5)."""
        if self.stop_code < 0:
            self.stop_code = code
        self.reset(code)

    def is_blocked(self) -> bool:
        """Whether the stream's own credit keeps written bytes back."""
        open_ = self.state is _OPEN or self.state is _FINISHING
        return open_ and self.buffer.sent < self.buffer.end and self.credit.available() <= 0

    # --- sending -------------------------------------------------------------------------------------------

    def has_control(self) -> bool:
        return self._reset_due

    def write_control(self, w: Writer) -> bool:
        """RESET, when due; False when it does not fit."""
        if self._reset_due:
            if not push_frame(w, frames.RESET, self.id, self._reset_code, self.credit.used):
                return False
            self._reset_due = False
        return True

    def on_reset_acked(self) -> None:
        """RESET arrived."""
        if self.state is Sending.RESETTING:
            self.state = move(SENDING, self.state, SendMoved.ALL_ACKED)

    def on_reset_lost(self) -> None:
        """RESET was lost."""
        self._reset_due = self.state is Sending.RESETTING

    def _end(self) -> int:
        """Where sending stops: behind the virtual byte once the stream is finished."""
        return self.buffer.end + (1 if self.state is _FINISHING else 0)

    def write_frames(self, train: Train) -> bool:
        """Fill packets while there is something to send; True when the train is full and more is left."""
        buffer = self.buffer
        while self.state is _OPEN or self.state is _FINISHING:
            lost = buffer.lost
            if lost is not None and lost.starts:
                offset = lost.starts[0]
                stop = lost.stops[0]
                fresh = False
            else:
                offset = buffer.sent
                stop = self._fresh_stop()
                fresh = True
                if offset >= stop and not self._announce:
                    return False
            # SPEC 9.3: the peer knows where it goes when all before it is acknowledged.
            if not offset or (train.alone and fresh and offset == buffer.base and not train.has_eliciting()):
                offset_size = 0
            else:
                offset_size = frames.offset_size(offset, buffer.sent - buffer.base if train.alone else _ANYWHERE)
            room = train.end - train.pos - 1 - self._id_size - offset_size
            if room < (1 if stop > offset else 0):
                if not train.advance():
                    return True
                continue
            sent_to = self._write_frame(train, offset, offset_size, stop, room)
            self._announce = False
            if fresh:
                size = min(sent_to, buffer.end) - offset
                self.credit.used += size
                self._connection_credit.used += size
                buffer.sent = sent_to
            else:
                assert lost is not None
                lost.remove(offset, sent_to)
            train.note_range(self, offset, sent_to)
            if train.pos == train.end and not train.advance():
                return self._has_more()
        return False

    def _has_more(self) -> bool:
        if self.buffer.lost:
            return True
        return self._fresh_stop() > self.buffer.sent

    def _fresh_stop(self) -> int:
        """How far new data may be sent now: written, allowed by the stream's and the connection's credit."""
        buffer = self.buffer
        end = self._end()
        if buffer.sent >= end:
            return end
        unsent = buffer.end - buffer.sent
        allowed = min(
            self.credit.limit - self.credit.used, self._connection_credit.limit - self._connection_credit.used
        )
        if unsent <= allowed:
            return end
        if allowed <= 0:
            self._scheduler.on_blocked(self, self.credit.limit - self.credit.used <= allowed)
        return buffer.sent + allowed

    def _write_frame(self, train: Train, offset: int, offset_size: int, stop: int, room: int) -> int:
        """One STREAM frame with up to `room` bytes from `offset`, which is told in `offset_size` bytes; returns where
        it ends."""
        data_end = self.buffer.end
        size = min(stop, data_end) - offset
        kind = _STREAM | _OFF if offset_size else _STREAM_NEXT if offset else _STREAM
        if size >= room:
            size = room
        else:
            kind |= _LEN
            room -= octets.varint_size(size)
            if size > room:
                size = room
        end = offset + size
        if stop > data_end and end == data_end:
            kind |= _FIN
            end += 1
        kind_at = train.pos
        train.buffer[kind_at] = kind
        train.pos = kind_at + 1
        train.push_varint(self.id)
        if offset_size:
            frames.push_offset(train, offset, offset_size)
        if kind & _LEN:
            train.push_length(size, kind_at, _LEN)
        if size > 0:
            self.buffer.copy_to(train.buffer, train.pos, offset, size)
            train.pos += size
        return end

    # --- what became of it ---------------------------------------------------------------------------------

    def on_acked(self, start: int, stop: int) -> None:
        self.buffer.on_acked(start, stop)
        if self.state is _FINISHING and self.buffer.base > self.buffer.end:
            self.state = move(SENDING, self.state, SendMoved.ALL_ACKED)
            self.buffer.clear()
            self._scheduler.done.append(self.id)

    def on_lost(self, start: int, stop: int) -> None:
        if self.state is _OPEN or self.state is _FINISHING:
            if start == stop:
                self._announce = self._announce or not self.buffer.sent
            self.buffer.on_lost(start, stop)
            self._scheduler.add(self)
