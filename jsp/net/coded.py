"""Streams and messages of connections on which compression was agreed on (spec section 8.7).

Blocking, timeouts, `shutdown` and `makefile` are those of `Stream`: only where bytes go to the engine and come from
it there is a coder between, which holds a chunk at most, and exists once there is something for it to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsp.net.clock as clock
from jsp.coding.streams import Decoder, Encoder
from jsp.coding.zstd import Coding, bad
from jsp.engine.message import Message
from jsp.engine.streams import Stream as InnerStream
from jsp.errors import Code, ConnectionClosed, LocalError, MessageTooLarge, ProtocolViolation
from jsp.net.stream import Buffer, Stream

if TYPE_CHECKING:
    from jsp.net.connection import Connection

# Taken from the engine at once; more than a chunk, so that one is whole after two.
_PIECE = 64 * 1024


class CodedStream(Stream):
    """A stream whose directions each begin with a byte that says how they are coded."""

    __slots__ = ("_coding", "_compress", "_decoder", "_encoder", "_held")

    def __init__(self, connection: Connection, inner: InnerStream, coding: Coding) -> None:
        super().__init__(connection, inner)
        self._coding = coding
        self._compress = False
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._held = 0

    @property
    def compress(self) -> bool:
        return self._compress

    @compress.setter
    def compress(self, compress: bool) -> None:
        if self._encoder is not None:
            raise LocalError("compress: before the first byte is written")
        self._compress = compress

    # --- writing -------------------------------------------------------------------------------------------

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        # In pieces even when it is immutable: what is compressed is a copy, and takes its time.
        super().sendall(memoryview(data) if type(data) is bytes else data, flags)

    def _write(self, data: bytes) -> None:
        if self._encoder is None:
            self._encoder = Encoder(self._coding, self._compress)
        super()._write(self._encoder.encode(data))

    # --- reading -------------------------------------------------------------------------------------------

    def has_news(self) -> bool:
        try:
            # What is not plain was taken from the engine by this, so that only whole chunks are news.
            return bool(self._pump().ready) or super().has_news()
        except ConnectionClosed:
            return True

    def _wait_readable(self, deadline: float | None = None) -> int:
        self.connection.check_hub()
        timeout = self.gettimeout()
        if timeout and deadline is None:
            deadline = clock.now() + timeout
        while True:
            decoder = self._pump()
            if decoder.ready:
                return len(decoder.ready)
            size = super()._wait_readable(deadline)
            if not size and not decoder.ends_well():
                self._fail(bad("a stream that ends in the middle of a chunk"))
            if decoder.plain or not size:
                return size

    def _pump(self) -> Decoder:
        """Decode what has arrived until something is ready."""
        decoder = self._decoder
        if decoder is None:
            decoder = self._decoder = Decoder(self._coding)
        recv = self.inner.recv
        if decoder.plain or recv is None:
            return decoder
        try:
            while not decoder.step() and recv.readable():
                decoder.feed(self.connection.core.read(self.inner, _PIECE))
                self.connection.changed_if_due()
        except ProtocolViolation as violation:
            self._fail(violation)
        if not self._account(decoder):
            self._fail(ProtocolViolation(Code.EXCESSIVE_LOAD, "more compressed streams than there is memory for"))
        return decoder

    def _account(self, decoder: Decoder) -> bool:
        """Whether there is memory for the decompressor, which counts as unread data does: the peer began it."""
        change = decoder.held() - self._held
        if not change:
            return True
        window = self.connection.core.window
        fits = change < 0 or window.may_keep(change)
        window.keep(change)
        self._held += change
        return fits

    def _clear(self) -> None:
        if self._decoder is not None:
            self._decoder.clear()
            self._account(self._decoder)

    def _fail(self, violation: ProtocolViolation) -> None:
        self._clear()
        self.connection.fail(violation)
        raise self.connection.closed_error()

    def _take(self, limit: int) -> bytes:
        decoder = self._decoder
        if decoder is not None and decoder.ready:
            return decoder.take(limit)
        return super()._take(limit)

    def _take_into(self, view: memoryview) -> int:
        decoder = self._decoder
        if decoder is not None and decoder.ready:
            data = decoder.take(len(view))
            view[: len(data)] = data
            return len(data)
        return super()._take_into(view)

    def _stop_reading(self, code: int = 0) -> None:
        self._clear()
        super()._stop_reading(code)


def outgoing(connection: Connection, data: bytes, compress: bool) -> bytes:
    """What goes to the engine for a message."""
    coding = connection.coding()
    if coding is None:
        if compress and connection.core.config.compression is None:
            raise LocalError("compress: both ends need a Config with compression")
        return data
    limit = connection.core.send_messages.max_message - 1
    if len(data) > limit:
        raise MessageTooLarge(f"message of {len(data)} bytes; the peer takes {limit} at most")
    return coding.encode_message(data, compress)


def incoming(connection: Connection, message: Message) -> Message | None:
    """The message that the engine has brought; None when it cannot be read, and the connection is over for that."""
    coding = connection.coding()
    if coding is not None:
        try:
            message.data = coding.decode_message(message.data, connection.core.config.max_message)
        except ProtocolViolation as violation:
            connection.fail(violation)
            return None
    return message
