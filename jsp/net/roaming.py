"""Paths by themselves: a connection follows its machine from network to network (docs/mobility.md).

When addresses or routes of the system change, or when no path answers, a client looks where its packets would leave
from now, opens a path from there, and leaves the others when the peer has answered. A server does so when the address
that a client knows it by is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import gevent

from jsp.engine.path import Path
from jsp.engine.states import State
from jsp.engine.traffic import Endpoint as Address
from jsp.net import moving
from jsp.net.interfaces import Watch, addresses
from jsp.net.udp import AF_INET, family_of, outward_host
from jsp.wire.params import unpack_address

if TYPE_CHECKING:
    from jsp.net.connection import Connection
    from jsp.net.endpoint import Endpoint

log = logging.getLogger("jsp")

# Ways that are tried beside the first one.
_OTHERS_MAX = 5


def follow(endpoint: Endpoint, remote: Address, server: bool) -> Watch:
    """Look after the connections of `endpoint` until the watch is stopped. `remote`: where packets go."""
    seen = addresses(loopback=True) if server else {}

    def on_changes() -> None:
        nonlocal seen
        before, seen = seen, addresses(loopback=True)
        # A server has many connections, most of them asleep, and what is new does not concern them.
        if not server or before.keys() - seen.keys():
            for conn in endpoint.connections():
                on_change(conn, seen)

    return Watch(on_changes, remote)


def on_change(conn: Connection, here: Container[str]) -> None:
    """The machine's addresses or routes may be others now. `here`: the addresses, none where the system tells none."""
    if conn._core.lifecycle.state is not State.OPEN:
        return
    core = conn.core
    assert core.mobility is not None
    paths = [path for path in core.paths.values() if not path.closing]
    lost = [path for path in paths if here and _host(conn, path) not in here]
    for path in paths:
        if path in lost:
            core.mobility.on_lost_address(core, path)
        elif path.recovery.pto_count:
            path.space.probes = 1  # perhaps this is what it waited for
    conn.changed()
    if len(lost) < len(paths) and (len(paths) > 1 or conn.pinned or not conn.owns_endpoint):
        # Several paths were wanted, and some are left; or this one was; or the peer still knows where to find us.
        return
    ways = _ways(conn)
    if ways and (lost or _plain(ways[0][0]) != _host(conn, paths[0])):
        _start(conn, *ways[0])


def on_silence(conn: Connection) -> None:
    """Nothing answers: look for the peer from fresh ports, which are new mappings in whatever is between, at all its
    known addresses at once, and from our other networks."""
    if not conn.owns_endpoint or conn._core.lifecycle.state is not State.OPEN:
        return
    ways = _ways(conn)
    if ways:
        # First another address, if there is one: by its present one the peer does not answer.
        conn.tries += 1
        first = conn.tries % len(ways)
        others = ways[:first] + ways[first + 1 :] + ([] if conn.pinned else _detours(ways))
        _start(conn, *ways[first], others[:_OTHERS_MAX])


def prefer(conn: Connection) -> None:
    """Move to the address that the server would rather be reached at, if it has said one and answers there."""
    mobility = conn.core.mobility
    packed = mobility.preferred if mobility is not None else b""
    if packed:
        host, port = unpack_address(packed)
        remote = (host, port) if family_of(host) == AF_INET else (host, port, 0, 0)
        conn.remotes = (*conn.remotes, remote)
        gevent.spawn(_try, conn, remote)


def _try(conn: Connection, remote: Address) -> None:
    try:
        moving.migrate(conn, remote_address=remote)
    except OSError as error:
        log.debug("the connection to %s stays where it is: %s", conn.remote_address, error)


def _host(conn: Connection, path: Path) -> str:
    """The host that packets of `path` leave from."""
    return _plain(str(path.local[0]) if path.local else path.source or str(conn._endpoint.socket.address[0]))


def _plain(host: str) -> str:
    """IPv4 addresses as a socket for both families writes them are none of another family."""
    return host.removeprefix("::ffff:")


def _ways(conn: Connection) -> list[tuple[str, Address]]:
    """Where packets to each known address of the peer would leave from now, its present one first."""
    paths = conn.core.paths.values()
    known = [path.remote for path in paths if not path.reliable and (path.was_validated or not path.id)]
    found: list[tuple[str, Address]] = []
    for remote in dict.fromkeys((*known, *conn.remotes)):
        host = outward_host(family_of(remote[0]), remote)
        # Without a route the answer is no address, or our loopback one, from which only ourselves are reached.
        if _plain(host) not in ("0.0.0.0", "::") and (not _is_loopback(host) or _is_loopback(remote[0])):
            found.append((host, remote))
    return found


def _detours(ways: list[tuple[str, Address]]) -> list[tuple[str, Address]]:
    """The same places from interfaces that no route prefers: the one that is preferred may be the one that is dead."""
    here = addresses()
    used = {(here.get(_plain(host)), family_of(remote[0])) for host, remote in ways}
    places = {family_of(remote[0]): remote for _, remote in reversed(ways)}
    found: list[tuple[str, Address]] = []
    for host, interface in here.items():
        family = family_of(host)
        if family in places and not _is_loopback(places[family][0]) and (interface, family) not in used:
            used.add((interface, family))
            found.append((host, places[family]))
    return found


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def on_paths_available(conn: Connection) -> None:
    """A path can be opened, which was not possible when one was wanted."""
    way, conn.wanted_way = conn.wanted_way, None
    if way is not None:
        _start(conn, *way)


def _start(conn: Connection, host: str, remote: Address, others: Sequence[tuple[str, Address]] = ()) -> None:
    mobility = conn.core.mobility
    try:
        moving.start(conn, host, remote, True, others)
    except OSError as error:
        # Tried again when something changes or stays silent, or when the peer allows it.
        log.debug("the connection to %s stays where it is: %s", conn.remote_address, error)
        if mobility is not None and not mobility.can_open(conn.core, True):
            mobility.wanted = True
            conn.wanted_way = (host, remote)
