"""The server against clients that lie, and what it picks from honest offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jsp.crypto.client_handshake import ClientHandshake
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import CLIENT_LABEL, SERVER_LABEL
from jsp.crypto.kdf import access_mac
from jsp.crypto.kem import X25519, X25519MLKEM768, X25519MLKEM1024, KeyShare
from jsp.crypto.server_handshake import ServerHandshake
from jsp.crypto.steps import Step
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305
from jsp.errors import Code
from jsp.wire import hello
from jsp.wire.frames import HANDSHAKE
from jsp.wire.hello import frame_message
from jsp.wire.packet import VERSION_1
from jsp.wire.tlv import encode_tlvs
from tests.crypto.machines import (
    ACCESS_KEY,
    ALICE,
    CLIENT_PARAMS,
    MALLORY,
    ODCID,
    SCID,
    Lie,
    Pair,
    Proof,
    about,
    assert_agreement,
    before,
    client,
    leave_out,
    lying_client,
    malleated,
    proving,
    replace_by,
    seeded,
    server,
    signed,
    twice,
)
from tests.vectors import curves

hex_ = bytes.fromhex
CHACHA, AES = CHACHA20_POLY1305, AES_256_GCM

# --- what is picked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours", "picked"),
    [
        ((CHACHA, AES), (CHACHA, AES), CHACHA),
        ((AES, CHACHA), (AES, CHACHA), AES),
        ((AES, CHACHA), (CHACHA, AES), CHACHA),
        ((CHACHA, AES), (AES, CHACHA), CHACHA),
        ((AES,), (AES, CHACHA), AES),
        ((AES,), (CHACHA, AES), AES),
        ((AES, CHACHA), (CHACHA,), CHACHA),
        ((CHACHA,), (AES, CHACHA), CHACHA),
        ((CHACHA, AES), (AES,), AES),
        ((9, AES, CHACHA), (9, CHACHA), 9),
        ((7, 9, AES), (AES, 9), 9),
    ],
)
def test_spec_6_1_which_suite(theirs: tuple[int, ...], ours: tuple[int, ...], picked: int) -> None:
    pair = Pair(client(suites=theirs), server(suites=ours)).run()
    assert (pair.client.suite, pair.server.suite) == (picked, picked)
    assert_agreement(pair)


@pytest.mark.parametrize(
    ("theirs", "ours", "picked", "asked_again"),
    [
        ((X25519,), (X25519,), X25519, False),
        ((X25519, X25519MLKEM768), (X25519MLKEM768, X25519), X25519, False),
        ((X25519MLKEM768, X25519), (X25519MLKEM768,), X25519MLKEM768, False),
        ((X25519MLKEM768, X25519), (X25519,), X25519, True),
        ((X25519MLKEM768, X25519, X25519MLKEM1024), (X25519MLKEM1024, X25519), X25519, True),
        ((0x9999, X25519), (X25519,), X25519, True),
    ],
)
def test_spec_5_5_which_group(theirs: tuple[int, ...], ours: tuple[int, ...], picked: int, asked_again: bool) -> None:
    if 0x9999 in theirs:
        # A client of a later release guesses a group that we have never heard of.
        pair = Pair(guessing_client(0x9999, theirs), server(groups=ours)).run()
    else:
        pair = Pair(client(groups=theirs), server(groups=ours)).run()
    assert_agreement(pair)
    assert pair.server.group == picked
    assert (hello.HELLO_RETRY in [m[0] for _, _, m in pair.sent]) is asked_again


def guessing_client(group: int, groups: tuple[int, ...]) -> ClientHandshake:
    """A client whose first share is for a group unknown to us."""
    sent: list[bytes] = []

    def first_share(level: int, message: bytes) -> list[tuple[int, bytes]]:
        m = hello.parse_client_hello(message) if message[0] == hello.CLIENT_HELLO else None
        if m is not None:
            if not sent:
                m = replace(m, share_group=group, share=b"of the future")
            message = hello.encode_client_hello(replace(m, groups=groups))
            sent.append(message)
        return [(level, message)]

    # It starts with the hybrid, so that plain X25519 is another group than the one it has a share of.
    return lying_client(first_share, groups=(X25519MLKEM768, X25519))


def test_the_first_protocol_of_the_client_that_the_server_has() -> None:
    for theirs, ours, picked in (
        (("a", "b"), ("b", "a"), "a"),
        (("x", "b"), ("a", "b"), "b"),
    ):
        pair = Pair(client(protocols=theirs), server(protocols=ours)).run()
        assert_agreement(pair)
        assert pair.server.protocol == picked


@pytest.mark.parametrize(
    ("theirs", "ours", "code"),
    [
        ({"suites": (CHACHA,)}, {"suites": (AES,)}, Code.VERSION),
        ({"groups": (X25519,)}, {"groups": (X25519MLKEM768,)}, Code.VERSION),
        ({"protocols": ("a",)}, {"protocols": ("b",)}, Code.NO_PROTOCOL),
    ],
)
def test_nothing_in_common(theirs: dict[str, Any], ours: dict[str, Any], code: int) -> None:
    pair = Pair(client(**theirs), server(**ours)).run()
    assert pair.verdict() == ("server", code)
    assert [side for side, _, _ in pair.sent] == ["client"]
    assert not pair.server_secrets


def test_a_server_has_an_identity() -> None:
    with pytest.raises(AssertionError, match="needs an identity"):
        ServerHandshake(Credentials(), seeded("x"), ODCID, SCID, b"", 0)


# --- lies in the first message -------------------------------------------------------------------------------------

HYBRID = KeyShare(X25519MLKEM768, seeded("share")).share


def offering(**changes: Any) -> Lie:
    """A ClientHello with other fields."""
    return about(
        hello.CLIENT_HELLO,
        lambda body: hello.encode_client_hello(
            replace(hello.parse_client_hello(frame_message(hello.CLIENT_HELLO, body)), **changes)
        )[4:],
    )


def hybrid(share: bytes) -> Lie:
    return offering(groups=(X25519MLKEM768,), share_group=X25519MLKEM768, share=share)


def hello_body(change: Callable[[bytes], bytes]) -> Lie:
    return about(hello.CLIENT_HELLO, change)


CRITICAL = encode_tlvs({0x7FFF: b""})
FIRST_LIES: list[tuple[str, Lie, int]] = [
    ("no version in common", offering(versions=(1, VERSION_1 + 1)), Code.VERSION),
    ("no suite in common", offering(suites=(7, 8)), Code.VERSION),
    ("no group in common", offering(groups=(0x9999,), share_group=0x9999), Code.VERSION),
    ("no signature in common", offering(signatures=(0x0905,)), Code.VERSION),
    ("n14 a share for a group not offered", offering(share_group=X25519MLKEM768), Code.ILLEGAL_PARAMETER),
    ("n11 a share cut by a byte", hybrid(HYBRID[:-1]), Code.ILLEGAL_PARAMETER),
    ("n11 a share of a byte more", hybrid(HYBRID + b"\x00"), Code.ILLEGAL_PARAMETER),
    ("n12 coefficient 3329", hybrid(b"\x01\xfd" + HYBRID[2:]), Code.ILLEGAL_PARAMETER),
    ("n13 the hybrid's curve half zero", hybrid(HYBRID[:-32] + bytes(32)), Code.ILLEGAL_PARAMETER),
    ("n13 a share of zero", offering(share=bytes(32)), Code.ILLEGAL_PARAMETER),
    ("n18 halves swapped", hybrid(HYBRID[-32:] + HYBRID[:-32]), Code.ILLEGAL_PARAMETER),
    ("an empty share", offering(share=b""), Code.ILLEGAL_PARAMETER),
    (
        "n15 two shares",
        hello_body(lambda b: b + encode_tlvs({0xF0: X25519.to_bytes(2, "big") + bytes(32)})),
        Code.DECODE,
    ),
    ("n40 trailing byte", hello_body(lambda b: b + b"\x00"), Code.DECODE),
    ("n41 descending", hello_body(lambda b: b + encode_tlvs({1: bytes(4)})), Code.DECODE),
    ("n42 critical", hello_body(lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("only a random", hello_body(lambda b: b[:32]), Code.DECODE),
    ("a short random", hello_body(lambda b: b[:31]), Code.DECODE),
    ("nothing", hello_body(lambda b: b""), Code.DECODE),
    ("twice", twice(hello.CLIENT_HELLO), Code.UNEXPECTED_MESSAGE),
    ("a server hello first", before(hello.CLIENT_HELLO, b"\x02\x00\x00\x00"), Code.UNEXPECTED_MESSAGE),
]


@pytest.mark.parametrize(("what", "lie", "code"), FIRST_LIES, ids=[what for what, _, _ in FIRST_LIES])
def test_a_lie_in_the_first_message_has_its_code(what: str, lie: Lie, code: int) -> None:
    groups = (X25519MLKEM768,) if "hybrid" in what or what[:3] in ("n11", "n12", "n18") else (X25519,)
    pair = Pair(lying_client(lie, groups=groups), server(groups=(X25519MLKEM768, X25519))).run()
    assert pair.verdict() == ("server", code)
    assert not pair.server.authenticated


@pytest.mark.parametrize("point", curves.X25519_SMALL_ORDER)
def test_n13_a_share_of_low_order_is_refused(point: str) -> None:
    pair = Pair(lying_client(offering(share=hex_(point))), server()).run()
    assert pair.verdict() == ("server", Code.ILLEGAL_PARAMETER)


def test_unknown_offers_and_optional_tlvs_are_passed_over_and_hashed() -> None:
    lie = hello_body(lambda b: b + encode_tlvs({0xFFFF: b"grease"}))
    assert_agreement(Pair(lying_client(lie), server()).run())
    lie = offering(
        suites=(200, CHACHA), groups=(0x2A2A, X25519), versions=(0x1A2A3A4A, VERSION_1), signatures=(1, 0x807)
    )
    assert_agreement(Pair(lying_client(lie), server()).run())


# --- lies in the second ClientHello --------------------------------------------------------------------------------


def second(**changes: Any) -> Lie:
    count = 0
    edit = offering(**changes)

    def lie(level: int, message: bytes) -> list[tuple[int, bytes]]:
        nonlocal count
        count += message[0] == hello.CLIENT_HELLO
        return edit(level, message) if count == 2 else [(level, message)]

    return lie


@pytest.mark.parametrize(
    "changes",
    [
        {"random": bytes(32)},
        {"groups": (X25519,)},
        {"groups": (X25519, X25519MLKEM768)},
        {"params": b"other"},
        {"share_group": X25519MLKEM768},
        {"share_group": X25519MLKEM1024},
    ],
    ids=str,
)
def test_the_second_hello_is_the_sequel_of_the_first(changes: dict[str, Any]) -> None:
    groups = (X25519MLKEM768, X25519)
    assert_agreement(Pair(lying_client(second(), groups=groups), server()).run())
    pair = Pair(lying_client(second(**changes), groups=groups), server()).run()
    assert pair.verdict() == ("server", Code.ILLEGAL_PARAMETER)
    assert not pair.server_secrets


def test_a_client_that_does_not_follow_a_hello_retry_is_refused() -> None:
    s = server()
    c = client(groups=(X25519MLKEM768, X25519))
    c.start()
    pair = Pair(c, s)
    message = c.outgoing.pop(0)[1]
    pair.deliver("server", 0, message)
    assert not pair.culprit
    pair.deliver("server", 0, message)
    assert pair.verdict() == ("server", Code.ILLEGAL_PARAMETER)


# --- lies in the client's flight -----------------------------------------------------------------------------------


def identity(blob: bytes) -> Lie:
    return replace_by(hello.IDENTITY, hello.encode_blob(hello.IDENTITY, blob))


ACCESS = hello.encode_blob(hello.ACCESS_PROOF, access_mac(ACCESS_KEY, bytes(32)))
IDENTITY = hello.encode_blob(hello.IDENTITY, ALICE.public.blob)
PROOF = hello.encode_blob(hello.IDENTITY_PROOF, ALICE.sign(CLIENT_LABEL, bytes(32)))
FINISHED = frame_message(hello.FINISHED, bytes(32))

FLIGHT_LIES: list[tuple[str, Lie, int]] = [
    ("an access proof of another handshake", replace_by(hello.ACCESS_PROOF, ACCESS), Code.ACCESS_DENIED),
    ("an empty access proof", about(hello.ACCESS_PROOF, lambda b: encode_tlvs({1: b""})), Code.ACCESS_DENIED),
    ("half an access proof", about(hello.ACCESS_PROOF, lambda b: encode_tlvs({1: b[4:20]})), Code.ACCESS_DENIED),
    ("access proof: no TLV", about(hello.ACCESS_PROOF, lambda b: b""), Code.DECODE),
    ("n40 access proof: trailing byte", about(hello.ACCESS_PROOF, lambda b: b + b"\x00"), Code.DECODE),
    ("n42 access proof: critical", about(hello.ACCESS_PROOF, lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("access proof twice", twice(hello.ACCESS_PROOF), Code.UNEXPECTED_MESSAGE),
    ("access proof behind the identity", before(hello.IDENTITY_PROOF, ACCESS), Code.UNEXPECTED_MESSAGE),
    ("access proof behind the proof", before(hello.FINISHED, ACCESS), Code.UNEXPECTED_MESSAGE),
    ("no access proof", leave_out(hello.ACCESS_PROOF), Code.ACCESS_DENIED),
    ("no identity", leave_out(hello.IDENTITY, hello.IDENTITY_PROOF), Code.IDENTITY_REQUIRED),
    ("n35 a proof without its identity", leave_out(hello.IDENTITY), Code.UNEXPECTED_MESSAGE),
    ("n35 an identity without proof", leave_out(hello.IDENTITY_PROOF), Code.UNEXPECTED_MESSAGE),
    ("n35 identity twice", twice(hello.IDENTITY), Code.UNEXPECTED_MESSAGE),
    ("n35 identity behind the proof", before(hello.FINISHED, IDENTITY), Code.UNEXPECTED_MESSAGE),
    ("n35 proof first", before(hello.IDENTITY, PROOF), Code.UNEXPECTED_MESSAGE),
    ("n35 finished before proof", before(hello.IDENTITY_PROOF, FINISHED), Code.UNEXPECTED_MESSAGE),
    ("an identity of nothing", identity(b""), Code.BAD_IDENTITY),
    ("an identity of an unknown kind", identity(b"\x01\x01\x09\x05\x00\x00"), Code.BAD_IDENTITY),
    ("n40 identity: trailing byte", about(hello.IDENTITY, lambda b: b + b"\x00"), Code.DECODE),
    ("n41 identity: twice in it", about(hello.IDENTITY, lambda b: b + b), Code.DECODE),
    ("n42 identity: critical", about(hello.IDENTITY, lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("somebody else's identity", identity(MALLORY.public.blob), Code.BAD_PROOF),
    ("n33 a proof of another handshake", replace_by(hello.IDENTITY_PROOF, PROOF), Code.BAD_PROOF),
    ("n40 proof: trailing byte", about(hello.IDENTITY_PROOF, lambda b: b + b"\x00"), Code.DECODE),
    ("n36 a wrong finished", replace_by(hello.FINISHED, FINISHED), Code.DECRYPT),
    ("a long finished", about(hello.FINISHED, lambda b: b + b"\x00"), Code.DECODE),
    ("a server's message", before(hello.FINISHED, b"\x08\x00\x00\x00"), Code.UNEXPECTED_MESSAGE),
]


@pytest.mark.parametrize(("what", "lie", "code"), FLIGHT_LIES, ids=[what for what, _, _ in FLIGHT_LIES])
def test_a_lie_in_the_flight_has_its_code(what: str, lie: Lie, code: int) -> None:
    pair = Pair(
        lying_client(lie, identity=ALICE, access_key=ACCESS_KEY),
        server(identity_required=True, access_key=ACCESS_KEY),
    ).run()
    assert pair.verdict() == ("server", code)
    assert pair.server.presented is None
    assert not any(secret.level > HANDSHAKE for secret in pair.server_secrets)


@pytest.mark.parametrize("key", curves.ED25519_SMALL_ORDER)
def test_n31_a_client_of_small_order_is_refused(key: str) -> None:
    lie = identity(ALICE.public.blob[:-32] + hex_(key))
    assert Pair(lying_client(lie, identity=ALICE), server()).run().verdict() == ("server", Code.BAD_IDENTITY)


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (signed(ALICE, CLIENT_LABEL), ("", 0)),
        (signed(ALICE, SERVER_LABEL), ("server", Code.BAD_PROOF)),
        (signed(MALLORY, CLIENT_LABEL), ("server", Code.BAD_PROOF)),
        (malleated(ALICE, CLIENT_LABEL), ("server", Code.BAD_PROOF)),
    ],
    ids=["right", "n34 reflected label", "another key", "n32 malleated"],
)
def test_only_the_right_signature_is_a_proof(make: Proof, verdict: tuple[str, int]) -> None:
    assert Pair(client(proving(ClientHandshake, make), identity=ALICE), server()).run().verdict() == verdict


def test_n34_the_servers_own_proof_sent_back_proves_nothing() -> None:
    def reflect(sender: str, level: int, m: bytes) -> list[tuple[int, bytes]]:
        if sender == "server" and m[0] in (hello.IDENTITY, hello.IDENTITY_PROOF):
            kept[m[0]] = m
        return [(level, m)]

    kept: dict[int, bytes] = {}

    def lie(level: int, m: bytes) -> list[tuple[int, bytes]]:
        return [(level, kept.get(m[0], m))]

    pair = Pair(lying_client(lie, identity=ALICE), server(), reflect).run()
    assert pair.verdict() == ("server", Code.BAD_PROOF)


# --- access keys and required identities ---------------------------------------------------------------------------

WRONG_KEY = bytes(16)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict", "proven"),
    [
        (None, None, ("", 0), False),
        (ACCESS_KEY, ACCESS_KEY, ("", 0), True),
        # A key that nobody asks for stays at home.
        (ACCESS_KEY, None, ("", 0), False),
        (None, ACCESS_KEY, ("server", Code.ACCESS_DENIED), False),
        (WRONG_KEY, ACCESS_KEY, ("server", Code.ACCESS_DENIED), False),
    ],
)
def test_access_keys(ours: bytes | None, theirs: bytes | None, verdict: tuple[str, int], proven: bool) -> None:
    pair = Pair(client(access_key=ours), server(access_key=theirs), accept=False)
    pair.run()
    if pair.client.step is Step.WAIT_DECISION:
        pair.client.accept()
        for level, message in pair.client.outgoing:
            if not pair.culprit:
                pair.deliver("server", level, message)
    assert pair.verdict() == verdict
    if not verdict[0]:
        assert pair.server.presented is not None
        assert pair.server.presented.access_proven is proven
        assert pair.server.presented.peer_id is None
    sent = b"".join(m for _, _, m in pair.sent)
    assert ACCESS_KEY not in sent


def test_an_access_proof_that_nobody_asked_for_is_unexpected() -> None:
    pair = Pair(lying_client(before(hello.FINISHED, ACCESS)), server()).run()
    assert pair.verdict() == ("server", Code.UNEXPECTED_MESSAGE)


def test_an_access_proof_is_bound_to_the_handshake() -> None:
    sent: list[bytes] = []
    for seed in ("one", "two"):
        pair = Pair(client(seed=seed, access_key=ACCESS_KEY), server(access_key=ACCESS_KEY)).run()
        sent += [m for _, _, m in pair.sent if m[0] == hello.ACCESS_PROOF]
    assert sent[0] != sent[1]


@pytest.mark.parametrize("required", [True, False])
def test_an_identity_is_presented_whether_it_is_required_or_not(required: bool) -> None:
    pair = Pair(client(identity=ALICE), server(identity_required=required)).run()
    assert_agreement(pair)
    assert pair.server.peer is not None
    assert pair.server.peer.peer_id == ALICE.peer_id
    assert pair.server.peer_params == CLIENT_PARAMS


def test_a_server_is_authenticated_only_when_the_client_is_there() -> None:
    c, s = client(identity=ALICE), server()
    seen = [s.authenticated]
    c.start()
    s.receive(0, c.outgoing.pop(0)[1])
    seen.append(s.authenticated)
    for level, message in s.outgoing:
        c.receive(level, message)
        if c.step is Step.WAIT_DECISION:
            c.accept()
    for level, message in c.outgoing:
        s.receive(level, message)
        seen.append(s.authenticated)
    assert seen == [False, False, False, False, True]
