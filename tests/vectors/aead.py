"""Published AEAD and AES answers: RFC 8439 section 2.8.2, GCM test cases 13 to 16, FIPS 197 appendix C.3."""

from __future__ import annotations

from typing import NamedTuple

from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305


class Sealed(NamedTuple):
    """Inputs of one sealing, and the ciphertext with its tag; hex."""

    name: str
    suite: int
    key: str
    nonce: str
    header: str
    plaintext: str
    sealed: str


_SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: "
    b"If I could offer you only one tip for the future, sunscreen would be it."
)
_GCM_KEY = "feffe9928665731c6d6a8f9467308308" * 2
_GCM_TEXT = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
_GCM_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)

AEAD = (
    Sealed(
        "RFC 8439 2.8.2",
        CHACHA20_POLY1305,
        bytes(range(0x80, 0xA0)).hex(),
        "070000004041424344454647",
        "50515253c0c1c2c3c4c5c6c7",
        _SUNSCREEN.hex(),
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
        "1ae10b594f09e26a7e902ecbd0600691",
    ),
    Sealed("GCM 13", AES_256_GCM, "00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    Sealed(
        "GCM 14",
        AES_256_GCM,
        "00" * 32,
        "00" * 12,
        "",
        "00" * 16,
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
    ),
    Sealed(
        "GCM 15",
        AES_256_GCM,
        _GCM_KEY,
        "cafebabefacedbaddecaf888",
        "",
        _GCM_TEXT,
        _GCM_SEALED + "b094dac5d93471bdec1a502270e3cc6c",
    ),
    Sealed(
        "GCM 16",
        AES_256_GCM,
        _GCM_KEY,
        "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        _GCM_TEXT[:120],
        _GCM_SEALED[:120] + "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
)

AES_256_KEY = bytes(range(32)).hex()
AES_256_BLOCK = "00112233445566778899aabbccddeeff"
AES_256_ENCRYPTED = "8ea2b7ca516745bfeafc49904b496089"
