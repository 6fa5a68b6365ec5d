"""Trains of 1-RTT packets, as the engine lays them out: made, sealed, opened."""

from __future__ import annotations

from jsp.crypto.protection import OpenKeys, SealKeys
from jsp.wire.buffer import PacketBuffer
from jsp.wire.packet import SHORT_FIRST, SHORT_PHASE, SHORT_PN4, TAG_SIZE

CID = b"\x01\x02\x03\x04"


def header_of(cid: bytes, number: int, number_size: int, phase: int, extra: int = 0) -> bytes:
    """A short header with its number in clear; `extra`: bits of the first byte besides."""
    first = SHORT_FIRST | (SHORT_PN4 if number_size == 4 else 0) | (SHORT_PHASE if phase else 0) | extra
    return bytes([first]) + cid + (number & ((1 << 8 * number_size) - 1)).to_bytes(number_size, "big")


def seal_train(
    keys: SealKeys,
    texts: list[bytes],
    number: int,
    cid: bytes = CID,
    number_size: int = 2,
    path_id: int = 0,
    extra: int = 0,
) -> tuple[bytes, int]:
    """(datagrams back to back, their size). All texts but the last must be of one length."""
    slots = PacketBuffer()
    at = segment = 0
    for i, text in enumerate(texts):
        packet = header_of(cid, number + i, number_size, keys.phase, extra) + text + bytes(TAG_SIZE)
        slots.data[at : at + len(packet)] = packet
        at += len(packet)
        segment = segment or len(packet)
    assert len(slots.data) == len(PacketBuffer().data)
    keys.seal_train(slots, len(texts), segment, at, 1 + len(cid) + number_size, path_id, number)
    return bytes(slots.data[:at]), segment


def seal(keys: SealKeys, number: int, text: bytes = b"some text", path_id: int = 0, extra: int = 0) -> bytes:
    """One packet."""
    return seal_train(keys, [text], number, path_id=path_id, extra=extra)[0]


def open_batch(
    keys: OpenKeys,
    data: bytes,
    segment: int = 0,
    cid_size: int = len(CID),
    path_id: int = 0,
    largest: int = -1,
    at: int = 0,
    slots: PacketBuffer | None = None,
) -> list[tuple[int, bytes]]:
    """(number, text) of the packets that authenticate. Bytes around the batch must stay as they are."""
    slots = slots or PacketBuffer()
    end = at + len(data)
    slots.data[at:end] = data
    before, behind = bytes(slots.data[:at]), bytes(slots.data[end:])
    opened = keys.open_batch(slots, at, end, segment or max(len(data), 1), 1 + cid_size, path_id, largest)
    assert slots.data[:at] == before
    assert slots.data[end:] == behind
    return [(number, bytes(slots.data[start:stop])) for number, start, stop in opened]
