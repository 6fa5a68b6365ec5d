# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Handshake messages: `u8 type | u24 length | fixed part | TLVs` (spec section 5).

Each message is a value of `messages` with an `encode_`/`parse_` pair. No trailing bytes, no optional spellings: what
parses encodes back to the same bytes. What a value means, and whether it may come now, is `crypto/handshake`.
"""

from __future__ import annotations

from functools import lru_cache

import jsp.wire.memory as memory
import jsp.wire.tlv as tlv
from jsp.errors import BadPacket
from jsp.wire.buffer import Reader
from jsp.wire.messages import ClientHello, EncryptedParams, ServerHello

CLIENT_HELLO = 1
SERVER_HELLO = 2
HELLO_RETRY = 3
NEW_TICKET = 4
ENCRYPTED_PARAMS = 8
IDENTITY = 11
IDENTITY_REQUEST = 13
ACCESS_PROOF = 14
IDENTITY_PROOF = 15
FINISHED = 20

RANDOM_SIZE = 32
MAC_SIZE = 32
OFFERS_MAX = 8
PROTOCOLS_MAX = 16
PROTOCOL_SIZE_MAX = 64
# The largest message of version 1 is a composite identity's proof (3.4 kB); CRYPTO buffering is bounded too.
MESSAGE_MAX = 16_384
_MESSAGE_MAX = MESSAGE_MAX

_VERSIONS, _SUITES, _GROUPS, _SIGNATURES, _PROTOCOLS, _PARAMS, _TIME, _NAME = range(1, 9)
_KEY_SHARE = 0xF0
_IN_CLIENT_HELLO = frozenset((_VERSIONS, _SUITES, _GROUPS, _SIGNATURES, _PROTOCOLS, _PARAMS, _TIME, _NAME, _KEY_SHARE))
_IN_SERVER_HELLO = frozenset((_VERSIONS, _SUITES, _KEY_SHARE))
_IN_PARAMS = frozenset((_VERSIONS, _PROTOCOLS, _PARAMS, _TIME))

# Peers of one program offer the same all day: what lists mean, and how they are spelled, is remembered.
_remembered = lru_cache(64)


def frame_message(kind: int, body: bytes) -> bytes:
    """A message with its header, as it goes into CRYPTO frames and the transcript."""
    return memory.number(kind << 24 | len(body), 4) + body


def split_messages(data: bytearray) -> list[tuple[int, bytes]]:
    """Take complete messages off the front of `data`: (type, the whole message with its header)."""
    messages = []
    start = 0
    while len(data) - start >= 4:
        size = data[start + 1] << 16 | data[start + 2] << 8 | data[start + 3]
        if size > _MESSAGE_MAX:
            raise BadPacket("handshake message too long")
        stop = start + 4 + size
        if stop > len(data):
            break
        messages.append((data[start], memory.piece(data, start, stop)))
        start = stop
    del data[:start]
    return messages


def _body(message: bytes) -> Reader:
    return Reader(message, 4)


@_remembered
def _uints(values: tuple[int, ...], size: int) -> bytes:
    return b"".join(v.to_bytes(size, "big") for v in values)


@_remembered
def _parse_uints(data: bytes, size: int) -> tuple[int, ...]:
    if not data or len(data) % size or len(data) // size > OFFERS_MAX:
        raise BadPacket("bad list of offers")
    values = tuple(int.from_bytes(data[i : i + size], "big") for i in range(0, len(data), size))
    if len(set(values)) != len(values):
        raise BadPacket("an offer stands twice")
    return values


@_remembered
def _names(values: tuple[str, ...]) -> bytes:
    return b"".join(bytes([len(v.encode())]) + v.encode() for v in values)


@_remembered
def _parse_names(data: bytes) -> tuple[str, ...]:
    r = Reader(data)
    names: list[str] = []
    while r.remaining():
        raw = r.pull_bytes(r.pull_u8())
        if not 1 <= len(raw) <= PROTOCOL_SIZE_MAX or len(names) == PROTOCOLS_MAX:
            raise BadPacket("bad protocol list")
        try:
            names.append(raw.decode("ascii"))
        except UnicodeDecodeError:
            raise BadPacket("protocol name is not ASCII") from None
    if not names:
        raise BadPacket("empty protocol list")
    return tuple(names)


def _need(values: dict[int, bytes], kind: int) -> bytes:
    try:
        return values[kind]
    except KeyError:
        raise BadPacket(f"TLV {kind:#x} is missing") from None


def _one(values: dict[int, bytes], kind: int, size: int) -> int:
    value = _need(values, kind)
    if len(value) != size:
        raise BadPacket(f"TLV {kind:#x} has the wrong size")
    return int.from_bytes(value, "big")


def _key_share(values: dict[int, bytes]) -> tuple[int, bytes]:
    """The group, and the share itself."""
    value = _need(values, _KEY_SHARE)
    if len(value) < 2:
        raise BadPacket("truncated")
    return int.from_bytes(value[:2], "big"), value[2:]


def encode_client_hello(m: ClientHello) -> bytes:
    values = {
        _VERSIONS: _uints(m.versions, 4),
        _SUITES: _uints(m.suites, 1),
        _GROUPS: _uints(m.groups, 2),
        _SIGNATURES: _uints(m.signatures, 2),
        _PROTOCOLS: _names(m.protocols),
        _PARAMS: m.params,
        _TIME: memory.number(m.time_ms, 8),
        _KEY_SHARE: memory.number(m.share_group, 2) + m.share,
    }
    if m.server_name:
        values[_NAME] = m.server_name.encode()
    return frame_message(CLIENT_HELLO, m.random + tlv.encode_tlvs(values))


def parse_client_hello(message: bytes) -> ClientHello:
    r = _body(message)
    random = r.pull_bytes(RANDOM_SIZE)
    v = tlv.parse_tlvs(r, _IN_CLIENT_HELLO)
    group, share = _key_share(v)
    try:
        name = v.get(_NAME, b"").decode()
    except UnicodeDecodeError:
        raise BadPacket("server name is not UTF-8") from None
    if _NAME in v and not name:
        raise BadPacket("empty server name")
    return ClientHello(
        random=random,
        versions=_parse_uints(_need(v, _VERSIONS), 4),
        suites=_parse_uints(_need(v, _SUITES), 1),
        groups=_parse_uints(_need(v, _GROUPS), 2),
        signatures=_parse_uints(_need(v, _SIGNATURES), 2),
        protocols=_parse_names(_need(v, _PROTOCOLS)),
        params=_need(v, _PARAMS),
        time_ms=_one(v, _TIME, 8),
        share_group=group,
        share=share,
        server_name=name,
    )


def encode_server_hello(m: ServerHello) -> bytes:
    values = {
        _VERSIONS: memory.number(m.version, 4),
        _SUITES: memory.number(m.suite, 1),
        _KEY_SHARE: memory.number(m.group, 2) + m.share,
    }
    return frame_message(SERVER_HELLO, m.random + tlv.encode_tlvs(values))


def parse_server_hello(message: bytes) -> ServerHello:
    r = _body(message)
    random = r.pull_bytes(RANDOM_SIZE)
    v = tlv.parse_tlvs(r, _IN_SERVER_HELLO)
    group, share = _key_share(v)
    return ServerHello(random, _one(v, _VERSIONS, 4), _one(v, _SUITES, 1), group, share)


def encode_hello_retry(group: int) -> bytes:
    """The server asks for a key share of `group`."""
    return frame_message(HELLO_RETRY, tlv.encode_tlvs({_GROUPS: group.to_bytes(2, "big")}))


def parse_hello_retry(message: bytes) -> int:
    return _one(tlv.parse_tlvs(_body(message), (_GROUPS,)), _GROUPS, 2)


def encode_encrypted_params(m: EncryptedParams) -> bytes:
    values = {
        _VERSIONS: _uints(m.versions, 4),
        _PROTOCOLS: _names((m.protocol,)),
        _PARAMS: m.params,
        _TIME: memory.number(m.time_ms, 8),
    }
    return frame_message(ENCRYPTED_PARAMS, tlv.encode_tlvs(values))


def parse_encrypted_params(message: bytes) -> EncryptedParams:
    v = tlv.parse_tlvs(_body(message), _IN_PARAMS)
    protocols = _parse_names(_need(v, _PROTOCOLS))
    if len(protocols) != 1:
        raise BadPacket("more than one protocol chosen")
    return EncryptedParams(_parse_uints(_need(v, _VERSIONS), 4), protocols[0], _need(v, _PARAMS), _one(v, _TIME, 8))


# IdentityRequest: u8 flags (bit 0: an identity is required; bit 1: an access key is taken), then TLVs
REQUEST_REQUIRED = 1
REQUEST_ACCESS = 2


@_remembered
def encode_identity_request(flags: int, signatures: tuple[int, ...]) -> bytes:
    return frame_message(IDENTITY_REQUEST, bytes([flags]) + tlv.encode_tlvs({_SIGNATURES: _uints(signatures, 2)}))


def parse_identity_request(message: bytes) -> tuple[int, tuple[int, ...]]:
    r = _body(message)
    flags = r.pull_u8()
    if flags & ~(REQUEST_REQUIRED | REQUEST_ACCESS):
        raise BadPacket("unknown flags in an identity request")
    return flags, _parse_uints(_need(tlv.parse_tlvs(r, (_SIGNATURES,)), _SIGNATURES), 2)


# Identity: TLV 1 the identity blob; IdentityProof: TLV 1 the signatures; AccessProof: TLV 1 the MAC
def encode_blob(kind: int, blob: bytes) -> bytes:
    return frame_message(kind, tlv.encode_tlvs({1: blob}))


def parse_blob(message: bytes) -> bytes:
    return _need(tlv.parse_tlvs(_body(message), (1,)), 1)


def parse_finished(message: bytes) -> bytes:
    r = _body(message)
    mac = r.pull_bytes(MAC_SIZE)
    r.expect_end()
    return mac
