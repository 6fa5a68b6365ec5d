# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Runs the handshake machine over CRYPTO frames; installs, updates and discards keys (spec sections 5.9 and 7).

`HandshakeLevel` is what an encryption level of the handshake needs: packet keys, numbers, CRYPTO bytes both ways.
`Keying` owns the two of them and the machine. All of it goes away when the handshake is confirmed; what stays
are the 1-RTT keys of the connection.
"""

from __future__ import annotations

import jsp.crypto.kdf as kdf
from jsp.config import LIMITS
from jsp.crypto.client_handshake import ClientHandshake
from jsp.crypto.handshake import RECEIVE, Secret
from jsp.crypto.kdf import label_info
from jsp.crypto.protection import LongKeys, OpenKeys, SealKeys
from jsp.crypto.server_handshake import ServerHandshake
from jsp.engine.assembler import Assembler
from jsp.engine.send_buffer import SendBuffer
from jsp.errors import Code, ProtocolViolation
from jsp.recovery.loss import PacketSpace
from jsp.wire import frames
from jsp.wire.buffer import Writer, varint_size
from jsp.wire.frames import APPLICATION, INITIAL

# SHA-256("JSP/1 initial salt"): Initial keys only keep middleboxes from meddling, their secret is in the packet.
INITIAL_SALT = bytes.fromhex("215a63509db7e12ebb3c328371d8e9ee454a15f2089708dd92e1c69f11c42821")

_CLIENT_IN = label_info(b"c in", 32)
_SERVER_IN = label_info(b"s in", 32)

# A ClientHello leaves in pieces of this size, so that both fit datagrams of 1,200 bytes (spec section 5.7).
CRYPTO_PIECE = 1100


def initial_secrets(odcid: bytes) -> tuple[bytes, bytes]:
    """(client, server) secrets of the Initial level for the client's first destination connection id."""
    secret = kdf.hkdf_extract(INITIAL_SALT, odcid)
    return kdf.hkdf_expand(secret, _CLIENT_IN, 32), kdf.hkdf_expand(secret, _SERVER_IN, 32)


class HandshakeLevel:
    """One encryption level of the handshake."""

    __slots__ = ("_received", "level", "open_keys", "outgoing", "seal_keys", "space")

    def __init__(self, level: int, space: PacketSpace) -> None:
        self.level = level
        self.space = space
        self.seal_keys: LongKeys | None = None
        self.open_keys: LongKeys | None = None
        self.outgoing = SendBuffer()
        self._received = Assembler()

    def take(self, offset: int, data: bytearray, start: int, stop: int, room: int) -> bytes:
        """A CRYPTO frame; returns the bytes now in order. It must end at most `room` bytes behind those before."""
        if offset + stop - start > self._received.next + room:
            raise ProtocolViolation(Code.CRYPTO_BUFFER_EXCEEDED, "handshake data too far ahead")
        self._received.insert(offset, data, start, stop)
        if self._received.gaps() > 64:
            raise ProtocolViolation(Code.CRYPTO_BUFFER_EXCEEDED, "handshake data in too many pieces")
        return self._received.take(1 << 30)

    def has_data(self) -> bool:
        return bool(self.outgoing.lost) or self.outgoing.sent < self.outgoing.end

    def write_crypto(self, w: Writer) -> tuple[int, int] | None:
        """One CRYPTO frame of what is due; the range it carries, or None when nothing fits."""
        if not self.has_data():
            return None
        out = self.outgoing
        offset = out.lost.starts[0] if out.lost else out.sent
        room = min(w.room() - 1 - varint_size(offset) - 2, CRYPTO_PIECE)
        if room < 1:
            return None
        if out.lost:
            offset, stop = out.take_lost(room)
        else:
            stop = min(out.end, offset + room)
            out.sent = stop
        w.push_u8(frames.CRYPTO)
        w.push_varint(offset)
        w.push_varint(stop - offset)
        out.copy_to(w.buffer, w.pos, offset, stop - offset)
        w.pos += stop - offset
        return offset, stop

    def on_acked(self, start: int, stop: int) -> None:
        self.outgoing.on_acked(start, stop)

    def on_lost(self, start: int, stop: int) -> None:
        self.outgoing.on_lost(start, stop)


class Keying:
    """The handshake of one connection.

    Attributes:
        machine: the handshake machine.
        levels: the levels that still have keys, by number.
        seal_keys, open_keys: 1-RTT keys, once derived.
        presented: whether the owner was asked about the peer.
        peer_named: whether the server's connection id is known.
    """

    __slots__ = ("levels", "machine", "open_keys", "peer_named", "presented", "seal_keys")

    def __init__(self, machine: ClientHandshake | ServerHandshake) -> None:
        self.machine = machine
        self.levels: dict[int, HandshakeLevel] = {}
        self.seal_keys: SealKeys | None = None
        self.open_keys: OpenKeys | None = None
        self.presented = False
        self.peer_named = False

    def install_initial(self, odcid: bytes, space: PacketSpace, server: bool) -> None:
        """Keys of the Initial level."""
        level = HandshakeLevel(INITIAL, space)
        client_secret, server_secret = initial_secrets(odcid)
        owner = self.machine.owner
        level.seal_keys = LongKeys(server_secret if server else client_secret, owner=owner)
        level.open_keys = LongKeys(client_secret if server else server_secret, owner=owner)
        self.levels[INITIAL] = level

    def on_crypto(self, level: int, offset: int, data: bytearray, start: int, stop: int) -> None:
        """A CRYPTO frame arrived."""
        state = self.levels[level]
        room = LIMITS.crypto_buffer
        if level == INITIAL and isinstance(self.machine, ServerHandshake):
            # Anybody can make us keep this much, so it is little, and what is in order counts as well.
            room = LIMITS.crypto_partial - self.machine.unread
        ready = state.take(offset, data, start, stop, room)
        if ready:
            self.machine.receive(level, ready)

    def pump(self) -> list[int]:
        """Take what the machine has to send and install its new keys; the levels that became usable."""
        machine = self.machine
        fresh = []
        for secret in machine.secrets:
            self._install(secret)
            fresh.append(secret.level)
        machine.secrets.clear()
        for level, message in machine.outgoing:
            state = self.levels[level]
            state.outgoing.write(message)
        machine.outgoing.clear()
        return fresh

    def _install(self, secret: Secret) -> None:
        suite, owner = self.machine.suite, self.machine.owner
        if secret.level == APPLICATION:
            if secret.direction == RECEIVE:
                self.open_keys = OpenKeys(suite, secret.value, owner)
            else:
                self.seal_keys = SealKeys(suite, secret.value, owner)
            return
        level = self.levels.get(secret.level)
        if level is None:
            level = self.levels[secret.level] = HandshakeLevel(secret.level, PacketSpace(0.0, handshake=True))
        if secret.direction == RECEIVE:
            level.open_keys = LongKeys(secret.value, suite, owner)
        else:
            level.seal_keys = LongKeys(secret.value, suite, owner)
