"""Paths by hand: `Connection.add_path`, `migrate` and `remove_path` (docs/mobility.md)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jsp.net.clock as clock
from jsp.engine.path import Path
from jsp.engine.traffic import Endpoint as Address
from jsp.errors import Code, LocalError, PathFailed
from jsp.net.interfaces import index_for
from jsp.net.report import PathInfo, path_info
from jsp.net.udp import AF_INET6, UdpSocket, check_port, family_of, outward_host

if TYPE_CHECKING:
    from jsp.net.connection import Connection

LocalAddress = str | tuple[str, int]


def add_path(
    self: Connection,
    local_address: LocalAddress | None = None,
    remote_address: tuple[Any, ...] | None = None,
    backup: bool = False,
    weight: float = 1.0,
    timeout: float = 10.0,
) -> PathInfo:
    """Open a further path and use it beside the others, as `Config.path_scheduler` says.

    Args:
        local_address: the host, or (host, port), that packets leave from; None: the one that the system would take.
        remote_address: where the peer is reached, as the socket module writes it; None: where it is now, or another
            address of its name if that is of another family than `local_address`.
        backup: use it, and let the peer use it, only when no other one answers.
        weight: with the "weighted" scheduler, its share beside the others'.
        timeout: seconds for the peer to answer there.

    Raises PathFailed when it does not, or keeps no more paths; the connection goes on as before. ConnectionClosed.
    """
    if weight <= 0:
        raise LocalError("weight: above 0")
    path = _open(self, local_address, remote_address, False, timeout)
    path.weight = weight
    if backup:
        assert self.core.mobility is not None
        self.core.mobility.set_status(self.core, path, True)
        self.changed()
    return path_info(path, self.local_address)


def migrate(
    self: Connection,
    local_address: LocalAddress | None = None,
    remote_address: tuple[Any, ...] | None = None,
    timeout: float = 10.0,
) -> PathInfo:
    """Move the connection to another path: open one, and when the peer answers there leave all others.

    Clients do so by themselves when the system's addresses or routes change (`Config.migrate`); from a `local_address`
    that was given here only when it is gone. Args and errors are those of `add_path`.
    """
    path = _open(self, local_address, remote_address, True, timeout)
    self.pinned = local_address is not None
    return path_info(path, self.local_address)


def remove_path(self: Connection, path_id: int) -> None:
    """Abandon a path (`PathInfo.id`); LocalError when it is not there, or the only one that answers."""
    self._check_usable()
    core = self.core
    path = core.paths.get(path_id)
    if path is None or core.mobility is None or path.closing:
        raise LocalError(f"there is no path {path_id}")
    if not core.mobility.can_leave(core, path):
        raise LocalError("the only path that answers cannot be removed: close the connection, or migrate")
    core.mobility.abandon(core, path, Code.NO_ERROR, clock.now())
    self.changed()


def _open(
    conn: Connection, local: LocalAddress | None, remote: tuple[Any, ...] | None, replaces: bool, timeout: float
) -> Path:
    """Open a path and wait until it is validated."""
    conn._check_usable()
    deadline = clock.now() + timeout
    _wait_for_ids(conn, replaces, deadline)
    path = start(conn, local, remote, replaces)
    while not path.validated:
        if conn.core.paths.get(path.id) is not path or path.closing:
            raise PathFailed(f"nobody answers at {path.remote[0]} from {_host(path)}")
        left = deadline - clock.now()
        if left <= 0:
            _give_up(conn, path)
            raise PathFailed(f"nobody answered at {path.remote[0]} from {_host(path)} within {timeout:g} s")
        conn._moved.wait(left)
        conn._check_open()
    return path


def _host(path: Path) -> str:
    return str(path.local[0]) if path.local else "anywhere"


def _wait_for_ids(conn: Connection, replaces: bool, deadline: float) -> None:
    """Until the peer has said by what a further path is reached, as it does when the handshake is over."""
    while True:
        core = conn.core
        mobility = core.mobility
        if mobility is not None:
            if mobility.limit == 1:
                raise PathFailed("one of the two ends keeps a single path (Config.max_paths)")
            if mobility.can_open(core, replaces):
                return
            if mobility.is_full(core, replaces):
                raise PathFailed("there are as many paths as both ends keep (Config.max_paths)")
            mobility.wanted = True
        left = deadline - clock.now()
        if left <= 0:
            raise PathFailed("the peer has not said by what another path is reached")
        conn._moved.wait(left)
        conn._check_open()


def start(
    conn: Connection,
    local: LocalAddress | None,
    remote: tuple[Any, ...] | None,
    replaces: bool,
    others: Sequence[tuple[str, Address]] = (),
) -> Path:
    """Begin to open a path; what comes of it is told later. `others`: from where, and where else, to look for the
    peer."""
    if local is None:
        remote = remote or _remote_for(conn, None)
        local = outward_host(family_of(remote[0]), remote)
    host, port = (local, 0) if isinstance(local, str) else (local[0], check_port(local[1]))
    remote = remote or _remote_for(conn, host)
    path = begin(conn, remote, _bind(conn, host, port, remote), replaces)
    if path is None:
        raise PathFailed("no path can be opened now")
    for host, remote in others:
        with suppress(OSError):  # of a network that is gone again
            path.ask_at(remote, _bind(conn, host, 0, remote), conn.core.entropy(8))
    return path


def begin(conn: Connection, remote: Address, local: Address | None, replaces: bool) -> Path | None:
    """Open a path between these addresses, of which ours is served; None when there may be none now."""
    core = conn.core
    mobility = core.mobility
    path = mobility.open(core, remote, local, replaces, clock.now()) if mobility is not None else None
    # Of a path that begins anew, or of none at all.
    keep_sockets(conn)
    conn.changed()
    return path


def keep_sockets(conn: Connection) -> None:
    """Close the sockets of a client that no path uses, and by which it is not looked for."""
    if conn.owns_endpoint:
        paths = conn._core.paths.values()
        asked = {challenge.local for path in paths for challenge in path.challenges}
        conn._endpoint.keep_sockets(asked | {path.local for path in paths})


def _remote_for(conn: Connection, host: str | None) -> Address:
    """Where the peer is for packets from `host`: where it is now, or else its first address of that family."""
    for remote in udp_remotes(conn):
        if host is None or family_of(remote[0]) == family_of(host):
            return remote
    if host is None:
        raise PathFailed("the peer is reached over TCP, and only it knows where over UDP")
    kind = "IPv6" if family_of(host) == AF_INET6 else "IPv4"
    raise PathFailed(f"no {kind} address of the peer is known, to be reached from {host}")


def udp_remotes(conn: Connection) -> list[Address]:
    """Where the peer may be reached over UDP, its present address first."""
    path = conn.core.path
    remotes = conn.remotes if path.reliable else (path.remote, *conn.remotes)
    return list(dict.fromkeys(remotes))


def _bind(conn: Connection, host: str, port: int, remote: Address) -> Address:
    """A socket at `host` for one more path: its own for a client, the one that all have for a server."""
    endpoint = conn._endpoint
    if not conn.owns_endpoint:
        if not endpoint.socket.is_anywhere():
            raise PathFailed("the server listens on one address only")
        return (host, *endpoint.socket.address[1:])
    index = index_for(host, remote)
    socket = UdpSocket((host, port), family_of(host))
    socket.leave_by(index)
    endpoint.add_socket(socket)
    return socket.address


def _give_up(conn: Connection, path: Path) -> None:
    core = conn.core
    if core.mobility is not None and not core.is_closed():
        core.mobility.on_failed(core, path, clock.now())
        conn.dispatch()
        conn.changed()
