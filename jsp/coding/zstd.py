"""zstd with bounds: what both ends agreed on, messages in and out (spec section 8.7).

Nothing a peer sends is decompressed by a call that believes what the data says of its own size. Output goes into
buffers whose size was checked first, against a limit and against what was received; the window that a decompressor
keeps has a limit of its own, and whatever asks for more is refused before anything is allocated.
"""

from __future__ import annotations

from functools import lru_cache

import zstandard
from zstandard import ZstdCompressionDict, ZstdCompressionParameters, ZstdCompressor, ZstdDecompressor, ZstdError

from jsp.coding.trial import Trial
from jsp.config import Compression
from jsp.errors import Code, ProtocolViolation

# How the bytes of a message, or of one direction of a stream, are coded: their first byte.
PLAIN = 0
ZSTD = 1
ZSTD_DICTIONARY = 2

# What a decompressor keeps of what came before (RFC 8878 section 3.1.1.1.2): law.
WINDOW_LOG = 18
# What may come out of n bytes: ALLOWED + RATIO * n. A sender whose data gets smaller than that sends some as it is.
ALLOWED = 64 * 1024
RATIO = 100
# Less gains nothing: a frame alone has 6 bytes or more around its data.
_MESSAGE_MIN = 64


def bad(reason: str) -> ProtocolViolation:
    """The error for what cannot be decompressed."""
    return ProtocolViolation(Code.CODING, reason)


@lru_cache(maxsize=16)
def _dictionary(compression: Compression) -> ZstdCompressionDict:
    made = ZstdCompressionDict(compression.dictionary)
    made.precompute_compress(compression_params=_parameters(compression.level, True))
    return made


def _parameters(level: int, sized: bool) -> ZstdCompressionParameters:
    return ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG, write_content_size=sized)


class Coding:
    """What the two ends of a connection agreed on, and the messages of one end.

    Attributes:
        kind: `ZSTD` or `ZSTD_DICTIONARY`.
    """

    __slots__ = ("_compression", "_compressor", "_decompressor", "_trial", "kind")

    def __init__(self, compression: Compression, kind: int) -> None:
        self._compression = compression
        self.kind = kind
        self._trial = Trial()
        self._compressor: ZstdCompressor | None = None
        self._decompressor: ZstdDecompressor | None = None

    def _shared(self) -> ZstdCompressionDict | None:
        return _dictionary(self._compression) if self.kind == ZSTD_DICTIONARY else None

    def compressor(self, sized: bool) -> ZstdCompressor:
        """A new compressor; `sized`: its frames tell their size."""
        parameters = _parameters(self._compression.level, sized)
        return ZstdCompressor(dict_data=self._shared(), compression_params=parameters)

    def decompressor(self) -> ZstdDecompressor:
        """A new decompressor."""
        return ZstdDecompressor(dict_data=self._shared(), max_window_size=1 << WINDOW_LOG)

    def encode_message(self, data: bytes, wanted: bool) -> bytes:
        """What goes over the wire for `data`; compressed if that is `wanted` and worth it."""
        size = len(data)
        if wanted and size >= _MESSAGE_MIN and self._trial.wants(size):
            if self._compressor is None:
                self._compressor = self.compressor(True)
            frame = self._compressor.compress(data)
            self._trial.tell(size, len(frame))
            if len(frame) < size <= ALLOWED + RATIO * len(frame):
                return bytes((self.kind,)) + frame
        return bytes((PLAIN,)) + data

    def decode_message(self, coded: bytes, limit: int) -> bytes:
        """The message in `coded`, of at most `limit` bytes; ProtocolViolation when there is none."""
        if coded[:1] == b"\0":
            return coded[1:]
        if not coded or coded[0] != self.kind:
            raise bad("a message in an unknown coding")
        frame = memoryview(coded)[1:]
        try:
            size = zstandard.frame_content_size(frame)
            if not 0 < size <= min(limit, ALLOWED + RATIO * len(frame)):
                raise bad(f"a message that would have {size} bytes")
            if self._decompressor is None:
                self._decompressor = self.decompressor()
            data = bytearray(size)
            with self._decompressor.stream_reader(frame) as reader:
                if reader.readinto(data) != size or reader.readinto(bytearray(1)):
                    raise bad("a compressed message of another size than it says")
        except ZstdError as error:
            raise bad("a compressed message that cannot be read") from error
        return bytes(data)


def agree(ours: Compression | None, theirs: bytes) -> Coding | None:
    """What to use with a peer whose parameter says `theirs`; None: nothing is compressed, and nothing is coded."""
    if ours is None or not theirs or not theirs[0] & 1:
        return None
    same = bool(ours.dictionary) and theirs == ours.offer
    return Coding(ours, ZSTD_DICTIONARY if same else ZSTD)
