# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The server's side of the handshake (spec section 5), in the order of the messages."""

from __future__ import annotations

from hmac import compare_digest
from typing import TypeVar

import jsp.crypto.kdf as kdf
import jsp.wire.hello as hello
from jsp.crypto import kem
from jsp.crypto.credentials import Credentials
from jsp.crypto.handshake import RECEIVE, SEND, Handshake, Moves, Secret
from jsp.crypto.identity import CLIENT_LABEL, SERVER_LABEL, SIGNATURE_NAMES
from jsp.crypto.kem import Entropy
from jsp.crypto.steps import Step
from jsp.crypto.suites import CHACHA20_POLY1305
from jsp.errors import Code, ProtocolViolation
from jsp.wire.frames import APPLICATION, HANDSHAKE, INITIAL
from jsp.wire.messages import ClientHello, EncryptedParams, ServerHello
from jsp.wire.packet import VERSION_1, VERSIONS

# Looking a member up in its class costs more than a comparison of it.
_COMPLETE = Step.COMPLETE
_WAIT_CLIENT_FINISHED = Step.WAIT_CLIENT_FINISHED
_WAIT_CLIENT_FLIGHT = Step.WAIT_CLIENT_FLIGHT
_WAIT_CLIENT_HELLO = Step.WAIT_CLIENT_HELLO
_WAIT_CLIENT_PROOF = Step.WAIT_CLIENT_PROOF
_WAIT_DECISION = Step.WAIT_DECISION

_MOVES: Moves = {
    (Step.WAIT_CLIENT_HELLO, INITIAL, hello.CLIENT_HELLO): "_consume_hello",
    (Step.WAIT_CLIENT_FLIGHT, HANDSHAKE, hello.ACCESS_PROOF): "_consume_access",
    (Step.WAIT_CLIENT_FLIGHT, HANDSHAKE, hello.IDENTITY): "_consume_identity",
    (Step.WAIT_CLIENT_FLIGHT, HANDSHAKE, hello.FINISHED): "_consume_finished",
    (Step.WAIT_CLIENT_PROOF, HANDSHAKE, hello.IDENTITY_PROOF): "_consume_proof",
    (Step.WAIT_CLIENT_FINISHED, HANDSHAKE, hello.FINISHED): "_consume_finished",
}


class ServerHandshake(Handshake):
    """Make it for an Initial packet, feed it, and `accept` the client it presents."""

    __slots__ = (
        "_access_digest", "_access_proven", "_application", "_first_hello", "_params", "_time_ms", "server_name",
    )  # fmt: skip

    _moves = _MOVES

    def __init__(
        self, credentials: Credentials, entropy: Entropy, odcid: bytes, client_scid: bytes, params: bytes, time_ms: int,
        owner: int = 0,
    ) -> None:  # fmt: skip
        assert credentials.identity is not None, "a server needs an identity"
        super().__init__(credentials, entropy, odcid, client_scid, owner)
        self._params = params
        self._time_ms = time_ms
        self._first_hello: ClientHello | None = None
        self._access_proven = False
        self._access_digest = b""
        self._application: tuple[bytes, bytes] = (b"", b"")
        self.server_name = ""
        self.step = _WAIT_CLIENT_HELLO

    @property
    def authenticated(self) -> bool:
        return self.step is _WAIT_DECISION or self.step is _COMPLETE

    def _consume_hello(self, message: bytes) -> None:
        m = hello.parse_client_hello(message)
        if VERSION_1 not in m.versions:
            raise ProtocolViolation(Code.VERSION, "no version in common")
        if self._first_hello is not None:
            self._check_second_hello(m)
        c = self._credentials
        self.suite = _choose_suite(m.suites, c.suites)
        group = _first_common(m.groups, c.groups, Code.VERSION, "key exchange group")
        self.protocol = _first_common(m.protocols, c.protocols, Code.NO_PROTOCOL, "application protocol")
        assert c.identity is not None
        if not set(c.identity.public.algorithms) <= set(m.signatures):
            raise ProtocolViolation(Code.VERSION, "the client cannot verify our kind of identity")
        if m.share_group not in m.groups:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "key share for a group that is not offered")
        if m.share_group != group and m.share_group not in c.groups:
            self._send_hello_retry(m, message, group)
            return
        self.group = m.share_group
        self.peer_params = m.params
        self.server_name = m.server_name
        self._transcript.add(message)
        self._send_server_hello(m)
        self._send_flight()

    def _check_second_hello(self, m: ClientHello) -> None:
        first = self._first_hello
        assert first is not None
        same = first.random == m.random and first.groups == m.groups and first.params == m.params
        if not same or m.share_group != self.group:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "the second ClientHello is not the first one's sequel")

    def _send_hello_retry(self, m: ClientHello, message: bytes, group: int) -> None:
        if self._first_hello is not None:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "key share for another group than asked for")
        self._first_hello = m
        self.group = group
        self._replace_first_hello(message)
        self._send(INITIAL, hello.encode_hello_retry(group))

    def _send_server_hello(self, m: ClientHello) -> None:
        shared, share = kem.respond(self.group, m.share, self._entropy)
        random = self._entropy(hello.RANDOM_SIZE)
        message = hello.encode_server_hello(ServerHello(random, VERSION_1, self.suite, self.group, share))
        self._send(INITIAL, message)
        self._derive_handshake(shared)
        self.secrets.append(Secret(HANDSHAKE, SEND, self._server_secret))
        self.secrets.append(Secret(HANDSHAKE, RECEIVE, self._client_secret))

    def _send_flight(self) -> None:
        c = self._credentials
        identity = c.identity
        assert identity is not None
        params = EncryptedParams(VERSIONS, self.protocol, self._params, self._time_ms)
        self._send(HANDSHAKE, hello.encode_encrypted_params(params))
        flags = hello.REQUEST_REQUIRED if c.identity_required else 0
        if c.access_key is not None:
            flags |= hello.REQUEST_ACCESS
        self._send(HANDSHAKE, hello.encode_identity_request(flags, tuple(SIGNATURE_NAMES)))
        self._send(HANDSHAKE, hello.encode_blob(hello.IDENTITY, identity.public.blob))
        proof = identity.sign(SERVER_LABEL, self._transcript.digest())
        self._send(HANDSHAKE, hello.encode_blob(hello.IDENTITY_PROOF, proof))
        mac = kdf.finished_mac(self._server_secret, self._transcript.digest())
        self._send(HANDSHAKE, hello.frame_message(hello.FINISHED, mac))
        self._access_digest = self._transcript.digest()
        self._application = self._derive_application()
        self.step = _WAIT_CLIENT_FLIGHT

    def _consume_access(self, message: bytes) -> None:
        key = self._credentials.access_key
        if key is None or self._access_proven:
            raise ProtocolViolation(Code.UNEXPECTED_MESSAGE, "access proof without a request")
        if not compare_digest(kdf.access_mac(key, self._access_digest), hello.parse_blob(message)):
            raise ProtocolViolation(Code.ACCESS_DENIED, "wrong access key")
        self._access_proven = True
        self._transcript.add(message)

    def _consume_identity(self, message: bytes) -> None:
        self._take_identity(message)
        self.step = _WAIT_CLIENT_PROOF

    def _consume_proof(self, message: bytes) -> None:
        self._verify_proof(CLIENT_LABEL, message)
        self.step = _WAIT_CLIENT_FINISHED

    def _consume_finished(self, message: bytes) -> None:
        mac = kdf.finished_mac(self._client_secret, self._transcript.digest())
        if not compare_digest(mac, hello.parse_finished(message)):
            raise ProtocolViolation(Code.DECRYPT, "the client's Finished does not verify")
        self._transcript.add(message)
        c = self._credentials
        if c.identity_required and self.peer is None:
            raise ProtocolViolation(Code.IDENTITY_REQUIRED, "an identity is required")
        if c.access_key is not None and not self._access_proven:
            raise ProtocolViolation(Code.ACCESS_DENIED, "an access key is required")
        client, server = self._application
        self._application = (b"", b"")
        self.secrets.append(Secret(APPLICATION, RECEIVE, client))
        self.secrets.append(Secret(APPLICATION, SEND, server))
        self._present(self._access_proven)

    def _accepted(self) -> None:
        self.step = _COMPLETE


_T = TypeVar("_T")


def _first_common(theirs: tuple[_T, ...], ours: tuple[_T, ...], code: Code, what: str) -> _T:
    for value in theirs:
        if value in ours:
            return value
    raise ProtocolViolation(code, f"no {what} in common")


def _choose_suite(theirs: tuple[int, ...], ours: tuple[int, ...]) -> int:
    """SPEC 6.1: what both put first, else ChaCha20-Poly1305 where both have it, else the first common one."""
    if theirs[0] != ours[0] and CHACHA20_POLY1305 in theirs and CHACHA20_POLY1305 in ours:
        return CHACHA20_POLY1305
    return _first_common(theirs, ours, Code.VERSION, "cipher suite")
