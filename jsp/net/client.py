"""`connect`: resolve, shake hands, or raise with a sentence that says what to do."""

from __future__ import annotations

import socket as stdlib_socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import gevent
from gevent import Greenlet, get_hub
from gevent import socket as gevent_socket

from jsp.config import Config
from jsp.crypto import suites
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import Identity, PeerId
from jsp.crypto.kem import NUMBERS as GROUP_NUMBERS
from jsp.crypto.kem import available
from jsp.errors import ConnectFailed, ConnectTimeout, LocalError
from jsp.net import clock
from jsp.net.connection import Connection
from jsp.net.endpoint import Endpoint
from jsp.net.fallback import Fallback
from jsp.net.judging import judge
from jsp.net.roaming import follow, on_silence, prefer
from jsp.net.trust import Trust
from jsp.net.udp import AF_INET, AF_INET6, UdpSocket, check_port, family_of
from jsp.net.waiting import Signal
from jsp.wire.address import Address, parse_address

AddressLike = str | Address | tuple[str, int]

# Seconds that one address of a name may keep silent before the next is tried too (RFC 8305 section 5).
_NEXT_AFTER_S = 0.25


def as_address(address: AddressLike) -> Address:
    """An `Address` out of what callers write: text or (host, port)."""
    if isinstance(address, Address):
        return address
    if isinstance(address, str):
        return parse_address(address)
    return Address(address[0], check_port(address[1]))


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
    where = f"{target.host}:{target.port}"
    if not check_port(target.port):
        raise LocalError(f"{where}: nobody can listen on port 0")
    if bind is not None:
        bind = (bind[0], check_port(bind[1]))
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
        if timeout <= 0:
            raise ConnectTimeout(f"no time was given to connect to {where}")
        config = replace(config, handshake_timeout=timeout)
    places = _resolve_in_time(target, bind, deadline)
    # One local port serves one attempt at a time.
    together = bind is None or not bind[1]
    remotes = tuple(remote for _, remote in places)
    attempts = []
    for i, (family, remote) in enumerate(places):
        share = 1 if together else len(places) - i
        attempts.append(
            partial(
                _connect_one, family, remote, bind, config, credentials, policy, target.host, deadline, share, remotes
            )
        )
    return _first_of(attempts, together) if len(attempts) > 1 else attempts[0]()


def _first_of(attempts: Sequence[Callable[[], Connection]], together: bool) -> Connection:
    """The first that succeeds. Each begins when one before it has failed or, `together`, kept silent for a while.

    What a peer itself answers is the answer; otherwise, when all have failed, the first failure that was not silence.
    """
    waiting = deque(attempts)
    running: list[Greenlet[..., None]] = []
    over: deque[Connection | Exception] = deque()
    news = Signal()

    def run(attempt: Callable[[], Connection]) -> None:
        try:
            over.append(attempt())
        except Exception as error:
            over.append(error)
        news.notify()

    failures: list[OSError] = []
    try:
        while True:
            if waiting:
                running.append(gevent.spawn(run, waiting.popleft()))
            news.wait(_NEXT_AFTER_S if waiting and together else None)
            while over:
                outcome = over.popleft()
                if isinstance(outcome, Connection):
                    return outcome
                if not isinstance(outcome, OSError) or (isinstance(outcome, ConnectFailed) and outcome.by_peer):
                    raise outcome
                failures.append(outcome)
                if len(failures) == len(attempts):
                    raise max(failures, key=lambda failure: not isinstance(failure, ConnectTimeout))
    finally:
        gevent.killall(running)
        for late in over:
            if isinstance(late, Connection):
                late.abort()


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


def _resolve_in_time(
    target: Address, bind: tuple[str, int] | None, deadline: float
) -> list[tuple[int, tuple[object, ...]]]:
    family = 0
    if bind is not None and bind[0]:
        family = family_of(bind[0])
    places = _numeric(target.host, target.port, family)
    if places:
        return places
    # gevent.Timeout counts from when the loop last looked at the clock.
    get_hub().loop.update_now()
    with gevent.Timeout(deadline - clock.now(), ConnectTimeout(f"{target.host} was not found in time")):
        return _resolve(target.host, target.port, family)


def _numeric(host: str, port: int, family: int) -> list[tuple[int, tuple[object, ...]]]:
    """Where `host` is when it is an address itself, which no other thread has to find out; empty: it is a name."""
    kind = family_of(host)
    if family not in (0, kind):
        return []
    try:
        # A %scope, and what else there is to writing addresses, is the resolver's affair.
        stdlib_socket.inet_pton(kind, host)
    except (OSError, ValueError):
        return []
    return [(kind, (host, port) if kind == AF_INET else (host, port, 0, 0))]


def _resolve(host: str, port: int, family: int) -> list[tuple[int, tuple[object, ...]]]:
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
    host: str,
    deadline: float,
    share: int,
    remotes: tuple[tuple[object, ...], ...],
) -> Connection:
    """Connect to one address, within 1 / `share` of the time that is left."""
    where = f"{host}:{remote[1]}"
    now = clock.now()
    deadline = now + (deadline - now) / share
    socket = UdpSocket(bind or ("", 0), family)
    endpoint = Endpoint(socket, config)
    connection = endpoint.connect(remote, credentials)
    try:
        connection.owns_endpoint = True
        connection.remotes = remotes
        connection.pinned = bind is not None and bool(bind[0])
        fallback = Fallback(connection, remote, host) if config.tcp_fallback is not None else None
        connection.on_presented = lambda c, presented: judge(c, presented, trust, where)
        if not connection.wait_connected(deadline):
            raise ConnectTimeout(f"{where} did not answer in time")
        if connection.closed:
            raise _failure(connection, where)
        if config.migrate:
            endpoint.watch = follow(endpoint, remote, False)
            connection.on_silent = on_silence
            prefer(connection)
        if fallback is not None:
            connection.on_silent = fallback.on_silence
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
