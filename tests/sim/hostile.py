"""A peer that has keys and no manners: sends any bytes as frames, or any datagrams at all."""

from __future__ import annotations

from jsp.crypto.protection import LongKeys
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed
from jsp.engine.keying import initial_secrets
from jsp.wire.buffer import Writer
from jsp.wire.frames import ACK, ACK_ECN
from jsp.wire.packet import TAG_SIZE, TYPE_INITIAL, encode_long_header, number_size
from tests.sim.world import Node, World

Pair = tuple[World, Node, Node, ConnectionCore, ConnectionCore]


def closed_with(server: Node) -> int | None:
    """The code with which the server's connection ended, or None."""
    events = server.events(Closed)
    return events[0].code if events else None


def frames(*parts: bytes | tuple[int, ...]) -> bytes:
    """Frame bytes out of pieces: raw bytes, or a tuple of varints (the first is the frame type)."""
    w = Writer(bytearray(70_000))
    for part in parts:
        if isinstance(part, tuple):
            for value in part:
                w.push_varint(value)
        else:
            w.push_bytes(part)
    return bytes(w.buffer[: w.pos])


def ack(*ranges: tuple[int, int], delay: int = 0, path: int = 0, ecn: tuple[int, int, int] | None = None) -> bytes:
    """An ACK of half-open `ranges`, highest first and apart by a number at least; `delay` in units of 8 us."""
    start, stop = ranges[0]
    values = [ACK if ecn is None else ACK_ECN, path, stop - 1, delay, len(ranges) - 1, stop - 1 - start]
    for low, high in ranges[1:]:
        values += [start - high - 1, high - 1 - low]
        start = low
    return frames((*values, *(ecn or ())))


def send_frames(node: Node, core: ConnectionCore, payload: bytes, number: int | None = None) -> bytes:
    """Seal `payload` as one 1-RTT packet of `core` and send it from `node`; returns the datagram."""
    datagram = seal(core, payload, number)
    node._send(datagram, core.paths[0].remote)
    return datagram


def seal(core: ConnectionCore, payload: bytes, number: int | None = None, header_bits: int = 0) -> bytes:
    """One authentic packet of `core` around `payload`."""
    path = core.paths[0]
    keys = core.keys.seal
    assert keys is not None
    if number is None:
        number = path.space.next_number
        path.space.next_number += 1
    train = core.train
    size = max(1200, len(payload) + 64)
    train.begin(keys, path.remote_cids.current, number, number_size(number, path.space.largest_acked), size, size, 0.0)
    train.push_bytes(payload)
    train.mark_eliciting()
    train.buffer[0] |= header_bits
    return bytes(train.slots.view[: train.seal(keys, path.id)])


def initial(
    dcid: bytes,
    payload: bytes,
    number: int = 0,
    size: int = 1200,
    scid: bytes = b"scid",
    odcid: bytes = b"",
    header_bits: int = 0,
) -> bytes:
    """An authentic Initial to a server in a datagram of `size` bytes: its keys are no secret."""
    room = size - len(encode_long_header(TYPE_INITIAL, dcid, scid, number, 0)) - TAG_SIZE
    payload = payload.ljust(room, b"\0")
    header = bytearray(encode_long_header(TYPE_INITIAL, dcid, scid, number, room + TAG_SIZE))
    header[0] |= header_bits
    return bytes(header) + LongKeys(initial_secrets(odcid or dcid)[0]).seal(bytes(header), number, payload)


def two_versions(odcid: bytes, left: int) -> bytes:
    """A datagram of an Initial that does not authenticate and one of another version, `left` bytes behind its ids."""
    ids = encode_long_header(TYPE_INITIAL, odcid, b"scid", 0, 0, version=0x0A0A0A0A)[:-8]
    room = 1200 - len(encode_long_header(TYPE_INITIAL, odcid, b"scid", 0, 0)) - len(ids) - left
    return encode_long_header(TYPE_INITIAL, odcid, b"scid", 0, room) + bytes(room) + ids + bytes(left)
