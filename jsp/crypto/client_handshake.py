# cython: language_level=3, annotation_typing=False, nonecheck=True
"""The client's side of the handshake (spec section 5), in the order of the messages."""

from __future__ import annotations

from hmac import compare_digest

import jsp.crypto.kdf as kdf
import jsp.wire.hello as hello
from jsp.crypto import kem
from jsp.crypto.credentials import Credentials
from jsp.crypto.handshake import RECEIVE, SEND, Handshake, Moves, Secret
from jsp.crypto.identity import CLIENT_LABEL, SERVER_LABEL, SIGNATURE_NAMES
from jsp.crypto.kem import Entropy
from jsp.crypto.steps import Step
from jsp.errors import Code, ProtocolViolation
from jsp.wire.frames import APPLICATION, HANDSHAKE, INITIAL
from jsp.wire.messages import ClientHello
from jsp.wire.packet import VERSION_1, VERSIONS

# Looking a member up in its class costs more than a comparison of it.
_COMPLETE = Step.COMPLETE
_WAIT_FINISHED = Step.WAIT_FINISHED
_WAIT_IDENTITY = Step.WAIT_IDENTITY
_WAIT_PARAMS = Step.WAIT_PARAMS
_WAIT_PROOF = Step.WAIT_PROOF
_WAIT_REQUEST = Step.WAIT_REQUEST
_WAIT_SERVER_HELLO = Step.WAIT_SERVER_HELLO

_MOVES: Moves = {
    (Step.WAIT_SERVER_HELLO, INITIAL, hello.HELLO_RETRY): "_consume_hello_retry",
    (Step.WAIT_SERVER_HELLO, INITIAL, hello.SERVER_HELLO): "_consume_server_hello",
    (Step.WAIT_PARAMS, HANDSHAKE, hello.ENCRYPTED_PARAMS): "_consume_params",
    (Step.WAIT_REQUEST, HANDSHAKE, hello.IDENTITY_REQUEST): "_consume_request",
    (Step.WAIT_REQUEST, HANDSHAKE, hello.IDENTITY): "_consume_identity",
    (Step.WAIT_IDENTITY, HANDSHAKE, hello.IDENTITY): "_consume_identity",
    (Step.WAIT_PROOF, HANDSHAKE, hello.IDENTITY_PROOF): "_consume_proof",
    (Step.WAIT_FINISHED, HANDSHAKE, hello.FINISHED): "_consume_finished",
}


class ClientHandshake(Handshake):
    """Make it, call `start`, feed it, and `accept` the server it presents."""

    __slots__ = ("_hello", "_params", "_random", "_request_flags", "_retried", "_share", "_time_ms")

    _moves = _MOVES

    def __init__(
        self, credentials: Credentials, entropy: Entropy, odcid: bytes, client_scid: bytes, params: bytes, time_ms: int,
        owner: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(credentials, entropy, odcid, client_scid, owner)
        self._params = params
        self._time_ms = time_ms
        self._random = entropy(hello.RANDOM_SIZE)
        self._share: kem.KeyShare | None = None
        self._hello = b""
        self._retried = False
        self._request_flags = -1

    @property
    def identity_asked(self) -> bool:
        """Whether our identity goes to the server; then only HANDSHAKE_DONE says that it was welcome."""
        return self._request_flags >= 0 and self._credentials.identity is not None

    @property
    def awaits_verdict(self) -> bool:
        """Whether the server decides about us only after our Finished."""
        access = self._request_flags >= 0 and bool(self._request_flags & hello.REQUEST_ACCESS)
        return access or self.identity_asked

    @property
    def authenticated(self) -> bool:
        return self.peer is not None

    def start(self) -> None:
        """Send the ClientHello."""
        self._send_hello(self._credentials.groups[0])

    def _send_hello(self, group: int) -> None:
        c = self._credentials
        self._share = kem.KeyShare(group, self._entropy)
        self._hello = hello.encode_client_hello(
            ClientHello(
                random=self._random,
                versions=VERSIONS,
                suites=c.suites,
                groups=c.groups,
                signatures=tuple(SIGNATURE_NAMES),
                protocols=c.protocols,
                params=self._params,
                time_ms=self._time_ms,
                share_group=group,
                share=self._share.share,
                server_name=c.server_name,
            )
        )
        self._send(INITIAL, self._hello)
        self.step = _WAIT_SERVER_HELLO

    def _consume_hello_retry(self, message: bytes) -> None:
        group = hello.parse_hello_retry(message)
        assert self._share is not None
        if self._retried:
            raise ProtocolViolation(Code.UNEXPECTED_MESSAGE, "a second HelloRetry")
        if group == self._share.group or group not in self._credentials.groups:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "pointless HelloRetry")
        self._retried = True
        self._replace_first_hello(self._hello)
        self._transcript.add(message)
        self._send_hello(group)

    def _consume_server_hello(self, message: bytes) -> None:
        m = hello.parse_server_hello(message)
        share, self._share = self._share, None
        assert share is not None
        if m.version != VERSION_1 or m.suite not in self._credentials.suites or m.group != share.group:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "the server chose what was not offered")
        shared = share.finish(m.share)
        self.suite, self.group = m.suite, m.group
        self._transcript.add(message)
        self._derive_handshake(shared)
        self.secrets.append(Secret(HANDSHAKE, RECEIVE, self._server_secret))
        self.secrets.append(Secret(HANDSHAKE, SEND, self._client_secret))
        self.step = _WAIT_PARAMS

    def _consume_params(self, message: bytes) -> None:
        m = hello.parse_encrypted_params(message)
        # SPEC 5.5: the server's own list unmasks a forged version negotiation.
        common = [v for v in VERSIONS if v in m.versions]
        if not common or common[0] != VERSION_1:
            raise ProtocolViolation(Code.DOWNGRADE, "the server speaks a better version than was negotiated")
        if m.protocol not in self._credentials.protocols:
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "the server chose a protocol that was not offered")
        self.protocol = m.protocol
        self.peer_params = m.params
        self._transcript.add(message)
        self.step = _WAIT_REQUEST

    def _consume_request(self, message: bytes) -> None:
        self._request_flags, signatures = hello.parse_identity_request(message)
        identity = self._credentials.identity
        if identity is not None and not set(identity.public.algorithms) <= set(signatures):
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, "the server cannot verify our kind of identity")
        self._transcript.add(message)
        self.step = _WAIT_IDENTITY

    def _consume_identity(self, message: bytes) -> None:
        self._take_identity(message)
        self.step = _WAIT_PROOF

    def _consume_proof(self, message: bytes) -> None:
        self._verify_proof(SERVER_LABEL, message)
        self._present()

    def _accepted(self) -> None:
        self.step = _WAIT_FINISHED

    def _consume_finished(self, message: bytes) -> None:
        mac = kdf.finished_mac(self._server_secret, self._transcript.digest())
        if not compare_digest(mac, hello.parse_finished(message)):
            raise ProtocolViolation(Code.DECRYPT, "the server's Finished does not verify")
        self._transcript.add(message)
        client, server = self._derive_application()
        self._send_flight()
        self.secrets.append(Secret(APPLICATION, RECEIVE, server))
        self.secrets.append(Secret(APPLICATION, SEND, client))
        self.step = _COMPLETE

    def _send_flight(self) -> None:
        c = self._credentials
        flags = self._request_flags
        if flags >= 0 and flags & hello.REQUEST_ACCESS and c.access_key is not None:
            proof = kdf.access_mac(c.access_key, self._transcript.digest())
            self._send(HANDSHAKE, hello.encode_blob(hello.ACCESS_PROOF, proof))
        if flags >= 0 and c.identity is not None:
            self._send(HANDSHAKE, hello.encode_blob(hello.IDENTITY, c.identity.public.blob))
            proof = c.identity.sign(CLIENT_LABEL, self._transcript.digest())
            self._send(HANDSHAKE, hello.encode_blob(hello.IDENTITY_PROOF, proof))
        elif flags >= 0 and flags & hello.REQUEST_REQUIRED:
            raise ProtocolViolation(Code.IDENTITY_REQUIRED, "the server wants to know who we are")
        mac = kdf.finished_mac(self._client_secret, self._transcript.digest())
        self._send(HANDSHAKE, hello.frame_message(hello.FINISHED, mac))
