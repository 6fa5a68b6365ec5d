"""What a side brings to the handshake, and what a peer has proven in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jsp.crypto import kem, suites
from jsp.crypto.identity import Identity, PeerId


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a side brings to the handshake, and what it insists on.

    Attributes:
        identity: our identity; a server must have one.
        suites: AEAD suites by preference.
        groups: key exchange groups by preference; the client sends a share for the first.
        protocols: application protocols by preference.
        access_key: the client proves that it holds it; the server demands that proof.
        identity_required: the server refuses clients without an identity.
        server_name: name the client asks for, sent in the clear; empty: none.
    """

    identity: Identity | None = None
    suites: tuple[int, ...] = (suites.CHACHA20_POLY1305, suites.AES_256_GCM)
    groups: tuple[int, ...] = (kem.X25519MLKEM768,)
    protocols: tuple[str, ...] = ("jsp/1",)
    access_key: bytes | None = field(default=None, repr=False)
    identity_required: bool = False
    server_name: str = ""

    def __reduce__(self) -> Any:
        raise TypeError("credentials are not pickled")


@dataclass(frozen=True, slots=True)
class Presented:
    """A peer that has proven what it says; the owner decides whether it is welcome."""

    peer_id: PeerId | None
    "None: a client without an identity."
    group: str
    signature: str
    "Names of the key exchange and of the peer's signature algorithm ('' without identity)."
    access_proven: bool = False
    "The client proved the server's access key."
