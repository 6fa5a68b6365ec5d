"""A session's stream: frames in, frames out, and words for the other side when it is over."""

from __future__ import annotations

import jsp.errors
from jsp.net import clock
from jsp.net.stream import SHUT_WR, Stream
from jsp.transfer.errors import PeerGaveUp
from jsp.transfer.frames import ABORT, Body, FrameReader, pack_abort, parse_abort
from jsp.transfer.names import display

# How long to wait for the other side to hear why this one gives up. What it was sending has to be read meanwhile,
# or it would go on for as long as there is credit.
_LINGER = 3.0
_PIECE = 65536


class Channel:
    """Frames over a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._frames = FrameReader(stream)

    def send(self, frame: bytes) -> bool:
        """Send frames as one piece; False when the other side reads no more, and why is for `read` to find out."""
        try:
            self._stream.sendall(frame)
        except jsp.errors.StreamStopped:
            return False
        return True

    def read(self) -> tuple[int, Body]:
        """Type and body of the next frame. PeerGaveUp when the other side did; BadFrame; errors of the stream."""
        kind, body = self._frames.read()
        if kind == ABORT:
            raise PeerGaveUp(f"the other side gave up: {display(parse_abort(body).encode())}")
        return kind, body

    def has_frame(self) -> bool:
        """Whether `read` would return at once."""
        return self._frames.has_frame()

    def abort(self, text: str) -> None:
        """Tell the other side why it is over, and wait a little until it has heard."""
        try:
            self._stream.settimeout(_LINGER)
            self._stream.sendall(pack_abort(text))
            self._stream.shutdown(SHUT_WR)
            deadline = clock.now() + _LINGER
            # Bytes rather than frames: whoever read them may have been ended in the middle of one.
            while self._stream.recv(_PIECE) and clock.now() < deadline:
                pass
        except jsp.errors.Error:
            # The connection is gone, or the other side does not care.
            pass
