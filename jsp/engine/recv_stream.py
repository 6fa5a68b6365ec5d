# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The receiving half of a stream: reassembly, final size, window (spec section 8.2)."""

from __future__ import annotations

import jsp.wire.frames as frames
from jsp.engine.assembler import Assembler
from jsp.engine.flow import ReceiveWindow
from jsp.engine.states import RECEIVING, ReceiveMoved, Receiving, can_move, move
from jsp.errors import Code, ProtocolViolation
from jsp.wire.buffer import Writer
from jsp.wire.frames import StreamFrame, push_frame

_UNKNOWN = -1
_CUT_BEHIND = frames.CUT_BEHIND

# Looking a member up in its class costs more than a comparison of it.
_OPEN = Receiving.OPEN
_SIZE_KNOWN = Receiving.SIZE_KNOWN
_STOPPED = Receiving.STOPPED
_DONE = Receiving.DONE

# What a control frame of a stream was, for its token.
STOP_TOKEN = 0
WINDOW_TOKEN = 1


class RecvStream:
    """Attributes:
    state: see `states.RECEIVING`.
    window: this stream's credit.
    final_size: where the stream ends, -1 while that is not known.
    reset_code: the peer's error code when it abandoned the stream, else -1.
    signalled: whether the owner was told that there is something to read.
    """

    __slots__ = (
        "_assembler", "_connection", "_moved_by", "_stop_code", "_stop_due", "final_size", "id", "reset_code",
        "signalled", "state", "window",
    )  # fmt: skip

    def __init__(self, stream_id: int, window: int, maximum: int, connection: ReceiveWindow) -> None:
        self.id = stream_id
        self.state = Receiving.OPEN
        self.window = ReceiveWindow(window, maximum)
        self.final_size = _UNKNOWN
        self.reset_code = -1
        self.signalled = False
        self._assembler = Assembler()
        self._connection = connection
        # The highest number of a packet that brought what was next.
        self._moved_by = -1
        self._stop_code = 0
        self._stop_due = False

    # --- frames --------------------------------------------------------------------------------------------

    def is_late(self, number: int, newest: bool) -> bool:
        """Whether nobody knows any more where data belongs that packet `number` has without an offset (SPEC 9.3).

        It was sent when all before it had been acknowledged, so its place is where this stream has got to, unless
        another packet has brought the same since: one that was sent later. What is not kept moves nothing; then only
        of the `newest` packet it is known that none sent later has come.
        """
        if self._is_kept():
            return number < self._moved_by
        return not newest

    def _is_kept(self) -> bool:
        return self.state is _OPEN or self.state is _SIZE_KNOWN

    def on_data(self, frame: StreamFrame, data: bytearray, number: int) -> bool:
        """A STREAM frame of packet `number`. Returns whether there is now something to read that was not before."""
        fin = frame.fin
        offset = frame.offset
        if offset < 0:
            offset = self._assembler.next if self._is_kept() else self.window.received
        elif frame.cut and self.window.received > _CUT_BEHIND:
            offset = frames.full_offset(offset, self.window.received)
        end = offset + frame.stop - frame.start
        if fin or self.final_size != _UNKNOWN:
            self._check_final(end, fin)
        grown = end - self.window.received
        if grown > 0:
            self.window.on_received(grown)
            self._connection.on_received(grown)
        if self.state is _STOPPED:
            self._consume_all()
            if fin:
                self.state = move(RECEIVING, self.state, ReceiveMoved.CONSUMED)
            return False
        if self.state is not _OPEN and self.state is not _SIZE_KNOWN:
            return False
        assembler = self._assembler
        before = assembler.next
        gaps = assembler.gaps()
        assembler.insert(offset, data, frame.start, frame.stop)
        if assembler.gaps() != gaps:
            self._connection.on_fragments(assembler.gaps() - gaps)
        if fin and self.state is _OPEN:
            self.state = move(RECEIVING, self.state, ReceiveMoved.FIN)
        if gaps and not assembler.ready and self.state is _OPEN:
            self.window.widen()
        if assembler.next > before:
            if number > self._moved_by:
                self._moved_by = number
            return True
        return fin and assembler.next == self.final_size

    def _check_final(self, end: int, fin: bool) -> None:
        final = self.final_size
        if final == _UNKNOWN:
            if end < self.window.received:
                raise ProtocolViolation(Code.FINAL_SIZE, "the stream ends before data that was sent")
            self.final_size = end
        elif end > final or (fin and end != final):
            raise ProtocolViolation(Code.FINAL_SIZE, "the stream's end moved")

    def on_reset(self, code: int, final_size: int) -> bool:
        """RESET arrived. Returns whether the owner should hear of it."""
        self._check_final(final_size, True)
        grown = final_size - self.window.received
        if grown > 0:
            self.window.on_received(grown)
            self._connection.on_received(grown)
        if self.state is Receiving.STOPPED:
            self._consume_all()
            self.state = move(RECEIVING, self.state, ReceiveMoved.CONSUMED)
            return False
        if not can_move(RECEIVING, self.state, ReceiveMoved.RESET) or self.at_end():
            return False
        self.reset_code = code
        self.state = move(RECEIVING, self.state, ReceiveMoved.RESET)
        self._consume_all()
        return True

    # --- commands ------------------------------------------------------------------------------------------

    def stop(self, code: int) -> None:
        """Read no more: what comes is dropped, and the peer is asked to stop unless its end is known."""
        if not can_move(RECEIVING, self.state, ReceiveMoved.STOP):
            return
        self.state = move(RECEIVING, self.state, ReceiveMoved.STOP)
        self._consume_all()
        if self.state is Receiving.STOPPED:
            # The end may have been acknowledged, and come no more: nothing would end a half that waits for it.
            if self.final_size != _UNKNOWN:
                self.state = move(RECEIVING, self.state, ReceiveMoved.CONSUMED)
            else:
                self._stop_code = code
                self._stop_due = True

    def readable(self) -> int:
        """Bytes that can be read now."""
        return len(self._assembler.ready)

    def at_end(self) -> bool:
        """Whether everything was read and no more will come."""
        return self.state is _DONE or (
            self.state is _SIZE_KNOWN and self._assembler.next == self.final_size and not self._assembler.ready
        )

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes; empty when there are none now."""
        self.signalled = False
        data = self._assembler.take(limit)
        self._on_read(len(data))
        return data

    def read_into(self, target: memoryview) -> int:
        """As many bytes as are there and fit; returns how many."""
        self.signalled = False
        size = self._assembler.take_into(target)
        self._on_read(size)
        return size

    def _on_read(self, size: int) -> None:
        if size:
            self.window.on_read(size)
            self._connection.on_read(size)
        if self.state is _SIZE_KNOWN and self.at_end():
            self.state = move(RECEIVING, self.state, ReceiveMoved.CONSUMED)

    def take_reset(self) -> int:
        """The peer's error code when it reset the stream (once told, the half is over), else -1."""
        if self.state is Receiving.RESET:
            self.state = move(RECEIVING, self.state, ReceiveMoved.CONSUMED)
        return self.reset_code

    def _consume_all(self) -> None:
        # What is dropped was as good as read: its credit goes back to the connection.
        gaps = self._assembler.gaps()
        if gaps:
            self._connection.on_fragments(-gaps)
        self._assembler.clear()
        held = self.window.held()
        self.window.on_read(held)
        self._connection.on_read(held)

    # --- sending -------------------------------------------------------------------------------------------

    def has_control(self) -> bool:
        """Whether STOP or MAX_STREAM_DATA is due."""
        return self._stop_due or (self.window.update_due and self.state is _OPEN)

    def write_control(self, w: Writer, now: float, shortest_rtt: float) -> list[int] | None:
        """Write what is due; the tokens to note, or None when it does not fit."""
        tokens: list[int] = []
        if self._stop_due:
            if not push_frame(w, frames.STOP, self.id, self._stop_code):
                return None
            self._stop_due = False
            tokens.append(STOP_TOKEN)
        if self.window.update_due and self.state is _OPEN:
            if w.room() < 17:
                return None
            push_frame(w, frames.MAX_STREAM_DATA, self.id, self.window.advance(now, shortest_rtt))
            tokens.append(WINDOW_TOKEN)
        return tokens

    def on_control_lost(self, token: int) -> None:
        """STOP or MAX_STREAM_DATA was lost."""
        if token == WINDOW_TOKEN:
            self.window.on_lost()
        else:
            self._stop_due = self.state is Receiving.STOPPED
