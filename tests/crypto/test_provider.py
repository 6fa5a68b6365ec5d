"""Which provider is chosen: by default, by JSP_CRYPTO, and when what is found is wrong."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jsp.compiled import is_compiled
from jsp.crypto import provider
from jsp.crypto.provider import KNOWN_ANSWERS, PORTABLE, Provider, answers_rightly, choose, chosen, find_libcrypto
from tests.crypto.providers import LIBCRYPTO, PROVIDERS, WRONG, name_of
from tests.vectors import aead as v

ROOT = Path(__file__).parents[2]


def test_known_answers_are_the_published_ones() -> None:
    published = {(c.suite, c.key, c.nonce, c.header, c.plaintext, c.sealed) for c in v.AEAD}
    for a in KNOWN_ANSWERS:
        assert (a.suite, *(part.hex() for part in a[1:])) in published
    assert {a.suite for a in KNOWN_ANSWERS} == {c.suite for c in v.AEAD}
    mask = (provider.KNOWN_MASK_KEY.hex(), provider.KNOWN_SAMPLE.hex(), provider.KNOWN_MASK.hex())
    assert mask == (v.AES_256_KEY, v.AES_256_BLOCK, v.AES_256_ENCRYPTED)


@pytest.mark.parametrize("present", PROVIDERS, ids=name_of)
def test_what_is_present_answers_rightly(present: Provider) -> None:
    assert answers_rightly(present)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_mistake_of_any_kind_is_noticed(wrong: Provider) -> None:
    assert not answers_rightly(wrong)


def test_by_default_a_libcrypto_is_used_where_there_is_one() -> None:
    assert name_of(choose("")) == ("cryptography" if LIBCRYPTO is None else "libcrypto")
    assert (LIBCRYPTO is None) or is_compiled()


def test_the_portable_one_is_used_when_asked_for() -> None:
    assert choose("cryptography") is PORTABLE


def test_nothing_found_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_libcrypto([]) is None
    assert find_libcrypto(["/nonexistent/libcrypto.so.3"]) is None
    monkeypatch.setattr(provider, "find_libcrypto", lambda paths=None: None)
    assert choose("") is PORTABLE


def test_without_the_compiled_module_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsp.crypto.libcrypto", None)
    assert find_libcrypto() is None
    assert choose("") is PORTABLE


@pytest.mark.parametrize("wanted", ["/nonexistent/libcrypto.so.3", __file__, "openssl"])
def test_a_wish_that_cannot_be_met_is_said_aloud(wanted: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "jsp"):
        assert choose(wanted) is PORTABLE
    assert f"JSP_CRYPTO={wanted}" in caplog.text
    assert PORTABLE.name in caplog.text


@pytest.mark.parametrize("value", ["", "cryptography", "/nonexistent"])
def test_the_environment_is_asked_once_for_a_process(value: str) -> None:
    program = "from jsp.crypto.provider import chosen; assert chosen() is chosen(); print(chosen().name)"
    environment = {**os.environ, "JSP_CRYPTO": value}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=ROOT)
    expected = PORTABLE if value else LIBCRYPTO or PORTABLE
    assert done.stdout.strip() == expected.name
    assert ("/nonexistent" in done.stderr) is (value == "/nonexistent")


def test_names_have_versions() -> None:
    for present in PROVIDERS:
        assert [part.isdigit() for part in present.name.split()[1].split(".")[:2]] == [True, True]
    assert chosen().name in {present.name for present in PROVIDERS}
