"""Identities: the file, the id, and signatures that must not verify."""

from __future__ import annotations

import base64
import copy
import hashlib
import os
import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from jsp.crypto.identity import CLIENT_LABEL, ED25519, SERVER_LABEL, Identity, PeerId, PublicIdentity, check_ed25519
from jsp.errors import AddressError, BadPacket, Code, IdentityError, ProtocolViolation
from tests.profiles import examples
from tests.vectors import curves as v
from tests.wire.cases import mangled, value_or_bad_packet

SEED = bytes(range(32))
ALICE = Identity.from_seed(SEED)
BOB = Identity.from_seed(bytes(32))
DIGEST = bytes(range(100, 132))

hex_ = bytes.fromhex


def blob_of(*keys: tuple[int, bytes], version: int = 1, count: int | None = None) -> bytes:
    parts = [bytes([version, len(keys) if count is None else count])]
    for algorithm, key in keys:
        parts.append(algorithm.to_bytes(2, "big") + len(key).to_bytes(2, "big") + key)
    return b"".join(parts)


# --- published answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "public", "message", "signature"), v.ED25519)
def test_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    assert Identity.from_seed(hex_(seed)).public.blob == blob_of((ED25519, hex_(public)))
    # What signs for an identity is this class; identities themselves sign nothing but proofs.
    assert Ed25519PrivateKey.from_private_bytes(hex_(seed)).sign(hex_(message)).hex() == signature


# --- peer ids ------------------------------------------------------------------------------------------------------


def test_a_peer_id_is_the_hash_of_the_whole_key_list() -> None:
    assert ALICE.peer_id.digest == hashlib.sha256(b"jsp1 peer id" + ALICE.public.blob).digest()
    assert ALICE.peer_id == PublicIdentity(ALICE.public.blob).peer_id
    assert ALICE.peer_id != BOB.peer_id


def test_a_peer_id_is_pasted_and_read_back() -> None:
    text = str(ALICE.peer_id)
    assert text.startswith("jsp1")
    assert PeerId.parse(text) == PeerId.parse(f" {text.upper()}\n") == ALICE.peer_id
    assert text in repr(ALICE.peer_id)
    assert text in repr(ALICE)


def test_peer_ids_are_values() -> None:
    one, same, other = PeerId(DIGEST), PeerId(DIGEST), PeerId(bytes(32))
    assert one == same
    assert one != other
    assert one != DIGEST
    assert {one: "a", other: "b"}[same] == "a"


@pytest.mark.parametrize("text", ["", "jsp1", "jsp1" + "a" * 55, "alice", str(PeerId(DIGEST))[:-1] + "7"])
def test_a_mistyped_peer_id_is_an_address_error(text: str) -> None:
    with pytest.raises(AddressError):
        PeerId.parse(text)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_peer_id_has_32_bytes(size: int) -> None:
    with pytest.raises(IdentityError):
        PeerId(bytes(size))


# --- keys of peers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", v.ED25519_SMALL_ORDER)
def test_n31_all_14_small_order_and_non_canonical_keys_are_refused(key: str) -> None:
    with pytest.raises(BadPacket):
        check_ed25519(hex_(key))
    with pytest.raises(BadPacket):
        PublicIdentity(blob_of((ED25519, hex_(key))))


def test_every_key_that_is_not_canonical_is_refused() -> None:
    for y in range(v.P, 1 << 255):
        for sign in (0, 1 << 255):
            with pytest.raises(BadPacket):
                check_ed25519((y | sign).to_bytes(32, "little"))


def test_why_small_order_keys_are_refused() -> None:
    """One constant signature fits every message under such a key, were it let in."""
    key = Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31))
    signature = b"\x01" + bytes(31) + bytes(32)
    for message in (b"", b"anything", b"\x20" * 64 + SERVER_LABEL):
        key.verify(signature, message)


ALICE_KEY = ALICE.public.blob[-32:]
REFUSED = [
    ("nothing", b""),
    ("only a version", b"\x01"),
    ("another version", blob_of((ED25519, ALICE_KEY), version=2)),
    ("version 0", blob_of((ED25519, ALICE_KEY), version=0)),
    ("no keys", blob_of()),
    ("no keys, but one there", blob_of((ED25519, ALICE_KEY), count=0)),
    ("five keys", blob_of((ED25519, ALICE_KEY), count=5)),
    ("two keys said, one there", blob_of((ED25519, ALICE_KEY), count=2)),
    ("one key said, two there", blob_of((ED25519, ALICE_KEY), (ED25519, ALICE_KEY), count=1)),
    ("the same algorithm twice", blob_of((ED25519, ALICE_KEY), (ED25519, ALICE_KEY))),
    ("an unknown algorithm", blob_of((0x0905, ALICE_KEY))),
    ("an unknown algorithm beside a known one", blob_of((ED25519, ALICE_KEY), (0x0905, bytes(8)))),
    ("descending", blob_of((0x0905, bytes(8)), (ED25519, ALICE_KEY))),
    ("a short key", blob_of((ED25519, ALICE_KEY[:-1]))),
    ("a long key", blob_of((ED25519, ALICE_KEY + b"\x00"))),
    ("no key bytes", blob_of((ED25519, b""))),
    ("a trailing byte", ALICE.public.blob + b"\x00"),
]


@pytest.mark.parametrize(("what", "blob"), REFUSED, ids=[what for what, _ in REFUSED])
def test_impossible_identities_are_refused(what: str, blob: bytes) -> None:
    with pytest.raises(BadPacket):
        PublicIdentity(blob)


def test_a_cut_identity_is_refused_at_every_byte() -> None:
    for size in range(len(ALICE.public.blob)):
        with pytest.raises(BadPacket):
            PublicIdentity(ALICE.public.blob[:size])


@examples(200)
@given(mangled([ALICE.public.blob, blob_of((ED25519, ALICE_KEY), (0x0905, bytes(8)))]))
def test_any_bytes_are_an_identity_in_one_spelling_or_a_bad_packet(data: bytes) -> None:
    public = value_or_bad_packet(PublicIdentity, data)
    if public is not None:
        assert blob_of((ED25519, data[-32:])) == data == public.blob
        assert public.algorithms == (ED25519,)


# --- proofs --------------------------------------------------------------------------------------------------------

HASH = b"h" * 32
PROOF = ALICE.sign(SERVER_LABEL, HASH)


def refused(proof: bytes, public: PublicIdentity = ALICE.public, label: bytes = SERVER_LABEL, h: bytes = HASH) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        public.verify(label, h, proof)
    assert caught.value.code == Code.BAD_PROOF
    assert str(caught.value) == "BAD_PROOF: identity proof does not verify"


def test_a_proof_verifies_and_is_what_the_spec_says() -> None:
    ALICE.public.verify(SERVER_LABEL, HASH, PROOF)
    assert PROOF[:4] == b"\x08\x07\x00\x40"
    signed = b"\x20" * 64 + SERVER_LABEL + b"\x00" + HASH
    Ed25519PublicKey.from_public_bytes(ALICE_KEY).verify(PROOF[4:], signed)


def test_a_proof_fits_one_role_one_handshake_and_one_key() -> None:
    refused(PROOF, label=CLIENT_LABEL)
    refused(PROOF, h=b"H" * 32)
    refused(PROOF, public=BOB.public)


def test_n32_a_malleated_signature_is_refused() -> None:
    s = int.from_bytes(PROOF[36:], "little")
    for k in range(1, 16):
        other = s + k * v.ORDER
        if other < 1 << 256:
            refused(PROOF[:36] + other.to_bytes(32, "little"))


def test_a_proof_of_another_shape_is_refused() -> None:
    for proof in (
        b"",
        PROOF[:-1],
        PROOF + b"\x00",
        PROOF * 2,
        PROOF[4:],
        b"\x09\x05" + PROOF[2:],
        PROOF[:2] + b"\x00\x3f" + PROOF[4:],
        PROOF[:2] + b"\x00\x41" + PROOF[4:] + b"\x00",
        PROOF[:4] + bytes(64),
    ):
        refused(proof)


def test_any_flipped_bit_of_a_proof_is_refused() -> None:
    for bit in range(8 * len(PROOF)):
        bad = bytearray(PROOF)
        bad[bit // 8] ^= 1 << bit % 8
        refused(bytes(bad))


def test_a_key_that_is_no_point_verifies_nothing() -> None:
    for y in range(2, 30):
        try:
            public = PublicIdentity(blob_of((ED25519, y.to_bytes(32, "little"))))
        except BadPacket:
            continue
        refused(PROOF, public=public)


# --- the file ------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identity"


def test_saved_and_loaded(path: Path) -> None:
    ALICE.save(path)
    loaded = Identity.load(str(path))
    assert loaded.peer_id == ALICE.peer_id
    ALICE.public.verify(CLIENT_LABEL, HASH, loaded.sign(CLIENT_LABEL, HASH))
    assert str(ALICE.peer_id) in path.read_text()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_only_the_owner_can_read_the_file_whatever_the_umask(path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        ALICE.save(path)
        ALICE.save(path, overwrite=True)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_n90_a_file_that_others_can_touch_is_refused_with_the_cure(path: Path, mode: int) -> None:
    ALICE.save(path)
    path.chmod(mode)
    with pytest.raises(IdentityError, match="chmod 600"):
        Identity.load(path)
    path.chmod(0o400)
    assert Identity.load(path).peer_id == ALICE.peer_id


def test_a_file_is_not_replaced_by_accident(path: Path) -> None:
    ALICE.save(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        BOB.save(path)
    assert path.read_bytes() == before


def test_an_old_file_is_replaced_in_one_step_when_asked(path: Path) -> None:
    ALICE.save(path)
    with path.open("rb") as reader:
        BOB.save(path, overwrite=True)
        # Whoever has the old file open still reads all of it.
        assert str(ALICE.peer_id).encode() in reader.read()
    assert Identity.load(path).peer_id == BOB.peer_id
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "directory"
    (target / "full").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        ALICE.save(target, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["directory"]


def test_a_missing_file_is_the_usual_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Identity.load(path)


TEXT = base64.b64encode(SEED)
DAMAGED = [
    b"",
    b"\n\n",
    b"# jsp identity\n",
    b"ed25519",
    b"ed25519 ",
    b"ed25519 " + TEXT[:-4],
    b"ed25519 " + TEXT[:-1],
    b"ed25519 " + TEXT + b"AAAA",
    b"ed25519 " + b"!" + TEXT[1:],
    b"ed25519 " + TEXT.replace(b"A", b"\xff"),
    b"ed448 " + TEXT,
    b"xed25519 " + TEXT,
    b"\x00" * 4096,
    b"#" * 5000 + b"\ned25519 " + TEXT,
    b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAA\n",
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(IdentityError, match="damaged"):
        Identity.load(path)


def test_comments_and_white_space_do_no_harm(path: Path) -> None:
    path.write_bytes(b"\r\n# hello\r\n  ed25519 " + TEXT + b"  \r\n# bye\n")
    path.chmod(0o600)
    assert Identity.load(path).peer_id == ALICE.peer_id


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("identities") / "scratch"


@examples(60)
@given(content=mangled([b"# note\ned25519 " + TEXT + b"\n"]))
def test_any_file_is_an_identity_or_an_identity_error(scratch: Path, content: bytes) -> None:
    path = scratch
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        Identity.load(path)
    except IdentityError:
        pass


# --- secrets stay secret -------------------------------------------------------------------------------------------


def test_generated_identities_differ() -> None:
    assert len({Identity.generate().peer_id for _ in range(5)}) == 5


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(IdentityError):
        Identity.from_seed(bytes(size))


def test_derived_secrets_come_from_the_seed() -> None:
    assert ALICE.derive(lambda seed: hashlib.sha256(b"purpose" + seed).digest()) == (
        hashlib.sha256(b"purpose" + SEED).digest()
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_n91_an_identity_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(ALICE, protocol)


def test_n91_an_identity_is_not_copied() -> None:
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            duplicate(ALICE)


@given(st.binary(min_size=32, max_size=32))
def test_n91_an_identity_does_not_show_its_seed(seed: bytes) -> None:
    identity = Identity.from_seed(seed)
    for text in (repr(identity), str(identity), f"{identity}", repr([identity]), repr(identity.public)):
        for secret in (seed.hex(), base64.b64encode(seed).decode(), repr(seed)[2:-1]):
            assert secret not in text
