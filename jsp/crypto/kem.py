"""Key exchange groups: X25519 and its hybrids with ML-KEM (spec section 6.2).

`x25519mlkem768` is draft-ietf-tls-ecdhe-mlkem's X25519MLKEM768, byte for byte: ML-KEM part first in both shares
and in the secret. The 512 hybrid needs liboqs (the `oqs` extra) and is offered only where that loads; the plain
X25519 group is refused unless the configuration says that a post-quantum exchange is not required.

A key pair is made for one ClientHello and used for one decapsulation. ML-KEM's own implicit rejection means that
a wrong ciphertext shows as packets that do not open, never as an error here.
"""

from __future__ import annotations

import ctypes.util
import os
from collections.abc import Callable
from functools import cache
from typing import Protocol

from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from jsp.errors import Code, LocalError, ProtocolViolation

# It is loaded with the first key otherwise, for which a peer would wait.
default_backend()

Entropy = Callable[[int], bytes]

X25519 = 0x001D
X25519MLKEM768 = 0x11EC
X25519MLKEM512 = 0x4A01
X25519MLKEM1024 = 0x4A02

NAMES = {
    X25519: "x25519",
    X25519MLKEM512: "x25519mlkem512",
    X25519MLKEM768: "x25519mlkem768",
    X25519MLKEM1024: "x25519mlkem1024",
}
NUMBERS = {name: number for number, name in NAMES.items()}
_X_SIZE = 32


class MlKem(Protocol):
    """One ML-KEM parameter set (FIPS 203). Sizes in bytes."""

    public_size: int
    ciphertext_size: int

    def generate(self, entropy: Entropy) -> tuple[object, bytes]:
        """A fresh private key and its encapsulation key."""

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """(shared secret, ciphertext); ValueError when `public` fails the FIPS 203 checks."""

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes: ...


class _Cryptography:
    """ML-KEM out of the `cryptography` package."""

    def __init__(self, private_class: type, public_class: type, public_size: int, ciphertext_size: int) -> None:
        self._private = private_class
        self._public = public_class
        self.public_size = public_size
        self.ciphertext_size = ciphertext_size

    def generate(self, entropy: Entropy) -> tuple[object, bytes]:
        private = self._private.from_seed_bytes(entropy(64))  # type: ignore[attr-defined]  # chosen by caller
        return private, private.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return self._public.from_public_bytes(public).encapsulate()  # type: ignore[attr-defined,no-any-return]

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return private.decapsulate(ciphertext)  # type: ignore[attr-defined,no-any-return]


class _Oqs:
    """ML-KEM-512 out of liboqs. Draws its own randomness."""

    public_size = 800
    ciphertext_size = 768

    def __init__(self, oqs: object) -> None:
        self._kem: type = oqs.KeyEncapsulation  # type: ignore[attr-defined]

    def generate(self, entropy: Entropy) -> tuple[object, bytes]:
        kem = self._kem("ML-KEM-512")
        return kem, bytes(kem.generate_keypair())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        with self._kem("ML-KEM-512") as kem:
            ciphertext, secret = kem.encap_secret(public)
        return bytes(secret), bytes(ciphertext)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return bytes(private.decap_secret(ciphertext))  # type: ignore[attr-defined]


def _liboqs_loads() -> bool:
    # `import oqs` without the library would try to download and build it, then exit the process.
    names = [ctypes.util.find_library("oqs")]
    root = os.environ.get("OQS_INSTALL_PATH")
    if root:
        names += [os.path.join(root, lib, "liboqs.so") for lib in ("lib", "lib64")]
    for name in names:
        if name:
            try:
                ctypes.CDLL(name)
            except OSError:
                continue
            return True
    return False


@cache
def _oqs_provider() -> MlKem | None:
    if not _liboqs_loads():
        return None
    try:
        import oqs
    except (Exception, SystemExit):  # the binding exits when its library does not fit
        return None
    return _Oqs(oqs)


@cache
def _mlkem(group: int) -> MlKem | None:
    if group == X25519MLKEM768:
        return _Cryptography(MLKEM768PrivateKey, MLKEM768PublicKey, 1184, 1088)
    if group == X25519MLKEM1024:
        return _Cryptography(MLKEM1024PrivateKey, MLKEM1024PublicKey, 1568, 1568)
    if group == X25519MLKEM512:
        return _oqs_provider()
    return None


def available(group: int) -> bool:
    """Whether this machine can do `group`."""
    return group == X25519 or _mlkem(group) is not None


def _post_quantum_half(group: int) -> MlKem | None:
    provider = _mlkem(group)
    # A hybrid without its ML-KEM would be plain X25519 under a better name.
    if provider is None and group != X25519:
        raise LocalError(f"key exchange group {NAMES.get(group, hex(group))} is not available here")
    return provider


class KeyShare:
    """A client's key pairs for one group, and the share it sends. Used once."""

    __slots__ = ("_mlkem_private", "_x_private", "group", "share")

    def __init__(self, group: int, entropy: Entropy) -> None:
        self.group = group
        self._x_private: X25519PrivateKey | None = X25519PrivateKey.from_private_bytes(entropy(32))
        x_public = self._x_private.public_key().public_bytes_raw()
        self._mlkem_private: object = None
        provider = _post_quantum_half(group)
        if provider is None:
            self.share = x_public
        else:
            self._mlkem_private, public = provider.generate(entropy)
            self.share = public + x_public

    def __repr__(self) -> str:
        return f"<KeyShare {NAMES[self.group]}>"

    def finish(self, server_share: bytes) -> bytes:
        """The shared secret; ProtocolViolation when the server's share cannot be right."""
        x_private, self._x_private = self._x_private, None
        mlkem_private, self._mlkem_private = self._mlkem_private, None
        assert x_private is not None, "a key share is used once"
        provider = _post_quantum_half(self.group)
        size = provider.ciphertext_size if provider else 0
        if len(server_share) != size + _X_SIZE:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "key share has the wrong size")
        secret = provider.decapsulate(mlkem_private, server_share[:size]) if provider else b""
        return secret + _exchange(x_private, server_share[size:])


def respond(group: int, client_share: bytes, entropy: Entropy) -> tuple[bytes, bytes]:
    """The server's side: (shared secret, share to send back)."""
    provider = _post_quantum_half(group)
    size = provider.public_size if provider else 0
    if len(client_share) != size + _X_SIZE:
        raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "key share has the wrong size")
    x_private = X25519PrivateKey.from_private_bytes(entropy(32))
    x_secret = _exchange(x_private, client_share[size:])
    secret = ciphertext = b""
    if provider:
        try:
            secret, ciphertext = provider.encapsulate(client_share[:size])
        except ValueError:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "ML-KEM key fails its check") from None
    return secret + x_secret, ciphertext + x_private.public_key().public_bytes_raw()


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # low-order point: the secret would be zero
        raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "X25519 share of low order") from None
