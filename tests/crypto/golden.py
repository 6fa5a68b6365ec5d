"""Two whole handshakes with seeded entropy, message by message; `python -m tests.crypto.golden` writes them anew."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from jsp.crypto import kem
from jsp.crypto.kem import Entropy
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305
from tests.crypto.machines import ACCESS_KEY, ALICE, Pair, client, server

FILE = Path(__file__).parents[1] / "vectors" / "handshake.json"
GROUP = 0xFE01
"A private group: X25519 beside the deterministic stand-in below."


class DeterministicKem:
    """Stands in for ML-KEM, whose encapsulation draws its own randomness. No security whatsoever."""

    public_size = 48
    ciphertext_size = 40

    def generate(self, entropy: Entropy) -> tuple[object, bytes]:
        seed = entropy(32)
        return seed, hashlib.sha384(seed).digest()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        ciphertext = hashlib.sha512(b"ciphertext" + public).digest()[:40]
        return hashlib.sha256(public + ciphertext).digest(), ciphertext

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        assert isinstance(private, bytes)
        return hashlib.sha256(hashlib.sha384(private).digest() + ciphertext).digest()


def register(patch: pytest.MonkeyPatch) -> None:
    """Make `GROUP` a key exchange group."""
    provider_of = kem._mlkem
    patch.setattr(kem, "_mlkem", lambda group: DeterministicKem() if group == GROUP else provider_of(group))
    patch.setitem(kem.NAMES, GROUP, "x25519 with a stand-in")


def mutual() -> Pair:
    """Hybrid exchange, AES, both sides identified, access key proven."""
    suites = (AES_256_GCM, CHACHA20_POLY1305)
    return Pair(
        client(
            identity=ALICE,
            access_key=ACCESS_KEY,
            groups=(GROUP,),
            suites=suites,
            protocols=("golden/1", "jsp/1"),
            server_name="name",
        ),
        server(groups=(GROUP,), suites=suites, protocols=("jsp/1",), access_key=ACCESS_KEY, identity_required=True),
    )


def retried() -> Pair:
    """The server wants another group than the client guessed; the client stays nobody in particular."""
    return Pair(client(groups=(GROUP, kem.X25519)), server())


STORIES = {"mutual": mutual, "retried": retried}


def transcript(pair: Pair) -> dict[str, Any]:
    """Everything that a finished handshake said and derived."""
    return {
        "messages": [[side, level, message.hex()] for side, level, message in pair.sent],
        "client_secrets": [[s.level, s.direction, s.value.hex()] for s in pair.client_secrets],
        "server_secrets": [[s.level, s.direction, s.value.hex()] for s in pair.server_secrets],
    }


def all_transcripts() -> dict[str, Any]:
    return {name: transcript(make().run()) for name, make in STORIES.items()}


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as context:
        register(context)
        FILE.write_text(json.dumps(all_transcripts(), indent=1) + "\n")
