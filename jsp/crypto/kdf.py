"""The key schedule: TLS 1.3's, with our own label prefix (spec section 6; RFC 8446 section 7.1).

One class, parametric in prefix and hash, so that RFC 8448's and RFC 9001's vectors drive the same code that
makes our keys: nothing here is new cryptography.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

PREFIX = b"jsp1 "
HASH = "sha256"
HASH_SIZE = 32


def hkdf_extract(salt: bytes, ikm: bytes, hash_name: str = HASH) -> bytes:
    """RFC 5869 section 2.2."""
    return hmac.digest(salt, ikm, hash_name)


def hkdf_expand(prk: bytes, info: bytes, size: int, hash_name: str = HASH) -> bytes:
    """RFC 5869 section 2.3."""
    out = block = b""
    counter = 1
    while len(out) < size:
        block = hmac.digest(prk, block + info + bytes([counter]), hash_name)
        out += block
        counter += 1
    return out[:size]


def expand_label(
    secret: bytes, label: bytes, context: bytes, size: int, prefix: bytes = PREFIX, hash_name: str = HASH
) -> bytes:
    """HKDF-Expand-Label (RFC 8446 section 7.1) with our prefix in the place of `tls13 `."""
    full = prefix + label
    info = size.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context
    return hkdf_expand(secret, info, size, hash_name)


class KeySchedule:
    """Early, handshake and master secret, and what is derived from each.

    Call `start`, `mix` the key exchange result, `mix` nothing; after each step `derive` gives the secrets that
    belong to it.
    """

    __slots__ = ("_hash", "_prefix", "secret")

    def __init__(self, prefix: bytes = PREFIX, hash_name: str = HASH) -> None:
        self._prefix = prefix
        self._hash = hash_name
        self.secret = b""

    def __repr__(self) -> str:
        return "<KeySchedule>"

    def __reduce__(self) -> Any:
        raise TypeError("a key schedule is not pickled")

    def _zeros(self) -> bytes:
        return bytes(hashlib.new(self._hash).digest_size)

    def start(self, psk: bytes = b"") -> None:
        """The early secret."""
        self.secret = hkdf_extract(self._zeros(), psk or self._zeros(), self._hash)

    def mix(self, ikm: bytes = b"") -> None:
        """On to the next secret with `ikm` (nothing: zeros)."""
        empty = hashlib.new(self._hash).digest()
        salt = self.derive(b"derived", empty)
        self.secret = hkdf_extract(salt, ikm or self._zeros(), self._hash)

    def derive(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Derive-Secret of the current secret."""
        return self.label(self.secret, label, transcript_hash, len(transcript_hash))

    def label(self, secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
        """Expand-Label with this schedule's prefix and hash."""
        return expand_label(secret, label, context, size, self._prefix, self._hash)


class Transcript:
    """Running hash over every handshake message and the prologue (spec section 5.3)."""

    __slots__ = ("_hash",)

    def __init__(self, prologue: bytes) -> None:
        self._hash = hashlib.sha256(prologue)

    def add(self, message: bytes) -> None:
        self._hash.update(message)

    def digest(self) -> bytes:
        return self._hash.digest()


def finished_mac(base_secret: bytes, transcript_hash: bytes) -> bytes:
    """A Finished message's content: HMAC under the sender's handshake secret."""
    key = expand_label(base_secret, b"finished", b"", HASH_SIZE)
    return hmac.digest(key, transcript_hash, HASH)


def access_mac(access_key: bytes, transcript_hash: bytes) -> bytes:
    """Proof that the client holds `access_key`, bound to this very handshake (spec section 5.8)."""
    key = hkdf_expand(hkdf_extract(b"jsp1 access", access_key), b"client proof", HASH_SIZE)
    return hmac.digest(key, transcript_hash, HASH)
