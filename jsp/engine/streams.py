# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The table of streams: opening, accepting, limits, and their control frames (spec section 8.1).

A stream id is `sequence << 2 | unidirectional << 1 | opened by the server`. Opening one opens all lower ones of
its kind. A peer's stream holds its slot until both halves are over *and* the application has let go of it, so a
peer cannot have more handlers running than the limit allows, however fast it resets.
"""

from __future__ import annotations

from jsp.config import LIMITS, Config
from jsp.engine.bucket import TokenBucket
from jsp.engine.builder import Train
from jsp.engine.events import StreamOpened, StreamsAvailable
from jsp.engine.flow import ReceiveWindow, SendCredit
from jsp.engine.recv_stream import RecvStream
from jsp.engine.scheduler import Scheduler
from jsp.engine.send_stream import SendStream
from jsp.engine.states import Receiving, Sending
from jsp.engine.traffic import Event, StreamReadable, StreamWritable
from jsp.errors import Code, ProtocolViolation
from jsp.wire import frames
from jsp.wire.frames import StreamFrame, push_frame

BIDI = 0
UNI = 1
_STREAMS_MAX = 1 << 60
_RESET_TOKEN = 2  # beside the receiving half's STOP_TOKEN and WINDOW_TOKEN

# Looking a member up in its class costs more than a comparison of it.
_RECEIVED = Receiving.DONE
_SENT = Sending.DONE
_OPEN = Sending.OPEN


class Stream:
    """Both halves of a stream; a unidirectional one has only one of them here.

    Attributes:
        released: whether the application has let go of it.
    """

    __slots__ = ("id", "recv", "released", "send")

    def __init__(self, stream_id: int, send: SendStream | None, recv: RecvStream | None) -> None:
        self.id = stream_id
        self.send = send
        self.recv = recv
        self.released = False

    def is_over(self) -> bool:
        """Whether both halves have reached their end."""
        return (self.send is None or self.send.state is _SENT) and (self.recv is None or self.recv.state is _RECEIVED)


class StreamTable:
    """All streams of a connection.

    Attributes:
        streams: the live ones, by id.
        update_due: whether a MAX_STREAMS frame should go out.
        control: ids of streams with control frames to send.
    """

    __slots__ = (
        "_advertised", "_blocked_told", "_closed", "_config", "_credit", "_events", "_initial", "_next",
        "_peer_blocked", "_peer_limit", "_peer_next", "_peer_stream_window", "_reset_rate",
        "_scheduler", "_server", "_wanted", "_window", "_writers", "control", "streams", "update_due",
    )  # fmt: skip

    def __init__(
        self,
        server: bool,
        config: Config,
        credit: SendCredit,
        window: ReceiveWindow,
        scheduler: Scheduler,
        events: list[Event],
    ) -> None:
        self._server = int(server)
        self._config = config
        self._credit = credit
        self._window = window
        self._scheduler = scheduler
        self._events = events
        self._initial = (config.max_streams, config.max_streams)
        self._advertised = [config.max_streams, config.max_streams]
        self._closed = [0, 0]
        self._next = [0, 0]
        self._peer_next = [0, 0]
        self._peer_limit = [0, 0]
        self._peer_blocked = [False, False]
        self._peer_stream_window = 0
        self._blocked_told = [-1, -1]
        self._wanted = [False, False]
        self._reset_rate: TokenBucket | None = None
        self.streams: dict[int, Stream] = {}
        self._writers: dict[int, Stream] = {}
        self.update_due = [False, False]
        self.control: dict[int, None] = {}

    def on_params(self, bidi: int, uni: int, stream_window: int) -> None:
        """The peer's transport parameters."""
        self._peer_limit = [bidi, uni]
        self._peer_stream_window = stream_window
        for stream in self.streams.values():
            if stream.send:
                stream.send.credit.raise_to(stream_window)

    # --- opening -------------------------------------------------------------------------------------------

    def open(self, unidirectional: bool) -> Stream | None:
        """A new stream of ours, announced to the peer at once; None when the peer allows no more now."""
        kind = UNI if unidirectional else BIDI
        sequence = self._next[kind]
        if sequence >= self._peer_limit[kind]:
            self._wanted[kind] = True
            return None
        self._next[kind] = sequence + 1
        stream = self._create(sequence << 2 | kind << 1 | self._server, send=True, receive=not unidirectional)
        assert stream.send is not None
        stream.send.announce()
        return stream

    def _create(self, stream_id: int, send: bool, receive: bool) -> Stream:
        c = self._config
        stream = Stream(
            stream_id,
            SendStream(stream_id, self._peer_stream_window, self._credit, self._scheduler) if send else None,
            RecvStream(stream_id, c.stream_window, c.stream_window_max, self._window) if receive else None,
        )
        self.streams[stream_id] = stream
        return stream

    def for_frame(self, stream_id: int, to_receive: bool) -> Stream | None:
        """The stream a peer's frame is about; opened if it is new, None if it is over.

        `to_receive`: the frame speaks of what the peer sends, else of what we send.
        """
        stream = self.streams.get(stream_id)
        if stream is None:
            stream = self._accept(stream_id)
            if stream is None:
                self._check_direction(stream_id, to_receive)
                return None
        if (stream.recv if to_receive else stream.send) is None:
            raise ProtocolViolation(Code.STREAM_STATE, f"stream {stream_id} does not go that way")
        return stream

    def _check_direction(self, stream_id: int, to_receive: bool) -> None:
        if stream_id & 2 and to_receive == (stream_id & 1 == self._server):
            raise ProtocolViolation(Code.STREAM_STATE, f"stream {stream_id} does not go that way")

    def _accept(self, stream_id: int) -> Stream | None:
        kind = (stream_id >> 1) & 1
        sequence = stream_id >> 2
        if stream_id & 1 == self._server:
            if sequence >= self._next[kind]:
                raise ProtocolViolation(Code.STREAM_STATE, f"stream {stream_id} was never opened")
            return None
        if sequence >= self._advertised[kind]:
            raise ProtocolViolation(Code.STREAM_LIMIT, f"stream {stream_id} is above the limit")
        # RFC 9000 3.2: opening a stream opens the lower ones of its kind.
        while self._peer_next[kind] <= sequence:
            new = self._peer_next[kind] << 2 | kind << 1 | (1 - self._server)
            self._peer_next[kind] += 1
            self._create(new, send=kind == BIDI, receive=True)
            self._events.append(StreamOpened(new))
        return self.streams.get(stream_id)

    # --- frames --------------------------------------------------------------------------------------------

    def is_late(self, stream_id: int, number: int, newest: bool) -> bool:
        """Whether STREAM_NEXT of packet `number` comes too late to say where its data belongs.

        `newest`: no packet with a higher number has come.
        """
        stream = self.streams.get(stream_id)
        return stream is not None and stream.recv is not None and stream.recv.is_late(number, newest)

    def on_data(self, frame: StreamFrame, data: bytearray, number: int) -> None:
        """STREAM or STREAM_NEXT of packet `number`."""
        stream = self.streams.get(frame.id)
        if stream is None or stream.recv is None:
            stream = self.for_frame(frame.id, True)
            if stream is None:
                return
        recv = stream.recv
        assert recv is not None
        if recv.on_data(frame, data, number) and not recv.signalled:
            recv.signalled = True
            self._events.append(StreamReadable(frame.id))
        if recv.has_control():
            self.control[frame.id] = None
        if recv.state is _RECEIVED:
            self._settle(stream)

    def on_reset(self, stream_id: int, code: int, final_size: int, now: float) -> None:
        stream = self.for_frame(stream_id, True)
        if stream is None:
            return
        assert stream.recv is not None
        if stream.recv.on_reset(code, final_size):
            if not stream.released and stream_id & 1 != self._server:
                self._charge_reset(now)
            stream.recv.signalled = True
            self._events.append(StreamReadable(stream_id))
        self._settle(stream)

    def on_stop(self, stream_id: int, code: int, now: float) -> None:
        stream = self.for_frame(stream_id, False)
        if stream is None:
            return
        assert stream.send is not None
        if stream.send.stop_code < 0 and not stream.released and stream_id & 1 != self._server:
            self._charge_reset(now)
        stream.send.on_stop(code)
        self._scheduler.remove(stream.send)
        self.touch(stream)
        self._events.append(StreamWritable(stream_id))

    def _charge_reset(self, now: float) -> None:
        # SPEC 8.6: resetting streams whose handler runs is the cheapest way to make us work.
        if self._reset_rate is None:
            self._reset_rate = TokenBucket(LIMITS.resets_rate, LIMITS.resets_burst)
        if not self._reset_rate.take(now):
            raise ProtocolViolation(Code.EXCESSIVE_LOAD, "too many streams reset")

    def on_max_stream_data(self, stream_id: int, limit: int) -> None:
        stream = self.for_frame(stream_id, False)
        if stream is not None and stream.send is not None and stream.send.credit.raise_to(limit):
            self._scheduler.add(stream.send)

    def on_blocked(self, stream_id: int, limit: int) -> None:
        stream = self.for_frame(stream_id, True)
        if stream is not None and stream.recv is not None:
            stream.recv.window.on_blocked(limit)
            self.touch(stream)

    def on_max_streams(self, kind: int, limit: int) -> None:
        if limit > _STREAMS_MAX:
            raise ProtocolViolation(Code.FRAME_ENCODING, "stream limit out of range")
        if limit > self._peer_limit[kind]:
            self._peer_limit[kind] = limit
            if self._wanted[kind]:
                self._wanted[kind] = False
                self._events.append(StreamsAvailable())

    def on_streams_blocked(self, kind: int, limit: int) -> None:
        """The peer has opened `limit` streams and wants more: it gets what is free, now or with the next that ends."""
        if limit == self._advertised[kind]:
            self._peer_blocked[kind] = True
            self.update_due[kind] = self._initial[kind] + self._closed[kind] > limit

    # --- the owner's side ----------------------------------------------------------------------------------

    def touch(self, stream: Stream) -> None:
        """The stream may have control frames to send, or be over."""
        recv, send = stream.recv, stream.send
        if (recv is not None and recv.has_control()) or (send is not None and send.has_control()):
            self.control[stream.id] = None
        self._settle(stream)

    def release(self, stream: Stream) -> None:
        """The application has let go of the stream."""
        stream.released = True
        self._settle(stream)

    def _settle(self, stream: Stream) -> None:
        """Forget a stream that is over; its slot goes back to the peer that opened it."""
        if not stream.released or not stream.is_over() or stream.id not in self.streams:
            return
        del self.streams[stream.id]
        self.control.pop(stream.id, None)
        self._writers.pop(stream.id, None)
        if stream.send is not None:
            self._scheduler.remove(stream.send)
        if stream.id & 1 != self._server:
            kind = (stream.id >> 1) & 1
            self._closed[kind] += 1
            limit = self._initial[kind] + self._closed[kind]
            if self._peer_blocked[kind] or limit - self._advertised[kind] >= max(1, self._initial[kind] // 8):
                self.update_due[kind] = True

    def settle_done(self) -> None:
        """Forget streams whose last byte was acknowledged, when they are over otherwise."""
        done, self._scheduler.done = self._scheduler.done, []
        for stream_id in done:
            stream = self.streams.get(stream_id)
            if stream is not None:
                self._settle(stream)

    def want_writable(self, stream: Stream) -> None:
        """Say `StreamWritable` once the stream's buffer has room again."""
        self._writers[stream.id] = stream

    def check_writers(self) -> None:
        """Say which of the streams that wait for room have it now, or will never need it."""
        if not self._writers:
            return
        low = self._config.send_buffer // 2
        for stream in list(self._writers.values()):
            send = stream.send
            if send is None or send.state is not _OPEN or send.unsent() <= low:
                del self._writers[stream.id]
                self._events.append(StreamWritable(stream.id))

    def unfinished(self) -> bool:
        """Whether anything written is not yet delivered."""
        for stream in self.streams.values():
            send = stream.send
            if send is None:
                continue
            if send.state in (Sending.FINISHING, Sending.RESETTING):
                return True
            if send.state is _OPEN and send.buffer.base < send.buffer.end:
                return True
        return False

    # --- sending -------------------------------------------------------------------------------------------

    def has_control(self) -> bool:
        if self.control or self.update_due[BIDI] or self.update_due[UNI]:
            return True
        return (self._wanted[BIDI] and self._blocked_told[BIDI] != self._peer_limit[BIDI]) or (
            self._wanted[UNI] and self._blocked_told[UNI] != self._peer_limit[UNI]
        )

    def write_control(self, train: Train, now: float, shortest_rtt: float) -> bool:
        """Control frames of streams and of the table; False when the packet is full."""
        for kind in (BIDI, UNI):
            if self.update_due[kind]:
                limit = self._initial[kind] + self._closed[kind]
                if not push_frame(train, frames.MAX_STREAMS_BIDI + kind, limit):
                    return False
                if limit > self._advertised[kind]:
                    self._peer_blocked[kind] = False
                self._advertised[kind] = limit
                self.update_due[kind] = False
                train.note(self, frames.MAX_STREAMS_BIDI + kind, 0)
            if self._wanted[kind] and self._blocked_told[kind] != self._peer_limit[kind]:
                if not push_frame(train, frames.STREAMS_BLOCKED_BIDI + kind, self._peer_limit[kind]):
                    return False
                self._blocked_told[kind] = self._peer_limit[kind]
                train.note(self, frames.STREAMS_BLOCKED_BIDI + kind, 0)
        while self.control:
            stream_id = next(iter(self.control))
            stream = self.streams.get(stream_id)
            if stream is not None and not self._write_stream_control(stream, train, now, shortest_rtt):
                return False
            del self.control[stream_id]
        return True

    def _write_stream_control(self, stream: Stream, train: Train, now: float, shortest_rtt: float) -> bool:
        if stream.recv is not None:
            tokens = stream.recv.write_control(train, now, shortest_rtt)
            if tokens is None:
                return False
            for token in tokens:
                train.note(StreamControl(self, stream), token, 0)
        send = stream.send
        if send is not None and send.has_control():
            if not send.write_control(train):
                return False
            train.note(StreamControl(self, stream), _RESET_TOKEN, 0)
        return True

    def on_acked(self, frame: int, _: int) -> None:
        """MAX_STREAMS or STREAMS_BLOCKED arrived."""

    def on_lost(self, frame: int, _: int) -> None:
        if frame < frames.STREAMS_BLOCKED_BIDI:
            self.update_due[frame - frames.MAX_STREAMS_BIDI] = True
        else:
            self._blocked_told[frame - frames.STREAMS_BLOCKED_BIDI] = -1


class StreamControl:
    """Owner of a stream's STOP, RESET and MAX_STREAM_DATA: a lost one puts the stream back on the control list."""

    __slots__ = ("_stream", "_table")

    def __init__(self, table: StreamTable, stream: Stream) -> None:
        self._table = table
        self._stream = stream

    def on_acked(self, token: int, _: int) -> None:
        if token == _RESET_TOKEN and self._stream.send is not None:
            self._stream.send.on_reset_acked()
            self._table.touch(self._stream)

    def on_lost(self, token: int, _: int) -> None:
        if token == _RESET_TOKEN and self._stream.send is not None:
            self._stream.send.on_reset_lost()
        elif self._stream.recv is not None:
            self._stream.recv.on_control_lost(token)
        if self._stream.id in self._table.streams:
            self._table.touch(self._stream)
