# cython: language_level=3, annotation_typing=False, nonecheck=True
"""Packets in: open them, walk their frames, hand each frame to its owner (spec section 9).

No state of its own: everything a frame changes belongs to a part of the connection. Frame permission is a table
(`frames.PERMITTED`), the frequent frames are a flat chain, the rest a table of functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jsp.wire.frames as frames
import jsp.wire.memory as memory
import jsp.wire.path_frames as path_frames
import jsp.wire.repair_frames as repair_frames
from jsp.config import LIMITS
from jsp.engine import ending, establish
from jsp.engine.events import MessagesReadable
from jsp.engine.mobility import elect, on_path_frame
from jsp.engine.path import Path
from jsp.engine.traffic import Endpoint, Received
from jsp.errors import BadPacket, Code, ProtocolViolation
from jsp.recovery.acks import MAX_DELAY_S, MIN_DELAY_S
from jsp.wire.buffer import PacketBuffer, Reader
from jsp.wire.frames import APPLICATION, HANDSHAKE, INITIAL, PERMITTED
from jsp.wire.packet import TYPE_HANDSHAKE, TYPE_INITIAL, LongHeader

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore

_STREAM = frames.STREAM
_STREAM_LAST = frames.STREAM_LAST
_STREAM_NEXT = frames.STREAM_NEXT
_ACK = frames.ACK
_ACK_ECN = frames.ACK_ECN
_ACK_SHORT = frames.ACK_SHORT
_PADDING = frames.PADDING
_MESSAGE = frames.MESSAGE
_MESSAGE_LAST = frames.MESSAGE_LAST
_ABANDON = frames.MESSAGE_ABANDON
_SKIPPABLE = frames.SKIPPABLE
_ACK_FREQUENCY = frames.ACK_FREQUENCY
_CUT_ELSEWHERE = frames.CUT_ELSEWHERE
_APPLICATION = APPLICATION
_PERMITTED = PERMITTED

# What `walk` found in a packet.
_ELICITING = 1
_NOT_PROBING = 2
_MESSAGE_SEEN = 4
# It came too late to be used, and nothing of it was but ACKs.
_LATE = 8
_REPAIRED = 16
_PROBING_FRAMES = (frames.PADDING, frames.PATH_CHALLENGE, frames.PATH_RESPONSE, frames.NEW_CID)


def receive_short(
    conn: ConnectionCore, now: float, slots: PacketBuffer, start: int, end: int, received: Received, path: Path
) -> None:
    """1-RTT packets `received.segment_size` apart in `slots[start:end]`, all for this connection and path."""
    keys = conn.keys.open
    if keys is None:
        _keep_early(conn, slots.data, start, end, received)
        return
    path.on_arriving(start, end, received.local)
    acks = path.space.acks
    number_at = 1 + conn.cid_size
    largest = acks.largest
    opened = keys.open_batch(slots, start, end, received.segment_size, number_at, path.id, largest)
    data = slots.data
    eliciting = fresh = 0
    moved = False
    for number, body, stop in opened:
        if number <= acks.largest and not acks.is_new(number):
            conn.counters.packets_duplicate += 1
            continue
        found = walk(conn, path, _APPLICATION, number, data, body, stop, now, received.remote)
        if found & _LATE:
            # As if it had been lost: what it carries comes again, with its offset.
            conn.counters.packets_dropped += 1
            continue
        acks.accept(number, now)
        fresh += 1
        eliciting += found & _ELICITING
        if found & _NOT_PROBING and number > largest:
            moved = True
        if conn.is_closed():
            # Nothing happens after the end, whatever else came with it.
            break
    packets = -(-(end - start) // received.segment_size)
    conn.counters.packets_received += fresh
    conn.counters.packets_dropped += packets - len(opened)
    if received.ecn:
        acks.on_marks(received.ecn, fresh)
    acks.on_batch(eliciting, now)
    if not fresh or conn.is_closed():
        return
    conn.on_heard(now, fresh)
    if path.recovery.pto_count:
        path.on_heard_again()
    if path.id:
        conn.elsewhere += end - start
    if received.remote == path.remote:
        if not path.validated:
            path.received += end - start
    elif moved and conn.confirmed and not path.closing:
        conn.on_rebinding(path, received, end - start)
    if keys.updated:
        conn.on_key_update(now)


def _keep_early(conn: ConnectionCore, data: bytearray, start: int, end: int, received: Received) -> None:
    """1-RTT packets whose keys are not there yet: nobody knows who sent them, so only a few are kept."""
    held = 0
    for packet, _ in conn.early:
        held += len(packet)
    while start < end and len(conn.early) < LIMITS.early_packets:
        stop = min(start + received.segment_size, end)
        held += stop - start
        if held > LIMITS.early_bytes:
            return
        conn.early += ((bytes(data[start:stop]), received),)
        start = stop


def replay_early(conn: ConnectionCore, now: float) -> None:
    """Take what `_keep_early` kept."""
    early, conn.early = conn.early, ()
    for data, received in early:
        if conn.is_closed():
            return
        receive_short(conn, now, conn.host.load(data), 0, len(data), received, conn.paths[0])


def receive_long(conn: ConnectionCore, now: float, slots: PacketBuffer, header: LongHeader, received: Received) -> None:
    """One Initial or Handshake packet."""
    if header.type == TYPE_INITIAL:
        level_number = INITIAL
    elif header.type == TYPE_HANDSHAKE:
        level_number = HANDSHAKE
    else:
        return
    path = conn.paths[0]
    level = conn.keying.levels.get(level_number) if conn.keying else None
    if level is None or level.open_keys is None:
        return
    view = slots.view
    plain = level.open_keys.open(view[header.start : header.body], header.number, view[header.body : header.end])
    if plain is None or not establish.check_peer_cid(conn, header.scid):
        conn.counters.packets_dropped += 1
        return
    if received.remote != path.remote:
        establish.settle(conn, path, level_number, received)
    if slots.data[header.start] & 0x0F:
        # Authentic all the same, which decides whether a stranger's connection is kept (to say why it ends).
        conn.counters.packets_received += 1
        raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "reserved bits set")
    if not level.space.acks.accept(header.number, now):
        conn.counters.packets_duplicate += 1
        return
    conn.counters.packets_received += 1
    conn.on_heard(now, 1)
    if level_number == HANDSHAKE:
        establish.on_handshake_packet(conn, path)
    found = walk(conn, path, level_number, header.number, plain, 0, len(plain), now, received.remote)
    level.space.acks.on_batch(found & _ELICITING, now)


def walk(
    conn: ConnectionCore, path: Path, level: int, number: int, data: bytearray, pos: int, end: int, now: float,
    source: Endpoint,
) -> int:  # fmt: skip
    """The frames `data[pos:end]` of packet `number`; returns what was found."""
    if pos == end:
        raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "packet without frames")
    reader = conn.reader
    reader.reset(data, pos, end)
    stream = conn.stream_frame
    found = 0
    kind = -1
    try:
        while reader.pos < end:
            kind = data[reader.pos]
            if kind >= _SKIPPABLE:
                kind = reader.pull_varint()
                if level != _APPLICATION or kind < _SKIPPABLE:
                    raise ProtocolViolation(Code.FRAME_ENCODING, f"frame {kind:#x} not allowed here")
                found |= _on_extension(conn, reader, kind, found, now)
                continue
            if not _PERMITTED[kind] >> level & 1:
                raise ProtocolViolation(Code.PROTOCOL_VIOLATION, f"frame {kind:#x} at level {level}")
            reader.pos += 1
            if _STREAM <= kind <= _STREAM_LAST:
                frames.parse_stream(reader, kind, stream)
                found |= _on_stream(conn, reader, stream, number)
            elif kind > _MESSAGE_LAST:
                found |= _on_short_form(conn, path, reader, kind, number, found, now)
            elif kind == _ACK or kind == _ACK_ECN:
                _on_ack(conn, path, level, frames.parse_ack(reader, kind == _ACK_ECN), now)
                found |= _NOT_PROBING
            elif kind >= _MESSAGE:
                _on_message(conn, reader, kind, now)
                found |= _ELICITING | _NOT_PROBING | _MESSAGE_SEEN
            elif kind == _PADDING:
                _skip_padding(reader)
            elif kind == _ABANDON:
                # Part of sending messages, not of controlling: it costs its sender the message.
                _on_abandon(conn, reader)
                found |= _ELICITING | _NOT_PROBING
            else:
                if kind not in _PROBING_FRAMES:
                    found |= _NOT_PROBING
                if frames.is_eliciting(kind):
                    found |= _ELICITING
                conn.spend_control(1)
                _HANDLERS[kind](conn, path, level, reader, now, source, kind)
                if conn.is_closed():
                    break
    except BadPacket as error:
        raise ProtocolViolation(Code.FRAME_ENCODING, f"frame {kind:#x}: {error}") from None
    return found


def _on_stream(conn: ConnectionCore, reader: Reader, stream: frames.StreamFrame, number: int) -> int:
    """A STREAM frame that tells its offset, maybe only the low bits of it."""
    if stream.cut and conn.elsewhere > _CUT_ELSEWHERE:
        # SPEC 9.3: nobody knows any more which one is meant.
        reader.pos = reader.end
        return _LATE
    conn.streams.on_data(stream, reader.data, number)
    return _ELICITING | _NOT_PROBING


def _skip_padding(reader: Reader) -> None:
    reader.pos = memory.end_of_zeros(reader.data, reader.pos, reader.end)


def _on_ack(conn: ConnectionCore, path: Path, level: int, ack: frames.Ack, now: float) -> None:
    if level == _APPLICATION:
        acked_path = conn.paths.get(ack.path_id)
        if acked_path is None:
            return  # abandoned meanwhile
        path, space = acked_path, acked_path.space
    else:
        assert conn.keying is not None
        space = conn.keying.levels[level].space
    silent = path.recovery.pto_count
    path.recovery.on_ack(space, ack.starts, ack.stops, ack.delay, now, ack.ecn)
    if silent and not conn.alone and conn.confirmed:
        elect(conn)
    if conn.scheduler.done:
        conn.streams.settle_done()


def _on_message(conn: ConnectionCore, reader: Reader, kind: int, now: float) -> None:
    messages = conn.recv_messages
    frame = conn.message_frame
    frames.parse_message(reader, kind, frame)
    if messages.on_message(frame, reader.data, now):
        _signal(conn)


def _signal(conn: ConnectionCore) -> None:
    """There are messages to read."""
    if not conn.recv_messages.signalled:
        conn.recv_messages.signalled = True
        conn.events.append(MessagesReadable())


def _on_extension(conn: ConnectionCore, reader: Reader, kind: int, found: int, now: float) -> int:
    """A frame with a length, which is passed over when we do not know it; returns what `walk` has found by it."""
    if kind in (repair_frames.REPAIR, repair_frames.REPAIR_FRAGMENTS) and conn.config.repair:
        # SPEC 8.8: one in a packet counts. It takes longer than other frames, and more are of little use.
        if conn.recv_messages.on_repair(reader, kind, found & _REPAIRED == 0):
            _signal(conn)
        return _ELICITING | _NOT_PROBING | _REPAIRED
    conn.spend_control(1)
    if kind == _ACK_FREQUENCY:
        _on_ack_frequency(conn, reader)
    elif kind == path_frames.PATH_ABANDON or kind == path_frames.PATH_STATUS:
        on_path_frame(conn, reader, kind, now)
    elif kind == repair_frames.RECOVERED and conn.send_messages.repair is not None:
        conn.send_messages.repair.on_recovered(*repair_frames.parse_recovered(reader))
    else:
        frames.skip_unknown(reader)
    return _ELICITING | _NOT_PROBING


def _on_ack_frequency(conn: ConnectionCore, reader: Reader) -> None:
    path_id, sequence, packets, delay_us, reordering = frames.parse_ack_frequency(reader)
    delay = delay_us / 1_000_000
    if not MIN_DELAY_S <= delay <= MAX_DELAY_S:
        raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "asks for ACKs sooner or later than there are any")
    path = conn.paths.get(path_id)
    if path is not None:
        path.space.acks.on_request(sequence, packets, delay, reordering)


def _on_short_form(
    conn: ConnectionCore, path: Path, reader: Reader, kind: int, number: int, found: int, now: float
) -> int:
    """Frames that leave something out (spec section 9.3), `found` before this one in packet `number`; what it adds."""
    if kind >= _STREAM_NEXT:
        stream = conn.stream_frame
        frames.parse_stream(reader, kind, stream)
        if found & _ELICITING:
            raise BadPacket("not the first in its packet")
        if conn.elsewhere or conn.streams.is_late(stream.id, number, number > path.space.acks.largest):
            reader.pos = reader.end
            return _LATE
        conn.streams.on_data(stream, reader.data, number)
        return _ELICITING | _NOT_PROBING
    if kind == _ACK_SHORT:
        _on_ack_short(conn, path, reader, number, now)
        return _NOT_PROBING
    if not found & _MESSAGE_SEEN:
        raise BadPacket("continues no message")
    _on_message(conn, reader, kind, now)
    return _ELICITING | _NOT_PROBING


def _on_ack_short(conn: ConnectionCore, path: Path, reader: Reader, number: int, now: float) -> None:
    """All from the largest number acknowledged so far on, up to one that is nearer to it than 256."""
    low, delay = frames.parse_ack_short(reader)
    space = path.space
    known = space.largest_acked
    # SPEC 10.2: what was acknowledged so far was no more than this one tells, if no later packet has come and none by
    # another path; and when 256 numbers or more have been sent since, it could mean several. Then it is worth nothing,
    # and does no harm.
    if conn.elsewhere or number < space.acks.largest or known < 0 or space.next_number - known > 256:
        return
    largest = known + ((low - known) & 255)
    path.recovery.on_ack(space, [known], [largest + 1], delay, now, None, True)
    if conn.scheduler.done:
        conn.streams.settle_done()


_Handler = Callable[["ConnectionCore", Path, int, Reader, float, Endpoint, int], None]


def _on_ping(conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int) -> None:
    """Only wants its acknowledgement, and that at once."""
    if level == APPLICATION:
        path.space.acks.hurry()


def _on_crypto(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    offset, start, stop = frames.parse_crypto(r)
    if level == APPLICATION:
        raise ProtocolViolation(Code.UNEXPECTED_MESSAGE, "handshake data after the handshake")
    assert conn.keying is not None and isinstance(r.data, bytearray)
    conn.keying.on_crypto(level, offset, r.data, start, stop)


def _on_reset(conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int) -> None:
    stream_id, code, final_size = frames.parse_reset(r)
    conn.streams.on_reset(stream_id, code, final_size, now)


def _on_stop(conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int) -> None:
    stream_id, code = frames.parse_two(r)
    conn.streams.on_stop(stream_id, code, now)


def _on_max_data(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    if conn.credit.raise_to(r.pull_varint()):
        conn.scheduler.on_credit()


def _on_max_stream_data(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    stream_id, limit = frames.parse_two(r)
    conn.streams.on_max_stream_data(stream_id, limit)


def _on_max_streams(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    conn.streams.on_max_streams(kind - frames.MAX_STREAMS_BIDI, r.pull_varint())


def _on_blocked(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    """The peer waits for credit, or for a stream: it gets what there is."""
    if kind == frames.STREAM_DATA_BLOCKED:
        stream_id, limit = frames.parse_two(r)
        conn.streams.on_blocked(stream_id, limit)
        return
    limit = r.pull_varint()
    if kind == frames.DATA_BLOCKED:
        conn.window.on_blocked(limit)
    else:
        conn.streams.on_streams_blocked(kind - frames.STREAMS_BLOCKED_BIDI, limit)


def _on_new_cid(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    path_id, sequence, retire, cid, token = frames.parse_new_cid(r)
    target = conn.paths.get(path_id)
    if target is not None:
        target.remote_cids.add(sequence, retire, cid, token)
        conn.refresh_reset_tokens()
    elif conn.mobility is not None:
        conn.mobility.on_new_cid(conn, path_id, sequence, cid, token)


def _on_retire_cid(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    path_id, sequence = frames.parse_two(r)
    target = conn.paths.get(path_id)
    if target is not None:
        at = path.arriving_at + 1
        target.local_cids.retire(sequence, bytes(r.data[at : at + conn.cid_size]))
        target.local_cids.issue(conn.peer_cid_limit)


def _on_path_challenge(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    path.on_challenge(r.pull_bytes(frames.CHALLENGE_SIZE), source, now)
    conn.spend_control(15)


def _on_path_response(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    if path.on_response(r.pull_bytes(frames.CHALLENGE_SIZE), source) and conn.mobility is not None:
        conn.mobility.validated(conn, path, now)


def _on_close(conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int) -> None:
    code, reason = frames.parse_close(r)
    ending.on_peer_close(conn, level, code, reason, kind == frames.CLOSE_APPLICATION, now)


def _on_handshake_done(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    establish.on_handshake_done(conn, now)


def _on_abandon(conn: ConnectionCore, r: Reader) -> None:
    message_id, order, sent = frames.parse_abandon(r)
    if conn.recv_messages.on_abandon(message_id, order, sent):
        _signal(conn)


def _on_new_token(
    conn: ConnectionCore, path: Path, level: int, r: Reader, now: float, source: Endpoint, kind: int
) -> None:
    """An address token for a later connection; this version has no use for one."""
    if conn.server:
        raise ProtocolViolation(Code.PROTOCOL_VIOLATION, "a client gives out no tokens")
    r.skip(r.pull_varint())


_HANDLERS: dict[int, _Handler] = {
    frames.PING: _on_ping,
    frames.CRYPTO: _on_crypto,
    frames.RESET: _on_reset,
    frames.STOP: _on_stop,
    frames.NEW_TOKEN: _on_new_token,
    frames.MAX_DATA: _on_max_data,
    frames.MAX_STREAM_DATA: _on_max_stream_data,
    frames.MAX_STREAMS_BIDI: _on_max_streams,
    frames.MAX_STREAMS_UNI: _on_max_streams,
    frames.DATA_BLOCKED: _on_blocked,
    frames.STREAM_DATA_BLOCKED: _on_blocked,
    frames.STREAMS_BLOCKED_BIDI: _on_blocked,
    frames.STREAMS_BLOCKED_UNI: _on_blocked,
    frames.NEW_CID: _on_new_cid,
    frames.RETIRE_CID: _on_retire_cid,
    frames.PATH_CHALLENGE: _on_path_challenge,
    frames.PATH_RESPONSE: _on_path_response,
    frames.CLOSE: _on_close,
    frames.CLOSE_APPLICATION: _on_close,
    frames.HANDSHAKE_DONE: _on_handshake_done,
}
