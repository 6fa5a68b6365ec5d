"""Key exchange groups: published answers, another implementation, and shares made to hurt."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import GROUPS
from jsp.crypto import kem
from jsp.crypto.kem import X25519, X25519MLKEM768, X25519MLKEM1024, KeyShare, available, respond
from jsp.errors import Code, LocalError, ProtocolViolation
from tests.crypto.machines import seeded
from tests.profiles import examples
from tests.vectors import curves as v

ROOT = Path(__file__).parents[2]
MLKEM = json.loads((ROOT / "tests/vectors/mlkem.json").read_text())
HYBRIDS = {X25519MLKEM768: (1184, 1088), X25519MLKEM1024: (1568, 1568)}
USABLE = [X25519, *HYBRIDS]

hex_ = bytes.fromhex


def giving(*pieces: bytes) -> Callable[[int], bytes]:
    """Entropy that is exactly these pieces, in order."""
    left = list(pieces)

    def entropy(size: int) -> bytes:
        piece = left.pop(0)
        assert len(piece) == size
        return piece

    return entropy


def x25519(scalar: str, point: str) -> str:
    return KeyShare(X25519, giving(hex_(scalar))).finish(hex_(point)).hex()


# --- published answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scalar", "point", "product"), v.X25519)
def test_rfc_7748_products(scalar: str, point: str, product: str) -> None:
    assert x25519(scalar, point) == product


def test_rfc_7748_exchange() -> None:
    for (private, public), (_, other) in ((v.X25519_ALICE, v.X25519_BOB), (v.X25519_BOB, v.X25519_ALICE)):
        assert KeyShare(X25519, giving(hex_(private))).share.hex() == public
        assert x25519(private, other) == v.X25519_SHARED
        assert respond(X25519, hex_(other), giving(hex_(private))) == (hex_(v.X25519_SHARED), hex_(public))


def test_rfc_7748_iterations() -> None:
    scalar = point = "09" + "00" * 31
    for i in range(1, 1001):
        scalar, point = x25519(scalar, point), scalar
        if i in v.X25519_ITERATED:
            assert scalar == v.X25519_ITERATED[i]


@pytest.mark.parametrize(
    ("group", "case"),
    [(X25519MLKEM768, case) for case in MLKEM["ML-KEM-768"]]
    + [(X25519MLKEM1024, case) for case in MLKEM["ML-KEM-1024"]],
)
def test_fips_203_keys_and_decapsulation(group: int, case: dict[str, str]) -> None:
    alice, bob = v.X25519_ALICE, v.X25519_BOB
    for ciphertext, secret in (("ciphertext", "secret"), ("wrong_ciphertext", "wrong_secret")):
        share = KeyShare(group, giving(hex_(alice[0]), hex_(case["seed"])))
        assert share.share.hex() == case["public"] + alice[1]
        shared = share.finish(hex_(case[ciphertext] + bob[1]))
        assert shared.hex() == case[secret] + v.X25519_SHARED


# --- another implementation ----------------------------------------------------------------------------------------


@pytest.fixture
def other_side() -> Any:
    """qh3's own X25519MLKEM768."""
    module = pytest.importorskip("qh3._hazmat", reason="qh3, the independent implementation, is not installed")
    return module.X25519ML768KeyExchange()


def test_our_client_and_their_server_share_a_secret(other_side: Any) -> None:
    ours = KeyShare(X25519MLKEM768, seeded("ours"))
    theirs = other_side.exchange(ours.share)
    assert ours.finish(other_side.shared_ciphertext()) == theirs


def test_their_client_and_our_server_share_a_secret(other_side: Any) -> None:
    ours, share = respond(X25519MLKEM768, other_side.public_key(), seeded("ours"))
    assert other_side.exchange(share) == ours


# --- the two halves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", USABLE)
def test_both_sides_share_a_secret_of_the_layout_of_the_draft(group: int) -> None:
    public, ciphertext = HYBRIDS.get(group, (0, 0))
    client = KeyShare(group, seeded("client"))
    assert len(client.share) == public + 32
    secret, share = respond(group, client.share, seeded("server"))
    assert len(share) == ciphertext + 32
    assert len(secret) == (64 if group in HYBRIDS else 32)
    assert client.finish(share) == secret


@pytest.mark.parametrize("group", HYBRIDS)
def test_both_halves_are_in_the_secret_post_quantum_half_first(group: int) -> None:
    private, seed = b"\x11" * 32, b"\x22" * 64
    secret, share = respond(group, KeyShare(group, giving(private, seed)).share, seeded("server"))
    again = KeyShare(group, giving(private, b"\x33" * 64)).finish(share)
    assert again[32:] == secret[32:]
    assert again[:32] != secret[:32]
    again = KeyShare(group, giving(b"\x44" * 32, seed)).finish(share)
    assert again[:32] == secret[:32]
    assert again[32:] != secret[32:]


def test_entropy_decides_a_client_share_and_every_client_has_its_own() -> None:
    assert KeyShare(X25519MLKEM768, seeded("a")).share == KeyShare(X25519MLKEM768, seeded("a")).share
    entropy = seeded("a")
    assert KeyShare(X25519MLKEM768, entropy).share != KeyShare(X25519MLKEM768, entropy).share


def test_two_answers_to_one_share_differ() -> None:
    share = KeyShare(X25519MLKEM768, seeded("client")).share
    first, second = (respond(X25519MLKEM768, share, seeded(name)) for name in ("a", "b"))
    assert first[0][:32] != second[0][:32]
    assert first[0][32:] != second[0][32:]
    assert first[1] != second[1]


def test_a_key_share_is_used_once() -> None:
    client = KeyShare(X25519MLKEM768, seeded("client"))
    _, share = respond(X25519MLKEM768, client.share, seeded("server"))
    client.finish(share)
    with pytest.raises(AssertionError, match="once"):
        client.finish(share)


def test_a_refused_share_uses_the_key_up_too() -> None:
    client = KeyShare(X25519, seeded("client"))
    with pytest.raises(ProtocolViolation):
        client.finish(bytes(32))
    with pytest.raises(AssertionError, match="once"):
        client.finish(bytes(32))


# --- shares made to hurt -------------------------------------------------------------------------------------------


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        call()
    assert caught.value.code == Code.ILLEGAL_PARAMETER


@pytest.mark.parametrize("group", USABLE)
def test_n11_n16_shares_of_the_wrong_size_are_refused(group: int) -> None:
    client_share = KeyShare(group, seeded("client")).share
    _, server_share = respond(group, client_share, seeded("server"))
    for share, judge in (
        (client_share, lambda s: respond(group, s, seeded("server"))),
        (server_share, lambda s: KeyShare(group, seeded("client")).finish(s)),
    ):
        for bad in (b"", share[:-1], share + b"\x00", share[1:], share * 2, share[:32], share[:-32]):
            if len(bad) != len(share):
                refused(lambda judge=judge, bad=bad: judge(bad))


@pytest.mark.parametrize("point", v.X25519_SMALL_ORDER)
@pytest.mark.parametrize("group", USABLE)
def test_n13_low_order_points_are_refused(group: int, point: str) -> None:
    client_share = KeyShare(group, seeded("client")).share
    _, server_share = respond(group, client_share, seeded("server"))
    refused(lambda: respond(group, client_share[:-32] + hex_(point), seeded("server")))
    refused(lambda: KeyShare(group, seeded("client")).finish(server_share[:-32] + hex_(point)))


def with_coefficient(public: bytes, index: int, value: int) -> bytes:
    """An ML-KEM key whose coefficient number `index` is `value` (FIPS 203 ByteEncode12: 12 bits, little-endian)."""
    raw = int.from_bytes(public, "little")
    mask = 0xFFF << (12 * index)
    return ((raw & ~mask) | value << (12 * index)).to_bytes(len(public), "little")


@pytest.mark.parametrize(("group", "last"), [(X25519MLKEM768, 767), (X25519MLKEM1024, 1023)])
def test_n12_coefficients_above_the_modulus_are_refused(group: int, last: int) -> None:
    share = KeyShare(group, seeded("client")).share
    public, point = share[:-32], share[-32:]
    for index in (0, 1, last // 2, last):
        respond(group, with_coefficient(public, index, 3328) + point, seeded("server"))
        for value in (3329, 4095):
            refused(
                lambda index=index, value=value: respond(
                    group, with_coefficient(public, index, value) + point, seeded("server")
                )
            )


@pytest.mark.parametrize("group", HYBRIDS)
def test_n18_swapped_halves_are_refused(group: int) -> None:
    share = KeyShare(group, seeded("client")).share
    refused(lambda: respond(group, share[-32:] + share[:-32], seeded("server")))


@examples(20)
@given(st.data())
def test_n17_a_flipped_ciphertext_bit_gives_another_secret_and_no_error(data: st.DataObject) -> None:
    group = data.draw(st.sampled_from(sorted(HYBRIDS)))
    private, seed = b"\x11" * 32, b"\x22" * 64
    secret, share = respond(group, KeyShare(group, giving(private, seed)).share, seeded("server"))
    bit = data.draw(st.integers(0, 8 * (len(share) - 32) - 1))
    bad = bytearray(share)
    bad[bit // 8] ^= 1 << bit % 8
    other = KeyShare(group, giving(private, seed)).finish(bytes(bad))
    assert other[:32] != secret[:32]
    assert other[32:] == secret[32:]
    # Implicit rejection: the same wrong ciphertext always gives the same wrong secret.
    assert KeyShare(group, giving(private, seed)).finish(bytes(bad)) == other


# --- which groups there are ----------------------------------------------------------------------------------------


def test_names_are_those_of_the_configuration() -> None:
    assert set(kem.NUMBERS) == set(GROUPS)
    assert all(available(group) for group in USABLE)
    assert not available(0x9999)


def test_a_group_nobody_knows_is_refused() -> None:
    with pytest.raises(LocalError, match="0x9999 is not available"):
        KeyShare(0x9999, seeded("client"))
    with pytest.raises(LocalError, match="0x9999 is not available"):
        respond(0x9999, bytes(range(32)), seeded("server"))


def run_python(code: str, *paths: Path, **environment: str) -> str:
    """Run `code` in a fresh interpreter that sees `paths` first."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": ":".join(map(str, (*paths, ROOT))), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


EXITING_OQS = "raise SystemExit('the binding found no library and gave up')\n"


def test_a_hybrid_that_is_not_there_is_not_plain_x25519_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "oqs.py").write_text(EXITING_OQS)
    code = """
import os
from jsp.crypto.kem import *
from jsp.errors import LocalError
for call in (lambda: KeyShare(X25519MLKEM512, os.urandom), lambda: respond(X25519MLKEM512, b"s" * 32, os.urandom)):
    try:
        call()
    except LocalError as error:
        print(error)
"""
    out = run_python(code, tmp_path)
    assert out.count("x25519mlkem512 is not available") == 2


def test_n89_import_starts_no_process_and_does_not_import_oqs(tmp_path: Path) -> None:
    (tmp_path / "oqs.py").write_text(EXITING_OQS)
    code = """
import sys
started = []
watched = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "pty.spawn")
sys.addaudithook(lambda event, args: started.append(event) if event in watched else None)
import jsp
from jsp.crypto import kem
import os
share = kem.KeyShare(kem.X25519MLKEM768, os.urandom)
kem.respond(kem.X25519MLKEM768, share.share, os.urandom)
print(started, "oqs" in sys.modules)
"""
    assert run_python(code, tmp_path).strip() == "[] False"


@pytest.fixture
def loadable_library(tmp_path: Path) -> Path:
    """A directory with a lib/liboqs.so that loads: some shared object of Python's own."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    found = next(Path(sysconfig.get_path("stdlib"), "lib-dynload").glob(f"_*{suffix}"), None)
    if found is None:
        pytest.skip("this Python has no shared extension modules to pose as liboqs")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "liboqs.so").write_bytes(found.read_bytes())
    return tmp_path


ASK = "from jsp.crypto.kem import *; print(available(X25519MLKEM512), available(X25519MLKEM768))"


def test_a_binding_that_exits_is_survived(loadable_library: Path) -> None:
    (loadable_library / "oqs.py").write_text(EXITING_OQS)
    out = run_python(ASK, loadable_library, OQS_INSTALL_PATH=str(loadable_library))
    assert out.split() == ["False", "True"]


def test_without_the_library_the_binding_is_not_even_imported(tmp_path: Path) -> None:
    (tmp_path / "oqs.py").write_text("print('imported')\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "liboqs.so").write_text("not a library")
    out = run_python(ASK, tmp_path, OQS_INSTALL_PATH=str(tmp_path))
    assert out.split() == ["False", "True"]


FAKE_OQS = '''
import hashlib

class KeyEncapsulation:
    """The calls of the real binding, with the sizes of ML-KEM-512."""

    def __init__(self, name):
        assert name == "ML-KEM-512"

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def generate_keypair(self):
        return bytes(800)

    def encap_secret(self, public):
        assert len(public) == 800
        return bytes(768), hashlib.sha256(bytes(768)).digest()

    def decap_secret(self, ciphertext):
        return hashlib.sha256(ciphertext).digest()
'''


def test_with_the_library_the_512_group_is_there(loadable_library: Path) -> None:
    (loadable_library / "oqs.py").write_text(FAKE_OQS)
    code = """
import os
from jsp.crypto.kem import *
client = KeyShare(X25519MLKEM512, os.urandom)
secret, share = respond(X25519MLKEM512, client.share, os.urandom)
print(available(X25519MLKEM512), len(client.share), len(share), len(secret), client.finish(share) == secret)
"""
    out = run_python(code, loadable_library, OQS_INSTALL_PATH=str(loadable_library))
    assert out.split() == ["True", "832", "800", "64", "True"]
