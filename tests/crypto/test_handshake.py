"""Both machines together: they agree or they stop, and no message finds a door that the table does not show."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.crypto import kem, suites
from jsp.crypto.client_handshake import ClientHandshake
from jsp.crypto.handshake import RECEIVE, SEND, Handshake
from jsp.crypto.kem import X25519, X25519MLKEM768, X25519MLKEM1024
from jsp.crypto.server_handshake import ServerHandshake
from jsp.crypto.steps import Step
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305
from jsp.errors import Code, ProtocolViolation
from jsp.wire import hello
from jsp.wire.frames import APPLICATION, EARLY, HANDSHAKE, INITIAL
from jsp.wire.hello import frame_message
from tests.crypto import golden
from tests.crypto.machines import (
    ACCESS_KEY,
    ALICE,
    CLIENT_TIME,
    ODCID,
    SCID,
    SERVER,
    SERVER_TIME,
    Edit,
    Pair,
    assert_agreement,
    client,
    client_credentials,
    honest,
    leave_out,
    lying_server,
    seeded,
    server,
    server_credentials,
)
from tests.profiles import DEEP, examples

GROUPS = [group for group in kem.NAMES if kem.available(group)]
SUITES = [CHACHA20_POLY1305, AES_256_GCM]


# --- agreement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("identity", [None, ALICE])
def test_both_sides_complete_and_agree(group: int, suite: int, identity: Any) -> None:
    pair = Pair(
        client(groups=(group,), suites=(suite,), identity=identity, server_name="example"),
        server(groups=(group,), suites=(suite,)),
    ).run()
    assert_agreement(pair)
    assert (pair.server.group, pair.server.suite) == (group, suite)
    assert pair.client.peer is not None
    assert pair.client.peer.peer_id == SERVER.peer_id
    assert (pair.server.peer.peer_id if pair.server.peer else None) == (ALICE.peer_id if identity else None)
    assert pair.server.server_name == "example"


def _some(*values: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, unique=True).map(tuple)


KEYS = st.sampled_from([None, ACCESS_KEY, b"x" * 16])
OFFERS = {
    "suites": _some(*SUITES),
    "groups": _some(X25519, X25519MLKEM768, X25519MLKEM1024),
    "protocols": _some("a", "b", "c"),
}


@examples(80)
@given(
    ours=st.fixed_dictionaries(OFFERS | {"identity": st.sampled_from([None, ALICE]), "access_key": KEYS}),
    theirs=st.fixed_dictionaries(OFFERS | {"identity_required": st.booleans(), "access_key": KEYS}),
)
def test_whatever_both_bring_they_agree_or_they_stop(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    pair = Pair(client(**ours), server(**theirs)).run()
    welcome = (ours["identity"] or not theirs["identity_required"]) and (
        theirs["access_key"] is None or ours["access_key"] == theirs["access_key"]
    )
    common = {name: [value for value in ours[name] if value in theirs[name]] for name in OFFERS}
    if all(common.values()) and welcome:
        assert_agreement(pair)
        assert pair.server.group == common["groups"][0]
        assert pair.server.protocol == common["protocols"][0]
    else:
        assert not pair.both_complete
        assert pair.verdict()[0]


def test_secrets_come_in_the_order_in_which_they_are_needed() -> None:
    pair = Pair(client(), server()).run()
    assert [(s.level, s.direction) for s in pair.server_secrets] == [
        (HANDSHAKE, SEND),
        (HANDSHAKE, RECEIVE),
        (APPLICATION, RECEIVE),
        (APPLICATION, SEND),
    ]
    assert [(s.level, s.direction) for s in pair.client_secrets] == [
        (HANDSHAKE, RECEIVE),
        (HANDSHAKE, SEND),
        (APPLICATION, RECEIVE),
        (APPLICATION, SEND),
    ]


def test_two_handshakes_of_the_same_peers_share_no_secret() -> None:
    secrets = set()
    for seed in ("one", "two"):
        pair = Pair(client(seed=seed), server(seed=seed + "s")).run()
        secrets |= {s.value for s in pair.client_secrets}
    assert len(secrets) == 8


@pytest.mark.parametrize(("odcid", "scid"), [(b"Original", SCID), (ODCID, b"scie"), (ODCID + b"s", SCID[1:])])
def test_connection_ids_changed_on_the_way_end_the_handshake(odcid: bytes, scid: bytes) -> None:
    s = ServerHandshake(server_credentials(), seeded("server"), odcid, scid, b"", SERVER_TIME)
    assert Pair(client(), s).run().verdict() == ("client", Code.BAD_PROOF)


@pytest.mark.parametrize("years", [-50, 80])
def test_n93_clocks_never_matter(years: int) -> None:
    time = max(0, CLIENT_TIME + years * 365 * 86_400_000)
    c = ClientHandshake(client_credentials(), seeded("client"), ODCID, SCID, b"params of the client", time)
    assert_agreement(Pair(c, server()).run())


# --- on the way ----------------------------------------------------------------------------------------------------


def full_pair(edit: Edit = honest, group: int = X25519, accept: bool = True) -> Pair:
    """Everything that can be said is said: identities both ways, an access key."""
    c = client(identity=ALICE, access_key=ACCESS_KEY, groups=(group,), server_name="name")
    s = server(groups=(group,), access_key=ACCESS_KEY, identity_required=True)
    return Pair(c, s, edit, accept)


MESSAGES = full_pair().run().sent


class Tamper:
    """Does something to one message, by its place in the handshake."""

    def __init__(self, index: int, change: Callable[[bytes], list[bytes]]) -> None:
        self.index = index
        self.change = change
        self.seen = 0
        self.before = self.after = b""

    def __call__(self, sender: str, level: int, message: bytes) -> list[tuple[int, bytes]]:
        self.seen += 1
        if self.seen - 1 != self.index:
            return [(level, message)]
        out = self.change(message)
        self.before, self.after = message, b"".join(out)
        return [(level, part) for part in out]


def test_the_untampered_handshake_completes() -> None:
    assert len(MESSAGES) == 11
    assert_agreement(full_pair().run())


@pytest.mark.parametrize("index", range(len(MESSAGES)))
def test_no_changed_byte_of_any_message_goes_through(index: int) -> None:
    size = len(MESSAGES[index][2])
    for at in range(size):
        for bits in (1 << at % 8,) if not DEEP else (1, 0x80, 0xFF):
            pair = full_pair(Tamper(index, lambda m, at=at, bits=bits: [m[:at] + bytes([m[at] ^ bits]) + m[at + 1 :]]))
            assert not pair.run().both_complete, f"byte {at} of message {index}"


@examples(60)
@given(
    index=st.integers(0, len(MESSAGES) - 1),
    at=st.integers(0, 1 << 20),
    value=st.integers(1, 255),
    group=st.sampled_from([X25519MLKEM768, X25519MLKEM1024]),
)
def test_no_changed_byte_goes_through_with_hybrid_groups(index: int, at: int, value: int, group: int) -> None:
    def flip(message: bytes) -> list[bytes]:
        i = at % len(message)
        return [message[:i] + bytes([message[i] ^ value]) + message[i + 1 :]]

    assert not full_pair(Tamper(index, flip), group).run().both_complete


CHANGES: list[tuple[str, Callable[[bytes], list[bytes]]]] = [
    ("lost", lambda m: []),
    ("twice", lambda m: [m, m]),
    ("cut", lambda m: [m[:-1]]),
    ("lengthened", lambda m: [m + b"\x00"]),
    ("emptied", lambda m: [frame_message(m[0], b"")]),
    ("one byte more inside", lambda m: [frame_message(m[0], m[4:] + b"\x00")]),
    ("an optional TLV more", lambda m: [frame_message(m[0], m[4:] + b"\x80\x00\x00\x00")]),
    ("of another type", lambda m: [frame_message(m[0] ^ 1, m[4:])]),
    ("followed by a ticket", lambda m: [m, frame_message(hello.NEW_TICKET, b"")]),
    ("preceded by nothing much", lambda m: [frame_message(0, b""), m]),
]


@pytest.mark.parametrize("index", range(len(MESSAGES)))
@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
def test_no_message_can_be_tampered_with(index: int, what: str, change: Callable[[bytes], list[bytes]]) -> None:
    assert not full_pair(Tamper(index, change)).run().both_complete


@pytest.mark.parametrize("index", range(len(MESSAGES)))
def test_no_message_of_another_session_fits(index: int) -> None:
    """N33: the same two peers, the same credentials, another time."""
    other = Pair(
        client(seed="other", identity=ALICE, access_key=ACCESS_KEY, server_name="name"),
        server(seed="other server", access_key=ACCESS_KEY, identity_required=True),
    ).run()
    if other.sent[index] == MESSAGES[index]:
        return  # nothing of the session in it
    assert not full_pair(Tamper(index, lambda m: [other.sent[index][2]])).run().both_complete


def test_a_whole_flight_of_another_session_does_not_fit() -> None:
    other = full_pair().run().sent
    flight = [(level, message) for side, level, message in other if side == "server"]
    pair = Pair(client(seed="fresh"), server())
    pair.client.start()
    for level, message in flight:
        if not pair.culprit:
            pair.deliver("client", level, message)
    assert pair.verdict() == ("client", Code.BAD_PROOF)


@examples(30)
@given(st.data())
def test_bytes_may_come_in_any_pieces(data: st.DataObject) -> None:
    def in_pieces(sender: str, level: int, message: bytes) -> list[tuple[int, bytes]]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=4)))
        edges = [0, *cuts, len(message)]
        return [(level, message[a:b]) for a, b in pairwise(edges)]

    assert_agreement(full_pair(in_pieces).run())


# --- the table of moves --------------------------------------------------------------------------------------------

ClientSteps = Step.WAIT_PARAMS, Step.WAIT_REQUEST, Step.WAIT_IDENTITY, Step.WAIT_PROOF, Step.WAIT_DECISION


def client_at(step: Step) -> ClientHandshake:
    """A real client that waits there."""
    c, s = client(), server()
    if step is Step.START:
        return c
    c.start()
    if step is Step.WAIT_SERVER_HELLO:
        return c
    s.receive(INITIAL, c.outgoing.pop(0)[1])
    flight = s.outgoing
    while flight and c.step is not step:
        c.receive(*flight.pop(0))
        if c.step is Step.WAIT_DECISION and step is not Step.WAIT_DECISION:
            c.accept()
    c.secrets.clear()
    assert c.step is step
    return c


def server_at(step: Step) -> ServerHandshake:
    """A real server that waits there."""
    c, s = client(identity=ALICE), server()
    if step is Step.WAIT_CLIENT_HELLO:
        return s
    c.start()
    s.receive(INITIAL, c.outgoing.pop(0)[1])
    for level, message in s.outgoing:
        c.receive(level, message)
        if c.step is Step.WAIT_DECISION:
            c.accept()
    while c.outgoing and s.step is not step:
        s.receive(*c.outgoing.pop(0))
    if step is Step.COMPLETE:
        s.accept()
    s.secrets.clear()
    assert s.step is step
    return s


def failed(machine: Handshake) -> Handshake:
    with pytest.raises(ProtocolViolation):
        machine.receive(INITIAL, frame_message(255, b""))
    assert machine.step is Step.FAILED
    return machine


# Spec section 5.1: what may come where.
CLIENT_MOVES: dict[Step, set[tuple[int, int]]] = {
    Step.START: set(),
    Step.WAIT_SERVER_HELLO: {(INITIAL, hello.SERVER_HELLO), (INITIAL, hello.HELLO_RETRY)},
    Step.WAIT_PARAMS: {(HANDSHAKE, hello.ENCRYPTED_PARAMS)},
    Step.WAIT_REQUEST: {(HANDSHAKE, hello.IDENTITY_REQUEST), (HANDSHAKE, hello.IDENTITY)},
    Step.WAIT_IDENTITY: {(HANDSHAKE, hello.IDENTITY)},
    Step.WAIT_PROOF: {(HANDSHAKE, hello.IDENTITY_PROOF)},
    Step.WAIT_DECISION: {(HANDSHAKE, hello.FINISHED)},
    Step.WAIT_FINISHED: {(HANDSHAKE, hello.FINISHED)},
    Step.COMPLETE: set(),
    Step.FAILED: set(),
}
SERVER_MOVES: dict[Step, set[tuple[int, int]]] = {
    Step.WAIT_CLIENT_HELLO: {(INITIAL, hello.CLIENT_HELLO)},
    Step.WAIT_CLIENT_FLIGHT: {
        (HANDSHAKE, hello.ACCESS_PROOF),
        (HANDSHAKE, hello.IDENTITY),
        (HANDSHAKE, hello.FINISHED),
    },
    Step.WAIT_CLIENT_PROOF: {(HANDSHAKE, hello.IDENTITY_PROOF)},
    Step.WAIT_CLIENT_FINISHED: {(HANDSHAKE, hello.FINISHED)},
    Step.WAIT_DECISION: set(),
    Step.COMPLETE: set(),
    Step.FAILED: set(),
}
KINDS = sorted({0, 1, 2, 3, 4, 5, 8, 11, 13, 14, 15, 20, 21, 0x7F, 0xFD, 0xFE, 0xFF} if not DEEP else set(range(256)))
MACHINES = [("client", step, CLIENT_MOVES[step]) for step in CLIENT_MOVES] + [
    ("server", step, SERVER_MOVES[step]) for step in SERVER_MOVES
]


def machine_at(role: str, step: Step) -> Handshake:
    if step is Step.FAILED:
        return failed(client() if role == "client" else server())
    return client_at(step) if role == "client" else server_at(step)


def receive_and_accept(machine: Handshake, level: int, message: bytes) -> None:
    step = machine.step
    machine.receive(level, message)
    assert step is Step.WAIT_DECISION, "a message that can wait waits for a decision"
    machine.accept()


def test_every_step_belongs_to_a_side() -> None:
    assert set(CLIENT_MOVES) | set(SERVER_MOVES) == set(Step)


@pytest.mark.parametrize(("role", "step", "moves"), MACHINES, ids=[f"{role} {step.name}" for role, step, _ in MACHINES])
def test_whatever_the_table_does_not_list_is_unexpected(role: str, step: Step, moves: set[tuple[int, int]]) -> None:
    for level, kind in product((INITIAL, EARLY, HANDSHAKE, APPLICATION), KINDS):
        machine = machine_at(role, step)
        with pytest.raises(ProtocolViolation) as caught:
            # A body of no bytes is malformed for every message, so what is expected fails in another way.
            receive_and_accept(machine, level, frame_message(kind, b""))
        expected = (level, kind) in moves
        if kind == hello.ACCESS_PROOF and expected:
            assert caught.value.code == Code.UNEXPECTED_MESSAGE  # nobody asked for it here
        else:
            assert (caught.value.code == Code.UNEXPECTED_MESSAGE) is not expected, (level, kind)
        assert machine.step is Step.FAILED
        assert not machine.secrets


@pytest.mark.parametrize("step", [step for step in CLIENT_MOVES if CLIENT_MOVES[step]])
def test_n44_a_message_that_straddles_a_change_of_keys_is_unexpected(step: Step) -> None:
    for first, second in ((INITIAL, HANDSHAKE), (HANDSHAKE, INITIAL), (HANDSHAKE, APPLICATION)):
        machine = client_at(step)
        machine.receive(first, b"\x02\x00")
        with pytest.raises(ProtocolViolation) as caught:
            machine.receive(second, b"\x00\x10")
        assert caught.value.code == Code.UNEXPECTED_MESSAGE


def test_n44_bytes_left_over_at_a_key_change_are_unexpected() -> None:
    def tail_after(kind: int, tail: bytes) -> Any:
        return lambda sender, level, m: [(level, m + tail if m[0] == kind else m)]

    for kind, culprit in (
        (hello.CLIENT_HELLO, "server"),
        (hello.SERVER_HELLO, "client"),
        (hello.FINISHED, "client"),
    ):
        for tail in (b"\x14", frame_message(hello.FINISHED, bytes(32))):
            assert full_pair(tail_after(kind, tail)).run().verdict() == (culprit, Code.UNEXPECTED_MESSAGE)


def test_bytes_left_over_behind_the_last_message_are_unexpected() -> None:
    def behind_the_clients(sender: str, level: int, m: bytes) -> list[tuple[int, bytes]]:
        return [(level, m + b"\x00" if (sender, m[0]) == ("client", hello.FINISHED) else m)]

    assert full_pair(behind_the_clients).run().verdict() == ("server", Code.UNEXPECTED_MESSAGE)


def test_n43_a_message_of_16_mib_is_refused_by_its_first_four_bytes() -> None:
    for machine in (server(), client_at(Step.WAIT_SERVER_HELLO)):
        with pytest.raises(ProtocolViolation) as caught:
            machine.receive(INITIAL, b"\x01\xff\xff\xff")
        assert caught.value.code == Code.DECODE


def test_a_machine_that_failed_stays_failed() -> None:
    pair = full_pair(Tamper(2, lambda m: [frame_message(m[0], b"")])).run()
    assert pair.verdict()[0] == "client"
    for level, message in [(level, m) for _, level, m in MESSAGES]:
        with pytest.raises(ProtocolViolation):
            pair.client.receive(level, message)
        assert pair.client.step is Step.FAILED
    assert not pair.client.secrets


# --- decisions -----------------------------------------------------------------------------------------------------


def test_nobody_goes_on_before_the_owner_accepts() -> None:
    pair = full_pair(accept=False).run()
    assert pair.client.step is Step.WAIT_DECISION
    assert pair.client.presented is not None
    assert pair.client.presented.peer_id == SERVER.peer_id
    assert (pair.client.presented.group, pair.client.presented.signature) == ("x25519", "ed25519")
    # The server's Finished waits; the client has said nothing about itself.
    assert [side for side, _, _ in pair.sent].count("client") == 1
    pair.client.accept()
    assert pair.client.presented is None
    assert pair.client.step is Step.COMPLETE
    for level, message in pair.client.outgoing:
        pair.server.receive(level, message)
    presented = pair.server.presented
    assert presented is not None
    assert (presented.peer_id, presented.access_proven) == (ALICE.peer_id, True)
    pair.server.accept()
    assert pair.both_complete


@pytest.mark.parametrize("role", ["client", "server"])
def test_messages_do_not_pile_up_while_the_owner_decides(role: str) -> None:
    machine = machine_at(role, Step.WAIT_DECISION)
    message = frame_message(hello.FINISHED, bytes(hello.MESSAGE_MAX))
    machine.receive(HANDSHAKE, message)
    with pytest.raises(ProtocolViolation) as caught:
        machine.receive(HANDSHAKE, message)
    assert caught.value.code == Code.UNEXPECTED_MESSAGE


def test_only_a_machine_that_asked_is_answered() -> None:
    for machine in (client(), server(), client_at(Step.COMPLETE), server_at(Step.WAIT_CLIENT_FLIGHT)):
        with pytest.raises(AssertionError):
            machine.accept()


def test_a_client_of_a_server_that_asks_for_nothing_sends_only_finished() -> None:
    pair = Pair(client(identity=ALICE, access_key=ACCESS_KEY), lying_server(leave_out(hello.IDENTITY_REQUEST))).run()
    assert_agreement(pair)
    assert [m[0] for side, _, m in pair.sent if side == "client"] == [hello.CLIENT_HELLO, hello.FINISHED]
    assert pair.server.peer is None


# --- the golden transcripts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", golden.STORIES)
def test_not_a_byte_of_the_handshake_has_changed(story: str, monkeypatch: pytest.MonkeyPatch) -> None:
    golden.register(monkeypatch)
    pair = golden.STORIES[story]().run()
    assert_agreement(pair)
    assert golden.transcript(pair) == json.loads(golden.FILE.read_text())[story]


def test_credentials_are_changed_by_replacing() -> None:
    credentials = client_credentials()
    assert replace(credentials, suites=(AES_256_GCM,)).suites == (AES_256_GCM,)
    assert set(suites.NAMES) == set(credentials.suites)
