"""Many connections over few sockets: `python -m benchmarks.load.client ADDRESS COUNT`, and commands on stdin.

`jsp.connect` has a socket for each connection; here a thousand share one, so that file descriptors are not the limit.
Prints a line of JSON when all are connected, and one for each command `LIVE SECONDS WARM_UP`; ends with its input.
"""

from __future__ import annotations

import gc
import json
import os
import struct
import sys
import time
from typing import Any

import gevent
from gevent.pool import Pool

import jsp
from benchmarks.process import SERVER_CORE
from jsp.crypto import suites
from jsp.crypto.credentials import Credentials
from jsp.net.client import as_address
from jsp.net.connection import Connection
from jsp.net.endpoint import Endpoint
from jsp.net.udp import AF_INET, UdpSocket

PER_SOCKET = 1000
# Handshakes at a time: enough to keep both sides busy, and few enough for the server to take from one address.
_AT_ONCE = 32
_HANDSHAKE_TIMEOUT = 60.0
_TICK = 0.01
# Seconds that the last answers may take at most.
_LATE = 5.0
_STAMP = struct.Struct("!d")
_PADDING = bytes(64 - _STAMP.size)


class Crowd:
    """`count` connections to the server at `address`."""

    def __init__(self, address: str, count: int) -> None:
        where = as_address(address)
        remote = (where.host, where.port)
        config = jsp.Config(idle_timeout=None, handshake_timeout=_HANDSHAKE_TIMEOUT, max_datagram_size=1452)
        credentials = Credentials(suites=suites.preferred("auto"))
        sockets = range(-(-count // PER_SOCKET))
        self._endpoints = [Endpoint(UdpSocket(("127.0.0.1", 0), AF_INET), config) for _ in sockets]

        def connect(i: int) -> Connection:
            connection = self._endpoints[i // PER_SOCKET].connect(remote, credentials)
            connection.wait_connected(None)
            if connection.closed:
                raise connection.closed_error()
            return connection

        self.connections: list[Connection] = Pool(_AT_ONCE).map(connect, range(count))
        self._times: list[float] = []
        self._begin = 0.0

    def exchange(self, live: int, seconds: float, warm_up: float) -> dict[str, Any]:
        """Let the first `live` send a message a second, and their times; those of the first `warm_up` do not count."""
        talking = self.connections[:live]
        for connection in talking:
            connection.on_messages = self._on_messages
        self._times.clear()
        start = time.perf_counter()
        self._begin = start + warm_up
        sent = counted = 0
        while (elapsed := time.perf_counter() - start) < warm_up + seconds:
            # Each has its moment in the second, so that they do not all talk at once.
            while live and sent < elapsed * live:
                now = time.perf_counter()
                talking[sent % live].send(_STAMP.pack(now) + _PADDING)
                sent += 1
                counted += now >= self._begin
            gevent.sleep(_TICK)
        deadline = time.perf_counter() + _LATE
        while len(self._times) < counted and time.perf_counter() < deadline:
            gevent.sleep(_TICK)
        return {"sent": counted, "ms": [round(t * 1e3, 3) for t in self._times]}

    def _on_messages(self, connection: Connection) -> None:
        now = time.perf_counter()
        while (message := connection.take_message()) is not None:
            (sent,) = _STAMP.unpack_from(message.data)
            if sent >= self._begin:
                self._times.append(now - sent)


def _keep_off_server() -> None:
    cores = sorted(os.sched_getaffinity(0))
    others = set(cores) - {cores[SERVER_CORE % len(cores)]}
    if others:
        os.sched_setaffinity(0, others)


def _read_line() -> str:
    """The next command; connections live on meanwhile."""
    return str(gevent.get_hub().threadpool.apply(sys.stdin.readline))


def main() -> None:
    _keep_off_server()
    begin = time.perf_counter()
    crowd = Crowd(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"connected": len(crowd.connections), "seconds": time.perf_counter() - begin}), flush=True)
    # What the collector would do to the clients is not what is measured.
    gc.freeze()
    for line in iter(_read_line, ""):
        live, seconds, warm_up = line.split()
        print(json.dumps(crowd.exchange(int(live), float(seconds), float(warm_up))), flush=True)
    # No farewell to the server, which is about to be killed.
    os._exit(0)


if __name__ == "__main__":
    main()
