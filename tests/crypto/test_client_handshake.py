"""The client against servers that lie: each lie has its error code, and none gets past the last message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jsp.crypto import client_handshake
from jsp.crypto.identity import CLIENT_LABEL, SERVER_LABEL
from jsp.crypto.kem import X25519, X25519MLKEM768, X25519MLKEM1024
from jsp.crypto.server_handshake import ServerHandshake
from jsp.crypto.steps import Step
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305
from jsp.errors import Code
from jsp.wire import hello
from jsp.wire.frames import INITIAL
from jsp.wire.hello import frame_message
from jsp.wire.packet import VERSION_1
from jsp.wire.tlv import encode_tlvs
from tests.crypto.machines import (
    ACCESS_KEY,
    ALICE,
    MALLORY,
    SERVER,
    Edit,
    Lie,
    Pair,
    Proof,
    about,
    assert_agreement,
    before,
    client,
    leave_out,
    lying_server,
    malleated,
    proving,
    replace_by,
    server,
    signed,
    twice,
)
from tests.vectors import curves

hex_ = bytes.fromhex


def server_hello(**changes: Any) -> Lie:
    """A ServerHello with other fields."""
    return about(
        hello.SERVER_HELLO,
        lambda body: hello.encode_server_hello(
            replace(hello.parse_server_hello(frame_message(hello.SERVER_HELLO, body)), **changes)
        )[4:],
    )


def share(change: Callable[[bytes], bytes]) -> Lie:
    """A ServerHello with another key share."""

    def edit(body: bytes) -> bytes:
        m = hello.parse_server_hello(frame_message(hello.SERVER_HELLO, body))
        return hello.encode_server_hello(replace(m, share=change(m.share)))[4:]

    return about(hello.SERVER_HELLO, edit)


def params(**changes: Any) -> Lie:
    def edit(body: bytes) -> bytes:
        m = hello.parse_encrypted_params(frame_message(hello.ENCRYPTED_PARAMS, body))
        return hello.encode_encrypted_params(replace(m, **changes))[4:]

    return about(hello.ENCRYPTED_PARAMS, edit)


def identity(blob: bytes) -> Lie:
    return replace_by(hello.IDENTITY, hello.encode_blob(hello.IDENTITY, blob))


def blob_with(key: str) -> bytes:
    return SERVER.public.blob[:-32] + hex_(key)


IDENTITY = hello.encode_blob(hello.IDENTITY, SERVER.public.blob)
PROOF = hello.encode_blob(hello.IDENTITY_PROOF, SERVER.sign(SERVER_LABEL, bytes(32)))
FINISHED = frame_message(hello.FINISHED, bytes(32))
CRITICAL = encode_tlvs({0x7FFF: b""})

LIES: list[tuple[str, Lie, int]] = [
    ("n21 a suite that was not offered", server_hello(suite=3), Code.ILLEGAL_PARAMETER),
    ("suite 0", server_hello(suite=0), Code.ILLEGAL_PARAMETER),
    ("a version that was not offered", server_hello(version=VERSION_1 + 1), Code.ILLEGAL_PARAMETER),
    ("version 0", server_hello(version=0), Code.ILLEGAL_PARAMETER),
    ("n19 a group that was not offered", server_hello(group=X25519MLKEM768), Code.ILLEGAL_PARAMETER),
    ("an unknown group", server_hello(group=0x9999), Code.ILLEGAL_PARAMETER),
    ("a share cut by a byte", share(lambda s: s[:-1]), Code.ILLEGAL_PARAMETER),
    ("a share of a byte more", share(lambda s: s + b"\x00"), Code.ILLEGAL_PARAMETER),
    ("an empty share", share(lambda s: b""), Code.ILLEGAL_PARAMETER),
    ("n13 a share of low order", share(lambda s: bytes(32)), Code.ILLEGAL_PARAMETER),
    ("another share", share(lambda s: b"\x09" + bytes(31)), Code.DECRYPT),
    ("n40 server hello: trailing byte", about(hello.SERVER_HELLO, lambda b: b + b"\x00"), Code.DECODE),
    ("n42 server hello: critical", about(hello.SERVER_HELLO, lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("server hello twice", twice(hello.SERVER_HELLO), Code.UNEXPECTED_MESSAGE),
    (
        "hello retry behind server hello",
        before(hello.ENCRYPTED_PARAMS, hello.encode_hello_retry(X25519MLKEM768)),
        Code.UNEXPECTED_MESSAGE,
    ),
    (
        "n27 hello retry for the group already sent",
        replace_by(hello.SERVER_HELLO, hello.encode_hello_retry(X25519)),
        Code.ILLEGAL_PARAMETER,
    ),
    (
        "hello retry for a group not offered",
        replace_by(hello.SERVER_HELLO, hello.encode_hello_retry(X25519MLKEM1024)),
        Code.ILLEGAL_PARAMETER,
    ),
    ("n24 no version in common", params(versions=(VERSION_1 + 1,)), Code.DOWNGRADE),
    ("a protocol that was not offered", params(protocol="other"), Code.ILLEGAL_PARAMETER),
    (
        "two protocols",
        about(hello.ENCRYPTED_PARAMS, lambda b: b.replace(b"\x00\x06\x05jsp/1", b"\x00\x0c" + b"\x05jsp/1" * 2)),
        Code.DECODE,
    ),
    ("params twice", twice(hello.ENCRYPTED_PARAMS), Code.UNEXPECTED_MESSAGE),
    ("no params", leave_out(hello.ENCRYPTED_PARAMS), Code.UNEXPECTED_MESSAGE),
    ("n40 params: trailing byte", about(hello.ENCRYPTED_PARAMS, lambda b: b + b"\x00"), Code.DECODE),
    ("n42 params: critical", about(hello.ENCRYPTED_PARAMS, lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("request twice", twice(hello.IDENTITY_REQUEST), Code.UNEXPECTED_MESSAGE),
    ("unknown flags", about(hello.IDENTITY_REQUEST, lambda b: b"\x04" + b[1:]), Code.DECODE),
    ("no signatures taken", about(hello.IDENTITY_REQUEST, lambda b: b[:1] + encode_tlvs({4: b""})), Code.DECODE),
    (
        "signatures that we have not",
        replace_by(hello.IDENTITY_REQUEST, hello.encode_identity_request(0, (0x0905,))),
        Code.ILLEGAL_PARAMETER,
    ),
    ("n35 no identity", leave_out(hello.IDENTITY), Code.UNEXPECTED_MESSAGE),
    ("n35 no proof", leave_out(hello.IDENTITY_PROOF), Code.UNEXPECTED_MESSAGE),
    ("n35 neither", leave_out(hello.IDENTITY, hello.IDENTITY_PROOF), Code.UNEXPECTED_MESSAGE),
    ("n35 proof before identity", before(hello.IDENTITY, PROOF), Code.UNEXPECTED_MESSAGE),
    ("n35 identity twice", twice(hello.IDENTITY), Code.UNEXPECTED_MESSAGE),
    ("n35 identity behind the proof", before(hello.FINISHED, IDENTITY), Code.UNEXPECTED_MESSAGE),
    ("n35 proof twice", twice(hello.IDENTITY_PROOF), Code.UNEXPECTED_MESSAGE),
    ("n35 finished before proof", before(hello.IDENTITY_PROOF, FINISHED), Code.UNEXPECTED_MESSAGE),
    ("access proof from a server", before(hello.FINISHED, b"\x0e\x00\x00\x00"), Code.UNEXPECTED_MESSAGE),
    ("a ticket", before(hello.FINISHED, frame_message(hello.NEW_TICKET, b"")), Code.UNEXPECTED_MESSAGE),
    ("an identity of nothing", identity(b""), Code.BAD_IDENTITY),
    ("an identity of no keys", identity(b"\x01\x00"), Code.BAD_IDENTITY),
    ("an identity with a trailing byte", identity(SERVER.public.blob + b"\x00"), Code.BAD_IDENTITY),
    ("n40 identity: trailing byte", about(hello.IDENTITY, lambda b: b + b"\x00"), Code.DECODE),
    ("n42 identity: critical", about(hello.IDENTITY, lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("identity without its TLV", about(hello.IDENTITY, lambda b: b""), Code.DECODE),
    ("somebody else's identity", identity(MALLORY.public.blob), Code.BAD_PROOF),
    ("a proof of zeros", about(hello.IDENTITY_PROOF, lambda b: b[:8] + bytes(64)), Code.BAD_PROOF),
    ("n33 a proof of another handshake", replace_by(hello.IDENTITY_PROOF, PROOF), Code.BAD_PROOF),
    ("a proof of nothing", about(hello.IDENTITY_PROOF, lambda b: encode_tlvs({1: b""})), Code.BAD_PROOF),
    ("a proof and a byte", about(hello.IDENTITY_PROOF, lambda b: encode_tlvs({1: b[4:] + b"\x00"})), Code.BAD_PROOF),
    ("two proofs", about(hello.IDENTITY_PROOF, lambda b: encode_tlvs({1: b[4:] * 2})), Code.BAD_PROOF),
    ("n40 proof: trailing byte", about(hello.IDENTITY_PROOF, lambda b: b + b"\x00"), Code.DECODE),
    ("n42 proof: critical", about(hello.IDENTITY_PROOF, lambda b: b + CRITICAL), Code.ILLEGAL_PARAMETER),
    ("n36 a wrong finished", replace_by(hello.FINISHED, FINISHED), Code.DECRYPT),
    ("a short finished", about(hello.FINISHED, lambda b: b[:-1]), Code.DECODE),
    ("n40 finished: trailing byte", about(hello.FINISHED, lambda b: b + b"\x00"), Code.DECODE),
    ("an empty finished", about(hello.FINISHED, lambda b: b""), Code.DECODE),
]


@pytest.mark.parametrize(("what", "lie", "code"), LIES, ids=[what for what, _, _ in LIES])
def test_a_lie_has_its_code(what: str, lie: Lie, code: int) -> None:
    offers = (X25519, X25519MLKEM768)
    pair = Pair(client(identity=ALICE, access_key=ACCESS_KEY, groups=offers), lying_server(lie, access_key=ACCESS_KEY))
    assert pair.run().verdict() == ("client", code)
    assert pair.client.step is Step.FAILED
    # Nothing about us was told to a server that did not get through.
    assert all(m[0] == hello.CLIENT_HELLO for side, _, m in pair.sent if side == "client")
    assert not any(secret.level > 2 for secret in pair.client_secrets)


@pytest.mark.parametrize("key", curves.ED25519_SMALL_ORDER)
def test_n31_a_server_of_small_order_is_refused(key: str) -> None:
    pair = Pair(client(), lying_server(identity(blob_with(key)))).run()
    assert pair.verdict() == ("client", Code.BAD_IDENTITY)


@pytest.mark.parametrize("point", curves.X25519_SMALL_ORDER)
def test_n13_a_share_of_low_order_is_refused(point: str) -> None:
    pair = Pair(client(), lying_server(share(lambda s: hex_(point)))).run()
    assert pair.verdict() == ("client", Code.ILLEGAL_PARAMETER)


def test_n16_n17_ciphertexts_of_the_wrong_size_or_content() -> None:
    hybrid = (X25519MLKEM768,)
    for change, code in (
        (lambda s: s[1:], Code.ILLEGAL_PARAMETER),
        (lambda s: s + b"\x00", Code.ILLEGAL_PARAMETER),
        # Implicit rejection: no error here. Packets under the other secret would not open; behind them it shows.
        (lambda s: bytes([s[0] ^ 1]) + s[1:], Code.DECRYPT),
        (lambda s: bytes(len(s) - 32) + s[-32:], Code.DECRYPT),
    ):
        pair = Pair(client(groups=hybrid), lying_server(share(change), groups=hybrid)).run()
        assert pair.verdict() == ("client", code)
        ours = [s.value for s in pair.client_secrets]
        assert not set(ours) & {s.value for s in pair.server_secrets}


def test_n19_a_hybrid_client_takes_no_plain_exchange() -> None:
    hybrid = (X25519MLKEM768,)
    pair = Pair(client(groups=hybrid), lying_server(server_hello(group=X25519, share=b"\x09" * 32), groups=hybrid))
    assert pair.run().verdict() == ("client", Code.ILLEGAL_PARAMETER)


@pytest.mark.parametrize(
    ("make", "verdict"),
    [
        (signed(SERVER, SERVER_LABEL), ("", 0)),
        (signed(SERVER, CLIENT_LABEL), ("client", Code.BAD_PROOF)),
        (signed(SERVER, SERVER_LABEL + b"\x00"), ("client", Code.BAD_PROOF)),
        (signed(SERVER, b""), ("client", Code.BAD_PROOF)),
        (signed(MALLORY, SERVER_LABEL), ("client", Code.BAD_PROOF)),
        (malleated(SERVER, SERVER_LABEL), ("client", Code.BAD_PROOF)),
    ],
    ids=["right", "n34 reflected label", "longer label", "no label", "another key", "n32 malleated"],
)
def test_only_the_right_signature_is_a_proof(make: Proof, verdict: tuple[str, int]) -> None:
    assert Pair(client(), server(proving(ServerHandshake, make))).run().verdict() == verdict


# --- edited on the way ---------------------------------------------------------------------------------------------


def offers(**changes: Any) -> Edit:
    """A ClientHello that somebody on the way has edited."""

    def edit(sender: str, level: int, message: bytes) -> list[tuple[int, bytes]]:
        if message[0] == hello.CLIENT_HELLO:
            message = hello.encode_client_hello(replace(hello.parse_client_hello(message), **changes))
        return [(level, message)]

    return edit


@pytest.mark.parametrize(
    "changes",
    [
        {"suites": (AES_256_GCM,)},
        {"suites": (AES_256_GCM, CHACHA20_POLY1305)},
        {"suites": (CHACHA20_POLY1305, AES_256_GCM, 3)},
        {"versions": (VERSION_1, VERSION_1 + 1)},
        {"versions": (VERSION_1 - 1, VERSION_1)},
        {"groups": (X25519,)},
        {"groups": (X25519, X25519MLKEM768, X25519MLKEM1024)},
        {"protocols": ("jsp/1",)},
        {"signatures": (0x0807, 0x0905)},
        {"params": b"other"},
        {"time_ms": 1},
        {"server_name": "elsewhere"},
        {"server_name": ""},
        {"random": bytes(32)},
    ],
    ids=str,
)
def test_n22_n23_offers_edited_on_the_way_are_found_out(changes: dict[str, Any]) -> None:
    c = client(groups=(X25519, X25519MLKEM768), protocols=("jsp/1", "b"), server_name="name")
    assert Pair(c, server(), offers(**changes)).run().verdict() == ("client", Code.BAD_PROOF)


def test_a_better_version_of_the_server_unmasks_a_forged_negotiation(monkeypatch: pytest.MonkeyPatch) -> None:
    """N24: the client of a later release speaks version 2 too, and was made to believe the server does not."""
    better = VERSION_1 + 1
    monkeypatch.setattr(client_handshake, "VERSIONS", (better, VERSION_1))
    pair = Pair(client(), lying_server(params(versions=(VERSION_1, better)))).run()
    assert pair.verdict() == ("client", Code.DOWNGRADE)
    # A server that does not speak it may be what it is.
    assert_agreement(Pair(client(), server()).run())


# --- HelloRetry ----------------------------------------------------------------------------------------------------


def test_a_client_is_asked_once_for_another_group() -> None:
    pair = Pair(client(groups=(X25519MLKEM768, X25519), identity=ALICE), server(groups=(X25519,))).run()
    assert_agreement(pair)
    assert pair.client.group == X25519
    assert [m[0] for _, _, m in pair.sent[:4]] == [
        hello.CLIENT_HELLO,
        hello.HELLO_RETRY,
        hello.CLIENT_HELLO,
        hello.SERVER_HELLO,
    ]
    first, second = (hello.parse_client_hello(pair.sent[i][2]) for i in (0, 2))
    assert replace(first, share=b"", share_group=0) == replace(second, share=b"", share_group=0)


def test_n26_a_second_hello_retry_is_unexpected() -> None:
    c = client(groups=(X25519MLKEM768, X25519, X25519MLKEM1024))
    c.start()
    c.receive(INITIAL, hello.encode_hello_retry(X25519))
    pair = Pair(c, server())
    for group in (X25519MLKEM768, X25519MLKEM1024, X25519):
        pair.deliver("client", INITIAL, hello.encode_hello_retry(group))
        assert pair.verdict() == ("client", Code.UNEXPECTED_MESSAGE)


def test_a_hello_retry_forged_on_the_way_is_found_out() -> None:
    """Somebody makes the client change to a group that the server likes as well."""
    c = client(groups=(X25519MLKEM768, X25519))
    s = server(groups=(X25519MLKEM768, X25519))
    c.start()
    c.outgoing.clear()
    c.receive(INITIAL, hello.encode_hello_retry(X25519))
    pair = Pair(c, s)
    s.receive(INITIAL, c.outgoing.pop(0)[1])
    for level, message in s.outgoing:
        if not pair.culprit:
            pair.deliver("client", level, message)
    assert pair.verdict() == ("client", Code.BAD_PROOF)


@pytest.mark.parametrize("groups", [(X25519MLKEM768, X25519), (X25519MLKEM1024, X25519)])
def test_every_byte_of_a_hello_retry_is_hashed(groups: tuple[int, ...]) -> None:
    def edit(sender: str, level: int, message: bytes) -> list[tuple[int, bytes]]:
        if message[0] == hello.HELLO_RETRY:
            message = frame_message(hello.HELLO_RETRY, message[4:] + encode_tlvs({0x8000: b""}))
        return [(level, message)]

    assert_agreement(Pair(client(groups=groups), server()).run())
    assert Pair(client(groups=groups), server(), edit).run().verdict() == ("client", Code.BAD_PROOF)


# --- what a client tells its owner ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "asked", "verdict_awaited"),
    [
        ({}, {}, False, False),
        ({"identity": ALICE}, {}, True, True),
        ({"access_key": ACCESS_KEY}, {}, False, False),
        ({"access_key": ACCESS_KEY}, {"access_key": ACCESS_KEY}, False, True),
        ({"identity": ALICE, "access_key": ACCESS_KEY}, {"access_key": ACCESS_KEY}, True, True),
        ({"identity": ALICE}, {"identity_required": True}, True, True),
    ],
)
def test_a_client_knows_whether_the_server_still_has_to_decide(
    ours: dict[str, Any], theirs: dict[str, Any], asked: bool, verdict_awaited: bool
) -> None:
    pair = Pair(client(**ours), server(**theirs)).run()
    assert_agreement(pair)
    assert (pair.client.identity_asked, pair.client.awaits_verdict) == (asked, verdict_awaited)


def test_a_client_is_authenticated_by_the_proof_and_not_before() -> None:
    c, s = client(), server()
    c.start()
    s.receive(INITIAL, c.outgoing.pop(0)[1])
    seen = []
    for level, message in s.outgoing:
        seen.append(c.authenticated)
        c.receive(level, message)
    assert seen == [False] * 5 + [True]


def test_without_the_identity_that_is_required_a_client_gives_up_by_itself() -> None:
    pair = Pair(client(), server(identity_required=True)).run()
    assert pair.verdict() == ("client", Code.IDENTITY_REQUIRED)
    assert not any(secret.level > 2 for secret in pair.client_secrets)
