"""Servers: a UDP port, a handler, and gevent's words for their life (`start`, `stop`, `serve_forever`)."""

from __future__ import annotations

import logging
import socket as stdlib_socket
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import get_hub
from gevent import socket as gevent_socket
from gevent.pool import Pool

from jsp.config import Config
from jsp.crypto import suites
from jsp.crypto.credentials import Credentials, Presented
from jsp.crypto.identity import Identity
from jsp.crypto.provider import chosen
from jsp.engine.endpoint import derive_reset_secret
from jsp.errors import Code, LocalError, WrongHub
from jsp.net import clock
from jsp.net.carriers import Carriers, listening_socket
from jsp.net.client import groups_of
from jsp.net.connection import Connection
from jsp.net.endpoint import Endpoint
from jsp.net.handler import Handler, HandlerRunner
from jsp.net.interrupts import orderly_interrupts
from jsp.net.judging import judge
from jsp.net.roaming import follow
from jsp.net.spawning import Spawner
from jsp.net.steering import bind_all
from jsp.net.stream import Stream
from jsp.net.trust import Trust
from jsp.net.udp import AF_INET, AF_INET6, UdpSocket, check_port, family_of, reachable_host
from jsp.net.waiting import Signal
from jsp.net.workers import Berth, Crew, check_loop, check_workers, share_of
from jsp.wire.address import Address

log = logging.getLogger("jsp")

# Where a server looks for its own outward address, on systems that do not tell of changes: nobody is there (RFC 5737).
_ANYWHERE = ("192.0.2.1", 9)

Handle = type[Handler] | Callable[[Connection], Any]
Listener = tuple[str, int | str] | int | str | stdlib_socket.socket | gevent_socket.socket


class Server:
    """Serves connections on one UDP port.

    `handle` is a `jsp.Handler` class (one instance a connection) or a callable `handle(conn)` that has a greenlet
    for the connection's whole life; the connection is closed when it returns.

    Args:
        listener: (host, port), port, or "host:port"; host "" listens on all IPv4 addresses, "::" on all of both
            families; port 0 takes any free one. Or a UDP socket that is bound: `stop` closes it.
        handle: see above.
        identity: the server's key pair; without one a fresh one is made at each start, and said in the log.
        trust: which clients are welcome; None: any, and `conn.peer` tells who it is.
        config: see `jsp.Config`.
        spawn: "default" or None (no bound), the most greenlets to run at once, or a `gevent.pool.Pool`. When all are
            busy new connections are refused (BUSY).
        workers: processes that serve the port together. 1: this one does. More: as many are forked at `start`, and
            each has its own copy of all objects, and its own `spawn`. `max_connections`, `memory_limit` and
            `rate_limit` of `config` are divided among them.

    Attributes:
        address: (host, port) as bound; of the port asked for before `start`.
        started: whether it serves.
    """

    stop_timeout = 1.0

    def __init__(
        self,
        listener: Listener,
        handle: Handle,
        *,
        identity: Identity | None = None,
        trust: Trust | None = None,
        config: Config | None = None,
        spawn: str | int | Pool | None = "default",
        workers: int = 1,
    ) -> None:
        self._processes = check_workers(workers)
        self._bound = _bound_socket(listener)
        self._listener = _parse_listener(listener if self._bound is None else self._bound.getsockname())
        self._handle = handle
        self._identity = identity
        self._trust = trust
        self.config = config or Config()
        self._spawner = Spawner(_make_pool(spawn))
        self._endpoint: Endpoint | None = None
        self._crew: Crew | None = None
        self._tcp: Any = None
        self._lost = False
        self._stopped = Signal()
        self._stopping = False
        self.address: tuple[Any, ...] = self._listener

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} {'started' if self.started else 'stopped'}>"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # --- life ----------------------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        return self._endpoint is not None or self._crew is not None

    @property
    def closed(self) -> bool:
        return not self.started

    @property
    def server_host(self) -> str:
        """The host of `address`."""
        return str(self.address[0])

    @property
    def server_port(self) -> int:
        """The port of `address`."""
        return int(self.address[1])

    def full(self) -> bool:
        """Whether new connections are refused because the pool has no room."""
        return self._spawner.full()

    @property
    def identity(self) -> Identity:
        """The server's identity; a fresh one is made on first use when none was given."""
        if self._identity is None:
            self._identity = Identity.generate()
            log.warning(
                "no identity given: clients that pin %s must learn a new one after a restart", self._identity.peer_id
            )
        return self._identity

    @property
    def url(self) -> str:
        """The address to give to clients: "jsp1...@host:port", with the access key when the trust has one."""
        host = reachable_host(self.address[0])
        key = self._trust.key if self._trust is not None else None
        return str(Address(host, self.address[1], self.identity.peer_id.digest, key))

    def start(self) -> None:
        """Bind the port and serve in the background. OSError when the port cannot be had; harmless when started.

        With `workers`, processes are forked now, and begin with what this one is now. OSError when they cannot be,
        LocalError under gevent's libuv loop.
        """
        if self.started:
            return
        self._lost = False
        # Before any process is forked: a fresh one would be another one in each.
        identity = self.identity
        chosen()  # it is tried before it is used, for which the first client should not wait
        host, port = self._listener
        family = family_of(host)
        if self._processes > 1:
            check_loop()
            sockets = bind_all((host, port), family, self._processes, self._bound)
            self._listen_tcp(sockets)
            self._crew = Crew(sockets, self._work, self.stop_timeout, self._on_crew_lost)
            self.address = self._crew.address
        else:
            socket = UdpSocket((host, port), family, self._bound)
            self._listen_tcp([socket])
            self._serve_on(socket, identity)

    def _listen_tcp(self, sockets: list[UdpSocket]) -> None:
        """Take TCP connections, too, if that is wanted; in one place for all workers."""
        if self.config.tcp_fallback is None:
            return
        host, port = sockets[0].address[:2]
        try:
            self._tcp = listening_socket(host, self.config.tcp_port or port)
        except OSError:
            for socket in sockets:
                socket.close()
            raise

    def _serve_on(self, socket: UdpSocket, identity: Identity) -> Endpoint:
        trust = self._trust
        credentials = Credentials(
            identity=identity,
            suites=suites.preferred(self.config.ciphers),
            groups=groups_of(self.config),
            protocols=self.config.protocols,
            access_key=trust.key if trust is not None else None,
            identity_required=trust is not None and trust.needs_identity,
        )
        reset_secret = identity.derive(partial(derive_reset_secret, address=socket.address))
        endpoint = Endpoint(socket, self.config, credentials, reset_secret)
        endpoint.accept = self._on_accepted
        # Asked when somebody comes: the pool may be shared, and nobody tells when there is room again.
        endpoint.core.full = self._spawner.full
        self._endpoint = endpoint
        self.address = socket.address
        preferred = self.config.preferred_address
        if preferred is not None and preferred != socket.address[:2]:
            endpoint.add_socket(UdpSocket(preferred, family_of(preferred[0])))
        if self._tcp is not None:
            endpoint.carriers = Carriers(endpoint)
            endpoint.carriers.listen(self._tcp, self.config.tcp_fallback == "tls")
        if self.config.migrate:
            endpoint.watch = follow(endpoint, _ANYWHERE, True)
        return endpoint

    def _work(self, berth: Berth) -> None:
        """In a worker's process: serve until told to stop."""
        self._stopped = Signal()
        self.config = share_of(self.config, self._processes)
        endpoint = self._serve_on(berth.socket, self.identity)
        berth.serve(endpoint, self._stopped, self.stop, self.stop_timeout)

    def _on_crew_lost(self) -> None:
        log.error("the supervisor of the server's workers ended unexpectedly; the server has stopped")
        self._lost = True
        self._release()

    def serve_forever(self, stop_timeout: float | None = None) -> None:
        """Start, and serve until `stop` is called (or Ctrl-C); then stop in good order.

        ChildProcessError when workers serve and the process that keeps them is killed.
        """
        self.start()
        try:
            with orderly_interrupts():
                while self.started:
                    self._stopped.wait()
            if self._lost:
                raise ChildProcessError("the supervisor of the server's workers ended unexpectedly")
        finally:
            self.stop(stop_timeout)

    def stop(self, timeout: float | None = None) -> None:
        """Take no new connections, close the open ones, give handlers `timeout` seconds to end, then kill them.

        `finish` methods then get a second more. Harmless when stopped. Nothing of the server is left afterwards: no
        greenlet but one that does not end when it is killed, no socket.
        """
        serving = self._crew or self._endpoint
        if self._stopping:
            return
        if serving is not None and serving.closed:
            # A forked child's copy; the server is its parent's.
            self._crew = self._endpoint = None
            return
        if serving is not None and serving.hub is not get_hub():
            raise WrongHub("this server belongs to another thread; stop it there")
        self._stopping = True
        deadline = clock.now() + (self.stop_timeout if timeout is None else timeout)
        try:
            if self._crew is not None:
                self._crew.stop(max(0.0, deadline - clock.now()))
            if self._endpoint is not None:
                self._close_connections(self._endpoint, deadline)
            # After a stop that was interrupted there may be handlers, and nothing else.
            self._spawner.stop(max(0.0, deadline - clock.now()))
        finally:
            self._stopping = False
            self._release()

    def _release(self) -> None:
        """Let go of the port, and say that the server has stopped."""
        if self._bound is not None:
            self._bound.close()
            self._bound = None
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
        serving = self._crew or self._endpoint
        if serving is not None:
            serving.close()
            self._crew = self._endpoint = None
            self._stopped.notify()

    def _close_connections(self, endpoint: Endpoint, deadline: float) -> None:
        endpoint.core.accepting = False
        for connection in endpoint.connections():
            if not connection.closed:
                connection.core.close(clock.now(), int(Code.NO_ERROR), "the server stops")
                endpoint.flush(connection.core)
        for connection in endpoint.connections():
            connection.wait_closed(max(0.0, deadline - clock.now()))
        for connection in endpoint.connections():
            connection.abort(int(Code.NO_ERROR), "the server stops")

    close = stop

    def connections(self) -> list[Connection]:
        """The open connections; those of this worker only, and none where there are workers."""
        return self._endpoint.connections() if self._endpoint is not None else []

    # --- connections ---------------------------------------------------------------------------------------

    def _on_accepted(self, connection: Connection) -> None:
        connection.on_presented = self._on_presented
        connection.on_connected = self.serve

    def _on_presented(self, connection: Connection, presented: Presented) -> None:
        if self._trust is None:
            connection.accept_peer()
        else:
            host, port = connection.remote_address[:2]
            judge(connection, presented, self._trust, f"{host}:{port}")

    def serve(self, connection: Connection) -> None:
        """Run the handler on a new connection."""
        if isinstance(self._handle, type) and issubclass(self._handle, Handler):
            HandlerRunner(self._handle, self._spawner).start(connection)
        else:
            self._spawner.spawn(self._run, connection)

    def _run(self, connection: Connection) -> None:
        try:
            self._handle(connection)
        except Exception:
            if connection.closed:
                log.info("handler ended with its connection")
            else:
                log.exception("handler failed (peer %s)", connection.remote_address[0])
            connection.abort(int(Code.INTERNAL), "")
        except BaseException:
            connection.abort(int(Code.NO_ERROR), "")
            raise
        else:
            connection.close()


class StreamServer(Server):
    """Like `gevent.server.StreamServer`: `handle(stream, address)` for every stream that a client opens.

    The stream is closed when `handle` returns. Clients `open_stream` on their connection, or many of them.
    """

    def __init__(
        self,
        listener: Listener,
        handle: Callable[[Stream, tuple[Any, ...]], Any] | None = None,
        backlog: int | None = None,
        spawn: str | int | Pool | None = "default",
        **options: Any,
    ) -> None:
        """As gevent's. `backlog` has no meaning for UDP; `options` are those of `Server`."""
        if handle is None:
            handle = self.handle
        function = handle

        class PerStream(Handler):
            def handle_stream(self, stream: Stream) -> None:
                function(stream, self.conn.remote_address)

        super().__init__(listener, PerStream, spawn=spawn, **options)

    def handle(self, stream: Stream, address: tuple[Any, ...]) -> None:
        """Override this, or pass a function to the constructor."""
        raise NotImplementedError("StreamServer needs a handle(stream, address)")


def _make_pool(spawn: str | int | Pool | None) -> Pool | None:
    if spawn is None or spawn == "default":
        return None
    if isinstance(spawn, Pool):
        return spawn
    if isinstance(spawn, int) and spawn > 0:
        return Pool(spawn)
    raise LocalError("spawn: 'default', a number of greenlets above 0, or a gevent Pool")


def _bound_socket(listener: Any) -> Any:
    """`listener` if it is a socket to serve on, None if it is none."""
    if not hasattr(listener, "getsockname"):
        return None
    if listener.family not in (AF_INET, AF_INET6) or listener.type != stdlib_socket.SOCK_DGRAM:
        raise LocalError(f"cannot listen on {listener!r}: it is not a UDP socket")
    if not listener.getsockname()[1]:
        raise LocalError(f"cannot listen on {listener!r}: bind it first")
    return listener


def _parse_listener(listener: Any) -> tuple[str, int]:
    if isinstance(listener, int):
        return "", check_port(listener)
    if isinstance(listener, str):
        name, _, number = listener.rpartition(":")
        if not number.isdigit():
            raise LocalError(f"cannot listen on {listener!r}: write HOST:PORT")
        return name.strip("[]"), check_port(number)
    return listener[0] or "", check_port(listener[1])
