"""The AEAD suites and what they may be used for (spec section 7; RFC 9001 sections 5 and 6.6).

`make_aead` and `make_masker` give the objects of the `cryptography` package; how packets are sealed with them, or
with something else, is in `aead` and `provider`.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

CHACHA20_POLY1305 = 1
AES_256_GCM = 2
NAMES = {CHACHA20_POLY1305: "chacha20-poly1305", AES_256_GCM: "aes-256-gcm"}
NUMBERS = {name: number for number, name in NAMES.items()}

KEY_SIZE = 32
IV_SIZE = 12

# How many packets one key may seal before a key update must have happened (RFC 9001 section 6.6: 2^23 for
# GCM; ChaCha20-Poly1305 has no practical limit, 2^30 keeps key lifetimes bounded), how many bytes whatever the
# packets' size, and how many forgeries it may see before the connection closes.
SEAL_LIMIT = {AES_256_GCM: 1 << 22, CHACHA20_POLY1305: 1 << 30}
SEAL_BYTES_LIMIT = 64 << 30
FORGERY_LIMIT = {AES_256_GCM: 1 << 52, CHACHA20_POLY1305: 1 << 36}


Buffer = bytes | bytearray | memoryview


class Aead(Protocol):
    """Seals and opens between views that may overlap exactly."""

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...

    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...


class Masker(Protocol):
    """An AES block encryptor: masks for many header protection samples in one call."""

    def update_into(self, data: Buffer, buf: Buffer) -> int: ...


def make_aead(suite: int, key: bytes) -> Aead:
    """A sealing object for `key` (32 bytes)."""
    return AESGCM(key) if suite == AES_256_GCM else ChaCha20Poly1305(key)


def make_masker(key: bytes) -> Masker:
    """AES-256-ECB over header protection samples, for both suites (spec section 7.3)."""
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor()


@cache
def has_aes_hardware() -> bool:
    """Whether this CPU has AES instructions, as far as the system tells."""
    machine = platform.machine().lower()
    if machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return False
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.lower().startswith(("flags", "features"))), "")
    except OSError:
        # No such file: macOS and Windows, whose 64-bit machines all have AES.
        return True
    return " aes" in flags


def preferred(ciphers: str | tuple[str, ...]) -> tuple[int, ...]:
    """Suite numbers, best first, for `Config.ciphers`."""
    if ciphers == "auto":
        both = (AES_256_GCM, CHACHA20_POLY1305)
        return both if has_aes_hardware() else both[::-1]
    return tuple(NUMBERS[name] for name in ([ciphers] if isinstance(ciphers, str) else ciphers))
