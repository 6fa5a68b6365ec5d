"""A client's and a server's handshake machine with a wire between them that tests may tamper with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from jsp.crypto import kem
from jsp.crypto.client_handshake import ClientHandshake
from jsp.crypto.credentials import Credentials
from jsp.crypto.handshake import Handshake, Secret
from jsp.crypto.identity import Identity
from jsp.crypto.kem import Entropy
from jsp.crypto.server_handshake import ServerHandshake
from jsp.crypto.steps import Step
from jsp.errors import ProtocolViolation
from jsp.wire.hello import IDENTITY_PROOF, encode_blob, frame_message
from tests.vectors import curves

ODCID = b"original"
SCID = b"scid"
CLIENT_PARAMS = b"params of the client"
SERVER_PARAMS = b"params of the server"
CLIENT_TIME = 1_000
SERVER_TIME = 2_000
ACCESS_KEY = bytes(range(16))

ALICE = Identity.from_seed(bytes(range(32)))
SERVER = Identity.from_seed(bytes(range(32, 64)))
MALLORY = Identity.from_seed(b"M" * 32)

# Without the post-quantum half handshakes are quick; what is tested with it says so.
FAST = (kem.X25519,)

# A message on its way: (from whom, level, bytes) -> what arrives instead, as (level, bytes).
Edit = Callable[[str, int, bytes], list[tuple[int, bytes]]]
Lie = Callable[[int, bytes], list[tuple[int, bytes]]]
# A transcript's hash -> the content of an IdentityProof.
Proof = Callable[[bytes], bytes]


def seeded(seed: bytes | str) -> Entropy:
    """A source of entropy that gives the same bytes in every run."""
    key = seed.encode() if isinstance(seed, str) else seed
    count = 0

    def entropy(size: int) -> bytes:
        nonlocal count
        out = b""
        while len(out) < size:
            out += hashlib.sha256(key + count.to_bytes(8, "big")).digest()
            count += 1
        return out[:size]

    return entropy


def client_credentials(**changes: Any) -> Credentials:
    return Credentials(**{"groups": FAST, **changes})


def server_credentials(**changes: Any) -> Credentials:
    return Credentials(**{"identity": SERVER, "groups": FAST, **changes})


def client(kind: type[ClientHandshake] = ClientHandshake, seed: str = "client", **changes: Any) -> ClientHandshake:
    """A client that has not started yet."""
    return kind(client_credentials(**changes), seeded(seed), ODCID, SCID, CLIENT_PARAMS, CLIENT_TIME)


def server(kind: type[ServerHandshake] = ServerHandshake, seed: str = "server", **changes: Any) -> ServerHandshake:
    return kind(server_credentials(**changes), seeded(seed), ODCID, SCID, SERVER_PARAMS, SERVER_TIME)


def lying(kind: type[Handshake], lie: Lie) -> Any:
    """A machine that holds the right keys and sends, and hashes, what `lie` makes of its messages."""

    class Liar(kind):  # type: ignore[valid-type,misc]
        def _send(self, level: int, message: bytes) -> None:
            for level_, message_ in lie(level, message):
                super()._send(level_, message_)
                if hasattr(self, "_hello"):
                    self._hello = message_

    return Liar


def proving(kind: type[Handshake], make: Proof) -> Any:
    """A machine whose proof is whatever `make` makes of the transcript."""

    class Prover(kind):  # type: ignore[valid-type,misc]
        def _send(self, level: int, message: bytes) -> None:
            if message[0] == IDENTITY_PROOF:
                message = encode_blob(IDENTITY_PROOF, make(self._transcript.digest()))
            super()._send(level, message)

    return Prover


def signed(identity: Identity, label: bytes) -> Proof:
    return lambda digest: identity.sign(label, digest)


def malleated(identity: Identity, label: bytes) -> Proof:
    """Like `signed`, with another S that satisfies the same equation."""

    def make(digest: bytes) -> bytes:
        proof = identity.sign(label, digest)
        return proof[:36] + (int.from_bytes(proof[36:], "little") + curves.ORDER).to_bytes(32, "little")

    return make


def lying_client(lie: Lie, **changes: Any) -> ClientHandshake:
    return client(lying(ClientHandshake, lie), **changes)


def lying_server(lie: Lie, **changes: Any) -> ServerHandshake:
    return server(lying(ServerHandshake, lie), **changes)


def about(kind: int, change: Callable[[bytes], bytes]) -> Lie:
    """Change the body of messages of one kind."""
    return lambda level, m: [(level, frame_message(kind, change(m[4:])) if m[0] == kind else m)]


def leave_out(*kinds: int) -> Lie:
    return lambda level, m: [] if m[0] in kinds else [(level, m)]


def replace_by(kind: int, *messages: bytes) -> Lie:
    """Other messages in the place of one kind."""
    return lambda level, m: [(level, other) for other in messages] if m[0] == kind else [(level, m)]


def before(kind: int, *messages: bytes) -> Lie:
    """More messages before one kind."""
    return lambda level, m: [(level, other) for other in messages] + [(level, m)] if m[0] == kind else [(level, m)]


def twice(kind: int) -> Lie:
    return lambda level, m: [(level, m)] * (2 if m[0] == kind else 1)


def honest(sender: str, level: int, message: bytes) -> list[tuple[int, bytes]]:
    return [(level, message)]


class Pair:
    """Two machines and what goes between them.

    Attributes:
        sent: (sender, level, message) as the machines sent them.
        culprit: the side that gave up, and `violation` why.
        client_secrets, server_secrets: what each side told its owner to install.
    """

    def __init__(
        self, client: ClientHandshake, server: ServerHandshake, edit: Edit = honest, accept: bool = True
    ) -> None:
        self.client = client
        self.server = server
        self.sent: list[tuple[str, int, bytes]] = []
        self.client_secrets: list[Secret] = []
        self.server_secrets: list[Secret] = []
        self.culprit = ""
        self.violation: ProtocolViolation | None = None
        self._edit = edit
        self._accept = accept
        self._queue: list[tuple[str, int, bytes]] = []

    def run(self) -> Pair:
        """Start, and let messages go back and forth until nobody has anything to say."""
        self.client.start()
        self._collect("client")
        while self._queue and not self.culprit:
            sender, level, message = self._queue.pop(0)
            self.deliver("server" if sender == "client" else "client", level, message)
        return self

    def deliver(self, receiver: str, level: int, data: bytes) -> None:
        """Hand bytes to one side; what it says to them goes on its way."""
        machine: Handshake = self.server if receiver == "server" else self.client
        try:
            machine.receive(level, data)
            self._collect(receiver)
            if machine.step is Step.WAIT_DECISION and self._accept:
                machine.accept()
                self._collect(receiver)
        except ProtocolViolation as violation:
            assert machine.step is Step.FAILED
            self.culprit, self.violation = receiver, violation

    def _collect(self, side: str) -> None:
        machine: Handshake = self.server if side == "server" else self.client
        (self.server_secrets if side == "server" else self.client_secrets).extend(machine.secrets)
        machine.secrets.clear()
        for level, message in machine.outgoing:
            self.sent.append((side, level, message))
            self._queue += [(side, *arrives) for arrives in self._edit(side, level, message)]
        machine.outgoing.clear()

    @property
    def both_complete(self) -> bool:
        return self.client.step is Step.COMPLETE and self.server.step is Step.COMPLETE

    def verdict(self) -> tuple[str, int]:
        """Who gave up, and with which code; ("", 0) when nobody did."""
        return self.culprit, self.violation.code if self.violation else 0


def assert_agreement(pair: Pair) -> None:
    """Both sides are done and believe the same."""
    c, s = pair.client, pair.server
    assert pair.both_complete, pair.violation
    assert (c.suite, c.group, c.protocol) == (s.suite, s.group, s.protocol)
    assert c.peer is not None
    assert c.peer_params == SERVER_PARAMS
    assert s.peer_params == CLIENT_PARAMS
    by_client = {(x.level, x.direction): x.value for x in pair.client_secrets}
    by_server = {(x.level, 1 - x.direction): x.value for x in pair.server_secrets}
    assert by_client == by_server
    assert len(by_client) == 4
    assert len(set(by_client.values())) == 4
    assert not c.outgoing
    assert not s.outgoing
