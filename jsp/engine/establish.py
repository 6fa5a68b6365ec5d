# cython: language_level=3, annotation_typing=False, nonecheck=True
"""From the first packet to a confirmed connection (spec section 5.9).

Runs the handshake machine as packets come and go, applies what was negotiated, and throws the handshake's levels
away one by one. Functions over a connection: once it is confirmed nothing of this is left in memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from jsp.crypto.client_handshake import ClientHandshake
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import SIGNATURE_NAMES
from jsp.crypto.kem import NAMES as GROUP_NAMES
from jsp.crypto.server_handshake import ServerHandshake
from jsp.crypto.steps import Step
from jsp.crypto.suites import NAMES as SUITE_NAMES
from jsp.engine import deadlines, timers
from jsp.engine.events import Connected, PeerPresented
from jsp.engine.keying import Keying
from jsp.engine.mobility import Mobility
from jsp.engine.path import Path
from jsp.engine.send_repair import SendRepair
from jsp.engine.timers import LINGER, NEVER
from jsp.engine.traffic import UDP, Received, carrier_of
from jsp.errors import BadPacket, Code, ProtocolViolation
from jsp.recovery.acks import MIN_DELAY_S
from jsp.recovery.loss import PacketSpace
from jsp.wire.frames import HANDSHAKE, INITIAL
from jsp.wire.messages import TransportParams
from jsp.wire.params import encode_params, pack_address, parse_params
from jsp.wire.repair_frames import MASK_BITS

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore

# Looking a member up in its class costs more than a comparison of it.
_COMPLETE = Step.COMPLETE


def start(
    conn: ConnectionCore,
    reset_token: bytes,
    now: float,
    wall_time: float,
    credentials: Credentials,
    client_scid: bytes | None,
) -> None:
    """Set the handshake up; a client's first message is then ready to be sent. `reset_token`: that of our first id."""
    params = encode_params(_our_params(conn, reset_token))
    time_ms = int(wall_time * 1000)
    machine: ClientHandshake | ServerHandshake
    odcid, owner = conn.original_dcid, conn.host.owner
    if client_scid is not None:
        machine = ServerHandshake(credentials, conn.entropy, odcid, client_scid, params, time_ms, owner)
    else:
        machine = ClientHandshake(credentials, conn.entropy, odcid, conn.scid, params, time_ms, owner)
    conn.keying = Keying(machine)
    initial = PacketSpace(0.0, handshake=True)
    initial.sticky_backoff = not conn.server
    conn.paths[0].recovery.spaces.insert(0, initial)
    conn.keying.install_initial(conn.original_dcid, initial, conn.server)
    conn.timers.deadlines[timers.HANDSHAKE] = now + conn.config.handshake_timeout
    if isinstance(machine, ClientHandshake):
        machine.start()
        conn.keying.pump()


def _our_params(conn: ConnectionCore, reset_token: bytes) -> TransportParams:
    c = conn.config
    return TransportParams(
        max_data=c.receive_window,
        max_stream_data=c.stream_window,
        max_streams_bidi=c.max_streams,
        max_streams_uni=c.max_streams,
        idle_timeout_ms=int((c.idle_timeout or 0) * 1000),
        max_datagram_size=65_507,
        cid_limit=4,
        max_ack_delay_ms=max(1, round(c.max_ack_delay * 1000)),
        max_message=c.message_limit,
        initial_scid=conn.scid,
        original_dcid=conn.original_dcid if conn.server else b"",
        reset_token=reset_token if conn.server else b"",
        compression=c.compression.offer if c.compression is not None else b"",
        min_ack_delay_us=round(MIN_DELAY_S * 1_000_000),
        max_paths=c.max_paths,
        preferred_address=pack_address(*c.preferred_address) if conn.server and c.preferred_address else b"",
        repair_window=MASK_BITS if c.repair else 0,
    )


def pump(conn: ConnectionCore, now: float) -> None:
    """Act on what the handshake machine has become: keys, messages, a peer to judge, completion."""
    keying = conn.keying
    if keying is None or conn.is_closed():
        return
    fresh = keying.pump()
    if HANDSHAKE in fresh:
        path = conn.paths[0]
        space = keying.levels[HANDSHAKE].space
        if space not in path.recovery.spaces:
            path.recovery.spaces.insert(-1, space)
        # Whoever made these keys possible is the real thing, whatever an unproven CLOSE said before.
        conn.timers.deadlines[LINGER] = NEVER
        conn.lifecycle.closing_with = None
    machine = keying.machine
    if machine.presented is not None and not keying.presented:
        keying.presented = True
        conn.events.append(PeerPresented(machine.presented))
    if machine.step is _COMPLETE and conn.keys.open is None:
        _complete(conn, now, keying)


def _complete(conn: ConnectionCore, now: float, keying: Keying) -> None:
    """Both sides' messages are in: apply what was agreed."""
    machine = keying.machine
    assert machine.peer_params is not None
    try:
        params = parse_params(machine.peer_params)
    except BadPacket as error:
        raise ProtocolViolation(Code.PARAMETER, str(error)) from None
    _check_ids(conn, params)
    _apply_params(conn, params)
    conn.keys.install(keying.open_keys, keying.seal_keys, now)
    conn.peer_id = machine.peer.peer_id if machine.peer else None
    conn.protocol = machine.protocol
    signature = SIGNATURE_NAMES[machine.peer.algorithms[-1]] if machine.peer else ""
    conn.negotiated = _negotiated(GROUP_NAMES[machine.group], SUITE_NAMES[machine.suite], signature, machine.protocol)
    if isinstance(machine, ServerHandshake):
        conn.server_name = machine.server_name
        conn.control.handshake_done_due = True
        _open(conn)
        _confirm(conn, now)
    elif not machine.awaits_verdict:
        _open(conn)
    conn.replay_early(now)


@lru_cache(64)
def _negotiated(group: str, suite: str, signature: str, protocol: str) -> dict[str, str]:
    """What the handshake settled; one dict for all connections that settled the same."""
    return {"kem": group, "cipher": suite, "signature": signature, "protocol": protocol}


def _check_ids(conn: ConnectionCore, params: TransportParams) -> None:
    """SPEC 5.4: the ids in the clear headers must be those in the authenticated parameters."""
    if params.initial_scid != conn.paths[0].remote_cids.current:
        raise ProtocolViolation(Code.PARAMETER, "the peer's connection id was changed on the way")
    if conn.server and (params.original_dcid or params.reset_token or params.preferred_address):
        raise ProtocolViolation(Code.PARAMETER, "a parameter that only servers send")
    if not conn.server and params.original_dcid != conn.original_dcid:
        raise ProtocolViolation(Code.PARAMETER, "the first connection id was changed on the way")


def _apply_params(conn: ConnectionCore, params: TransportParams) -> None:
    limits = [seconds for seconds in (conn.config.idle_timeout, params.idle_timeout_ms / 1000) if seconds]
    conn.idle_timeout = min(limits) if limits else NEVER
    conn.credit.raise_to(params.max_data)
    conn.streams.on_params(params.max_streams_bidi, params.max_streams_uni, params.max_stream_data)
    conn.send_messages.max_message = params.max_message
    conn.peer_cid_limit = params.cid_limit
    conn.peer_compression = params.compression
    path = conn.paths[0]
    path.recovery.peer_max_ack_delay = params.max_ack_delay_ms / 1000
    path.peer_min_ack_delay = params.min_ack_delay_us / 1_000_000
    path.peer_datagram_max = params.max_datagram_size
    fixed = conn.config.max_datagram_size
    if fixed is not None:
        path.udp_mtu = min(fixed, params.max_datagram_size)
    elif conn.host.whole_datagrams:
        path.mtu_limit = params.max_datagram_size
    path.fit()
    if conn.config.repair and params.repair_window:
        conn.send_messages.repair = SendRepair(path, params.repair_window)
    conn.mobility = Mobility(conn.server, min(conn.config.max_paths, params.max_paths), params.preferred_address)
    if params.reset_token:
        path.remote_cids.reset_tokens |= {params.reset_token}
        conn.refresh_reset_tokens()


def _open(conn: ConnectionCore) -> None:
    conn.lifecycle.confirm()
    conn.events.append(Connected())


def _confirm(conn: ConnectionCore, now: float) -> None:
    """Both sides know that the handshake is over: its keys and its machine go."""
    conn.confirmed = True
    path = conn.paths[0]
    path.recovery.handshake_done = True
    discard_level(conn, INITIAL)
    discard_level(conn, HANDSHAKE)
    conn.keying = None
    path.local_cids.issue(conn.peer_cid_limit)
    if conn.mobility is not None:
        conn.mobility.offer(conn)
    deadlines.on_confirmed(conn, now)
    conn.host.on_confirmed(conn)


def discard_level(conn: ConnectionCore, level: int) -> None:
    """Forget the keys of a handshake level and what was in flight under them."""
    if conn.keying is not None:
        state = conn.keying.levels.pop(level, None)
        if state is not None:
            conn.paths[0].recovery.discard(state.space)


def check_peer_cid(conn: ConnectionCore, scid: bytes) -> bool:
    """Whether a long header's source id is the peer's; a client learns it from the server's first packet."""
    keying = conn.keying
    assert keying is not None
    ids = conn.paths[0].remote_cids
    if not scid:
        return False  # SPEC 4.3: nothing could be sent to it
    if not conn.server and not keying.peer_named:
        keying.peer_named = True
        ids.current = scid
    return scid == ids.current


def settle(conn: ConnectionCore, path: Path, level: int, received: Received) -> None:
    """SPEC 2.1: an authentic long packet came from elsewhere, perhaps by another carrier; the handshake stays with one.

    A client's is the one that the first answer came by. A server changes to TCP as long as nothing proves that the
    client hears it, back when TCP falls silent, and goes with the client when that has chosen.
    """
    carried = carrier_of(received.local) != UDP
    if not conn.server:
        if carried and not conn.counters.packets_received:
            path.place(received.remote, received.local)
    elif level == HANDSHAKE and (carried or path.reliable):
        path.place(received.remote, received.local)
    elif not path.validated if carried else path.reliable and path.recovery.pto_count > 0:
        path.place(received.remote, received.local)
        path.validated = carried
        if carried:
            conn.host.on_address_proven(conn)
        # What was said so far went where it may not have been heard.
        path.recovery.give_up()


def on_handshake_packet(conn: ConnectionCore, path: Path) -> None:
    """A Handshake packet opened: for a server the client's address is proven, and Initial keys have done."""
    if conn.server:
        path.validated = True
        conn.host.on_address_proven(conn)
        discard_level(conn, INITIAL)


def on_handshake_done(conn: ConnectionCore, now: float) -> None:
    """HANDSHAKE_DONE: the server has taken our Finished, and us."""
    if conn.server:
        raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "a client cannot confirm the handshake")
    if conn.confirmed:
        return
    machine = conn.keying.machine if conn.keying else None
    if isinstance(machine, ClientHandshake) and machine.awaits_verdict:
        _open(conn)
    _confirm(conn, now)
