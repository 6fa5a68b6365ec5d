# cython: language_level=3, annotation_typing=False, nonecheck=True
"""What each timer of a connection means, and when it is due (spec section 10.3).

Functions over a connection. Activity does not touch timers: it stores when it happened, and a timer that fires
too early looks at that and sets itself again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jsp.engine.events import Closed
from jsp.engine.mtu_search import BASE
from jsp.engine.states import Moved
from jsp.engine.timers import (
    ACK,
    DRAIN,
    EXPIRY,
    HANDSHAKE,
    IDLE,
    KEEP_ALIVE,
    KEYS,
    LINGER,
    LOSS,
    LULL,
    NEVER,
    PACING,
    PATH,
)
from jsp.errors import Code

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore

_LOSS, _ACK, _PATH, _EXPIRY, _LULL = LOSS, ACK, PATH, EXPIRY, LULL
_BASE = BASE
# A pause in what comes is this many probe timeouts long, and is noticed by who has received so many bytes before it:
# to ask costs a packet, and its answer.
_LULL_TIMEOUTS = 2
LULL_BYTES = 16_384
# Who waits for credit goes on asking, at growing intervals up to this.
_LULL_MAX_S = 10.0


def update(conn: ConnectionCore, now: float) -> None:
    """Work out the deadlines that follow from packets sent and received."""
    if conn.is_closed():
        return
    deadlines = conn.timers.deadlines
    loss = ack = moving = NEVER
    for path in conn.paths.values():
        moving = min(moving, path.due)
        if path.closing:
            continue
        blocked = path.amplification_left() < _BASE or not path.remote_cids.current
        path.recovery.update_deadline(now, not conn.server and not conn.confirmed, blocked)
        loss = min(loss, path.recovery.deadline)
        if conn.keys.seal is not None and not blocked:
            ack = min(ack, path.space.acks.deadline)
    deadlines[_LOSS] = loss
    deadlines[_ACK] = ack
    deadlines[_PATH] = moving
    if not conn.server and deadlines[_LULL] == NEVER:
        if conn.control.told_blocked or _has_received_a_lot(conn):
            deadlines[_LULL] = now + _LULL_TIMEOUTS * conn.probe_timeout()
    expiry = conn.send_messages.next_expiry()
    repair = conn.send_messages.repair
    deadlines[_EXPIRY] = expiry if repair is None else min(expiry, repair.tail_at)


def on_confirmed(conn: ConnectionCore, now: float) -> None:
    """From here on silence ends the connection, not the handshake's deadline."""
    deadlines = conn.timers.deadlines
    deadlines[HANDSHAKE] = NEVER
    deadlines[IDLE] = now + conn.idle_timeout
    if conn.config.keep_alive is not None:
        deadlines[KEEP_ALIVE] = now + conn.config.keep_alive


def _on_loss(conn: ConnectionCore, now: float) -> None:
    for path in conn.paths.values():
        recovery = path.recovery
        if recovery.deadline <= now and not path.closing:
            before = recovery.pto_count
            recovery.on_timeout(now)
            if recovery.pto_count > before and conn.mobility is not None:
                conn.mobility.on_silence(conn, path)


def _on_idle(conn: ConnectionCore, now: float) -> None:
    # What we sent counts from the first packet since the last word from the peer (RFC 9000 section 10.1).
    last = max(conn.last_heard, conn.first_sent if conn.first_sent != NEVER else 0.0)
    deadline = last + max(conn.idle_timeout, 3 * conn.probe_timeout())
    if deadline > now:
        conn.timers.deadlines[IDLE] = deadline
        return
    text = f"nothing heard from the peer for {conn.idle_timeout:g} s"
    conn.end(now, Moved.VANISHED, Closed(Code.IDLE, text, by_peer=False))


def _on_keep_alive(conn: ConnectionCore, now: float) -> None:
    interval = conn.config.keep_alive
    assert interval is not None
    last = max(conn.last_heard, conn.last_sent)
    if last + interval <= now:
        conn.control.ping_due = True
        last = now
    conn.timers.deadlines[KEEP_ALIVE] = last + interval


def _on_lull(conn: ConnectionCore, now: float) -> None:
    """Who only receives, or waits for credit, has nothing under way that could get lost: it would not notice a path
    that is dead, nor a server that its NAT has another address for notice where it is (RFC 9000 section 4.1)."""
    mobility, control = conn.mobility, conn.control
    assert mobility is not None
    pause = _LULL_TIMEOUTS * conn.probe_timeout()
    deadline = conn.last_heard + max(pause, mobility.lull_wait)
    if deadline > now:
        conn.timers.deadlines[LULL] = deadline
        return
    if _has_received_a_lot(conn):
        mobility.lull_seen = conn.window.received
    if not conn.path.recovery.in_flight:
        control.ping_due = True
    control.told_blocked = _waits_for_credit(conn)
    mobility.lull_wait = min(max(pause, 2 * mobility.lull_wait), _LULL_MAX_S) if control.told_blocked else 0.0


def _has_received_a_lot(conn: ConnectionCore) -> bool:
    """Since the last pause that it noticed, if it would go elsewhere."""
    mobility = conn.mobility
    return mobility is not None and conn.window.received >= mobility.lull_seen + LULL_BYTES and conn.config.migrate


def _waits_for_credit(conn: ConnectionCore) -> bool:
    streams = conn.streams.streams.values()
    senders = [stream.send for stream in streams if stream.send is not None]
    return bool(conn.scheduler.credit_blocked) or any(sender.is_blocked() for sender in senders)


def _on_handshake(conn: ConnectionCore, now: float) -> None:
    text = f"the handshake was not over after {conn.config.handshake_timeout:g} s"
    conn.end(now, Moved.VANISHED, Closed(Code.HANDSHAKE_TIMEOUT, text, by_peer=False))


def _on_path(conn: ConnectionCore, now: float) -> None:
    mobility = conn.mobility
    for path in list(conn.paths.values()):
        if path.due > now or mobility is None:
            continue
        path.due = NEVER
        if path.closing:
            mobility.remove(conn, path, now)
        elif not path.on_challenge_timeout() and not mobility.on_failed(conn, path, now):
            conn.close_now(now, Code.NO_VIABLE_PATH, "the peer answers at no address")
            return


def _on_keys(conn: ConnectionCore, now: float) -> None:
    conn.keys.drop_previous()


def _on_expiry(conn: ConnectionCore, now: float) -> None:
    conn.send_messages.expire(now)
    repair = conn.send_messages.repair
    if repair is not None and repair.tail_at <= now:
        queue = repair.on_tail(now)
        if queue is not None:
            conn.scheduler.add(queue)


def _on_linger(conn: ConnectionCore, now: float) -> None:
    conn.finish_linger(now)


def _on_drain(conn: ConnectionCore, now: float) -> None:
    conn.on_drained()


def _on_nothing(conn: ConnectionCore, now: float) -> None:
    """The flush that follows every timeout does what is due."""


_MEANING: dict[int, Callable[[ConnectionCore, float], None]] = {
    LOSS: _on_loss,
    ACK: _on_nothing,
    PACING: _on_nothing,
    IDLE: _on_idle,
    KEEP_ALIVE: _on_keep_alive,
    HANDSHAKE: _on_handshake,
    PATH: _on_path,
    KEYS: _on_keys,
    LINGER: _on_linger,
    DRAIN: _on_drain,
    EXPIRY: _on_expiry,
    LULL: _on_lull,
}


def expire(conn: ConnectionCore, now: float) -> None:
    """Do what the timers that have run out stand for."""
    for timer in conn.timers.take_expired(now):
        if timer != DRAIN and conn.is_closed():
            continue  # ended by the one before
        _MEANING[timer](conn, now)
