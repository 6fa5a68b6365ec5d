"""A stretch of network between clients and a server on loopback, that loses, delays and records datagrams."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET

import gevent
from gevent import socket
from gevent.event import Event

from jsp.net import clock
from jsp.wire.address import parse_address

_DATAGRAM_MAX = 65536
_BUFFER_BYTES = 4 << 20
# Datagrams forwarded before other greenlets have their turn.
_BATCH = 64

_Send = Callable[[bytes], object]


class WireProxy:
    """Forwards datagrams between any number of clients and one server; leaving the `with` block ends it.

    Args:
        url: the server's address, as it prints it.
        loss: share of the datagrams that are dropped, each way.
        delay: seconds each datagram takes, each way.
        seed: of the choice of those that are dropped.
        record: keep what is forwarded.

    Attributes:
        port, url: what clients connect to instead: the same address with the proxy's port.
        to_server, to_clients: the datagrams that came in, in order, the dropped ones too.
        forwarded, dropped: how many.
        loss: as given; may be changed.
    """

    def __init__(self, url: str, *, loss: float = 0.0, delay: float = 0.0, seed: int = 0, record: bool = False) -> None:
        address = parse_address(url)
        self._target = (address.host, address.port)
        self.loss = loss
        self._delay = delay
        self._chance = random.Random(seed)
        self._record = record
        self._front = _udp_socket()
        self._front.bind(("127.0.0.1", 0))
        self.port: int = self._front.getsockname()[1]
        self.url = str(replace(address, host="127.0.0.1", port=self.port))
        self.to_server: list[bytes] = []
        self.to_clients: list[bytes] = []
        self.forwarded = 0
        self.dropped = 0
        # By the client's address: the socket that is this client for the server.
        self._backs: dict[tuple[str, int], socket.socket] = {}
        self._forgotten: list[socket.socket] = []
        # (when it is due, how to send it, datagram); all take the same time, so they stay in order.
        self._under_way: deque[tuple[float, _Send, bytes]] = deque()
        self._more = Event()
        self._greenlets = [gevent.spawn(self._from_clients), gevent.spawn(self._deliver)]

    def __enter__(self) -> WireProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        # What was sent before still arrives, such as the word that a connection is over.
        gevent.sleep(0.001)
        while self._under_way:
            gevent.sleep(0.001)
        gevent.killall(self._greenlets)
        for each in (self._front, *self._backs.values(), *self._forgotten):
            each.close()

    def rebind(self) -> None:
        """Give all clients other ports from now on, as a NAT does that forgot them."""
        self._forgotten += self._backs.values()
        self._backs.clear()

    def carried(self, text: bytes) -> bool:
        """Whether any datagram so far had `text` in it."""
        return any(text in datagram for datagram in self.to_server + self.to_clients)

    # --- greenlets -----------------------------------------------------------------------------------------

    def _from_clients(self) -> None:
        count = 0
        while True:
            datagram, client = self._front.recvfrom(_DATAGRAM_MAX)
            back = self._backs.get(client)
            if back is None:
                back = self._backs[client] = _udp_socket()
                back.connect(self._target)
                self._greenlets.append(gevent.spawn(self._from_server, back, client))
            if self._record:
                self.to_server.append(datagram)
            self._forward(back.send, datagram)
            count += 1
            if not count % _BATCH:
                gevent.sleep(0)

    def _from_server(self, back: socket.socket, client: tuple[str, int]) -> None:
        def send(datagram: bytes) -> None:
            self._front.sendto(datagram, client)

        count = 0
        while True:
            try:
                datagram = back.recv(_DATAGRAM_MAX)
            except ConnectionRefusedError:
                # The server is gone; another one may come.
                continue
            if self._record:
                self.to_clients.append(datagram)
            self._forward(send, datagram)
            count += 1
            if not count % _BATCH:
                gevent.sleep(0)

    def _forward(self, send: _Send, datagram: bytes) -> None:
        if self.loss and self._chance.random() < self.loss:
            self.dropped += 1
        elif self._delay:
            self._under_way.append((clock.now() + self._delay, send, datagram))
            self._more.set()
        else:
            self._deliver_one(send, datagram)

    def _deliver(self) -> None:
        while True:
            while self._under_way:
                due, send, datagram = self._under_way[0]
                early = due - clock.now()
                if early > 0:
                    gevent.sleep(early)
                self._under_way.popleft()
                self._deliver_one(send, datagram)
            self._more.clear()
            self._more.wait()

    def _deliver_one(self, send: _Send, datagram: bytes) -> None:
        self.forwarded += 1
        try:
            send(datagram)
        except ConnectionRefusedError:
            # Nobody listens there (any more): the network does not care.
            pass


def _udp_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(SOL_SOCKET, SO_RCVBUF, _BUFFER_BYTES)
    made.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER_BYTES)
    return made
