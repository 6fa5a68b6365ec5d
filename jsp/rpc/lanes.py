"""The streams that frames travel on: one a direction and size of frame, opened when first needed.

Senders write whole frames, so any number of greenlets may send at once; a full stream makes them wait. A reader can
cork the lanes while it goes through what it read: what is sent meanwhile leaves in one piece, which costs one call of
the transport instead of one a frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from jsp.config import Config
from jsp.errors import Error, StreamReset
from jsp.net.connection import Connection
from jsp.net.stream import Stream
from jsp.rpc.codec import LANES_MAX, PROTOCOL, Frame, Framer
from jsp.rpc.errors import BadFrame

log = logging.getLogger("jsp.rpc")

# Lanes by what they carry, and the urgency of their streams.
SMALL = 0
ITEMS = 1
LARGE = 2
_URGENCY = (2, 3, 4)

# Frames up to this size count as small: at 10 Mbit/s one holds up the next for 26 ms.
SMALL_MAX = 32 << 10

_READ_SIZE = 64 << 10

# Three answers may be lost before a connection counts as dead, 30 s after the last one (Config.idle_timeout).
_KEEP_ALIVE = 10.0


def rpc_config(config: Config | None = None) -> Config:
    """`config` as an RPC connection needs it; None: the defaults, kept alive while a call takes its time."""
    base = config if config is not None else Config(keep_alive=_KEEP_ALIVE)
    return replace(base, protocols=(PROTOCOL,), max_streams=LANES_MAX)


class Lanes:
    """The lanes on which one side of a connection sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._streams: list[Stream | None] = [None] * LANES_MAX
        self._corked: list[bytes] | None = None

    def send(self, lane: int, frame: bytes) -> None:
        """Send a frame, waiting while the lane is full. Raises ConnectionClosed."""
        if self._corked is not None and lane == SMALL:
            self._corked.append(frame)
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
        """Send a frame if that needs no waiting; False if it does."""
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
        """Keep small frames back until `uncork`."""
        if self._corked is None:
            self._corked = []

    def uncork(self) -> None:
        """Send what was kept back; waits, and raises, as `send` does."""
        frames, self._corked = self._corked, None
        if frames:
            self.send(SMALL, frames[0] if len(frames) == 1 else b"".join(frames))


def lane_for(frame: bytes) -> int:
    """The lane of a frame that need not be in order with others."""
    return SMALL if len(frame) <= SMALL_MAX else LARGE


def read_lane(stream: Stream, max_frame: int, handle: Callable[[list[Frame]], None]) -> None:
    """Give `handle` the frames that come on a lane, until the connection is over.

    Raises ConnectionClosed then, and BadFrame when the lane ends before.
    """
    if stream.inner.send is not None:
        raise BadFrame("a lane is a unidirectional stream")
    framer = Framer(max_frame)
    try:
        while data := stream.recv(_READ_SIZE):
            frames = framer.receive(data)
            if frames:
                handle(frames)
    except StreamReset:
        pass
    raise BadFrame("a lane ended before its connection")


def close_for(connection: Connection, error: BadFrame) -> None:
    """Close a connection whose peer does not keep to the protocol."""
    if not connection.closed:
        log.warning("closed a connection (peer %s): %s", connection.remote_address[0], error.reason)
        try:
            connection.abort(int(error.code), error.reason[:60])
        except Error:
            pass
