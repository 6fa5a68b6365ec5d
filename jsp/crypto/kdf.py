# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The key schedule: TLS 1.3's, with our own label prefix (spec section 6; RFC 8446 section 7.1).

One class, parametric in prefix and hash, so that RFC 8448's and RFC 9001's vectors drive the same code that
makes our keys: nothing here is new cryptography.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import jsp.wire.memory as memory
from jsp.crypto.provider import chosen

PREFIX = b"jsp1 "
HASH = "sha256"
HASH_SIZE = 32

_sha256 = hashlib.sha256
_BLOCK = 64
_INNER = 0x36
_OUTER = 0x5C
# What the provider has, once it was asked.
_mac: Callable[[bytes, bytes], bytes] | None = None


def hmac_digest(key: bytes, message: bytes, hash_name: str = HASH) -> bytes:
    """RFC 2104."""
    global _mac
    if hash_name != HASH:
        return hmac.digest(key, message, hash_name)
    if len(key) > _BLOCK:
        key = _sha256(key).digest()
    if _mac is None:
        _mac = chosen().hmac or hmac_of_hashes
    return _mac(key, message)


def hmac_of_hashes(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256; the key has 64 bytes at most. A handshake takes thirty a side, and two plain hashes cost half of
    what one `hmac.digest` does."""
    inner = _sha256(memory.xor_block(key, _INNER) + message).digest()
    return _sha256(memory.xor_block(key, _OUTER) + inner).digest()


def hkdf_extract(salt: bytes, ikm: bytes, hash_name: str = HASH) -> bytes:
    """RFC 5869 section 2.2."""
    return hmac_digest(salt, ikm, hash_name)


def hkdf_expand(prk: bytes, info: bytes, size: int, hash_name: str = HASH) -> bytes:
    """RFC 5869 section 2.3."""
    out = block = hmac_digest(prk, info + b"\x01", hash_name)
    if size == len(out):
        return out
    counter = 2
    while len(out) < size:
        block = hmac_digest(prk, block + info + bytes([counter]), hash_name)
        out += block
        counter += 1
    return out[:size]


@lru_cache(64)
def _label_head(prefix: bytes, label: bytes, size: int, context_size: int) -> bytes:
    """All of an HkdfLabel but the context itself."""
    full = prefix + label
    return size.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([context_size])


def label_info(label: bytes, size: int) -> bytes:
    """What `hkdf_expand` takes to do as `expand_label` without a context, for labels that are used all the time."""
    return _label_head(PREFIX, label, size, 0)


def expand_label(
    secret: bytes, label: bytes, context: bytes, size: int, prefix: bytes = PREFIX, hash_name: str = HASH
) -> bytes:
    """HKDF-Expand-Label (RFC 8446 section 7.1) with our prefix in the place of `tls13 `."""
    return hkdf_expand(secret, _label_head(prefix, label, size, len(context)) + context, size, hash_name)


@cache
def _nothing(hash_name: str) -> bytes:
    """The hash of no bytes at all."""
    return hashlib.new(hash_name).digest()


@cache
def _early(hash_name: str) -> bytes:
    """The early secret where nothing is shared before: everybody's."""
    zeros = bytes(len(_nothing(hash_name)))
    return hkdf_extract(zeros, zeros, hash_name)


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

    def start(self, psk: bytes = b"") -> None:
        """The early secret."""
        if psk:
            self.secret = hkdf_extract(bytes(len(_nothing(self._hash))), psk, self._hash)
        else:
            self.secret = _early(self._hash)

    def mix(self, ikm: bytes = b"") -> None:
        """On to the next secret with `ikm` (nothing: zeros)."""
        nothing = _nothing(self._hash)
        self.secret = hkdf_extract(self.derive(b"derived", nothing), ikm or bytes(len(nothing)), self._hash)

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
    return hmac_digest(key, transcript_hash)


def access_mac(access_key: bytes, transcript_hash: bytes) -> bytes:
    """Proof that the client holds `access_key`, bound to this very handshake (spec section 5.8)."""
    key = hkdf_expand(hkdf_extract(b"jsp1 access", access_key), b"client proof", HASH_SIZE)
    return hmac_digest(key, transcript_hash)
