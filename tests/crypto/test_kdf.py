"""The key schedule against RFC 5869, RFC 8448 and RFC 9001, and against another implementation of HKDF."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from jsp.crypto.kdf import (
    PREFIX,
    KeySchedule,
    Transcript,
    access_mac,
    expand_label,
    finished_mac,
    hkdf_expand,
    hkdf_extract,
)
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305, make_aead, make_masker
from jsp.wire.hello import frame_message
from tests.vectors import kdf as v

EMPTY = hashlib.sha256().digest()
hex_ = bytes.fromhex


@pytest.mark.parametrize("case", v.RFC5869, ids=lambda case: case.name)
def test_rfc_5869(case: v.Hkdf) -> None:
    prk = hkdf_extract(hex_(case.salt), hex_(case.ikm))
    assert prk.hex() == case.prk
    assert hkdf_expand(prk, hex_(case.info), len(case.okm) // 2).hex() == case.okm


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80), st.integers(1, 300))
def test_hkdf_agrees_with_another_implementation(salt: bytes, ikm: bytes, info: bytes, size: int) -> None:
    other = HKDF(hashes.SHA256(), size, salt, info).derive(ikm)
    assert hkdf_expand(hkdf_extract(salt, ikm), info, size) == other


def test_hkdf_gives_at_most_255_blocks() -> None:
    assert len(hkdf_expand(bytes(32), b"", 255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match="bytes must be in range"):
        hkdf_expand(bytes(32), b"", 255 * 32 + 1)


# --- RFC 8448 ------------------------------------------------------------------------------------------------------


def test_rfc_8448_simple_handshake() -> None:
    schedule = KeySchedule(v.TLS_PREFIX)
    schedule.start()
    assert schedule.secret.hex() == v.TLS_EARLY_SECRET
    _check_stage(schedule, "early")
    schedule.mix(hex_(v.TLS_SHARED))
    assert schedule.secret.hex() == v.TLS_HANDSHAKE_SECRET
    _check_stage(schedule, "handshake")
    schedule.mix()
    assert schedule.secret.hex() == v.TLS_MASTER_SECRET
    _check_stage(schedule, "master")


def _check_stage(schedule: KeySchedule, stage: str) -> None:
    for label, transcript_hash, answer in v.TLS_DERIVED[stage]:
        assert schedule.derive(label.encode(), hex_(transcript_hash) or EMPTY).hex() == answer, label


@pytest.mark.parametrize(("secret", "label", "context", "answer"), v.TLS_LABELS)
def test_rfc_8448_labels(secret: str, label: str, context: str, answer: str) -> None:
    args = (hex_(secret), label.encode(), hex_(context), len(answer) // 2)
    assert expand_label(*args, v.TLS_PREFIX).hex() == answer
    assert KeySchedule(v.TLS_PREFIX).label(*args).hex() == answer
    # Our own prefix makes other keys of the same secret.
    assert expand_label(*args).hex() != answer


def test_rfc_8448_transcript() -> None:
    transcript = Transcript(hex_(v.TLS_CLIENT_HELLO))
    transcript.add(hex_(v.TLS_SERVER_HELLO))
    assert transcript.digest().hex() == v.TLS_HELLO_HASH


# --- RFC 9001 ------------------------------------------------------------------------------------------------------


def _label(secret: str, label: str, size: int) -> str:
    return expand_label(hex_(secret), label.encode(), b"", size, v.TLS_PREFIX).hex()


def test_rfc_9001_a1_initial_keys() -> None:
    assert hkdf_extract(hex_(v.QUIC_SALT), hex_(v.QUIC_DCID)).hex() == v.QUIC_INITIAL_SECRET
    assert _label(v.QUIC_INITIAL_SECRET, "client in", 32) == v.QUIC_CLIENT_INITIAL
    assert _label(v.QUIC_INITIAL_SECRET, "server in", 32) == v.QUIC_SERVER_INITIAL
    for secret, keys in ((v.QUIC_CLIENT_INITIAL, v.QUIC_CLIENT_KEYS), (v.QUIC_SERVER_INITIAL, v.QUIC_SERVER_KEYS)):
        for label, answer in keys.items():
            assert _label(secret, label, len(answer) // 2) == answer


def test_rfc_9001_a2_header_protection() -> None:
    mask = bytearray(32)
    make_masker(hex_(v.QUIC_CLIENT_KEYS["quic hp"])).update_into(hex_(v.QUIC_CLIENT_SAMPLE), mask)
    assert mask[:5].hex() == v.QUIC_CLIENT_MASK


def test_rfc_9001_a3_server_initial() -> None:
    keys = v.QUIC_SERVER_KEYS
    header, payload = hex_(v.QUIC_SERVER_HEADER), hex_(v.QUIC_SERVER_PAYLOAD)
    sealed = bytearray(len(payload) + 16)
    nonce = (int.from_bytes(hex_(keys["quic iv"]), "big") ^ 1).to_bytes(12, "big")
    make_aead(AES_256_GCM, hex_(keys["quic key"])).encrypt_into(nonce, payload, header, sealed)
    mask = bytearray(32)
    # The packet number is two bytes long: the sample starts two bytes into the ciphertext.
    make_masker(hex_(keys["quic hp"])).update_into(sealed[2:18], mask)
    assert mask[:5].hex() == v.QUIC_SERVER_MASK
    masked = bytearray(header)
    masked[0] ^= mask[0] & 0x0F
    masked[-2] ^= mask[1]
    masked[-1] ^= mask[2]
    assert (bytes(masked) + bytes(sealed)).hex() == v.QUIC_SERVER_PACKET


def test_rfc_9001_a5_chacha20() -> None:
    for label, answer in v.QUIC_CHACHA_KEYS.items():
        assert _label(v.QUIC_CHACHA_SECRET, label, len(answer) // 2) == answer
    nonce = (int.from_bytes(hex_(v.QUIC_CHACHA_KEYS["quic iv"]), "big") ^ v.QUIC_CHACHA_NUMBER).to_bytes(12, "big")
    sealed = bytearray(17)
    aead = make_aead(CHACHA20_POLY1305, hex_(v.QUIC_CHACHA_KEYS["quic key"]))
    aead.encrypt_into(nonce, hex_(v.QUIC_CHACHA_PLAINTEXT), hex_(v.QUIC_CHACHA_HEADER), sealed)
    assert sealed.hex() == v.QUIC_CHACHA_SEALED


# --- our own use of it ---------------------------------------------------------------------------------------------


def _info(label: bytes, context: bytes, size: int) -> bytes:
    """The HkdfLabel structure of RFC 8446 section 7.1, spelled out."""
    return size.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context


@given(st.binary(min_size=32, max_size=48), st.binary(max_size=20), st.binary(max_size=64), st.integers(1, 64))
def test_expand_label_is_hkdf_expand_of_the_tls_structure(
    secret: bytes, label: bytes, context: bytes, size: int
) -> None:
    other = HKDFExpand(hashes.SHA256(), size, _info(PREFIX + label, context, size)).derive(secret)
    assert expand_label(secret, label, context, size) == other


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_the_schedule_works_with_a_longer_hash(psk: bytes, shared: bytes) -> None:
    zeros, empty = bytes(48), hashlib.sha384().digest()
    schedule = KeySchedule(b"x ", "sha384")
    schedule.start(psk)
    assert schedule.secret == hmac.digest(zeros, psk or zeros, "sha384")
    salt = HKDFExpand(hashes.SHA384(), 48, _info(b"x derived", empty, 48)).derive(schedule.secret)
    schedule.mix(shared)
    assert schedule.secret == hmac.digest(salt, shared or zeros, "sha384")
    assert len(schedule.derive(b"label", empty)) == 48


def test_finished_is_an_hmac_under_a_derived_key() -> None:
    secret, digest = b"s" * 32, b"d" * 32
    key = HKDFExpand(hashes.SHA256(), 32, _info(b"jsp1 finished", b"", 32)).derive(secret)
    assert finished_mac(secret, digest) == hmac.digest(key, digest, "sha256")


def test_access_proof_is_bound_to_key_and_handshake() -> None:
    key = HKDF(hashes.SHA256(), 32, b"jsp1 access", b"client proof").derive(b"k" * 16)
    assert access_mac(b"k" * 16, b"d" * 32) == hmac.digest(key, b"d" * 32, "sha256")
    macs = {access_mac(k, d) for k in (b"k" * 16, b"K" * 16) for d in (b"d" * 32, b"D" * 32)}
    assert len(macs) == 4


def test_a_transcript_is_the_hash_of_everything_so_far() -> None:
    transcript = Transcript(b"prologue")
    parts = [b"prologue"]
    assert transcript.digest() == hashlib.sha256(b"prologue").digest()
    for i in range(5):
        message = frame_message(i, bytes(i))
        transcript.add(message)
        parts.append(message)
        assert transcript.digest() == hashlib.sha256(b"".join(parts)).digest()
        assert transcript.digest() == transcript.digest()
