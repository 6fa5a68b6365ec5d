# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What both sides of the handshake share (spec section 5): steps, the table of moves, transcript, key schedule.

The message flow is TLS 1.3's shape with raw public keys:

    client                                   server
    ClientHello                    ->
                                   <-        ServerHello | EncryptedParams, IdentityRequest,
                                             Identity, IdentityProof, Finished
    [AccessProof] [Identity, IdentityProof] Finished   ->

A machine takes whole messages through `receive`, puts what must be sent into `outgoing` and traffic secrets into
`secrets`. Whether the peer is welcome is not decided here: the machine stops with `presented` set and goes on at
`accept`. It does no I/O and knows no clock; `entropy` and the time are handed in.

Any message that the table does not list for the present step and level is refused; no step can be skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsp.wire.hello as hello
from jsp.crypto import kem
from jsp.crypto.credentials import Credentials, Presented
from jsp.crypto.guard import check_fork
from jsp.crypto.identity import SIGNATURE_NAMES, PublicIdentity
from jsp.crypto.kdf import KeySchedule, Transcript
from jsp.crypto.kem import Entropy
from jsp.crypto.steps import Step
from jsp.errors import BadPacket, Code, ProtocolViolation
from jsp.wire.frames import INITIAL
from jsp.wire.packet import VERSION_1
from jsp.wire.tlv import UnknownCritical

_PROLOGUE = 0xFD
_SYNTHETIC_HASH = 0xFE

SEND = 0
RECEIVE = 1

# Looking a member up in its class costs more than a comparison of it.
_WAIT_DECISION = Step.WAIT_DECISION
_FAILED = Step.FAILED
_START = Step.START


# (step, level, message type) -> the method that takes the message
Moves = dict[tuple[Step, int, int], str]
_NO_MOVES: Moves = {}


class Secret:
    """A traffic secret to install."""

    __slots__ = ("direction", "level", "value")

    def __init__(self, level: int, direction: int, value: bytes) -> None:
        self.level = level
        self.direction = direction
        self.value = value

    def __repr__(self) -> str:
        return f"<Secret of level {self.level}, direction {self.direction}>"

    def __reduce__(self) -> Any:
        raise TypeError("a traffic secret is not pickled")


@lru_cache(64)
def _identity_of(blob: bytes) -> PublicIdentity:
    """A client meets the same servers again and again."""
    return PublicIdentity(blob)


class Handshake:
    """Common half of `ClientHandshake` and `ServerHandshake`.

    Attributes:
        step: where the machine stands.
        outgoing: (level, message) to send, in order; the owner empties it.
        secrets: traffic secrets to install, in order; the owner empties it.
        peer_params: the peer's encoded transport parameters, once known.
        presented: set while the machine waits for `accept`.
        peer: the peer's identity once proven, or None.
        suite, group, protocol: what was negotiated (numbers and a name).
        owner: the process that the handshake belongs to, and with it all keys that come out of it.
    """

    __slots__ = (
        "_buffer", "_client_secret", "_credentials", "_entropy", "_held", "_level", "_peer_blob", "_prologue",
        "_schedule", "_server_secret", "_transcript", "group", "outgoing", "owner", "peer", "peer_params", "presented",
        "protocol", "secrets", "step", "suite",
    )  # fmt: skip

    _moves = _NO_MOVES

    def __init__(
        self, credentials: Credentials, entropy: Entropy, odcid: bytes, client_scid: bytes, owner: int = 0
    ) -> None:
        self.owner = owner or os.getpid()
        self._credentials = credentials
        self._entropy = entropy
        body = (
            VERSION_1.to_bytes(4, "big")
            + bytes([len(odcid)]) + odcid
            + bytes([len(client_scid)]) + client_scid
        )  # fmt: skip
        # SPEC 5.3: the prologue binds the connection ids that no message repeats.
        self._prologue = hello.frame_message(_PROLOGUE, body)
        self._transcript = Transcript(self._prologue)
        self._schedule = KeySchedule()
        self._level = INITIAL
        self._buffer = bytearray()
        self._held: list[tuple[int, bytes]] = []
        self._client_secret = b""
        self._server_secret = b""
        self._peer_blob: PublicIdentity | None = None
        self.step = _START
        self.outgoing: list[tuple[int, bytes]] = []
        self.secrets: list[Secret] = []
        self.peer_params: bytes | None = None
        self.presented: Presented | None = None
        self.peer: PublicIdentity | None = None
        self.suite = 0
        self.group = 0
        self.protocol = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.step.name}>"

    @property
    def authenticated(self) -> bool:
        """Whether the other side has proven what it must, so that errors may carry words."""
        raise NotImplementedError

    @property
    def unread(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._buffer)

    # --- in ------------------------------------------------------------------------------------------------

    def receive(self, level: int, data: bytes) -> None:
        """Take the next in-order CRYPTO bytes of `level`. Raises ProtocolViolation; the machine is then over."""
        # SPEC 7.6: before anything is derived. Parent and child would come to the same secrets.
        check_fork(self.owner)
        try:
            # SPEC 5.9: no message may straddle a change of keys.
            if level != self._level and (self._buffer or self._held):
                raise ProtocolViolation(Code.UNEXPECTED_MESSAGE, "handshake levels out of order")
            self._level = level
            self._buffer += data
            self._held.extend(hello.split_messages(self._buffer))
            self._run()
            # While the owner decides, only the peer's Finished can be waiting.
            if len(self._held) > 1:
                raise ProtocolViolation(Code.UNEXPECTED_MESSAGE, "handshake messages behind the last one")
        except UnknownCritical as error:
            self.step = _FAILED
            raise ProtocolViolation(Code.ILLEGAL_PARAMETER, str(error)) from None
        except BadPacket as error:
            self.step = _FAILED
            raise ProtocolViolation(Code.DECODE, str(error)) from None
        except ProtocolViolation:
            self.step = _FAILED
            raise

    def _run(self) -> None:
        while self._held and self.step is not _WAIT_DECISION:
            kind, message = self._held.pop(0)
            move = self._moves.get((self.step, self._level, kind))
            if move is None:
                raise ProtocolViolation(
                    Code.UNEXPECTED_MESSAGE, f"handshake message {kind} while in step {self.step.name}"
                )
            secrets = len(self.secrets)
            handler: Callable[[bytes], None] = getattr(self, move)
            handler(message)
            if len(self.secrets) > secrets and (self._buffer or self._held):
                raise ProtocolViolation(Code.UNEXPECTED_MESSAGE, "handshake bytes left over at a key change")

    def accept(self) -> None:
        """The owner welcomes the peer in `presented`; the handshake goes on."""
        assert self.step is _WAIT_DECISION
        check_fork(self.owner)
        self.presented = None
        try:
            self._accepted()
            self._run()
        except BadPacket as error:
            self.step = _FAILED
            raise ProtocolViolation(Code.DECODE, str(error)) from None
        except ProtocolViolation:
            self.step = _FAILED
            raise

    def _accepted(self) -> None:
        raise NotImplementedError

    # --- out -----------------------------------------------------------------------------------------------

    def _send(self, level: int, message: bytes) -> None:
        self._transcript.add(message)
        self.outgoing.append((level, message))

    # --- keys ----------------------------------------------------------------------------------------------

    def _replace_first_hello(self, first: bytes) -> None:
        """SPEC 5.3: after a HelloRetry the first ClientHello stands in the transcript as its hash."""
        digest = Transcript(self._prologue + first).digest()
        self._transcript = Transcript(hello.frame_message(_SYNTHETIC_HASH, digest))

    def _derive_handshake(self, shared: bytes) -> None:
        schedule = self._schedule
        schedule.start()
        schedule.mix(shared)
        digest = self._transcript.digest()
        self._client_secret = schedule.derive(b"c hs traffic", digest)
        self._server_secret = schedule.derive(b"s hs traffic", digest)

    def _derive_application(self) -> tuple[bytes, bytes]:
        """(client, server) application secrets; call with the transcript at the server's Finished."""
        self._schedule.mix()
        digest = self._transcript.digest()
        return self._schedule.derive(b"c ap traffic", digest), self._schedule.derive(b"s ap traffic", digest)

    # --- identities ----------------------------------------------------------------------------------------

    def _verify_proof(self, label: bytes, message: bytes) -> None:
        assert self._peer_blob is not None
        self._peer_blob.verify(label, self._transcript.digest(), hello.parse_blob(message))
        self._transcript.add(message)
        self.peer = self._peer_blob

    def _take_identity(self, message: bytes) -> None:
        blob = hello.parse_blob(message)
        try:
            self._peer_blob = _identity_of(blob)
        except BadPacket as error:
            raise ProtocolViolation(Code.BAD_IDENTITY, str(error)) from None
        self._transcript.add(message)

    def _present(self, access_proven: bool = False) -> None:
        peer = self.peer
        self.presented = Presented(
            peer_id=peer.peer_id if peer else None,
            group=kem.NAMES[self.group],
            signature=SIGNATURE_NAMES[peer.algorithms[-1]] if peer else "",
            access_proven=access_proven,
        )
        self.step = _WAIT_DECISION
