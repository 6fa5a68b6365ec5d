"""`jsp forward`: carries TCP ports over a connection, as `ssh -L` does.

    jsp forward serve --target 127.0.0.1:6379        on the machine that reaches the service; prints its address
    jsp forward ADDRESS --tcp-listen 127.0.0.1:6379  on the other one

Each TCP connection accepted at the one end is a stream of the protocol jsp-forward/1, and a TCP connection to the
target at the other. A stream carries the bytes and nothing else: there is no request in it, so the target is the
one that `serve` was told and no client can name another. `jsp.cli.tunnel` has what becomes of ends and resets.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket as gevent_socket
from gevent.event import Event
from gevent.server import StreamServer as TcpServer

import jsp
from jsp.cli.common import (
    CommandError,
    Terminated,
    UsageError,
    add_common_arguments,
    add_connect_arguments,
    add_listen_arguments,
    add_workers_argument,
    connect,
    describe,
    load_identity,
    parse_target,
    place,
    serve,
    server_trust,
)
from jsp.cli.tunnel import UNREACHABLE, carry, reset_tcp
from jsp.net import clock

log = logging.getLogger("jsp.cli")

PROTOCOL = "jsp-forward/1"

# TCP connections at once. Each costs two greenlets, two 64 KiB buffers and a descriptor at either end.
_STREAMS = 1024

# A TCP connection that is not read must not stop the others, so a stream's window is small beside the connection's:
# 64 of them can be stuck with grown windows, and all with the ones they begin with.
_STREAM_WINDOW = 4 << 20
_WINDOW = 64 * _STREAM_WINDOW

# How long the target may take to answer; what waits for it is somebody's connect().
_TARGET_TIMEOUT = 10.0

# Three answers may be lost before a connection counts as dead, 30 s after the last one (Config.idle_timeout).
_KEEP_ALIVE = 10.0

# Between attempts to connect again: none before the first, then doubling. A connection that lasted longer than the
# longest pause was a good one.
_PAUSE_FIRST = 0.25
_PAUSE_LAST = 30.0


def add_parser(commands: Any) -> None:
    """Add both commands to the sub-parsers of `jsp`."""
    text = "Carry TCP connections made to a local port to the target of a `jsp forward serve`, until Ctrl-C."
    client = commands.add_parser(
        "forward",
        help="carry a local TCP port to a `jsp forward serve`",
        description=text,
        epilog="The other end is `jsp forward serve --target HOST:PORT`; `jsp forward serve --help` tells more.",
    )
    add_common_arguments(client, json_help='print {"tcp_listen": "HOST:PORT"} when ready')
    client.add_argument("address", metavar="ADDRESS", help="jsp1...@HOST:PORT as `jsp forward serve` printed it")
    client.add_argument(
        "--tcp-listen",
        metavar="HOST:PORT",
        type=place,
        required=True,
        help="where to accept TCP connections; port 0: any free one; no host: this machine only",
    )
    add_connect_arguments(client)
    client.set_defaults(command=forward)

    text = "Carry what comes over connections to one TCP service that this machine reaches."
    server = commands.add_parser("forward serve", help="the other end: carry it on to a TCP service", description=text)
    add_common_arguments(server, json_help='print {"address": "jsp1...@HOST:PORT"} when ready')
    server.add_argument("--target", metavar="HOST:PORT", type=place, required=True, help="the TCP service")
    add_listen_arguments(server)
    add_workers_argument(server)
    server.set_defaults(command=forward_serve)


def _config(streams: int) -> jsp.Config:
    """For an end that lets the other one open `streams`."""
    return jsp.Config(
        protocols=(PROTOCOL,),
        max_streams=streams,
        receive_window=_WINDOW,
        stream_window_max=_STREAM_WINDOW,
        keep_alive=_KEEP_ALIVE,
    )


# --- the serving end ---------------------------------------------------------------------------------------------


def forward_serve(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    host, port = args.target
    if not host or not port:
        raise UsageError("--target: HOST:PORT, both")

    def handle(stream: jsp.Stream, address: tuple[Any, ...]) -> None:
        try:
            tcp = gevent_socket.create_connection((host, port), _TARGET_TIMEOUT)
        except OSError as error:
            log.warning("cannot reach %s:%d for %s: %s", host, port, address[0], describe(error))
            stream.reset(UNREACHABLE)
            return
        tcp.settimeout(None)
        carry(tcp, stream)

    trust = server_trust(args)
    identity = load_identity(args.identity)
    options = {"identity": identity, "trust": trust, "config": _config(_STREAMS), "workers": args.workers}
    return serve(jsp.StreamServer(args.listen, handle, **options), args)


# --- the connecting end ------------------------------------------------------------------------------------------


def forward(args: argparse.Namespace) -> int:
    """Connect, accept TCP connections, connect again whenever the connection dies; until SIGTERM or Ctrl-C."""
    address = parse_target(args.address, args)
    # The serving end has no reason to open streams here.
    link = Link(lambda: connect(address, args, _config(0)), args.timeout)
    try:
        link.start()
        tcp_server = _listen(args.tcp_listen, link)
        try:
            where = str(jsp.Address(*tcp_server.socket.getsockname()[:2]))
            print(json.dumps({"tcp_listen": where}) if args.json else where, flush=True)
            link.keep()
        finally:
            tcp_server.stop()
    except Terminated:
        pass
    finally:
        link.stop()
    return 0


def _listen(where: tuple[str, int], link: Link) -> TcpServer:
    """A TCP server on `where` whose connections go over `link`; CommandError when the port cannot be had."""

    def handle(tcp: gevent_socket.socket, address: tuple[Any, ...]) -> None:
        try:
            stream = link.open_stream()
        except OSError as error:
            log.warning("a TCP connection from %s was not carried: %s", address[0], describe(error))
            reset_tcp(tcp)
            return
        carry(tcp, stream)

    server = TcpServer(_listener(where[0] or "127.0.0.1", where[1]), handle, spawn=_STREAMS)
    server.start()
    return server


def _listener(host: str, port: int) -> gevent_socket.socket:
    family = gevent_socket.AF_INET6 if ":" in host else gevent_socket.AF_INET
    listener = gevent_socket.socket(family, gevent_socket.SOCK_STREAM)
    try:
        # A port whose last connections linger in TIME_WAIT is free.
        listener.setsockopt(gevent_socket.SOL_SOCKET, gevent_socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CommandError(f"cannot listen on TCP {host}:{port}: {error.strerror}") from None
    return listener


class Link:
    """The connection to the serving end, made anew whenever it dies.

    Args:
        connect: makes a connection or raises.
        patience: seconds a TCP connection waits for the connection to be there again.
    """

    def __init__(self, connect: Callable[[], jsp.Connection], patience: float) -> None:
        self._connect = connect
        self._patience = patience
        self._connection: jsp.Connection | None = None
        self._there = Event()

    def start(self) -> None:
        """Connect for the first time; raises what went wrong."""
        self._connection = self._connect()
        self._there.set()

    def open_stream(self) -> jsp.Stream:
        """A stream, waiting for the connection and for the peer's permission; Timeout when that takes too long."""
        deadline = clock.now() + self._patience
        while self._there.wait(max(0.0, deadline - clock.now())) and self._connection is not None:
            try:
                return self._connection.open_stream(timeout=max(0.0, deadline - clock.now()))
            except jsp.ConnectionClosed:
                # `keep` may not have noticed yet; the next connection will do.
                self._there.clear()
        raise jsp.Timeout(f"there was no connection for {self._patience:g} s")

    def keep(self) -> None:
        """Stay connected, for ever."""
        pause = 0.0
        while self._connection is not None:
            since = clock.now()
            self._connection.wait_closed()
            self._there.clear()
            log.warning("%s; connecting again", describe(self._connection.closed_error()))
            if clock.now() - since > _PAUSE_LAST:
                pause = 0.0
            pause = self._connect_again(pause)

    def _connect_again(self, pause: float) -> float:
        """Try until it works, `pause` seconds before the first time. Returns the pause for the next time."""
        told = ""
        while True:
            # Not all clients of a server that was away should come back at the same moment.
            gevent.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(max(2 * pause, _PAUSE_FIRST), _PAUSE_LAST)
            try:
                self.start()
            except (OSError, jsp.Error) as error:
                text = describe(error)
                if text != told:
                    log.warning("%s; trying again", text)
                told = text
            else:
                log.warning("connected again")
                return pause

    def stop(self) -> None:
        """Close the connection."""
        self._there.clear()
        if self._connection is not None:
            self._connection.close()
