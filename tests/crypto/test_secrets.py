"""N91: nothing that holds a secret shows it, and nothing that holds one can be pickled away."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from jsp.crypto.credentials import Credentials
from jsp.crypto.handshake import Secret
from jsp.crypto.identity import Identity
from jsp.crypto.kdf import KeySchedule
from jsp.crypto.kem import X25519, X25519MLKEM768, KeyShare
from jsp.crypto.protection import Generation, LongKeys, OpenKeys, SealKeys
from jsp.crypto.provider import PORTABLE, chosen
from jsp.crypto.suites import AES_256_GCM
from tests.crypto.machines import ACCESS_KEY, Pair, client, server

# Letters, so that a secret cannot hide among the digits of an address.
SECRET = b"SECRETSECRETSECRETSECRETSECRETSE"


def schedule() -> KeySchedule:
    k = KeySchedule()
    k.secret = SECRET
    return k


HOLDERS: list[tuple[str, Callable[[], Any]]] = [
    ("Identity", lambda: Identity.from_seed(SECRET)),
    ("Credentials", lambda: Credentials(access_key=SECRET[:16])),
    ("Credentials with an identity", lambda: Credentials(identity=Identity.from_seed(SECRET))),
    ("Secret", lambda: Secret(1, 0, SECRET)),
    ("KeySchedule", schedule),
    ("KeyShare", lambda: KeyShare(X25519MLKEM768, lambda size: SECRET * (size // 32))),
    ("KeyShare of one half", lambda: KeyShare(X25519, lambda size: SECRET)),
    ("LongKeys", lambda: LongKeys(SECRET)),
    ("Generation", lambda: Generation(AES_256_GCM, SECRET, chosen())),
    ("SealKeys", lambda: SealKeys(AES_256_GCM, SECRET)),
    ("OpenKeys", lambda: OpenKeys(AES_256_GCM, SECRET)),
    ("CryptographyAead", lambda: PORTABLE.aead(AES_256_GCM, SECRET)),
    ("CryptographyMasker", lambda: PORTABLE.masker(SECRET)),
    ("Aead", lambda: chosen().aead(AES_256_GCM, SECRET)),
    ("Masker", lambda: chosen().masker(SECRET)),
]
each = pytest.mark.parametrize("make", [make for _, make in HOLDERS], ids=[name for name, _ in HOLDERS])


@each
def test_a_secret_does_not_show(make: Callable[[], Any]) -> None:
    holder = make()
    for text in (repr(holder), str(holder), f"{holder}", f"{[holder]!r}", f"{({1: holder},)}"):
        assert "SECRETSEC" not in text
        assert SECRET[:8].hex() not in text
    assert type(holder).__name__ in repr(holder)


@each
def test_a_secret_is_not_pickled(make: Callable[[], Any]) -> None:
    holder = make()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(holder, protocol)


def test_machines_name_their_step_and_nothing_else() -> None:
    pair = Pair(client(access_key=ACCESS_KEY), server(access_key=ACCESS_KEY)).run()
    assert repr(pair.client) == "<ClientHandshake COMPLETE>"
    assert repr(pair.server) == "<ServerHandshake COMPLETE>"
    values = [secret.value for secret in pair.client_secrets]
    for secret in pair.client_secrets:
        assert all(value.hex() not in repr(secret) and repr(value) not in repr(secret) for value in values)
