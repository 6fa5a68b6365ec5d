"""The bytes of one direction of a stream, in chunks that may be compressed (spec section 8.7).

A stream begins with a byte that says how it is coded. If it is compressed at all, it then consists of chunks of at
most 32 KiB: what each write gives is ended by a flush, so that nothing is held back. A chunk says how large it is
before and after, so that the receiver can make room for exactly that, and a chunk that is not worth compressing
goes as it is. Compressors are made when they are first needed, and let go of while they are not.
"""

from __future__ import annotations

from struct import Struct
from typing import IO, Any, cast

from zstandard import COMPRESSOBJ_FLUSH_BLOCK, ZstdError

from jsp.coding.trial import Trial
from jsp.coding.zstd import ALLOWED, PLAIN, RATIO, Coding, bad

CHUNK = 32 * 1024
# Bytes of a decompressor with its window, or a little more.
HELD = 512 * 1024
# Chunks: as they are; compressed, after the one before; compressed, by themselves.
_RAW = 0
_MORE = 1
_FIRST = 2
_HEAD = Struct(">BH")
_HEAD_COMPRESSED = Struct(">BHH")
# Less gains nothing: a flush alone has 3 bytes.
_COMPRESSED_MIN = 32


class Encoder:
    """What is written becomes what is sent. `compress` must be decided before the first byte."""

    __slots__ = ("_coding", "_compress", "_given", "_sent", "_started", "_stream", "_trial")

    def __init__(self, coding: Coding, compress: bool) -> None:
        self._coding = coding
        self._compress = compress
        self._started = False
        self._stream: Any = None
        self._trial = Trial()
        # Bytes of chunks before and after, as the receiver counts them.
        self._given = 0
        self._sent = 0

    def encode(self, data: bytes) -> bytes:
        """What to send for `data`; all of it can be read when that has arrived."""
        if not self._compress and self._started:
            return data
        parts = []
        if not self._started:
            self._started = True
            parts.append(bytes((self._coding.kind if self._compress else PLAIN,)))
        if not self._compress:
            parts.append(data)
        else:
            for start in range(0, len(data), CHUNK):
                self._encode_chunk(data[start : start + CHUNK], parts)
        return b"".join(parts)

    def _encode_chunk(self, data: bytes, parts: list[bytes]) -> None:
        size = len(data)
        if not self._trial.wants(size):
            self._stream = None
        elif size >= _COMPRESSED_MIN:
            kind = _MORE
            if self._stream is None:
                kind = _FIRST
                self._stream = self._coding.compressor(False).compressobj()
            coded = self._stream.compress(data) + self._stream.flush(COMPRESSOBJ_FLUSH_BLOCK)
            self._trial.tell(size, len(coded))
            if self._given + size <= ALLOWED + RATIO * (self._sent + len(coded)):
                self._given += size
                self._sent += len(coded)
                parts += (_HEAD_COMPRESSED.pack(kind, size, len(coded)), coded)
                return
            # More would come out than a receiver takes; what is sent as it is lets it take more.
            self._stream = None
        self._given += size
        self._sent += size
        parts += (_HEAD.pack(_RAW, size), data)


class _Feed:
    """Gives a decompressor one chunk, and no more."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b""

    def read(self, size: int) -> bytes:
        data, self.data = self.data, b""
        if not data:
            raise bad("a chunk from which less comes out than it says")
        return data


class Decoder:
    """What is received becomes what was written, a chunk at a time.

    Attributes:
        ready: bytes that can be read.
        plain: whether the stream is not compressed: what was not yet fed needs no decoding.
    """

    __slots__ = ("_coded", "_coding", "_feed", "_given", "_kind", "_received", "_stream", "plain", "ready")

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._coded = bytearray()
        self._kind = -1
        self._feed = _Feed()
        self._stream: Any = None
        self._given = 0
        self._received = 0
        self.plain = False
        self.ready = bytearray()

    def feed(self, data: bytes) -> None:
        """More has arrived. ProtocolViolation when it cannot be decoded."""
        self._coded += data
        if self._kind < 0 and self._coded:
            self._kind = self._coded[0]
            if self._kind != PLAIN and self._kind != self._coding.kind:
                raise bad("a stream in an unknown coding")
            del self._coded[0]
            self.plain = self._kind == PLAIN
        if self.plain:
            self.ready += self._coded
            self._coded.clear()

    def step(self) -> bool:
        """Decode the next chunk, if nothing is ready and all of one is there; whether something is ready."""
        while not self.ready and self._decode_chunk():
            pass
        return bool(self.ready)

    def held(self) -> int:
        """Bytes of the decompressor, if there is one."""
        return 0 if self._stream is None else HELD

    def ends_well(self) -> bool:
        """Whether the stream may end here."""
        return not self._coded

    def take(self, limit: int) -> bytes:
        """At most `limit` of the bytes that are ready."""
        data = bytes(self.ready[:limit])
        del self.ready[:limit]
        return data

    def clear(self) -> None:
        """Nothing more will be read."""
        self.ready.clear()
        self._coded.clear()
        self._stream = None

    def _decode_chunk(self) -> bool:
        """False when there is no whole chunk."""
        coded = self._coded
        if len(coded) < _HEAD.size:
            return False
        kind, size = _HEAD.unpack_from(coded)
        if kind > _FIRST or not 0 < size <= CHUNK:
            raise bad("a chunk that is none")
        if kind == _RAW:
            start, stop = _HEAD.size, _HEAD.size + size
        else:
            if len(coded) < _HEAD_COMPRESSED.size:
                return False
            start = _HEAD_COMPRESSED.size
            stop = start + _HEAD_COMPRESSED.unpack_from(coded)[2]
        if len(coded) < stop:
            return False
        self._given += size
        self._received += stop - start
        if self._given > ALLOWED + RATIO * self._received:
            raise bad("more would come out than may come of what was received")
        if kind == _RAW:
            self.ready += coded[start:stop]
        else:
            self.ready += self._decompress(kind, bytes(coded[start:stop]), size)
        del coded[:stop]
        return True

    def _decompress(self, kind: int, chunk: bytes, size: int) -> bytearray:
        if kind == _FIRST:
            self._feed = _Feed()
            self._stream = self._coding.decompressor().stream_reader(cast(IO[bytes], self._feed))
        if self._stream is None:
            raise bad("a chunk that goes on with nothing")
        if self._feed.data:
            raise bad("a chunk from which more comes out than it says")
        self._feed.data = chunk
        data = bytearray(size)
        try:
            if self._stream.readinto(data) != size:
                raise bad("a chunk behind the end")
        except ZstdError as error:
            raise bad("a chunk that cannot be read") from error
        return data
