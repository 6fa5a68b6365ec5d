# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Transport parameters: what each side allows the other, carried inside the handshake (spec section 5.4).

A value that was not sent has the default below. Unknown parameters follow the rule of TLVs: below 0x8000 they
are an error, above they are passed over.
"""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_address

import jsp.wire.memory as memory
import jsp.wire.tlv as tlv
from jsp.errors import BadPacket
from jsp.wire.buffer import DATAGRAM_MAX, Reader
from jsp.wire.messages import TransportParams

_U64_MAX = (1 << 62) - 1
_STREAMS_MAX = 1 << 60  # as in MAX_STREAMS: an id has two more bits

# field -> (TLV type, bytes; 0: a byte string)
_LAYOUT = {
    "max_data": (0x01, 8),
    "max_stream_data": (0x02, 8),
    "max_streams_bidi": (0x03, 8),
    "max_streams_uni": (0x04, 8),
    "idle_timeout_ms": (0x05, 8),
    "max_datagram_size": (0x06, 4),
    "cid_limit": (0x07, 1),
    "max_ack_delay_ms": (0x08, 2),
    "max_message": (0x09, 8),
    "initial_scid": (0x10, 0),
    "original_dcid": (0x11, 0),
    "reset_token": (0x12, 0),
    "compression": (0x8001, 0),
    "min_ack_delay_us": (0x8003, 4),
    "max_paths": (0x8004, 1),
    "preferred_address": (0x8005, 0),
    "repair_window": (0x8010, 1),
}


def pack_address(host: str, port: int) -> bytes:
    """What `preferred_address` says: an IP address and a port, in network order."""
    return ip_address(host).packed + port.to_bytes(2, "big")


def unpack_address(packed: bytes) -> tuple[str, int]:
    """The host and the port of such a value."""
    return str(ip_address(packed[:-2])), int.from_bytes(packed[-2:], "big")


_DEFAULTS = {f.name: f.default for f in fields(TransportParams)}
_KNOWN = {kind: (name, size) for name, (kind, size) in _LAYOUT.items()}


def encode_params(params: TransportParams) -> bytes:
    values: dict[int, bytes] = {}
    for name, (kind, size) in _LAYOUT.items():
        value = getattr(params, name)
        if value != _DEFAULTS[name]:
            values[kind] = memory.number(value, size) if size else value
    return tlv.encode_tlvs(values)


def parse_params(data: bytes) -> TransportParams:
    """Parameters out of a handshake TLV; `BadPacket` when a value is out of bounds."""
    params = TransportParams()
    for kind, value in tlv.parse_tlvs(Reader(data), _KNOWN).items():
        name, size = _KNOWN[kind]
        if not size:
            if len(value) > 20:
                raise BadPacket(f"parameter {name} too long")
            setattr(params, name, value)
            continue
        if len(value) != size:
            raise BadPacket(f"parameter {name} has the wrong size")
        number = int.from_bytes(value, "big")
        if number > _U64_MAX:
            raise BadPacket(f"parameter {name} out of range")
        setattr(params, name, number)
    if not 1200 <= params.max_datagram_size <= DATAGRAM_MAX:
        raise BadPacket("parameter max_datagram_size out of range")
    if not 2 <= params.cid_limit <= 8 or params.max_ack_delay_ms > 1 << 14:
        raise BadPacket("parameter cid_limit or max_ack_delay_ms out of range")
    if params.min_ack_delay_us > 1000 * params.max_ack_delay_ms:
        raise BadPacket("parameter min_ack_delay above max_ack_delay")
    if not params.max_paths:
        raise BadPacket("parameter max_paths out of range")
    if max(params.max_streams_bidi, params.max_streams_uni) > _STREAMS_MAX:
        raise BadPacket("parameter max_streams out of range")
    if params.preferred_address and len(params.preferred_address) not in (6, 18):
        raise BadPacket("parameter preferred_address has the wrong size")
    if params.reset_token and len(params.reset_token) != 16:
        raise BadPacket("parameter reset_token has the wrong size")
    return params
