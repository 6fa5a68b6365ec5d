# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The streams that frames travel on: one a direction and size of frame, opened when first needed.

Senders write whole frames, so any number of greenlets may send at once; a full stream makes them wait. Who reads can
cork the lanes while it goes through what it read, or until those have gone on who were waiting for it: what is sent
meanwhile leaves in one piece, which costs one call of the transport instead of one a frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from jsp.config import Config
from jsp.errors import ConnectionClosed, Error, StreamReset
from jsp.net.connection import Connection
from jsp.net.stream import Stream
from jsp.net.waiting import Signal
from jsp.rpc.codec import LANES_MAX, PROTOCOL, Frame, Framer
from jsp.rpc.errors import BadFrame

log = logging.getLogger("jsp.rpc")

# Lanes by what they carry, and the urgency of their streams.
SMALL = 0
ITEMS = 1
LARGE = 2
_SMALL = SMALL
_LARGE = LARGE
_URGENCY = (2, 3, 4)

# Frames up to this size count as small: at 10 Mbit/s one holds up the next for 26 ms.
SMALL_MAX = 32 << 10
_SMALL_MAX = SMALL_MAX

_READ_SIZE = 64 << 10

# Bytes that a cork keeps back: it gives way to more. With the last frame that may be so many that a stream needs:
_KEPT_MAX = 64 << 10
_ROOM_MIN = _KEPT_MAX + SMALL_MAX

# Three answers may be lost before a connection counts as dead, 30 s after the last one (Config.idle_timeout).
_KEEP_ALIVE = 10.0


def rpc_config(config: Config | None = None) -> Config:
    """`config` as an RPC connection needs it; None: the defaults, kept alive while a call takes its time."""
    base = config if config is not None else Config(keep_alive=_KEEP_ALIVE)
    return replace(base, protocols=(PROTOCOL,), max_streams=LANES_MAX)


class Lanes:
    """The lanes on which one side of a connection sends."""

    __slots__ = ("_connection", "_corked", "_kept", "_streams")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._streams: list[Stream | None] = [None] * LANES_MAX
        self._corked: list[bytes] | None = None
        self._kept = 0

    def send(self, lane: int, frame: bytes) -> None:
        """Send a frame, waiting while the lane is full. Raises ConnectionClosed."""
        if self._corked is not None and lane == _SMALL:
            self._keep(frame)
            if self._kept > _KEPT_MAX:
                self.uncork()
            return
        stream = self._streams[lane]
        if stream is None:
            stream = self._open(lane)
        stream.sendall(frame)

    def _open(self, lane: int) -> Stream:
        stream = self._connection.open_stream(unidirectional=True)
        stream.priority = _URGENCY[lane]
        self._streams[lane] = stream
        return stream

    def try_send(self, lane: int, frame: bytes) -> bool:
        """Send a frame, of at most `Config.send_buffer` bytes, if that needs no waiting; False if it does."""
        if self._corked is not None and lane == _SMALL:
            # Not ahead of the request that it may cancel.
            self._keep(frame)
            return True
        stream = self._streams[lane]
        if stream is None:
            return False
        # Nobody else runs between these two calls, so the time limit is nobody else's.
        stream.settimeout(0)
        try:
            stream.sendall(frame)
        except BlockingIOError:
            return False
        finally:
            stream.settimeout(None)
        return True

    def cork(self) -> None:
        """Keep small frames back until `uncork`, or until there are many."""
        if self._corked is None:
            self._corked = []

    def is_corked(self) -> bool:
        """Whether small frames are kept back."""
        return self._corked is not None

    def cork_for_turn(self) -> None:
        """Keep small frames back until those have gone on who are to do so in this turn of the loop.

        Only while nothing waits on their lane: then it takes at once what is kept back, so nobody waits in the hub.
        """
        stream = self._streams[_SMALL]
        if self._corked is not None or stream is None or self._connection.core.config.send_buffer < _ROOM_MIN:
            return
        sending = stream.inner.send
        if sending is not None and sending.unsent() == 0:
            self._corked = []
            self._connection.resume(self)

    def _keep(self, frame: bytes) -> None:
        assert self._corked is not None
        self._corked.append(frame)
        self._kept += len(frame)

    def uncork(self) -> None:
        """Send what was kept back; waits, and raises, as `send` does."""
        frames, self._corked = self._corked, None
        self._kept = 0
        if frames:
            self.send(_SMALL, frames[0] if len(frames) == 1 else b"".join(frames))

    def end_turn(self) -> None:
        """Send what `cork_for_turn` keeps back, before anything else happens to the connection."""
        try:
            self.uncork()
        except Error:
            # The connection is gone, and those whose frames these were hear of it by themselves.
            pass

    def switch(self, value: object) -> None:
        """The end of the turn has come: called in the hub."""
        self.end_turn()


def lane_for(frame: bytes) -> int:
    """The lane of a frame that need not be in order with others."""
    return _SMALL if len(frame) <= _SMALL_MAX else _LARGE


class LaneReader:
    """Reads a lane that the peer opened.

    Args:
        stream: the lane. Raises BadFrame if it cannot be one.
        max_frame: the largest frame taken.
        handle: called with frames, as they come.

    Attributes:
        stream: it.
    """

    __slots__ = ("_framer", "_handle", "stream")

    def __init__(self, stream: Stream, max_frame: int, handle: Callable[[list[Frame]], None]) -> None:
        if stream.inner.send is not None:
            raise BadFrame("a lane is a unidirectional stream")
        self.stream = stream
        self._framer = Framer(max_frame)
        self._handle = handle

    def read(self) -> None:
        """Wait until something comes, and take it. Raises ConnectionClosed, and BadFrame also when the lane ends."""
        try:
            data = self.stream.recv(_READ_SIZE)
        except StreamReset:
            data = b""
        if not data:
            raise BadFrame("a lane ended before its connection")
        frames = self._framer.receive(data)
        if frames:
            self._handle(frames)


class Listener:
    """Reads all lanes that the peer opened, without a greenlet: in the loop's own, or in that of one who spins.

    Args:
        max_frame: the largest frame taken.
        handle: called with frames, as they come; must not wait.
        refuse: called with the error when the peer breaks a rule, and nothing is read any more.

    Attributes:
        arrived: given when there is something to read.
        held: whether nothing is read for now; who sets it calls `read` later.
    """

    __slots__ = ("_handle", "_max", "_over", "_readers", "_refuse", "arrived", "held")

    def __init__(
        self, max_frame: int, handle: Callable[[list[Frame]], None], refuse: Callable[[BadFrame], None]
    ) -> None:
        self.arrived = Signal()
        self.held = False
        self._over = False
        self._max = max_frame
        self._handle = handle
        self._refuse = refuse
        self._readers: list[LaneReader] = []

    def open(self, stream: Stream) -> None:
        """A lane was opened."""
        try:
            self._readers.append(LaneReader(stream, self._max, self._handle))
        except BadFrame as error:
            self._refuse(error)
            return
        # The lanes share one signal, and the listener is what it wakes.
        stream.readable = self.arrived
        if len(self._readers) == 1:
            self.arrived.add(self)

    def read(self) -> None:
        """Take what has come."""
        try:
            for reader in self._readers:
                stream = reader.stream
                while not self.held and stream.has_news():
                    reader.read()
        except ConnectionClosed:
            self._over = True
        except BadFrame as error:
            self._over = True
            self._refuse(error)

    def switch(self, value: object) -> None:
        """Something has come: what `arrived` wakes."""
        self.read()
        if not self._over:
            self.arrived.add(self)


def close_for(connection: Connection, error: BadFrame) -> None:
    """Close a connection whose peer does not keep to the protocol."""
    if not connection.closed:
        log.warning("closed a connection (peer %s): %s", connection.remote_address[0], error.reason)
        try:
            connection.abort(int(error.code), error.reason[:60])
        except Error:
            pass
