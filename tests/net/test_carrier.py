"""One TCP connection with datagrams in it, over real sockets: what its socket does not take, what comes as garbage."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from jsp.config import Config
from jsp.engine.traffic import Transmit
from jsp.net.carrier import Carrier, connecting_socket
from jsp.net.carriers import Carriers, listening_socket
from jsp.net.endpoint import Endpoint
from jsp.net.framing import frame
from jsp.net.udp import AF_INET, UdpSocket
from jsp.wire.buffer import PacketBuffer
from tests.net.support import until

DATAGRAM = b"\x80" * 1000


class Sink:
    """In the place of an endpoint: keeps what comes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.hub = endpoint.hub
        self.core = endpoint.core
        self.got: list[bytes] = []
        self._slots = PacketBuffer()

    def take_from(self, carrier: Carrier) -> None:
        while (received := carrier.receive(self._slots)) is not None:
            data = bytes(self._slots.data[: received.size])
            step = received.segment_size
            self.got += [data[at : at + step] for at in range(0, len(data), step)]

    def changed(self, core: object) -> None:
        """Nothing waits here."""


@contextmanager
def carrying() -> Iterator[tuple[Sink, Carriers, Carrier, socket.socket]]:
    """A carrier that is being connected, and the other end, a plain socket."""
    endpoint = Endpoint(UdpSocket(("127.0.0.1", 0), AF_INET), Config())
    sink = Sink(endpoint)
    carriers = Carriers(sink)  # type: ignore[arg-type]  # as much of an endpoint as they use
    listener = listening_socket("127.0.0.1", 0)
    remote = listener.getsockname()
    carrier = carriers.add(connecting_socket(remote), remote, None, True)
    until(lambda: carrier.up)
    number, _ = listener._accept()
    peer = socket.socket(fileno=number)
    peer.setblocking(False)
    try:
        yield sink, carriers, carrier, peer
    finally:
        peer.close()
        listener.close()
        carriers.close()
        endpoint.close()


def transmit(data: bytes, segment: int = 1000) -> Transmit:
    return Transmit(("127.0.0.1", 1), data, segment)


def read(peer: socket.socket, size: int) -> bytes:
    got = b""
    with gevent.Timeout(5):
        while len(got) < size:
            try:
                got += peer.recv(1 << 16)
            except BlockingIOError:
                gevent.sleep(0.001)
    return got


def test_datagrams_both_ways() -> None:
    with carrying() as (sink, _, carrier, peer):
        assert carrier.address[2:] == carrier.remote[2:] and carrier.address[2] == "tcp"
        carrier.send(transmit(DATAGRAM * 3))
        assert read(peer, 3006) == frame(transmit(DATAGRAM * 3))
        peer.send(frame(transmit(DATAGRAM * 2)) + b"\x03")
        until(lambda: len(sink.got) == 2)
        peer.send(b"\xe8" + DATAGRAM)
        until(lambda: sink.got == [DATAGRAM] * 3)


def test_what_the_socket_does_not_take_comes_later_and_in_order() -> None:
    with carrying() as (_, carriers, carrier, peer):
        trains = [bytes([i]) * 64_000 for i in range(8)]
        for train in trains:
            carrier.send(transmit(train, 16_000))
        assert not carrier.gone
        assert read(peer, 8 * 64_008) == b"".join(frame(transmit(train, 16_000)) for train in trains)


def test_who_reads_nothing_is_not_waited_for_and_costs_no_more_than_so_much() -> None:
    with carrying() as (_, _, carrier, peer):
        for _ in range(400):
            carrier.send(transmit(bytes(64_000), 16_000))
        assert carrier._waiting_size < 1_200_000 and not carrier.gone


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff", b"\x00\x00"])
def test_garbage_ends_it(data: bytes) -> None:
    with carrying() as (_, _, carrier, peer):
        peer.send(data)
        until(lambda: carrier.gone)


def test_the_end_of_the_other_side() -> None:
    with carrying() as (_, _, carrier, peer):
        peer.close()
        until(lambda: carrier.gone)
        carrier.send(transmit(DATAGRAM))


def test_nobody_there() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    endpoint = Endpoint(UdpSocket(("127.0.0.1", 0), AF_INET), Config())
    carriers = Carriers(Sink(endpoint))  # type: ignore[arg-type]
    carrier = carriers.add(connecting_socket(taken.getsockname()), taken.getsockname(), None, True)
    until(lambda: carrier.gone)
    taken.close()
    endpoint.close()
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system calls it
        connecting_socket(("255.255.255.255", 9))
