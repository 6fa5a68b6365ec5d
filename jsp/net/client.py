"""`connect`: resolve, shake hands, or raise with a sentence that says what to do."""

from __future__ import annotations

import socket as stdlib_socket
from dataclasses import replace

from gevent import socket as gevent_socket

from jsp.config import Config
from jsp.crypto import suites
from jsp.crypto.handshake import Credentials
from jsp.crypto.identity import Identity, PeerId
from jsp.crypto.kem import NUMBERS as GROUP_NUMBERS
from jsp.crypto.kem import available
from jsp.errors import ConnectFailed, ConnectTimeout, LocalError
from jsp.net import clock
from jsp.net.connection import Connection
from jsp.net.endpoint import Endpoint
from jsp.net.judging import judge
from jsp.net.trust import Trust
from jsp.net.udp import AF_INET, AF_INET6, UdpSocket
from jsp.wire.address import Address, parse_address

AddressLike = str | Address | tuple[str, int]


def as_address(address: AddressLike) -> Address:
    """An `Address` out of what callers write: text or (host, port)."""
    if isinstance(address, Address):
        return address
    if isinstance(address, str):
        return parse_address(address)
    host, port = address[0], address[1]
    return Address(host, port)


def groups_of(config: Config) -> tuple[int, ...]:
    """Key exchange groups of `config` that this machine can do."""
    groups = tuple(GROUP_NUMBERS[name] for name in config.groups)
    usable = tuple(g for g in groups if available(g))
    if not usable:
        raise LocalError(f"none of Config.groups {config.groups} is available here (512 needs the extra jsp[oqs])")
    return usable


def connect(
    address: AddressLike,
    *,
    identity: Identity | None = None,
    trust: Trust | None = None,
    config: Config | None = None,
    timeout: float | None = None,
    bind: tuple[str, int] | None = None,
) -> Connection:
    """Connect to the peer at `address` and return the open connection.

    Args:
        address: "jsp1...@host:port" (pins the peer by itself), or "host:port" or (host, port) with a `trust`.
        identity: who we are; None: nobody in particular.
        trust: which server identities are accepted; not needed when the address carries one.
        config: see `jsp.Config`.
        timeout: seconds for all of it; `Config.handshake_timeout` when None.
        bind: local (host, port) to use; any when None.

    Raises:
        LocalError: the address says neither who the peer is nor was a trust given.
        ConnectFailed and its subclasses ConnectTimeout, ConnectRefused, AccessDenied, UnknownPeer: what went wrong.
        OSError: the name does not resolve, or the local address cannot be used.
    """
    target = as_address(address)
    config = config or Config()
    policy = _policy(target, trust)
    deadline = clock.now() + (config.handshake_timeout if timeout is None else timeout)
    credentials = Credentials(
        identity=identity,
        suites=suites.preferred(config.ciphers),
        groups=groups_of(config),
        protocols=config.protocols,
        access_key=target.access_key,
    )
    if timeout is not None:
        config = replace(config, handshake_timeout=timeout)
    where = f"{target.host}:{target.port}"
    failure: Exception | None = None
    for family, remote in _resolve(target.host, target.port, bind):
        left = deadline - clock.now()
        if left <= 0:
            break
        try:
            return _connect_one(family, remote, bind, config, credentials, policy, where, deadline)
        except ConnectTimeout as error:
            failure = error
        except ConnectFailed as error:
            if error.by_peer or error.code:
                failure = error
                if error.by_peer:
                    break
        except OSError as error:
            failure = error
    if failure is None:
        failure = ConnectTimeout(f"no time left to connect to {where}")
    raise failure


def _policy(target: Address, trust: Trust | None) -> Trust:
    if target.peer_id is not None:
        # What the address pins holds besides any policy: both must agree.
        pinned = Trust.pinned(PeerId(target.peer_id))
        return pinned if trust is None else _both(pinned, trust)
    if trust is None:
        raise LocalError(
            f"who may answer at {target.host}:{target.port}? Use the address the server printed (jsp1...@host:port), "
            "or pass trust=: Trust.pinned(peer_id), Trust.known_peers(file) or Trust.anyone()"
        )
    if trust.key is not None:
        raise LocalError("an access key is what a client proves: put it into the address (jsp1...:KEY@host:port)")
    return trust


def _both(first: Trust, second: Trust) -> Trust:
    def judge_both(presented: object, where: str) -> None:
        first.judge(presented, where)  # type: ignore[arg-type]  # both take what the handshake presents
        second.judge(presented, where)  # type: ignore[arg-type]

    return Trust(f"{first.name} and {second.name}", judge_both, slow=first.slow or second.slow)


def _resolve(host: str, port: int, bind: tuple[str, int] | None) -> list[tuple[int, tuple[object, ...]]]:
    family = 0
    if bind is not None and bind[0]:
        family = AF_INET6 if ":" in bind[0] else AF_INET
    try:
        infos = gevent_socket.getaddrinfo(host, port, family, stdlib_socket.SOCK_DGRAM)
    except stdlib_socket.gaierror as error:
        raise OSError(error.errno, f"cannot find {host}: {error.strerror}") from None
    seen: dict[tuple[int, tuple[object, ...]], None] = {}
    for found, _, _, _, remote in infos:
        if found in (AF_INET, AF_INET6):
            seen[int(found), tuple(remote)] = None
    if not seen:
        raise OSError(f"{host} has no IP address")
    return list(seen)


def _connect_one(
    family: int,
    remote: tuple[object, ...],
    bind: tuple[str, int] | None,
    config: Config,
    credentials: Credentials,
    trust: Trust,
    where: str,
    deadline: float,
) -> Connection:
    socket = UdpSocket(bind or ("", 0), family)
    socket.report_refusals()
    endpoint = Endpoint(socket, config)
    connection = endpoint.connect(remote, credentials)
    try:
        connection.owns_endpoint = True
        connection.on_presented = lambda c, presented: judge(c, presented, trust, where)
        if not connection.wait_connected(deadline):
            raise ConnectTimeout(f"{where} did not answer in time")
        if connection.closed:
            raise _failure(connection, where)
    except BaseException:
        # Whoever is there should not have to wait for us until its own timeout.
        connection.abort()
        endpoint.close()
        raise
    return connection


def _failure(connection: Connection, where: str) -> Exception:
    error = connection.closed_error()
    kind = type(error) if isinstance(error, ConnectFailed) else ConnectFailed
    return kind(f"cannot connect to {where}: {error}", error.code, error.reason, error.by_peer, error.application)
