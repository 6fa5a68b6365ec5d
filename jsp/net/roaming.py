"""Paths by themselves: a connection follows its machine from network to network (docs/mobility.md).

When addresses or routes of the system change, or when no path answers, a client looks where its packets would leave
from now, opens a path from there, and leaves the others when the peer has answered. A server does so when the address
that a client knows it by is gone.
"""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING

import gevent

from jsp.engine.path import Path
from jsp.engine.states import State
from jsp.engine.traffic import Endpoint as Address
from jsp.errors import PathFailed
from jsp.net import moving
from jsp.net.interfaces import Watch, addresses
from jsp.net.udp import AF_INET, AF_INET6, outward_host

if TYPE_CHECKING:
    from jsp.net.connection import Connection
    from jsp.net.endpoint import Endpoint

log = logging.getLogger("jsp")


def follow(endpoint: Endpoint, remote: Address) -> Watch:
    """Look after the connections of `endpoint` until the watch is stopped. `remote`: where packets go."""

    def on_changes() -> None:
        for conn in endpoint.connections():
            on_change(conn)

    return Watch(on_changes, remote)


def on_change(conn: Connection) -> None:
    """The machine's addresses or routes may be others now."""
    if conn._core.lifecycle.state is not State.OPEN:
        return
    here = addresses(loopback=True)
    core = conn.core
    paths = [path for path in core.paths.values() if not path.closing]
    lost = [path for path in paths if here and _host(conn, path) not in here]
    assert core.mobility is not None
    for path in lost:
        core.mobility.on_lost_address(core, path)
    if len(paths) > len(lost) and (len(paths) > 1 or not conn.owns_endpoint):
        # Several paths were wanted, and some are left; or the peer still knows where to find us.
        conn.changed()
        return
    for host, remote in _ways(conn):
        if lost or host != _host(conn, paths[0]):
            _start(conn, host, remote)
        break


def on_silence(conn: Connection) -> None:
    """Nothing answers: try from a fresh port, which is a new mapping in whatever is between, and each known address
    of the peer in turn."""
    if not conn.owns_endpoint or conn._core.lifecycle.state is not State.OPEN:
        return
    ways = _ways(conn)
    if ways:
        _start(conn, *ways[conn.core.path.recovery.pto_count % len(ways)])


def prefer(conn: Connection) -> None:
    """Move to the address that the server would rather be reached at, if it has said one and answers there."""
    mobility = conn.core.mobility
    packed = mobility.preferred if mobility is not None else b""
    if packed:
        host = str(ip_address(packed[:-2]))
        port = int.from_bytes(packed[-2:], "big")
        remote = (host, port) if len(packed) == 6 else (host, port, 0, 0)
        conn.remotes = (*conn.remotes, remote)
        gevent.spawn(_try, conn, remote)


def _try(conn: Connection, remote: Address) -> None:
    try:
        moving.migrate(conn, remote_address=remote)
    except OSError as error:
        log.debug("the connection to %s stays where it is: %s", conn.remote_address, error)


def _host(conn: Connection, path: Path) -> str:
    """The host that packets of `path` leave from."""
    if path.local is not None:
        return str(path.local[0])
    return path.source or str(conn._endpoint.socket.address[0])


def _ways(conn: Connection) -> list[tuple[str, Address]]:
    """Where packets to each known address of the peer would leave from now, its present one first."""
    now = conn.core.path.remote
    found: list[tuple[str, Address]] = []
    for remote in (now, *(remote for remote in conn.remotes if remote != now)):
        host = outward_host(AF_INET6 if ":" in remote[0] else AF_INET, remote)
        # Without a route the answer is our loopback address, from which only ourselves are reached.
        if not _is_loopback(host) or _is_loopback(remote[0]):
            found.append((host, remote))
    return found


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _start(conn: Connection, host: str, remote: Address) -> None:
    try:
        moving.start(conn, host, remote, True)
    except (PathFailed, OSError) as error:
        # Tried again when something changes, or stays silent.
        log.debug("the connection to %s stays where it is: %s", conn.remote_address, error)
