"""The text people paste: peer ids and addresses (spec section 13).

    jsp1<55 letters>[:ACCESS-KEY]@host:port[/path]        a peer that proves an identity, and where it is
    host:port[/path]                                      a place only; who answers must be settled otherwise

A peer id is base32 (lower case) of 32 hash bytes and a CRC-16, so a mistyped one is refused before a packet is
sent. An access key is 128 random bits. IPv6 hosts stand in brackets.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache

from jsp.errors import AddressError

PREFIX = "jsp1"
ID_SIZE = 32
KEY_SIZE = 16
_ID_TEXT = 55
_KEY_TEXT = 26


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _unbase32(text: str, size: int, what: str) -> bytes:
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:  # binascii.Error, or letters that are not even ASCII
        raise AddressError(f"{what} holds letters that base32 has not") from None
    # Spare bits must be zero, or one value would have several spellings.
    if len(data) != size or _base32(data) != text.lower():
        raise AddressError(f"{what} is damaged")
    return data


def encode_peer_id(digest: bytes) -> str:
    """`jsp1...` for the 32 hash bytes of a peer's key list."""
    return PREFIX + _base32(digest + binascii.crc_hqx(digest, 0xFFFF).to_bytes(2, "big"))


def parse_peer_id(text: str) -> bytes:
    """The 32 hash bytes in a peer id; AddressError says what is wrong with it."""
    text = text.strip()
    if not text.lower().startswith(PREFIX):
        raise AddressError(f"a peer id starts with {PREFIX!r}; got {text[:12]!r}")
    body = text[len(PREFIX) :]
    if len(body) != _ID_TEXT:
        raise AddressError(f"a peer id has {len(PREFIX) + _ID_TEXT} characters; this one has {len(text)}")
    data = _unbase32(body, ID_SIZE + 2, "the peer id")
    if binascii.crc_hqx(data[:ID_SIZE], 0xFFFF) != int.from_bytes(data[ID_SIZE:], "big"):
        raise AddressError("the peer id is mistyped: its check sum does not fit")
    return data[:ID_SIZE]


def encode_access_key(key: bytes) -> str:
    """26 letters for a 128-bit access key."""
    return _base32(key)


def parse_access_key(text: str) -> bytes:
    text = text.strip()
    if len(text) != _KEY_TEXT:
        raise AddressError(f"an access key has {_KEY_TEXT} characters; this one has {len(text)}")
    return _unbase32(text, KEY_SIZE, "the access key")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer is, and who it must prove to be.

    Attributes:
        host: name or IP address, without brackets; empty for a peer id alone.
        port: UDP port, 0 to 65535.
        peer_id: 32 hash bytes, or None when the address does not pin anyone.
        access_key: 16 bytes, or None.
        path: what follows the first slash, for the application.
    """

    host: str
    port: int
    peer_id: bytes | None = None
    access_key: bytes | None = None
    path: str = ""

    def __str__(self) -> str:
        who = ""
        if self.peer_id is not None:
            key = f":{encode_access_key(self.access_key)}" if self.access_key else ""
            who = f"{encode_peer_id(self.peer_id)}{key}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{who}{host}:{self.port}" + (f"/{self.path}" if self.path else "")

    def __repr__(self) -> str:
        # The access key is a secret: not in logs.
        hidden = Address(self.host, self.port, self.peer_id, None, self.path)
        return f"<Address {hidden}{' with an access key' if self.access_key else ''}>"


_PLACE = re.compile(r"(?:\[(?P<v6>[\w:.%-]+)\]|(?P<host>[^\[\]:/@\s]*)):(?P<port>[0-9]{1,5})(?:/(?P<path>.*))?", re.S)


@lru_cache(64)  # a program connects to the same peers again and again
def parse_address(text: str) -> Address:
    """Read an address as people paste it; AddressError names the part that is wrong."""
    text = text.strip()
    peer_id = access_key = None
    # Only what stands before the first slash can be a peer id: paths may hold an @.
    head = text.split("/", 1)[0]
    place = text
    if "@" in head:
        who, _, place = text.partition("@")
        ident, colon, key = who.partition(":")
        peer_id = parse_peer_id(ident)
        if colon:
            access_key = parse_access_key(key)
    elif head.lower().startswith(PREFIX) and len(head.split(":", 1)[0]) == len(PREFIX) + _ID_TEXT:
        raise AddressError("the address says who but not where: write PEER_ID@HOST:PORT")
    match = _PLACE.fullmatch(place)
    if match is None:
        raise AddressError(f"{place!r} is not HOST:PORT ([HOST]:PORT for IPv6)")
    port = int(match["port"])
    if port > 65535:
        raise AddressError(f"port {port} is above 65535")
    return Address(match["v6"] or match["host"] or "", port, peer_id, access_key, match["path"] or "")
