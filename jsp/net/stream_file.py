"""Files over streams, as `socket.makefile` gives them over sockets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsp.net.stream import Stream


class StreamFile(io.RawIOBase):
    """A raw file over a stream (the counterpart of `socket.SocketIO`). Each counts as open on it until it is closed."""

    def __init__(self, stream: Stream, reading: bool, writing: bool) -> None:
        super().__init__()
        self._stream: Stream | None = stream
        self._reading = reading
        self._writing = writing

    def readable(self) -> bool:
        return self._reading

    def writable(self) -> bool:
        return self._writing

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise ValueError("I/O operation on closed file")
        return self._stream

    def readinto(self, buffer: Any) -> int | None:
        stream = self._open_stream()
        try:
            return stream.read_into(memoryview(buffer).cast("B"))
        except BlockingIOError:
            return None

    def write(self, data: Any) -> int | None:
        stream = self._open_stream()
        try:
            return stream.write_some(memoryview(data).cast("B"))
        except BlockingIOError:
            return None

    def fileno(self) -> int:
        return self._open_stream().fileno()

    def close(self) -> None:
        if not self.closed:
            super().close()
            stream, self._stream = self._stream, None
            if stream is not None:
                stream.drop_file()


def open_file(
    stream: Stream, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> Any:
    """What `Stream.makefile` returns; ValueError for a mode that there is not."""
    if not set(mode) <= {"r", "w", "b"}:
        raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
    reading = "r" in mode or "w" not in mode
    writing = "w" in mode
    size = io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering
    if size == 0 and "b" not in mode:
        raise ValueError("unbuffered streams must be binary")
    raw = StreamFile(stream, reading, writing)
    if size == 0:
        return raw
    buffer: Any
    if reading and writing:
        buffer = io.BufferedRWPair(raw, raw, size)
    elif reading:
        buffer = io.BufferedReader(raw, size)
    else:
        buffer = io.BufferedWriter(raw, size)
    if "b" in mode:
        return buffer
    return io.TextIOWrapper(buffer, encoding, errors, newline)
