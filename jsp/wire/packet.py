# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Packet headers: what a datagram is, for whom, and which number it has.

Two shapes (spec section 3). Long headers carry both connection ids, a version and a clear packet number; they
live for the handshake only. Short headers carry one protected byte, the connection id of a path, and a
protected packet number of two or four bytes, cut down to what the receiver cannot already know.

Unmasking and opening happen in `crypto/protection`; this file only knows where things stand.
"""

from __future__ import annotations

from collections.abc import Sequence

import jsp.wire.memory as memory
from jsp.errors import BadPacket
from jsp.wire.buffer import Reader

VERSION_1 = 0x4A535001  # "JSP" 1
VERSIONS = (VERSION_1,)
VERSION_NEGOTIATION = 0

# First byte. 0-3 is STUN, 64-79 TURN channel data, 128-255 ours (spec section 2).
SHORT_FIRST = 0x80
LONG_FIRST = 0xC0
TYPE_INITIAL = 0
TYPE_EARLY = 1
TYPE_HANDSHAKE = 2
TYPE_RETRY = 3

# Protected bits of a short header's first byte.
SHORT_MASK = 0x3F
SHORT_PN4 = 0x01
SHORT_PHASE = 0x02
SHORT_RESERVED = 0x3C

TAG_SIZE = 16
# The header protection sample starts this far behind the start of the packet number.
SAMPLE_OFFSET = 4
SAMPLE_SIZE = 16

CID_MAX = 20
INITIAL_DCID_MIN = 8
INITIAL_DATAGRAM_MIN = 1200
TOKEN_MAX = 512

# Smallest datagram that can hold a short packet worth opening: flags, 1-byte id, number, sample.
SHORT_MIN = 1 + 1 + SAMPLE_OFFSET + SAMPLE_SIZE


class LongHeader:
    """A parsed long header. The packet is `data[start:end]`, its ciphertext `data[body:end]`."""

    __slots__ = ("body", "dcid", "end", "number", "scid", "start", "token", "type", "version")

    def __init__(self) -> None:
        self.start = 0
        self.body = 0
        self.end = 0
        self.type = TYPE_INITIAL
        self.version = VERSION_1
        self.dcid = b""
        self.scid = b""
        self.token = b""
        self.number = 0


def _pull_cid(r: Reader) -> bytes:
    size = r.pull_u8()
    if size > CID_MAX:
        raise BadPacket("connection id too long")
    return r.pull_bytes(size)


def parse_long_header(r: Reader) -> LongHeader:
    """Read a long header; the reader ends at the packet's ciphertext.

    For a version we do not speak only the fields every version shares are filled in (spec section 3.1), and
    the packet takes the rest of the datagram.
    """
    h = LongHeader()
    h.start = r.pos
    first = r.pull_u8()
    if first < LONG_FIRST:
        raise BadPacket("not a long header")
    h.type = (first >> 4) & 3
    h.version = r.pull_uint(4)
    h.dcid = _pull_cid(r)
    h.scid = _pull_cid(r)
    if h.version not in VERSIONS or h.type == TYPE_RETRY:
        h.body = r.pos
        h.end = r.end
        return h
    if h.type == TYPE_INITIAL:
        size = r.pull_uint(2)
        if size > TOKEN_MAX:
            raise BadPacket("token too long")
        h.token = r.pull_bytes(size)
    size = r.pull_uint(2)
    h.end = r.pos + size
    if h.end > r.end or size < 4 + TAG_SIZE:
        raise BadPacket("packet longer than its datagram")
    h.number = r.pull_uint(4)
    h.body = r.pos
    return h


def encode_long_header(
    type_: int, dcid: bytes, scid: bytes, number: int, sealed_size: int, token: bytes = b"", version: int = VERSION_1
) -> bytes:
    """A long header for a packet whose ciphertext and tag take `sealed_size` bytes."""
    initial = type_ == TYPE_INITIAL
    out = bytearray(13 + len(dcid) + len(scid) + (2 + len(token) if initial else 0))
    out[0] = LONG_FIRST | (type_ << 4)
    memory.put_u32(out, 1, version)
    at = _put_cid(out, 5, dcid)
    at = _put_cid(out, at, scid)
    if initial:
        out[at] = len(token) >> 8
        out[at + 1] = len(token) & 255
        memory.copy(out, at + 2, token, 0, len(token))
        at += 2 + len(token)
    out[at] = (4 + sealed_size) >> 8
    out[at + 1] = (4 + sealed_size) & 255
    memory.put_u32(out, at + 2, number)
    return bytes(out)


def _put_cid(out: bytearray, at: int, cid: bytes) -> int:
    """A connection id with its length in front of it; returns where it ends."""
    out[at] = len(cid)
    memory.copy(out, at + 1, cid, 0, len(cid))
    return at + 1 + len(cid)


def encode_version_negotiation(dcid: bytes, scid: bytes, first_random: int, versions: Sequence[int]) -> bytes:
    """A version negotiation packet (spec section 3.3): not protected, a hint only."""
    head = bytes([LONG_FIRST | (first_random & 0x3F)]) + bytes(4)
    ids = bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid
    return head + ids + b"".join(v.to_bytes(4, "big") for v in versions)


def parse_version_list(r: Reader) -> list[int]:
    """The versions a version negotiation packet offers."""
    if r.remaining() % 4 or not 4 <= r.remaining() <= 256:
        raise BadPacket("bad version list")
    return [r.pull_uint(4) for _ in range(r.remaining() // 4)]


def decode_number(truncated: int, bits: int, largest: int) -> int:
    """The full packet number nearest to `largest + 1` that ends in the 16 or 32 `bits` (RFC 9000 appendix A.3)."""
    expected = largest + 1
    window = 1 << 16 if bits == 16 else 1 << 32
    candidate = (expected & ~(window - 1)) | truncated
    if candidate <= expected - window // 2 and candidate < (1 << 62) - window:
        return candidate + window
    if candidate > expected + window // 2 and candidate >= window:
        return candidate - window
    return candidate


def number_size(number: int, largest_acked: int) -> int:
    """Bytes a packet number needs so that the receiver cannot mistake it: 2 or 4 (RFC 9000 section 17.1)."""
    # Twice the numbers in flight must fit, with as much again to spare for reordering.
    return 2 if number - largest_acked < 1 << 14 else 4
