"""The same packets by several paths at once, for what must not wait for a loss to be found out (spec section 4.8).

All data of a connection whose scheduler is "redundant", or single messages that ask for it. What was built for one path
is kept before it is sealed, and sealed again for the others with numbers of their own; whoever gets it twice takes it
once. A path whose window has no room for the copy does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsp.engine.outbound as outbound
from jsp.engine.mobility import candidates

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore
    from jsp.engine.out_message import OutMessage
    from jsp.engine.path import Path
    from jsp.engine.traffic import Transmit


def ask(conn: ConnectionCore, message: OutMessage) -> None:
    """Send `message`, which waits, by all paths at once."""
    message.redundant = True
    if conn.mobility is not None:
        conn.mobility.copies_asked = True


def keep(conn: ConnectionCore, path: Path) -> None:
    """Keep what of the train for `path`, finished and not sealed, shall go by other paths as well."""
    train, mobility = conn.train, conn.mobility
    if mobility is None:
        return
    first, last = train.twice_from, train.twice_to
    if conn.config.path_scheduler == "redundant":
        first, last = 0, train.count - 1
    if first < 0:
        return
    # Those that do not answer at the moment, too: what is sent twice shall arrive whatever becomes of either.
    others = [p for p in conn.paths.values() if p is not path and p.validated and not (p.backup or p.peer_backup)]
    if others:
        kept = train.keep(first, min(last, train.count - 1))
        mobility.copies = [(other, kept) for other in others]


def datagram_size(conn: ConnectionCore, path: Path) -> int:
    """Bytes of the datagrams to send by `path` now: where some go by every path, no more than any of them takes."""
    size = path.datagram_size()
    mobility = conn.mobility
    if conn.config.path_scheduler == "redundant" or (mobility is not None and mobility.copies_asked):
        for other in candidates(conn):
            size = min(size, other.mtu)
    return size


def next_copy(conn: ConnectionCore, now: float) -> Transmit | None:
    """The next of the copies that were kept."""
    mobility = conn.mobility
    while mobility is not None and mobility.copies:
        path, kept = mobility.copies.pop()
        if not path.closing and kept.runs:
            transmit = outbound.repeat(conn, path, kept, now)
            if transmit is not None:
                return transmit
    return None
