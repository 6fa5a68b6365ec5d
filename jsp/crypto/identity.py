"""Long-term identities: raw public keys, the peer id made of them, and the file they are kept in (spec section 5.6).

A peer id is the hash of the *whole* list of a peer's keys with their algorithms, so no key can be stripped or
swapped. An identity key signs only messages that start with our label; no call here signs bytes of a caller's
choosing.

Public keys are checked on the way in: OpenSSL verifies signatures under small-order Ed25519 keys, where one
constant signature fits every message.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from jsp.errors import BadPacket, Code, IdentityError, ProtocolViolation
from jsp.wire.address import encode_peer_id, parse_peer_id
from jsp.wire.buffer import Reader

ED25519 = 0x0807  # RFC 8446 section 4.2.3
SIGNATURE_NAMES = {ED25519: "ed25519"}
_KEY_SIZES = {ED25519: 32}
_SIGNATURE_SIZES = {ED25519: 64}

_BLOB_VERSION = 1
_KEYS_MAX = 4
_FILE_NAME = "ed25519"
_FILE_MAX = 4096

_P = (1 << 255) - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset((0, 1, _P - 1, _Y8, _P - _Y8))

CLIENT_LABEL = b"JSP/1 client identity proof"
SERVER_LABEL = b"JSP/1 server identity proof"


class PeerId:
    """Who a peer is: the hash of its keys. Equal ids are equal peers; usable as a dict key.

    `str()` is the form people paste (`jsp1...`); `PeerId.parse` reads it.
    """

    __slots__ = ("digest",)

    def __init__(self, digest: bytes) -> None:
        if len(digest) != 32:
            raise IdentityError("a peer id is made of 32 bytes")
        self.digest = digest

    @classmethod
    def parse(cls, text: str) -> PeerId:
        """Read `jsp1...`; AddressError says what is wrong with it."""
        return cls(parse_peer_id(text))

    def __str__(self) -> str:
        return encode_peer_id(self.digest)

    def __repr__(self) -> str:
        return f"<PeerId {self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeerId) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def check_ed25519(key: bytes) -> None:
    """Refuse non-canonical and small-order points (BadPacket)."""
    y = int.from_bytes(key, "little") & ((1 << 255) - 1)
    if y >= _P or y in _SMALL_ORDER:
        raise BadPacket("Ed25519 key of small order or not canonical")


# identity blob: u8 1 | u8 count | count x (u16 algorithm | u16 length | key), algorithms increasing
def _encode_blob(keys: dict[int, bytes]) -> bytes:
    parts = [bytes([_BLOB_VERSION, len(keys)])]
    for algorithm in sorted(keys):
        key = keys[algorithm]
        parts.append(algorithm.to_bytes(2, "big") + len(key).to_bytes(2, "big") + key)
    return b"".join(parts)


def _parse_blob(blob: bytes) -> dict[int, bytes]:
    r = Reader(blob)
    if r.pull_u8() != _BLOB_VERSION:
        raise BadPacket("unknown identity format")
    count = r.pull_u8()
    if not 1 <= count <= _KEYS_MAX:
        raise BadPacket("bad number of identity keys")
    keys: dict[int, bytes] = {}
    last = -1
    for _ in range(count):
        algorithm = r.pull_uint(2)
        if algorithm <= last or algorithm not in _KEY_SIZES:
            raise BadPacket("identity keys unknown or out of order")
        last = algorithm
        keys[algorithm] = r.pull_bytes(r.pull_uint(2))
        if len(keys[algorithm]) != _KEY_SIZES[algorithm]:
            raise BadPacket("identity key has the wrong size")
    r.expect_end()
    check_ed25519(keys[ED25519])
    return keys


def _to_sign(label: bytes, transcript_hash: bytes) -> bytes:
    return b"\x20" * 64 + label + b"\x00" + transcript_hash


class PublicIdentity:
    """A peer's keys as it presented them; `verify` checks its proof."""

    __slots__ = ("_keys", "blob", "peer_id")

    def __init__(self, blob: bytes) -> None:
        """Parse and check an identity blob (BadPacket)."""
        # Loaded once: a client meets the same servers again and again.
        self._keys = {kind: Ed25519PublicKey.from_public_bytes(key) for kind, key in _parse_blob(blob).items()}
        self.blob = blob
        self.peer_id = PeerId(hashlib.sha256(b"jsp1 peer id" + blob).digest())

    @property
    def algorithms(self) -> tuple[int, ...]:
        """Signature algorithms of the keys, in the order of the blob."""
        return tuple(self._keys)

    def verify(self, label: bytes, transcript_hash: bytes, proof: bytes) -> None:
        """Every key's signature must verify; one generic error otherwise."""
        r = Reader(proof)
        try:
            for algorithm, key in self._keys.items():
                if r.pull_uint(2) != algorithm or r.pull_uint(2) != _SIGNATURE_SIZES[algorithm]:
                    raise BadPacket("wrong signature")
                key.verify(r.pull_bytes(64), _to_sign(label, transcript_hash))
            r.expect_end()
        except (BadPacket, InvalidSignature):
            raise ProtocolViolation(Code.BAD_PROOF, "identity proof does not verify") from None


class Identity:
    """A long-term key pair. Keep the file secret: who holds it is this peer.

    Make one with `generate()`, keep it with `save()`, read it back with `load()`.
    """

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        blob = _encode_blob({ED25519: private.public_key().public_bytes_raw()})
        self.public = PublicIdentity(blob)

    def __repr__(self) -> str:
        return f"<Identity {self.peer_id}>"

    def __reduce__(self) -> Any:
        raise TypeError("an Identity is not pickled; save() it to a file of its own")

    @classmethod
    def generate(cls) -> Identity:
        """A fresh Ed25519 identity."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """The identity of a 32-byte Ed25519 seed, for those who keep keys elsewhere than in files."""
        if len(seed) != 32:
            raise IdentityError("an identity seed is 32 bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def peer_id(self) -> PeerId:
        """Who others see: give it to those who should recognise this peer."""
        return self.public.peer_id

    def sign(self, label: bytes, transcript_hash: bytes) -> bytes:
        """The identity proof for one handshake: `u16 algorithm | u16 length | signature` for each key."""
        signature = self._private.sign(_to_sign(label, transcript_hash))
        return ED25519.to_bytes(2, "big") + len(signature).to_bytes(2, "big") + signature

    def derive(self, derivation: Callable[[bytes], bytes]) -> bytes:
        """A secret bound to this identity: `derivation` gets the private seed and must return a hash of it."""
        return derivation(self._private.private_bytes_raw())

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the identity to `path`, mode 0600.

        Raises FileExistsError rather than replace a file, since a lost identity cannot be had again; with
        `overwrite` the new file takes the old one's place in one step.
        """
        path = Path(path)
        seed = base64.b64encode(self._private.private_bytes_raw()).decode()
        text = f"# jsp identity: keep this file secret\n# peer id: {self.peer_id}\n{_FILE_NAME} {seed}\n"
        target = path.with_name(f".{path.name}.{os.getpid()}.new") if overwrite else path
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(target, path)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Identity:
        """Read an identity; IdentityError when the file is damaged or others can read it."""
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise IdentityError(f"{path} can be read by others (mode {mode & 0o777:04o}); run: chmod 600 {path}")
            data = file.read(_FILE_MAX)
        for line in data.splitlines():
            name, _, value = line.strip().partition(b" ")
            if name.decode("latin-1") == _FILE_NAME:
                try:
                    return cls.from_seed(base64.b64decode(value, validate=True))
                except ValueError:
                    break
        raise IdentityError(f"{path} is not a jsp identity file, or it is damaged")
