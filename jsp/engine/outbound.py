# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Packets out: decide what may leave now, let the owners of frames write, in order (spec section 10.1).

Keeps no state. One call makes one train (or one datagram of the handshake); the caller sends it and asks again
until there is nothing. The order of writers inside a 1-RTT packet is `_write_control`'s, then the scheduler's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsp.wire.frames as frames
import jsp.wire.packet as packet
from jsp.crypto.protection import LongKeys
from jsp.engine import ending, establish, redundancy
from jsp.engine.keying import HandshakeLevel
from jsp.engine.mobility import usable
from jsp.engine.path import Challenge, Path
from jsp.engine.path_choice import choose
from jsp.engine.timers import NEVER, PACING
from jsp.engine.traffic import Endpoint, Transmit
from jsp.recovery.sent import Token, make_run
from jsp.wire.buffer import Writer
from jsp.wire.frames import HANDSHAKE, INITIAL
from jsp.wire.packet import (
    INITIAL_DATAGRAM_MIN,
    TAG_SIZE,
    TYPE_HANDSHAKE,
    TYPE_INITIAL,
    encode_long_header,
)

if TYPE_CHECKING:
    from jsp.engine.builder import Kept, Train
    from jsp.engine.connection import ConnectionCore

_TYPES = {INITIAL: TYPE_INITIAL, HANDSHAKE: TYPE_HANDSHAKE}
_PROBE_MIN = 64
# Bytes of a 1-RTT packet around its data: header, a short ACK, tag.
_AROUND = 64
# Ranges in an ACK from which on we want to know that the peer has it, so that old ones need not be told again.
_RANGES_MANY = 8
# Bytes of a long header around the connection ids: first, version, two lengths, packet length, number.
_LONG_FIXED = 1 + 4 + 1 + 1 + 2 + 4


def poll_transmit(conn: ConnectionCore, now: float) -> Transmit | None:
    """The next datagrams of `conn`, or None. Call again until None."""
    if conn.lifecycle.close_due:
        close = _next_close(conn, now)
        if not conn.lifecycle.close_due:
            # Mostly that was all: who goes on talking is answered less and less.
            conn.keys.rest()
        return close
    if conn.is_closed():
        return None
    if conn.keying is not None:
        flight = _handshake_flight(conn, now)
        if flight is not None:
            return flight
    if conn.keys.seal is None:
        return None
    if len(conn.paths) > 1:
        return _over_paths(conn, now)
    path = conn.path
    if path.challenges or path.responses:
        probe = _path_probe(conn, path, now)
        if probe is not None:
            return probe
    return _train(conn, path, now, True)


def _over_paths(conn: ConnectionCore, now: float) -> Transmit | None:
    """With several paths: validation and acknowledgements go by each, data by those that are chosen."""
    conn.timers.deadlines[PACING] = NEVER
    paths = usable(conn)
    for path in paths:
        if path.challenges or path.responses:
            probe = _path_probe(conn, path, now)
            if probe is not None:
                return probe
    copy = redundancy.next_copy(conn, now)
    if copy is not None:
        return copy
    chosen = choose(conn)
    for path in paths:
        if path not in chosen:
            transmit = _train(conn, path, now, False)
            if transmit is not None:
                return transmit
    for path in chosen:
        transmit = _train(conn, path, now, True)
        if transmit is not None:
            path.carried += len(transmit.data)
            return transmit
    return None


# --- handshake -------------------------------------------------------------------------------------------------


def _handshake_flight(conn: ConnectionCore, now: float) -> Transmit | None:
    """What the handshake has to say: a full datagram and another one after it, or one."""
    path = conn.paths[0]
    out = _handshake_datagram(conn, path, 0, now)
    if not out:
        return None
    if len(out) < INITIAL_DATAGRAM_MIN:
        return _finish(conn, path, out, 1)
    more = _handshake_datagram(conn, path, len(out), now)
    return _finish(conn, path, out + more, 2 if more else 1, INITIAL_DATAGRAM_MIN)


def _handshake_datagram(conn: ConnectionCore, path: Path, before: int, now: float) -> bytes:
    """One datagram of coalesced Initial and Handshake packets, empty when there is nothing to say.

    `before`: bytes of the flight that it follows.
    """
    assert conn.keying is not None
    room = min(INITIAL_DATAGRAM_MIN, path.amplification_left() - before)
    packets: list[tuple[HandshakeLevel, bytearray, list[Token], bool]] = []
    used = 0
    full = False
    for number in (INITIAL, HANDSHAKE):
        level = conn.keying.levels.get(number)
        if level is None or level.seal_keys is None:
            continue
        header = _header_size(conn, path, number)
        space = room - used - header - TAG_SIZE
        if space < 64:
            continue
        payload, tokens, eliciting = _handshake_payload(conn, level, space, now)
        if payload:
            packets.append((level, payload, tokens, eliciting))
            used += header + len(payload) + TAG_SIZE
            # SPEC 5.7: every datagram of the client with an Initial is, and every ack-eliciting one of the server.
            full = full or (number == INITIAL and (eliciting or not conn.server))
    if full and room > used:
        packets[-1][1].extend(bytes(room - used))
    out = b""
    for built in packets:
        out += _seal_handshake(conn, path, built, now)
    return out


def _header_size(conn: ConnectionCore, path: Path, level: int) -> int:
    token = 2 + len(conn.token) if level == INITIAL else 0
    return _LONG_FIXED + len(path.remote_cids.current) + len(conn.scid) + token


def _handshake_payload(
    conn: ConnectionCore, level: HandshakeLevel, room: int, now: float
) -> tuple[bytearray, list[Token], bool]:
    writer = Writer(bytearray(room))
    tokens: list[Token] = []
    eliciting = False
    acks = level.space.acks
    probing = level.space.probes > 0
    send_crypto = level.has_data() and (probing or conn.paths[0].recovery.available() > 0)
    if acks.pending and (acks.deadline <= now or send_crypto):
        frames.push_ack(writer, 0, acks.delay(now), acks.ranges.starts, acks.ranges.stops, acks.first_told())
        tokens.append((acks, acks.on_sent(), 0))
    while send_crypto:
        written = level.write_crypto(writer)
        if written is None:
            break
        tokens.append((level, *written))
        eliciting = True
    if probing and not eliciting and writer.room():
        writer.push_u8(frames.PING)
        eliciting = True
    if eliciting and probing:
        level.space.probes -= 1
    return writer.buffer[: writer.pos], tokens, eliciting


def _seal_handshake(
    conn: ConnectionCore, path: Path, built: tuple[HandshakeLevel, bytearray, list[Token], bool], now: float
) -> bytes:
    level, payload, tokens, eliciting = built
    assert level.seal_keys is not None
    sealed = _seal_long(conn, path, level, level.seal_keys, payload)
    if eliciting:
        run = make_run(level.space.next_number - 1, 1, len(sealed), len(sealed), now, tokens)
        path.recovery.on_sent(level.space, run)
        conn.on_eliciting_sent(now)
        if level.level == HANDSHAKE and not conn.server:
            # SPEC 5.9: the first Handshake packet that a client sends ends its Initial level.
            establish.discard_level(conn, INITIAL)
    return sealed


def _seal_long(conn: ConnectionCore, path: Path, level: HandshakeLevel, keys: LongKeys, payload: bytearray) -> bytes:
    number = level.space.next_number
    level.space.next_number = number + 1
    header = encode_long_header(
        _TYPES[level.level], path.remote_cids.current, conn.scid, number, len(payload) + TAG_SIZE, conn.token
    )
    conn.counters.packets_sent += 1
    return header + keys.seal(header, number, payload)


# --- 1-RTT -----------------------------------------------------------------------------------------------------


def _train(conn: ConnectionCore, path: Path, now: float, chosen: bool) -> Transmit | None:
    """What leaves by `path`; all there is when it is `chosen`, else what it owes the peer itself."""
    space = path.space
    recovery = path.recovery
    if path.search is not None and path.search.due and path.validated:
        return _mtu_probe(conn, path, now)
    path.leave_black_hole()
    datagram = path.datagram_size() if conn.alone else redundancy.datagram_size(conn, path)
    wants = chosen and (conn.has_frames() or bool(conn.scheduler))
    ack_due = space.acks.deadline <= now
    if not wants:
        recovery.on_app_limited()
    if not (wants or ack_due or space.probes):
        return None
    limit = _allowance(conn, path, datagram, now) if wants or space.probes else 0
    if space.probes:
        limit = max(limit, min(space.probes * datagram, path.amplification_left()))
    if limit < datagram and not _is_enough(conn, path, datagram, limit):
        if not ack_due or path.amplification_left() < datagram:
            return None
        wants = False
        limit = datagram
    keys = conn.keys.seal
    assert keys is not None
    conn.prepare_keys(path, now)
    train = conn.train
    train.alone = conn.alone
    if wants:
        path.plan_acks()
        path.skip_number(datagram, conn.entropy)
    number = space.next_number
    size_of_number = packet.number_size(number, space.largest_acked)
    train.begin(keys, path.remote_cids.current, number, size_of_number, datagram, limit, now)
    if space.acks.pending:
        _write_ack(conn, path, train, now, wants)
    if wants or space.probes:
        _fill(conn, path, train, now, wants)
    train.finish()
    if chosen and not conn.alone and train.count:
        redundancy.keep(conn, path)
    if not train.protect(keys, path.id):
        return None
    return _sent(conn, path, now, number)


def _sent(conn: ConnectionCore, path: Path, now: float, number: int) -> Transmit:
    """The train is sealed: note what it has, from packet `number` on."""
    train, space, recovery = conn.train, path.space, path.recovery
    space.next_number = number + train.count
    mark = 0 if recovery.reliable else recovery.ecn.mark()
    if mark:
        recovery.ecn.on_sent(train.count)
    for run in train.runs:
        run.marked = mark != 0
        recovery.on_sent(space, run)
    if train.runs:
        conn.on_eliciting_sent(now)
        space.probes = max(0, space.probes - train.count)
        if min(train.pos, train.segment_size()) >= path.mtu:
            path.plan_probe(now)
    conn.counters.packets_sent += train.count
    conn.streams.check_writers()
    conn.check_message_room()
    return _finish(conn, path, train.slots.view[: train.pos], train.count, train.segment_size(), mark)


def repeat(conn: ConnectionCore, path: Path, kept: Kept, now: float) -> Transmit | None:
    """The packets `kept` by `path`, too; None when they cannot go there now."""
    recovery, space = path.recovery, path.space
    path.skip_number(kept.segment, conn.entropy)
    number = space.next_number
    needed = packet.number_size(number, space.largest_acked)
    if len(kept.data) > recovery.available() or kept.segment > path.mtu or needed > kept.number_size:
        return None
    keys = conn.keys.seal
    assert keys is not None
    conn.prepare_keys(path, now)
    if not conn.train.repeat(kept, keys, path.remote_cids.current, number, now):
        return None
    conn.train.protect(keys, path.id)
    return _sent(conn, path, now, number)


def _fill(conn: ConnectionCore, path: Path, train: Train, now: float, wants: bool) -> None:
    if path.space.probes and train.room():
        # Whatever it carries, a probe is answered at once.
        train.push_u8(frames.PING)
        train.mark_eliciting()
    if wants:
        while not _write_control(conn, path, train, now):
            if not train.advance():
                return
        conn.scheduler.fill(train)
    if path.space.probes and train.count == 0:
        # SPEC 4.6: large enough to be answered by a stateless reset, should the peer have forgotten us.
        train.pad_to(_PROBE_MIN)


def _write_ack(conn: ConnectionCore, path: Path, train: Train, now: float, wants: bool) -> None:
    acks = path.space.acks
    if wants and conn.alone and acks.is_short() and frames.push_ack_short(train, acks.largest, acks.delay(now)):
        # Not where the ACK is all there is: the peer may have much under way, and acknowledges few of them.
        acks.on_sent()
        conn.counters.acks_sent += 1
        conn.keys.on_ack_sent(path.id, acks.largest)
        return
    starts = acks.ranges.starts
    low = acks.first_told()
    at = train.pos
    if frames.push_ack(train, path.id, acks.delay(now), starts, acks.ranges.stops, low):
        if acks.is_marked():
            frames.push_marks(train, at, acks.ect0, acks.ect1, acks.ce)
        train.note_quietly(acks, acks.on_sent(), acks.ect1 + acks.ce)
        conn.counters.acks_sent += 1
        conn.keys.on_ack_sent(path.id, acks.largest)
        if len(starts) - low > _RANGES_MANY and not path.space.in_flight and train.room():
            # SPEC 10.2: who only receives must ask for an acknowledgement now and then, or its ACKs grow.
            train.push_u8(frames.PING)
            train.mark_eliciting()


def _write_control(conn: ConnectionCore, path: Path, train: Train, now: float) -> bool:
    """Control frames, in this order; False when the packet is full and more is left."""
    rtt = path.recovery.rtt.minimum
    if not conn.alone:
        # Credit must last for a round trip of the slowest path, too.
        for other in conn.paths.values():
            rtt = max(rtt, other.recovery.rtt.minimum)
    # First what lets the peer go on: the end of the handshake, credit.
    if conn.control.has_frames() and not conn.control.write_frames(train, now, rtt):
        return False
    # Then what streams and messages owe: limits, resets; before data, or data could starve them.
    if conn.streams.has_control() and not conn.streams.write_control(train, now, rtt):
        return False
    if conn.send_messages.has_control() and not conn.send_messages.write_control(train):
        return False
    repair = conn.recv_messages.repair
    if repair is not None and repair.owed and not repair.write_frames(train):
        return False
    # Connection ids and other ACKs are wanted only when something changes.
    if conn.mobility is not None and conn.mobility.due and not conn.mobility.write_frames(train):
        return False
    for other in conn.paths.values():
        if other.closing:
            continue
        if other.ack_frequency is not None and other.ack_frequency.due:
            other.ack_frequency.write_frame(train, other.id)
        other.local_cids.write_frames(train)
        other.remote_cids.write_frames(train)
        if other.local_cids.has_frames() or other.remote_cids.has_frames():
            return False
    return True


def _allowance(conn: ConnectionCore, path: Path, datagram: int, now: float) -> int:
    """Bytes that congestion control, the pacer and the amplification limit allow at `now`."""
    recovery = path.recovery
    allowed = recovery.allowance(datagram, now)
    if recovery.pacing_at < NEVER:
        deadlines = conn.timers.deadlines
        deadlines[PACING] = recovery.pacing_at if len(conn.paths) == 1 else min(recovery.pacing_at, deadlines[PACING])
    return min(allowed, path.amplification_left())


def _is_enough(conn: ConnectionCore, path: Path, datagram: int, limit: int) -> bool:
    """Whether `limit` bytes, less than a full `datagram`, are enough for what goes next, and the window's last ones."""
    return limit >= _AROUND + conn.scheduler.least() and path.recovery.available() < datagram


def _mtu_probe(conn: ConnectionCore, path: Path, now: float) -> Transmit:
    """A packet by itself, of the size whose turn it is (spec section 4.9)."""
    search = path.search
    keys = conn.keys.seal
    assert search is not None and keys is not None
    size = search.due
    conn.prepare_keys(path, now)
    train = conn.train
    space = path.space
    number = space.next_number
    size_of_number = packet.number_size(number, space.largest_acked)
    train.begin(keys, path.remote_cids.current, number, size_of_number, size, size, now)
    train.push_u8(frames.PING)
    train.note(path, number, path.recovery.packets_lost)
    train.pad_to(size)
    total = train.seal(keys, path.id)
    space.next_number = number + 1
    path.recovery.on_probe_sent(space, train.runs[0])
    search.on_sent(number)
    conn.on_eliciting_sent(now)
    conn.counters.packets_sent += 1
    return _finish(conn, path, train.slots.view[:total], 1)


# --- path validation -------------------------------------------------------------------------------------------


def _path_probe(conn: ConnectionCore, path: Path, now: float) -> Transmit | None:
    """One datagram with a PATH_RESPONSE or PATH_CHALLENGE, to the address it is about."""
    if path.responses:
        data, address, local, came = path.responses.pop(0)
        return _probe(conn, path, frames.PATH_RESPONSE, data, address, local, path.response_limit(address, came), now)
    for challenge in path.challenges:
        if challenge.due:
            probe = _challenge(conn, path, challenge, now)
            if probe is not None:
                return probe
    return None


def _challenge(conn: ConnectionCore, path: Path, challenge: Challenge, now: float) -> Transmit | None:
    path.on_challenge_sent(challenge, now)
    limit = path.amplification_left() if challenge.address == path.remote else INITIAL_DATAGRAM_MIN
    return _probe(conn, path, frames.PATH_CHALLENGE, challenge.data, challenge.address, challenge.local, limit, now)


def _probe(
    conn: ConnectionCore, path: Path, kind: int, data: bytes, address: Endpoint, local: Endpoint | None, limit: int,
    now: float,
) -> Transmit | None:  # fmt: skip
    if limit < 64:
        return None
    keys = conn.keys.seal
    assert keys is not None
    conn.prepare_keys(path, now)
    size = min(limit, INITIAL_DATAGRAM_MIN)
    train = conn.train
    space = path.space
    number = space.next_number
    size_of_number = packet.number_size(number, space.largest_acked)
    train.begin(keys, path.remote_cids.current, number, size_of_number, size, size, now)
    frames.push_path(train, kind, data)
    if path.opened and not path.validated:
        # The peer cannot answer before it has an id to answer to.
        path.local_cids.introduce(train)
    train.mark_eliciting()
    # SPEC 4.5: full size, to show that the path carries it.
    train.pad_to(size)
    total = train.seal(keys, path.id)
    space.next_number = number + 1
    conn.counters.packets_sent += 1
    transmit = _finish(conn, path, train.slots.view[:total], 1)
    transmit.remote, transmit.local = address, local
    return transmit


# --- close -----------------------------------------------------------------------------------------------------


def _next_close(conn: ConnectionCore, now: float) -> Transmit | None:
    """CLOSE at every level the peer may have keys for; one datagram a call."""
    level_number, *others = conn.lifecycle.close_due
    conn.lifecycle.close_due = tuple(others)
    path = conn.path
    code, reason, application = ending.close_frame(conn, level_number)
    if level_number == frames.APPLICATION:
        keys = conn.keys.seal
        if keys is None or path.amplification_left() < INITIAL_DATAGRAM_MIN:
            return None
        train = conn.train
        number = path.space.next_number
        size_of_number = packet.number_size(number, path.space.largest_acked)
        size = INITIAL_DATAGRAM_MIN
        train.begin(keys, path.remote_cids.current, number, size_of_number, size, size, now)
        frames.push_close(train, application, code, reason)
        size = train.seal(keys, path.id)
        path.space.next_number = number + 1
        return _finish(conn, path, train.slots.view[:size], 1)
    level = conn.keying.levels.get(level_number) if conn.keying else None
    if level is None or level.seal_keys is None or path.amplification_left() < INITIAL_DATAGRAM_MIN:
        return _next_close(conn, now) if conn.lifecycle.close_due else None
    writer = Writer(bytearray(256))
    acks = level.space.acks
    if acks.ranges:
        # The round trip it measures tells a client how long to wait for a better answer (spec section 5.10).
        starts = acks.ranges.starts
        frames.push_ack(writer, 0, acks.delay(now), starts, acks.ranges.stops, len(starts) - 1)
    frames.push_close(writer, False, code, reason)
    payload = writer.buffer[: writer.pos]
    if level_number == INITIAL:
        payload.extend(bytes(INITIAL_DATAGRAM_MIN - _header_size(conn, path, INITIAL) - TAG_SIZE - len(payload)))
    return _finish(conn, path, _seal_long(conn, path, level, level.seal_keys, payload), 1)


def _finish(
    conn: ConnectionCore, path: Path, data: memoryview | bytes, count: int, segment: int = 0, ecn: int = 0
) -> Transmit:
    size = len(data)
    path.sent += size
    conn.counters.datagrams_sent += count
    conn.counters.bytes_sent += size
    return Transmit(path.remote, data, segment or size, path.local, ecn)
