"""The limit for handshakes, and the unit for packets: the operations of the `cryptography` package by themselves.

Both ends of a jsp handshake (server with an identity, client without) one after the other in one process: as
handshakes that follow one another cannot overlap either, this is the most there can be of them a second.
"""

from __future__ import annotations

import os
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from jsp.crypto import suites

_PACKET = 1400
_TRANSCRIPT = bytes(64)


def serve() -> None:
    print("ready nobody", flush=True)
    while True:
        time.sleep(3600)


def run(test: str, address: str, seconds: float) -> dict[str, float]:
    return _seal(seconds) if test == "seal" else _handshakes(seconds)


def _seal(seconds: float) -> dict[str, float]:
    """One AEAD call on a packet, in CPU time."""
    key = bytes(suites.KEY_SIZE)
    first = suites.preferred("auto")[0]
    encrypt_into = (AESGCM if first == suites.AES_256_GCM else ChaCha20Poly1305)(key).encrypt_into
    nonce, header = bytearray(12), memoryview(bytearray(13))
    packet = memoryview(bytearray(_PACKET + 16))
    plain = packet[:_PACKET]
    calls = 0
    end = time.perf_counter() + seconds
    begin = time.thread_time()
    while time.perf_counter() < end:
        # Many calls between looks at the clock, and few enough that the loop is not what is measured.
        for _ in range(1000):
            encrypt_into(nonce, plain, header, packet)
        calls += 1000
    return {"us": (time.thread_time() - begin) / calls * 1e6}


def _handshakes(seconds: float) -> dict[str, float]:
    identity = Ed25519PrivateKey.generate()
    identity_key = identity.public_key().public_bytes_raw()
    count = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        _handshake(identity, identity_key)
        count += 1
    return {"handshakes/s": count / (time.perf_counter() - begin)}


def _handshake(identity: Ed25519PrivateKey, identity_key: bytes) -> None:
    client_x = X25519PrivateKey.from_private_bytes(os.urandom(32))
    client_x_share = client_x.public_key().public_bytes_raw()
    client_kem = MLKEM768PrivateKey.from_seed_bytes(os.urandom(64))
    client_kem_share = client_kem.public_key().public_bytes_raw()

    server_x = X25519PrivateKey.from_private_bytes(os.urandom(32))
    server_x_share = server_x.public_key().public_bytes_raw()
    server_secret = server_x.exchange(X25519PublicKey.from_public_bytes(client_x_share))
    kem_secret, ciphertext = MLKEM768PublicKey.from_public_bytes(client_kem_share).encapsulate()
    proof = identity.sign(_TRANSCRIPT)

    client_secret = client_x.exchange(X25519PublicKey.from_public_bytes(server_x_share))
    assert client_kem.decapsulate(ciphertext) == kem_secret and client_secret == server_secret
    Ed25519PublicKey.from_public_bytes(identity_key).verify(proof, _TRANSCRIPT)
