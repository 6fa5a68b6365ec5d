"""The AEAD suites against published answers, and which one is preferred where."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from jsp.config import CIPHERS
from jsp.crypto import suites
from jsp.crypto.suites import (
    AES_256_GCM,
    CHACHA20_POLY1305,
    FORGERY_LIMIT,
    NAMES,
    NUMBERS,
    SEAL_LIMIT,
    has_aes_hardware,
    make_aead,
    make_masker,
    preferred,
)
from tests.vectors import aead as v

hex_ = bytes.fromhex


@pytest.mark.parametrize("case", v.AEAD, ids=lambda case: case.name)
def test_published_answers_in_place(case: v.Sealed) -> None:
    aead = make_aead(case.suite, hex_(case.key))
    size = len(case.plaintext) // 2
    buffer = bytearray(hex_(case.plaintext) + bytes(16))
    view = memoryview(buffer)
    aead.encrypt_into(hex_(case.nonce), view[:size], hex_(case.header), view)
    assert buffer.hex() == case.sealed
    aead.decrypt_into(hex_(case.nonce), view, hex_(case.header), view[:size])
    assert buffer[:size].hex() == case.plaintext


@pytest.mark.parametrize("case", v.AEAD, ids=lambda case: case.name)
def test_any_flipped_bit_of_a_published_answer_is_refused(case: v.Sealed) -> None:
    aead = make_aead(case.suite, hex_(case.key))
    sealed = hex_(case.sealed)
    out = bytearray(len(sealed) - 16)
    for bit in range(0, 8 * len(sealed), 7):
        bad = bytearray(sealed)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidTag):
            aead.decrypt_into(hex_(case.nonce), bad, hex_(case.header), out)


def test_fips_197_aes_256_masks_many_samples_at_once() -> None:
    masker = make_masker(hex_(v.AES_256_KEY))
    for count in (1, 2, 128):
        out = bytearray(count * 16 + 16)
        masker.update_into(hex_(v.AES_256_BLOCK) * count, out)
        assert out[: 16 * count].hex() == v.AES_256_ENCRYPTED * count


def test_limits_keep_within_rfc_9001_section_6_6() -> None:
    # A key may seal twice its update limit before the connection closes.
    assert 2 * SEAL_LIMIT[AES_256_GCM] <= 1 << 23
    assert FORGERY_LIMIT[AES_256_GCM] <= 1 << 52
    assert FORGERY_LIMIT[CHACHA20_POLY1305] <= 1 << 36
    assert set(SEAL_LIMIT) == set(FORGERY_LIMIT) == set(NAMES)


def test_names_are_those_of_the_configuration() -> None:
    assert set(NUMBERS) == set(CIPHERS)
    assert {NUMBERS[name]: name for name in NUMBERS} == NAMES


@pytest.mark.parametrize(
    ("ciphers", "numbers"),
    [
        ("aes-256-gcm", (AES_256_GCM,)),
        (("chacha20-poly1305",), (CHACHA20_POLY1305,)),
        (("aes-256-gcm", "chacha20-poly1305"), (AES_256_GCM, CHACHA20_POLY1305)),
    ],
)
def test_a_configured_order_is_kept(ciphers: Any, numbers: tuple[int, ...]) -> None:
    assert preferred(ciphers) == numbers


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_puts_aes_first_where_the_cpu_has_it(hardware: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "has_aes_hardware", lambda: hardware)
    both = (AES_256_GCM, CHACHA20_POLY1305)
    assert preferred("auto") == (both if hardware else both[::-1])


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "processor : 0\nflags : fpu sse aes avx\n", True),
        ("x86_64", "processor : 0\nflags : fpu sse avx\n", False),
        ("AMD64", "flags : fpu vaes\n", False),
        ("aarch64", "processor : 0\nFeatures : fp asimd aes pmull\n", True),
        ("aarch64", "processor : 0\nFeatures : fp asimd\n", False),
        ("x86_64", "", False),
        ("arm64", None, True),
        ("riscv64", "flags : aes\n", False),
        ("armv7l", "Features : aes\n", False),
    ],
)
def test_aes_hardware_is_what_the_system_tells(
    machine: str, cpuinfo: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake_open(*args: Any, **kwargs: Any) -> io.StringIO:
        if cpuinfo is None:
            raise FileNotFoundError
        return io.StringIO(cpuinfo)

    monkeypatch.setattr(suites.platform, "machine", lambda: machine)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", fake_open)
        found = has_aes_hardware.__wrapped__()
    assert found is expected
