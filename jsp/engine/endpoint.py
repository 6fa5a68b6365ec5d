# cython: language_level=3, annotation_typing=False, nonecheck=True
"""All connections of one socket: routes datagrams, accepts clients, answers strangers (spec sections 3 and 4.2).

Stateless towards strangers: a datagram that belongs to no connection costs a look-up, at most one AEAD try (an
Initial) or one small reply, and is forgotten.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable

import jsp.wire.memory as memory
from jsp.config import LIMITS, Config
from jsp.crypto.credentials import Credentials
from jsp.crypto.kdf import hkdf_expand, hmac_digest
from jsp.crypto.kem import Entropy
from jsp.engine.admission import Admission
from jsp.engine.bucket import TokenBucket
from jsp.engine.builder import Train
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed
from jsp.engine.flow import Memory
from jsp.engine.sharing import Share
from jsp.engine.states import Moved, State
from jsp.engine.traffic import UDP, Endpoint, Received, Transmit, carrier_of
from jsp.errors import BadPacket, Code
from jsp.recovery.destinations import Destinations
from jsp.wire.buffer import PacketBuffer, Reader
from jsp.wire.frames import RESET_TOKEN_SIZE, MessageFrame, StreamFrame
from jsp.wire.packet import (
    INITIAL_DATAGRAM_MIN,
    INITIAL_DCID_MIN,
    LONG_FIRST,
    SHORT_FIRST,
    SHORT_MIN,
    TYPE_INITIAL,
    VERSION_NEGOTIATION,
    VERSIONS,
    LongHeader,
    encode_version_negotiation,
    parse_long_header,
    parse_version_list,
)

# Stateless replies (version negotiation, resets) a second, over all strangers.
_REPLIES_PER_S = 20.0
_REPLIES_WAITING = 16
_RESET_MIN = 43
# Connection ids whose reset token was given away, at most 20 a second, that are remembered not to be given out.
_REVEALED_KEPT = 4096

_LONG = LONG_FIRST
_SHORT = SHORT_FIRST
_SHORT_MIN = SHORT_MIN

# Looking a member up in its class costs more than a comparison of it.
_CLOSED = State.CLOSED


class EndpointCore:
    """A server's or client's connections, without I/O.

    Attributes:
        connections: the live ones.
        accepting: whether new clients are taken; others are refused with REFUSED.
        full: asked when a client comes whether the owner has no room for it now; it is then refused with BUSY.
        destinations: what connections learn of the ways to hosts, and later ones begin with.
        share: our part of the port when other processes serve it, too.
        accepted: connections made by clients since the owner last looked; the owner empties it.
        dropped: datagrams that were for nobody.
        whole_datagrams: whether nobody on the way fragments what we send, so that its size can be tried.
    """

    __slots__ = (
        "_admission", "_entropy", "_evicted", "_initial_routes", "_replies", "_reply_rate", "_reset_secret",
        "_reset_watch", "_revealed", "_routes", "_scratch", "_token_key", "_unproven", "_watched", "accepted",
        "accepting", "cid_size", "config", "connections", "credentials", "destinations", "dropped", "full",
        "memory", "message_frame", "owner", "reader", "share", "stream_frame", "train",
        "whole_datagrams",
    )  # fmt: skip

    def __init__(
        self,
        config: Config,
        entropy: Entropy,
        credentials: Credentials | None = None,
        reset_secret: bytes = b"",
        train: Train | None = None,
        destinations: Destinations | None = None,
    ) -> None:
        """A server when `credentials` are given. `entropy(n)`: n random bytes. `reset_secret`: 32 bytes that
        outlive a restart, so that peers of the previous life learn that it is over. `train`: working space that
        endpoints of one thread may share; what `poll_transmit` returned is then valid until any of them goes on.
        `destinations`: may be shared likewise."""
        self.config = config
        self.credentials = credentials
        self.connections: set[ConnectionCore] = set()
        self.accepted: deque[ConnectionCore] = deque()
        self.accepting = True
        self.full: Callable[[], bool] | None = None
        self.share: Share | None = None
        self.dropped = 0
        self.whole_datagrams = True
        # SPEC 7.6: once for all; a forked child that went on would seal under the parent's keys and numbers.
        self.owner = os.getpid()
        self.train = train or Train()
        self.destinations = Destinations() if destinations is None else destinations
        self.reader = Reader()
        self.stream_frame = StreamFrame()
        self.message_frame = MessageFrame()
        self.memory = Memory(config.memory_limit)
        self.cid_size = config.connection_id_size
        self._entropy = entropy
        self._scratch: PacketBuffer | None = None
        self._routes: dict[bytes, tuple[ConnectionCore, int]] = {}
        self._initial_routes: dict[bytes, ConnectionCore] = {}
        self._reset_secret = reset_secret or entropy(32)
        self._token_key = entropy(16)
        self._revealed: dict[bytes, None] = {}
        self._reset_watch: dict[bytes, ConnectionCore] = {}
        self._watched: dict[ConnectionCore, tuple[bytes, ...]] = {}
        self._replies: deque[Transmit] = deque()
        self._reply_rate = TokenBucket(_REPLIES_PER_S, _REPLIES_PER_S)
        self._admission = Admission(config)
        self._unproven: set[ConnectionCore] = set()
        self._evicted: list[ConnectionCore] = []

    # --- what connections need of their host -----------------------------------------------------------------

    def new_cid(self, connection: ConnectionCore, path_id: int) -> tuple[bytes, bytes]:
        while True:
            cid = self._entropy(self.cid_size)
            if self.share is not None:
                cid = self.share.mark(cid)
            # SPEC 4.6: an id whose token a stranger knows would let the stranger end the connection.
            if cid and cid not in self._routes and cid not in self._revealed:
                break
        self._routes[cid] = (connection, path_id)
        return cid, self._reset_token(cid)

    def drop_cid(self, cid: bytes) -> None:
        self._routes.pop(cid, None)

    def _reset_token(self, cid: bytes) -> bytes:
        return hmac_digest(self._reset_secret, cid)[:RESET_TOKEN_SIZE]

    def watch_reset_tokens(self, connection: ConnectionCore, tokens: frozenset[bytes]) -> None:
        for key in self._watched.pop(connection, ()):
            self._reset_watch.pop(key, None)
        if tokens:
            keys = tuple(map(self._token_digest, tokens))
            self._watched[connection] = keys
            for key in keys:
                self._reset_watch[key] = connection

    def _token_digest(self, token: bytes) -> bytes:
        # Looked up by a keyed hash, so that timing tells nothing about tokens.
        return hashlib.blake2s(token, key=self._token_key, digest_size=16).digest()

    def on_address_proven(self, connection: ConnectionCore) -> None:
        self._admission.on_address_proven(connection)

    def on_confirmed(self, connection: ConnectionCore) -> None:
        self._initial_routes.pop(connection.original_dcid, None)
        self._admission.on_handshake_over(connection)

    def load(self, data: bytes) -> PacketBuffer:
        scratch = self._scratch
        if scratch is None:
            scratch = self._scratch = PacketBuffer()
        scratch.data[: len(data)] = data
        return scratch

    # --- connections -----------------------------------------------------------------------------------------

    def connect(
        self, now: float, wall_time: float, remote: Endpoint, credentials: Credentials, source: str = ""
    ) -> ConnectionCore:
        """A client's connection to `remote`, over the interface with the address `source`."""
        odcid = self._entropy(INITIAL_DCID_MIN)
        connection = ConnectionCore(self, self.config, credentials, remote, None, now, wall_time, self._entropy, odcid)
        connection.paths[0].recall(self.destinations, source, now)
        self.connections.add(connection)
        return connection

    def forget_if_over(self, connection: ConnectionCore) -> bool:
        """Drop a connection that is CLOSED; returns whether it was."""
        if connection.lifecycle.state is not _CLOSED:
            return False
        self.connections.discard(connection)
        self._initial_routes.pop(connection.original_dcid, None)
        self._admission.on_handshake_over(connection)
        return True

    # --- datagrams in ----------------------------------------------------------------------------------------

    def handle_datagram(
        self, now: float, wall_time: float, slots: PacketBuffer, received: Received
    ) -> list[ConnectionCore]:
        """One receive batch: `slots[:received.size]`. Returns the connections that it was for."""
        touched: list[ConnectionCore] = []
        data = slots.data
        segment = received.segment_size
        start = 0
        size = received.size
        while start < size:
            end = min(start + segment, size)
            first = data[start]
            if first >= _LONG:
                connection = self._handle_long(now, wall_time, slots, start, end, received)
            elif first >= _SHORT and end - start >= _SHORT_MIN:
                cid = memory.piece(data, start + 1, start + 1 + self.cid_size)
                # Packets of one connection follow each other: hand them over together.
                while end < size and _SHORT <= data[end] < _LONG and memory.same(data, end + 1, cid):
                    end = min(end + segment, size)
                connection = self._handle_short(now, slots, start, end, received, cid)
            else:
                connection = None
                self.dropped += 1
            if connection is not None and connection not in touched:
                touched.append(connection)
            start = end
        if self._evicted:
            touched += [connection for connection in self._evicted if connection not in touched]
            self._evicted.clear()
        return touched

    def _handle_short(
        self, now: float, slots: PacketBuffer, start: int, end: int, received: Received, cid: bytes
    ) -> ConnectionCore | None:
        route = self._routes.get(cid)
        if route is None:
            return self._handle_unknown(now, slots.data, start, end, received, cid)
        connection, path_id = route
        connection.handle_datagram(now, slots, start, end, received, path_id)
        return connection

    def _handle_unknown(
        self, now: float, data: bytearray, start: int, end: int, received: Received, cid: bytes
    ) -> ConnectionCore | None:
        """A 1-RTT packet for nobody here: another worker's, perhaps a stateless reset, perhaps from a life before."""
        if self._pass_on(cid, data, start, end, received):
            return None
        last = start + (end - start - 1) // received.segment_size * received.segment_size
        token = bytes(data[end - RESET_TOKEN_SIZE : end])
        connection = self._reset_watch.get(self._token_digest(token)) if end - last >= SHORT_MIN else None
        if connection is not None:
            text = "the peer does not know this connection any more (it was restarted)"
            connection.end(now, Moved.PEER_CLOSED, Closed(Code.NO_ERROR, text, by_peer=True))
            return connection
        self.dropped += 1
        size = end - last
        if carrier_of(received.local) != UDP:
            # SPEC 2.1: a TCP connection does not outlive who is at its end; this was under way when its path was left.
            return None
        if self.credentials is not None and size >= _RESET_MIN and self._may_reply(now):
            # SPEC 4.6: always shorter than what caused it, so two endpoints cannot keep each other busy.
            filler = self._entropy(min(size - 1, 200) - RESET_TOKEN_SIZE - 1)
            reset = bytes((SHORT_FIRST | filler[0] & 0x3F,)) + filler + self._reset_token(cid)
            self._replies.append(Transmit(received.remote, reset, len(reset), received.local))
            if len(self._revealed) >= _REVEALED_KEPT:
                del self._revealed[next(iter(self._revealed))]
            self._revealed[cid] = None
        return None

    def _pass_on(self, cid: bytes, data: bytearray, start: int, end: int, received: Received) -> bool:
        """Whether these datagrams are another worker's, who has them now.

        SPEC 4.6: answering for one would give away the reset token of an id that may be in use there.
        """
        share = self.share
        # What TCP brought can be answered by who has the connection only.
        owner = share.owner(cid) if share is not None and carrier_of(received.local) == UDP else None
        if share is None or owner is None:
            return False
        segment = min(received.segment_size, end - start)
        batch = Received(end - start, segment, received.remote, received.local, received.ecn)
        share.pass_on(owner, bytes(data[start:end]), batch)
        return True

    def _handle_long(
        self, now: float, wall_time: float, slots: PacketBuffer, start: int, end: int, received: Received
    ) -> ConnectionCore | None:
        """A datagram of coalesced long packets, all for one connection."""
        try:
            connection = self._walk_long(now, wall_time, slots, start, end, received)
        finally:
            # Also when something failed: a connection that nobody settles would never end.
            if self._unproven:
                for stranger in list(self._unproven):
                    if self._settle_new(now, stranger) is None:
                        connection = None
        return connection

    def _walk_long(
        self, now: float, wall_time: float, slots: PacketBuffer, start: int, end: int, received: Received
    ) -> ConnectionCore | None:
        connection: ConnectionCore | None = None
        pos = start
        dcid = b""
        for _ in range(LIMITS.coalesced_packets):
            if pos >= end or slots.data[pos] < _SHORT:
                break
            if slots.data[pos] < _LONG:
                self._handle_last_short(now, slots, pos, end, received, connection)
                break
            try:
                self.reader.reset(slots.data, pos, end)
                header = parse_long_header(self.reader)
            except BadPacket:
                self.dropped += 1
                break
            if pos == start:
                dcid = header.dcid
                if self._pass_on(dcid, slots.data, start, end, received):
                    return None
                if header.version not in VERSIONS:
                    return self._handle_version(now, header, received, slots.data, end - start)
                connection = self._route_long(now, wall_time, header, received, end - start)
                if connection is None:
                    break
                connection.on_datagram_received(end - start, received.remote)
            elif header.dcid != dcid or header.version not in VERSIONS:
                self.dropped += 1
                break
            assert connection is not None
            if connection.server and header.type == TYPE_INITIAL and end - start < INITIAL_DATAGRAM_MIN:
                self.dropped += 1
                break
            connection.handle_datagram(now, slots, pos, header.end, received, 0, header)
            pos = header.end
        return connection

    def _handle_last_short(
        self, now: float, slots: PacketBuffer, pos: int, end: int, received: Received, connection: ConnectionCore | None
    ) -> None:
        """A 1-RTT packet behind long ones takes the rest of their datagram, and belongs to the same connection."""
        route = self._routes.get(bytes(slots.data[pos + 1 : pos + 1 + self.cid_size]))
        if connection is None or route is None or route[0] is not connection or end - pos < SHORT_MIN:
            self.dropped += 1
            return
        rest = Received(end - pos, end - pos, received.remote, received.local, received.ecn)
        connection.handle_datagram(now, slots, pos, end, rest, route[1])

    def _settle_new(self, now: float, connection: ConnectionCore) -> ConnectionCore | None:
        """Keep what a stranger's first datagram made only if something in it was authentic, and there is room.

        Otherwise one damaged or forged Initial would occupy the connection id under which the real one comes. What
        is not kept is forgotten at once: it has no owner, so nobody would ever set its timers.
        """
        self._unproven.discard(connection)
        refusal = self._refusal()
        if not connection.counters.packets_received:
            self.dropped += 1
        elif refusal is None:
            self.accepted.append(connection)
            self._make_room(now)
            return connection
        elif len(self._replies) < _REPLIES_WAITING:
            connection.close_now(now, refusal, "")
            close = connection.poll_transmit(now)
            if close is not None:
                self._replies.append(Transmit(close.remote, bytes(close.data), close.segment_size, close.local))
        self._drop(now, connection, Closed(Code.NO_ERROR, "", by_peer=False))
        return None

    def _make_room(self, now: float) -> None:
        """SPEC 4.7: a handshake too many makes the oldest one whose address is not proven go, without a word."""
        victim = self._admission.surplus()
        if victim is not None:
            self._drop(now, victim, Closed(Code.BUSY, "too many handshakes at once", by_peer=False))
            self._evicted.append(victim)

    def _drop(self, now: float, connection: ConnectionCore, closed: Closed) -> None:
        connection.end(now, Moved.VANISHED, closed)
        connection.on_drained()
        self.forget_if_over(connection)

    def _refusal(self) -> Code | None:
        """Why no new client is taken now, or None."""
        if not self.accepting:
            return Code.REFUSED
        if len(self.connections) > self.config.max_connections or (self.full is not None and self.full()):
            return Code.BUSY
        return None

    def _route_long(
        self, now: float, wall_time: float, header: LongHeader, received: Received, size: int
    ) -> ConnectionCore | None:
        connection = self._find_long(header)
        if connection is None and header.type == TYPE_INITIAL and self.credentials is not None:
            connection = self._accept(now, wall_time, header, received, size)
        if connection is None:
            self.dropped += 1
        return connection

    def _find_long(self, header: LongHeader) -> ConnectionCore | None:
        route = self._routes.get(header.dcid)
        return route[0] if route else self._initial_routes.get(header.dcid)

    def _handle_version(
        self, now: float, header: LongHeader, received: Received, data: bytearray, size: int
    ) -> ConnectionCore | None:
        """A version we do not speak: answered with ours, or itself such an answer."""
        if header.version == VERSION_NEGOTIATION:
            connection = self._find_long(header)
            if connection is not None and not connection.server:
                self._on_version_negotiation(now, header, data, connection)
            return connection
        self.dropped += 1
        if self.credentials is not None and size >= INITIAL_DATAGRAM_MIN and self._may_reply(now):
            reply = encode_version_negotiation(header.scid, header.dcid, self._entropy(1)[0], VERSIONS)
            self._replies.append(Transmit(received.remote, reply, len(reply), received.local))
        return None

    def _on_version_negotiation(
        self, now: float, header: LongHeader, data: bytearray, connection: ConnectionCore
    ) -> None:
        """A hint that the server speaks none of our versions; ignored once it has answered (spec section 3.3)."""
        if connection.confirmed or header.scid != connection.original_dcid or connection.counters.packets_received:
            return
        try:
            versions = parse_version_list(Reader(data, header.body, header.end))
        except BadPacket:
            return
        if not set(versions) & set(VERSIONS):
            text = "the server speaks none of our protocol versions"
            connection.end(now, Moved.PEER_CLOSED, Closed(Code.VERSION, text, by_peer=True))

    def _accept(
        self, now: float, wall_time: float, header: LongHeader, received: Received, size: int
    ) -> ConnectionCore | None:
        # Cheapest checks first: size, id length, limits; only then keys are derived.
        if size < INITIAL_DATAGRAM_MIN or len(header.dcid) < INITIAL_DCID_MIN or not header.scid:
            return None
        if not self._admission.admit(received.remote, now):
            return None
        assert self.credentials is not None
        connection = ConnectionCore(
            self, self.config, self.credentials, received.remote, received.local, now, wall_time, self._entropy,
            header.dcid, header.scid,
        )  # fmt: skip
        connection.paths[0].recall(self.destinations, "", now)
        self._initial_routes[header.dcid] = connection
        self.connections.add(connection)
        self._admission.on_handshake_started(connection, received.remote)
        if connection.paths[0].reliable:
            self._admission.on_address_proven(connection)
        self._unproven.add(connection)
        return connection

    # --- datagrams out ---------------------------------------------------------------------------------------

    def _may_reply(self, now: float) -> bool:
        return len(self._replies) < _REPLIES_WAITING and self._reply_rate.take(now)

    def poll_transmit(self) -> Transmit | None:
        """The next reply to a stranger, or None. Connections are polled by themselves."""
        return self._replies.popleft() if self._replies else None


def derive_reset_secret(seed: bytes, address: Endpoint) -> bytes:
    """A reset secret that depends on a server's identity and where it listens, so that it outlives restarts.

    With the identity alone two servers that share one would give away each other's tokens.
    """
    place = f"{address[0]} {address[1]}".encode()
    return hkdf_expand(hashlib.sha256(b"jsp1 reset" + seed).digest(), b"reset " + place, 32)
