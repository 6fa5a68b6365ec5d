# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Frames: their numbers, which packets may carry them, and a `parse_`/`push_` pair for each (spec section 9).

`parse_*` is called with the reader just behind the frame type and returns plain values; the frame's meaning is
its owner's affair. Data frames (STREAM, MESSAGE, CRYPTO) return where their payload lies in the datagram, not a
copy of it. Types from 0x40 carry a length, so that one we do not know can be skipped.
"""

from __future__ import annotations

import jsp.wire.memory as memory
from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer, varint_size
from jsp.wire.packet import CID_MAX

PADDING = 0x00
PING = 0x01
ACK = 0x02
ACK_ECN = 0x03
RESET = 0x04
STOP = 0x05
CRYPTO = 0x06
NEW_TOKEN = 0x07
STREAM = 0x08  # 0x08-0x0f
STREAM_LAST = 0x0F
MAX_DATA = 0x10
MAX_STREAM_DATA = 0x11
MAX_STREAMS_BIDI = 0x12
MAX_STREAMS_UNI = 0x13
DATA_BLOCKED = 0x14
STREAM_DATA_BLOCKED = 0x15
STREAMS_BLOCKED_BIDI = 0x16
STREAMS_BLOCKED_UNI = 0x17
NEW_CID = 0x18
RETIRE_CID = 0x19
PATH_CHALLENGE = 0x1A
PATH_RESPONSE = 0x1B
CLOSE = 0x1C
CLOSE_APPLICATION = 0x1D
HANDSHAKE_DONE = 0x1E
MESSAGE_ABANDON = 0x1F
MESSAGE = 0x20  # 0x20-0x37
MESSAGE_NEXT = 0x38  # 0x38-0x39
ACK_SHORT = 0x3A
STREAM_NEXT = 0x3C  # 0x3c-0x3f
SKIPPABLE = 0x40  # from here on frames carry a length
ACK_FREQUENCY = 0x48

STREAM_FIN = 0x01
STREAM_LEN = 0x02
STREAM_OFF = 0x04

_FIN, _LEN, _OFF = STREAM_FIN, STREAM_LEN, STREAM_OFF
_STREAM_NEXT = STREAM_NEXT

MESSAGE_LEN = 0x01
MESSAGE_FRAGMENT = 0x02
MESSAGE_ORDERED = 0x04
MESSAGE_BEST_EFFORT = 0x08
MESSAGE_PARTIAL = 0x10
# What would be best effort and partially reliable at once are other frames.
MESSAGE_LAST = 0x37

_MESSAGE_LEN, _FRAGMENT, _ORDERED, _MESSAGE_LAST = MESSAGE_LEN, MESSAGE_FRAGMENT, MESSAGE_ORDERED, MESSAGE_LAST

# Encryption levels, in the order their keys appear.
INITIAL = 0
EARLY = 1
HANDSHAKE = 2
APPLICATION = 3

_I, _E, _H, _A = 1 << INITIAL, 1 << EARLY, 1 << HANDSHAKE, 1 << APPLICATION

# Frame type -> the levels that may carry it. 0-RTT: only what can be replayed harmlessly (spec section 9.2).
_ALLOWED = {
    PADDING: _I | _E | _H | _A,
    PING: _I | _E | _H | _A,
    ACK: _I | _H | _A,
    ACK_ECN: _I | _H | _A,
    CRYPTO: _I | _H | _A,
    CLOSE: _I | _H | _A,
    RESET: _E | _A,
    0x3B: 0,  # no frame has this number
}
PERMITTED = bytes(_ALLOWED.get(kind, _E | _A if STREAM <= kind <= STREAM_LAST else _A) for kind in range(SKIPPABLE))

ACK_RANGES_MAX = 256
REASON_MAX = 64
RESET_TOKEN_SIZE = 16
CHALLENGE_SIZE = 8
# ACK delays travel in units of 8 microseconds.
ACK_DELAY_UNIT = 8e-6

_ACK = ACK
_ACK_ECN = ACK_ECN
_ACK_SHORT = ACK_SHORT
_RANGES_MAX = ACK_RANGES_MAX
_DELAY_UNIT = ACK_DELAY_UNIT

# A STREAM frame's offset of four bytes: its low 30 bits. What a sender may have between the first byte not
# acknowledged and the last one sent, and how far behind what has come an offset may lie: by that, by what the
# packets of a replay window hold, 2 x 4,096 datagrams of 65,507 bytes, just under 2^29, and by what may have come over
# other paths while such offsets are still taken.
CUT_BEHIND = 3 << 28
CUT_ELSEWHERE = 1 << 27
_CUT_SPAN = 1 << 27
_CUT_BEHIND = CUT_BEHIND
_CUT_MASK = (1 << 30) - 1


def is_eliciting(kind: int) -> bool:
    """Whether a frame of this type asks for an acknowledgement (RFC 9002 section 2)."""
    return kind not in (PADDING, ACK, ACK_ECN, ACK_SHORT, CLOSE, CLOSE_APPLICATION)


# ACK: path id, largest, delay, extra range count, first range size - 1, then (gap - 1, size - 1) downwards;
# ACK_ECN adds the counts of ECT(0), ECT(1) and CE (RFC 9000 section 19.3, with a path id)
class Ack:
    """A parsed ACK.

    Attributes:
        path_id: the path whose packet numbers these are.
        delay: seconds the largest number waited at the peer.
        starts, stops: half-open ranges, highest first.
        ecn: (ECT0, ECT1, CE) counts, or None.
    """

    __slots__ = ("delay", "ecn", "path_id", "starts", "stops")

    def __init__(self) -> None:
        self.path_id = 0
        self.delay = 0.0
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.ecn: tuple[int, int, int] | None = None


def parse_ack(r: Reader, with_ecn: bool) -> Ack:
    ack = Ack()
    ack.path_id = r.pull_varint()
    stop = r.pull_varint() + 1
    ack.delay = r.pull_varint() * _DELAY_UNIT
    count = r.pull_varint()
    if count >= _RANGES_MAX:
        raise BadPacket("too many ACK ranges")
    start = stop - 1 - r.pull_varint()
    if start < 0:
        raise BadPacket("ACK range below zero")
    ack.starts.append(start)
    ack.stops.append(stop)
    for _ in range(count):
        stop = start - 1 - r.pull_varint()
        start = stop - 1 - r.pull_varint()
        if start < 0:
            raise BadPacket("ACK range below zero")
        ack.starts.append(start)
        ack.stops.append(stop)
    if with_ecn:
        ack.ecn = (r.pull_varint(), r.pull_varint(), r.pull_varint())
    return ack


def push_ack(w: Writer, path_id: int, delay: float, starts: list[int], stops: list[int], low: int = 0) -> int:
    """Write an ACK of the ascending ranges from `low` on, as many of the newest as fit; returns how many did."""
    i = len(starts) - 1
    # Worst case of the fixed part: type, path id, largest, delay, count, first range.
    if w.room() < 1 + 4 + 8 + 4 + 2 + 8:
        return 0
    fits = min(i - low, (w.room() - 27) // 8, _RANGES_MAX - 1)
    start, stop = starts[i], stops[i]
    units = int(delay / _DELAY_UNIT)
    w.push_u8(_ACK)
    w.push_varint(path_id)
    w.push_varint(stop - 1)
    w.push_varint(units if units < 0x3FFFFFFF else 0x3FFFFFFF)
    w.push_varint(fits)
    w.push_varint(stop - 1 - start)
    for j in range(i - 1, i - 1 - fits, -1):
        stop = stops[j]
        w.push_varint(start - stop - 1)
        start = starts[j]
        w.push_varint(stop - 1 - start)
    return fits + 1


def push_marks(w: Writer, ack_at: int, ect0: int, ect1: int, ce: int) -> None:
    """Make the ACK that begins at `ack_at`, the last thing written, one with ECN counts."""
    w.buffer[ack_at] = _ACK_ECN
    w.push_varint(ect0)
    w.push_varint(ect1)
    w.push_varint(ce)


# From 0x40, where the body is some numbers
def pull_numbers(r: Reader, count: int) -> list[int]:
    """A length, and exactly `count` numbers in it."""
    stop = r.pull_varint()
    stop += r.pos
    found = []
    for _ in range(count):
        found.append(r.pull_varint())
    if r.pos != stop:
        raise BadPacket("a frame of the wrong length")
    return found


def push_numbers(w: Writer, kind: int, values: tuple[int, ...]) -> bool:
    """A frame of type `kind`; at most seven numbers, so that its length is a byte. False when it does not fit."""
    size = 0
    for value in values:
        size += varint_size(value)
    if w.room() < varint_size(kind) + 1 + size:
        return False
    w.push_varint(kind)
    w.push_u8(size)
    for value in values:
        w.push_varint(value)
    return True


# ACK_FREQUENCY: length, path id, sequence number, packets, maximum delay in microseconds, reordering
def parse_ack_frequency(r: Reader) -> tuple[int, int, int, int, int]:
    path_id, sequence, packets, delay, reordering = pull_numbers(r, 5)
    if not packets:
        raise BadPacket("bad ACK_FREQUENCY")
    return path_id, sequence, packets, delay, reordering


def push_ack_frequency(w: Writer, path_id: int, sequence: int, packets: int, delay: int, reordering: int) -> bool:
    """`delay` in microseconds. False when it does not fit."""
    return push_numbers(w, ACK_FREQUENCY, (path_id, sequence, packets, delay, reordering))


# ACK_SHORT: the low 8 bits of largest, delay
def parse_ack_short(r: Reader) -> tuple[int, float]:
    """The low 8 bits of the largest number, and the delay in seconds."""
    return r.pull_u8(), r.pull_varint() * _DELAY_UNIT


def push_ack_short(w: Writer, largest: int, delay: float) -> bool:
    """Whether it fitted."""
    if w.room() < 1 + 1 + 4:
        return False
    units = int(delay / _DELAY_UNIT)
    w.push_u8(_ACK_SHORT)
    w.push_u8(largest & 255)
    w.push_varint(units if units < 0x3FFFFFFF else 0x3FFFFFFF)
    return True


# RESET: stream id, error code, final size
def parse_reset(r: Reader) -> tuple[int, int, int]:
    return r.pull_varint(), r.pull_varint(), r.pull_varint()


# STOP: stream id, error code
# MAX_STREAM_DATA, STREAM_DATA_BLOCKED: stream id, limit in bytes
# RETIRE_CID: path id, sequence number
def parse_two(r: Reader) -> tuple[int, int]:
    return r.pull_varint(), r.pull_varint()


def push_frame(w: Writer, kind: int, *values: int) -> bool:
    """A frame that is a type and varints; False when it does not fit."""
    size = 1
    for value in values:
        size += varint_size(value)
    if w.room() < size:
        return False
    w.push_u8(kind)
    for value in values:
        w.push_varint(value)
    return True


# CRYPTO: offset, length, data
def parse_crypto(r: Reader) -> tuple[int, int, int]:
    """Offset, then where the data starts and ends."""
    offset = r.pull_varint()
    size = r.pull_varint()
    start = r.skip(size)
    return offset, start, start + size


# STREAM (type & 7: OFF 4, LEN 2, FIN 1): stream id, [offset], [length], data
# STREAM_NEXT (type & 3: LEN 2, FIN 1): stream id, [length], data
class StreamFrame:
    """A parsed STREAM or STREAM_NEXT; its payload is `data[start:stop]`. One is kept and filled again and again.

    Attributes:
        offset: where the payload belongs; -1: where the stream has got to (STREAM_NEXT).
        cut: whether `offset` is the low 30 bits of that only.
    """

    __slots__ = ("cut", "fin", "id", "offset", "start", "stop")

    def __init__(self) -> None:
        self.id = 0
        self.offset = 0
        self.cut = False
        self.start = 0
        self.stop = 0
        self.fin = False


def parse_stream(r: Reader, kind: int, into: StreamFrame) -> None:
    """Fill `into`."""
    into.id = r.pull_varint()
    into.cut = False
    if kind >= _STREAM_NEXT:
        into.offset = -1
    elif kind & _OFF:
        pos = r.pos
        into.offset = r.pull_varint()
        into.cut = r.pos == pos + 4
    else:
        into.offset = 0
    size = r.pull_varint() if kind & _LEN else r.end - r.pos
    into.start = r.skip(size)
    into.stop = into.start + size
    into.fin = kind & _FIN != 0


def offset_size(offset: int, span: int) -> int:
    """Bytes that the offset of a STREAM frame takes when `span` bytes lie between the first of the stream that is not
    acknowledged and the last that was sent: 4 of them hold its low 30 bits, which is enough for a receiver that has
    got no further than a replay window's packets beyond that (spec section 9.3)."""
    if offset < 16384:
        return varint_size(offset)
    return 4 if span < _CUT_SPAN else 8


def push_offset(w: Writer, offset: int, size: int) -> None:
    """An offset in the bytes that `offset_size` wants for it."""
    pos = w.pos
    if size == 4:
        memory.put_u32(w.buffer, pos, offset & _CUT_MASK)
        w.buffer[pos] |= 0x80
        w.pos = pos + 4
    elif size == 8:
        memory.put_u64(w.buffer, pos, offset)
        w.buffer[pos] |= 0xC0
        w.pos = pos + 8
    else:
        w.push_varint(offset)


def full_offset(low: int, received: int) -> int:
    """The offset whose low 30 bits are `low`, for a stream of which `received` is the end of what has come."""
    least = received - _CUT_BEHIND
    return low if least <= low else low + ((least - low + _CUT_MASK) & ~_CUT_MASK)


# MESSAGE (type & 31: PARTIAL 16, BEST_EFFORT 8, ORDERED 4, FRAGMENT 2, LEN 1):
#   message id, [order], [offset, total size], [length], data
# MESSAGE_NEXT (type & 1: LEN): [length], data; mode and order as the message before it in the packet has them
class MessageFrame:
    """A parsed MESSAGE or MESSAGE_NEXT; its payload is `data[start:stop]`. `total` is -1 for an unfragmented one.

    Kept, as above, and the next one may continue it.
    """

    __slots__ = ("id", "kind", "offset", "order", "start", "stop", "total")

    def __init__(self) -> None:
        self.kind = MESSAGE
        self.id = 0
        self.order = -1
        self.offset = 0
        self.total = -1
        self.start = 0
        self.stop = 0


def parse_message(r: Reader, kind: int, into: MessageFrame) -> None:
    """Fill `into`, which for MESSAGE_NEXT holds the message before it in the packet."""
    into.offset = 0
    into.total = -1
    if kind > _MESSAGE_LAST:
        into.id += 1
        if into.order >= 0:
            into.order += 1
    else:
        into.kind = kind
        into.id = r.pull_varint()
        into.order = r.pull_varint() if kind & _ORDERED else -1
        if kind & _FRAGMENT:
            into.offset = r.pull_varint()
            into.total = r.pull_varint()
    size = r.pull_varint() if kind & _MESSAGE_LEN else r.end - r.pos
    into.start = r.skip(size)
    into.stop = into.start + size
    if into.total >= 0 and (size == 0 or into.offset + size > into.total):
        raise BadPacket("message fragment outside its message")


# MESSAGE_ABANDON: message id, 1 + order (0: unordered), 1 + bytes of it that were sent (0: none of it ever was)
def parse_abandon(r: Reader) -> tuple[int, int, int]:
    return r.pull_varint(), r.pull_varint() - 1, r.pull_varint() - 1


# NEW_CID: path id, sequence number, retire prior to, u8 length, connection id, reset token (16)
def parse_new_cid(r: Reader) -> tuple[int, int, int, bytes, bytes]:
    path_id, sequence, retire = r.pull_varint(), r.pull_varint(), r.pull_varint()
    size = r.pull_u8()
    if not 1 <= size <= CID_MAX or retire > sequence:
        raise BadPacket("bad NEW_CID")
    return path_id, sequence, retire, r.pull_bytes(size), r.pull_bytes(RESET_TOKEN_SIZE)


def push_new_cid(w: Writer, path_id: int, sequence: int, retire: int, cid: bytes, token: bytes) -> bool:
    if w.room() < 1 + 3 * 8 + 1 + len(cid) + len(token):
        return False
    w.push_u8(NEW_CID)
    w.push_varint(path_id)
    w.push_varint(sequence)
    w.push_varint(retire)
    w.push_u8(len(cid))
    w.push_bytes(cid)
    w.push_bytes(token)
    return True


# PATH_CHALLENGE, PATH_RESPONSE: 8 bytes
def push_path(w: Writer, kind: int, data: bytes) -> None:
    w.push_u8(kind)
    w.push_bytes(data)


# CLOSE, CLOSE_APPLICATION: error code, reason length, reason (UTF-8, at most 64 bytes)
def parse_close(r: Reader) -> tuple[int, str]:
    code = r.pull_varint()
    size = r.pull_varint()
    if size > REASON_MAX:
        raise BadPacket("close reason too long")
    return code, r.pull_bytes(size).decode("utf-8", "replace")


def push_close(w: Writer, application: bool, code: int, reason: str) -> None:
    text = reason.encode(errors="replace")[:REASON_MAX].decode("utf-8", "ignore").encode() if reason else b""
    w.push_u8(CLOSE_APPLICATION if application else CLOSE)
    w.push_varint(code)
    w.push_varint(len(text))
    w.push_bytes(text)


# From 0x40: length, then a body we may not know
def skip_unknown(r: Reader) -> None:
    r.skip(r.pull_varint())
