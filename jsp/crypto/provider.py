"""Which provider seals packets: the `cryptography` package, or a libcrypto of this machine that answers rightly.

`libcrypto` costs about half of what the package does for a packet of usual size, so it is taken where it was compiled
and a library is found. The environment variable JSP_CRYPTO overrules that: "cryptography" keeps to the package, a
path names the library to use (a newer one than the system's is often faster).
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple

import cryptography

from jsp.crypto.aead import CryptographyAead, CryptographyMasker, HeaderMasker, PacketAead
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305, KEY_SIZE, NAMES
from jsp.wire.buffer import PacketBuffer
from jsp.wire.packet import TAG_SIZE

log = logging.getLogger("jsp")

_VARIABLE = "JSP_CRYPTO"
_PORTABLE_NAME = "cryptography"
_SONAMES = ("libcrypto.so.4", "libcrypto.so.3")


class Provider(NamedTuple):
    """Makes ciphers.

    Attributes:
        name: what it is, and its version.
        aead: called with suite and key.
        masker: called with a key.
        hmac: HMAC-SHA256 of a key, 64 bytes at most, and a message; None: `kdf` does without.
    """

    name: str
    aead: Callable[[int, bytes], PacketAead]
    masker: Callable[[bytes], HeaderMasker]
    hmac: Callable[[bytes, bytes], bytes] | None = None


PORTABLE = Provider(f"{_PORTABLE_NAME} {cryptography.__version__}", CryptographyAead, CryptographyMasker)


class Answer(NamedTuple):
    """A published answer: nonce, header, text and what they are sealed to."""

    suite: int
    key: bytes
    nonce: bytes
    header: bytes
    text: bytes
    sealed: bytes


_hex = bytes.fromhex

# RFC 8439 section 2.8.2, test case 16 of the GCM specification, FIPS 197 appendix C.3.
KNOWN_ANSWERS = (
    Answer(
        CHACHA20_POLY1305,
        bytes(range(0x80, 0xA0)),
        _hex("070000004041424344454647"),
        _hex("50515253c0c1c2c3c4c5c6c7"),
        b"Ladies and Gentlemen of the class of '99: "
        b"If I could offer you only one tip for the future, sunscreen would be it.",
        _hex(
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
            "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
            "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
            "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
        ),
    ),
    Answer(
        AES_256_GCM,
        _hex("feffe9928665731c6d6a8f9467308308" * 2),
        _hex("cafebabefacedbaddecaf888"),
        _hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        _hex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ),
        _hex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b"
        ),
    ),
)
KNOWN_MASK_KEY = bytes(range(32))
KNOWN_SAMPLE = _hex("00112233445566778899aabbccddeeff")
KNOWN_MASK = _hex("8ea2b7ca516745bfeafc49904b496089")

# RFC 4231 section 4.3.
KNOWN_MAC_KEY = b"Jefe"
KNOWN_MAC_TEXT = b"what do ya want for nothing?"
KNOWN_MAC = _hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")

# Texts as long as these go through every loop that an implementation may have for many blocks at once.
_SIZES = (0, 1, 15, 16, 17, 255, 1431, 9000)
_TEXT = bytes(i * 7 & 255 for i in range(256)) * 36


@cache
def chosen() -> Provider:
    """The provider of this process."""
    return choose(os.environ.get(_VARIABLE, ""))


def choose(wanted: str) -> Provider:
    """The provider that `wanted`, a value of JSP_CRYPTO, asks for; "": the fastest one."""
    if wanted == _PORTABLE_NAME:
        return PORTABLE
    found = find_libcrypto([wanted] if wanted else None)
    if wanted and found is None:
        log.warning("%s=%s: not a libcrypto that can be used; %s is used", _VARIABLE, wanted, PORTABLE.name)
    return found or PORTABLE


def find_libcrypto(paths: Iterable[str | None] | None = None) -> Provider | None:
    """The newest libcrypto at `paths` (None in them: this program itself) that answers rightly, or None.

    Without `paths`: that of the interpreter or the system's.
    """
    try:
        from jsp.crypto.libcrypto import Library
    except ImportError:
        return None
    found = []
    for path in _candidates() if paths is None else paths:
        try:
            found.append(Library(path))
        except OSError as error:
            log.debug("no libcrypto at %s: %s", path or "this program", error)
    for library in sorted(found, key=lambda library: -library.version):
        provider = Provider(library.name, library.aead, library.masker, library.hmac)
        if answers_rightly(provider):
            return provider
        log.warning("%s is not used: it does not give the known answers", library.name)
    return None


def _candidates() -> list[str | None]:
    # The module behind `hashlib` is linked with the interpreter's libcrypto, or built into the program with it.
    spec = find_spec("_hashlib")
    linked = spec.origin if spec is not None and spec.has_location else None
    return [linked, None, *_SONAMES] if linked else [None, *_SONAMES]


def answers_rightly(provider: Provider) -> bool:
    """Whether `provider` gives the known answers, agrees with the portable one, and refuses what it should."""
    try:
        masks = provider.masker(KNOWN_MASK_KEY).masks(bytearray(KNOWN_SAMPLE * 9), 0, 16, 9)
        if masks[:144] != KNOWN_MASK * 9:
            return False
        for answer in KNOWN_ANSWERS:
            aead = provider.aead(answer.suite, answer.key)
            if seal_one(aead, answer.nonce, answer.header, answer.text) != answer.sealed:
                return False
            if not _opens_only_the_right_one(aead, answer):
                return False
        return all(_agrees_with_portable(provider, suite) for suite in NAMES) and _hashes_rightly(provider)
    except (MemoryError, RuntimeError):
        return False


def seal_one(aead: PacketAead, nonce: bytes, header: bytes, text: bytes) -> bytes:
    """Ciphertext and tag of one packet by itself."""
    slots = PacketBuffer(len(header) + len(text) + TAG_SIZE)
    slots.data[:] = header + text + bytes(TAG_SIZE)
    size = len(slots.data)
    high, low = int.from_bytes(nonce[:4], "big"), int.from_bytes(nonce[4:], "big")
    aead.seal_train(slots, 1, size, size, len(header), high, low, 0)
    return bytes(slots.data[len(header) :])


def open_one(aead: PacketAead, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
    """The text of one packet by itself, or None when it is not authentic."""
    slots = PacketBuffer(len(header) + len(sealed))
    slots.data[:] = header + sealed
    body, end = len(header), len(slots.data) - TAG_SIZE
    high, low = int.from_bytes(nonce[:4], "big"), int.from_bytes(nonce[4:], "big")
    return bytes(slots.data[body:end]) if aead.open_packet(slots, 0, body, end, high, low) else None


def _opens_only_the_right_one(aead: PacketAead, answer: Answer) -> bool:
    nonce, header, sealed = answer.nonce, answer.header, answer.sealed
    for wrong in (
        (_flip(nonce, 0), header, sealed),
        (nonce, _flip(header, 0), sealed),
        (nonce, _flip(header, -1), sealed),
        (nonce, header, _flip(sealed, 0)),
        (nonce, header, _flip(sealed, -TAG_SIZE - 1)),
        (nonce, header, _flip(sealed, -TAG_SIZE)),
        (nonce, header, _flip(sealed, -1)),
    ):
        if open_one(aead, *wrong) is not None:
            return False
    return open_one(aead, nonce, header, sealed) == answer.text


def _flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _agrees_with_portable(provider: Provider, suite: int) -> bool:
    key = bytes(range(KEY_SIZE))
    ours, theirs = provider.aead(suite, key), PORTABLE.aead(suite, key)
    # One object for all of them: a cipher must come out of each packet as it went in.
    for size in _SIZES:
        nonce, header = size.to_bytes(12, "big"), bytes(size % 22)
        text = _TEXT[:size]
        sealed = seal_one(theirs, nonce, header, text)
        if seal_one(ours, nonce, header, text) != sealed or open_one(ours, nonce, header, sealed) != text:
            return False
    return True


def _hashes_rightly(provider: Provider) -> bool:
    if provider.hmac is None:
        return True
    if provider.hmac(KNOWN_MAC_KEY, KNOWN_MAC_TEXT) != KNOWN_MAC:
        return False
    for size in _SIZES:
        key, text = bytes(range(size % 65)), _TEXT[:size]
        if provider.hmac(key, text) != hmac.digest(key, text, "sha256"):
            return False
    return True
