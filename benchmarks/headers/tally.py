"""Opens packets beside the link and tells what each of their bytes is for."""

from __future__ import annotations

from collections import Counter

from jsp.engine.connection import ConnectionCore
from jsp.wire import frames
from jsp.wire.buffer import PacketBuffer, Reader, varint_size
from jsp.wire.packet import LONG_FIRST, TAG_SIZE

# Kinds of bytes. All but the payload and the tag are headers.
PACKET = "packet header"
DATA = "data frames"
ACK = "ACK"
CONTROL = "control"
PADDING = "padding"
HEADERS = (PACKET, DATA, ACK, CONTROL, PADDING)

# What QUIC has in the place of our packet header: flags, a connection id of 8 bytes, 2 bytes of the number.
_QUIC_PACKET = 1 + 8 + 2


class Tally:
    """What one side sent.

    Attributes:
        counting: while it is not set nothing is looked at.
        datagrams, packets: how many; those of the handshake do not count as packets.
        sizes: bytes by kind.
        carriers: packets with data.
        carried: bytes by kind, in those.
        quic: bytes that QUIC version 1 would need in the place of `carried`, padding left out, for the same frames.
        acks: packets that hold nothing but an ACK.
        ack_bytes: of ACKs, and of the headers and tags of packets that hold nothing else.
        pieces: frames that carry data.
        payload: bytes of data.
        types: frames by their type.
    """

    def __init__(self) -> None:
        self.counting = True
        self.datagrams = self.packets = self.carriers = self.acks = 0
        self.ack_bytes = self.pieces = self.payload = self.quic = 0
        self.sizes: Counter[str] = Counter()
        self.carried: Counter[str] = Counter()
        self.types: Counter[int] = Counter()
        self._slots = PacketBuffer()
        self._message = frames.MessageFrame()
        self._stream = frames.StreamFrame()
        self._reached: dict[int, int] = {}
        self._peer_number = 0
        self._quic = 0

    def headers(self) -> int:
        """Bytes that are neither data nor tag."""
        return sum(self.sizes[kind] for kind in HEADERS)

    def add(self, data: bytes, segment: int, sender: ConnectionCore, receiver: ConnectionCore) -> None:
        """Datagrams of `segment` bytes each that `sender` has just sent, before `receiver` has them."""
        if not self.counting:
            return
        self.datagrams += -(-len(data) // segment)
        keys = receiver.keys.open
        if keys is None or data[0] >= LONG_FIRST:
            return
        slots = self._slots
        slots.data[: len(data)] = data
        newest = sender.paths[0].space.next_number - 1
        self._peer_number = sender.paths[0].space.acks.largest
        opened = keys.open_batch(slots, 0, len(data), segment, 1 + receiver.cid_size, 0, newest)
        for i, (_, body, stop) in enumerate(opened):
            self._add_packet(slots.data, i * segment, body, stop)

    def _add_packet(self, data: bytearray, start: int, body: int, stop: int) -> None:
        pieces = self.pieces
        self._quic = _QUIC_PACKET
        sizes = Counter({PACKET: body - start})
        reader = Reader()
        reader.reset(data, body, stop)
        while reader.pos < stop:
            self._add_frame(reader, sizes)
        self.packets += 1
        self.sizes += sizes
        self.ack_bytes += sizes[ACK]
        if self.pieces > pieces:
            self.carriers += 1
            self.carried += sizes
            self.quic += self._quic
        elif sizes[ACK] and not sizes[CONTROL]:
            self.acks += 1
            self.ack_bytes += sizes[PACKET] + TAG_SIZE

    def _add_frame(self, r: Reader, sizes: Counter[str]) -> None:
        start = r.pos
        kind = r.pull_varint() if r.data[r.pos] >= frames.SKIPPABLE else r.pull_u8()
        self.types[kind] += 1
        if frames.STREAM <= kind <= frames.STREAM_LAST or frames.STREAM_NEXT <= kind < frames.SKIPPABLE:
            frames.parse_stream(r, kind, self._stream)
            self._add_stream(start, sizes)
        elif frames.MESSAGE <= kind <= frames.MESSAGE_NEXT + 1:
            frames.parse_message(r, kind, self._message)
            size = self._message.stop - self._message.start
            self._add_data(start, self._message.start, size, sizes)
            # A DATAGRAM frame (RFC 9221) has a length, and no id.
            self._quic += 1 + (varint_size(size) if kind & frames.MESSAGE_LEN else 0)
        elif kind == frames.PADDING:
            sizes[PADDING] += 1
        elif kind in (frames.ACK, frames.ACK_ECN, frames.ACK_SHORT):
            _skip(r, kind)
            sizes[ACK] += r.pos - start
            # The same without a path id; or type, largest, delay, no further ranges, a first range of one byte.
            short = 1 + varint_size(self._peer_number) + (r.pos - start - 2) + 1 + 1
            self._quic += short if kind == frames.ACK_SHORT else r.pos - start - 1
        else:
            _skip(r, kind)
            sizes[CONTROL] += r.pos - start
            self._quic += r.pos - start

    def _add_stream(self, start: int, sizes: Counter[str]) -> None:
        frame = self._stream
        size = frame.stop - frame.start
        self._add_data(start, frame.start, size, sizes)
        reached = self._reached.get(frame.id, 0)
        offset = reached if frame.offset < 0 else frame.offset
        if frame.cut:
            offset = frames.full_offset(offset, reached)
        self._reached[frame.id] = max(reached, offset + size)
        # Our frame has a length or not; QUIC's would, too.
        length = frame.start - start - 1 - varint_size(frame.id)
        if frame.offset >= 0:
            length -= frames.offset_size(offset, 0) if offset else 0
        self._quic += 1 + varint_size(frame.id) + (varint_size(offset) if offset else 0) + length

    def _add_data(self, start: int, body: int, size: int, sizes: Counter[str]) -> None:
        sizes[DATA] += body - start
        self.payload += size
        self.pieces += 1


def _skip(r: Reader, kind: int) -> None:
    if kind in (frames.ACK, frames.ACK_ECN):
        frames.parse_ack(r, kind == frames.ACK_ECN)
    elif kind == frames.ACK_SHORT:
        frames.parse_ack_short(r)
    elif kind == frames.NEW_CID:
        frames.parse_new_cid(r)
    elif kind in (frames.PATH_CHALLENGE, frames.PATH_RESPONSE):
        r.skip(frames.CHALLENGE_SIZE)
    elif kind in (frames.RESET, frames.MESSAGE_ABANDON):
        frames.parse_reset(r)
    elif kind in (frames.STOP, frames.MAX_STREAM_DATA, frames.STREAM_DATA_BLOCKED, frames.RETIRE_CID):
        frames.parse_two(r)
    elif kind in (frames.CLOSE, frames.CLOSE_APPLICATION):
        frames.parse_close(r)
    elif kind >= frames.SKIPPABLE:
        frames.skip_unknown(r)
    elif kind not in (frames.PING, frames.HANDSHAKE_DONE):
        r.pull_varint()
