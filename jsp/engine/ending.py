"""CLOSE, when it comes and when it is sent (spec sections 4.4 and 5.10). Functions over a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsp.engine.events import Closed
from jsp.engine.states import Moved
from jsp.engine.timers import LINGER, NEVER
from jsp.wire.frames import APPLICATION, HANDSHAKE, INITIAL

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore


def on_peer_close(conn: ConnectionCore, level: int, code: int, reason: str, application: bool, now: float) -> None:
    """CLOSE arrived."""
    closed = Closed(code, reason, by_peer=True, application=application)
    if level == INITIAL and not conn.server:
        # SPEC 5.10: nobody proved to have sent this, so a better answer gets one probe timeout to come, and
        # where there are Handshake keys it has come.
        hopeless = conn.keying is None or HANDSHAKE not in conn.keying.levels
        if hopeless and conn.timers.deadlines[LINGER] == NEVER:
            conn.lifecycle.closing_with = closed
            conn.timers.deadlines[LINGER] = now + conn.probe_timeout()
        return
    conn.end(now, Moved.PEER_CLOSED, closed)


def queue_close(conn: ConnectionCore) -> None:
    """CLOSE is to be sent at every level that the peer may have keys for."""
    levels = list(conn.keying.levels) if conn.keying is not None else []
    if conn.keys.seal is not None:
        levels.append(APPLICATION)
    conn.lifecycle.close_due = tuple(levels)


def close_frame(conn: ConnectionCore, level: int) -> tuple[int, str, bool]:
    """What CLOSE says at `level`."""
    authenticated = level == APPLICATION
    if level == HANDSHAKE and conn.keying is not None:
        authenticated = conn.keying.machine.authenticated
    return conn.lifecycle.frame(authenticated)
