"""The socket: batches, fallbacks, refusals."""

from __future__ import annotations

import select
import sys
import time
from contextlib import ExitStack, closing

import pytest

from jsp.engine.traffic import Transmit
from jsp.net.udp import AF_INET, AF_INET6, UdpSocket, reachable_host
from jsp.wire.buffer import PacketBuffer


@pytest.fixture
def sockets():  # type: ignore[no-untyped-def]
    made = [UdpSocket(("127.0.0.1", 0), AF_INET) for _ in range(2)]
    yield made
    for socket in made:
        socket.close()


def receive_all(socket: UdpSocket) -> list[bytes]:
    slots = PacketBuffer()
    out: list[bytes] = []
    for _ in range(80):
        received = socket.receive(slots)
        if received is None:
            time.sleep(0.001)
            continue
        data = bytes(slots.view[: received.size])
        out += [data[i : i + received.segment_size] for i in range(0, received.size, received.segment_size)]
    return out


@pytest.mark.parametrize("gso", [True, False])
def test_train_arrives_as_its_packets(sockets: list[UdpSocket], gso: bool) -> None:
    a, b = sockets
    a._gso = gso
    packets = [bytes([i]) * 1200 for i in range(40)] + [b"last" * 10]
    assert a.send(Transmit(b.address, memoryview(b"".join(packets)), 1200))
    assert receive_all(b) == packets


def test_route_without_segmentation_falls_back_by_itself(sockets: list[UdpSocket]) -> None:
    a, b = sockets

    # No kernel takes that many segments at once.
    for _ in range(2):
        assert a.send(Transmit(b.address, b"x" * 3010, 15))
        received = receive_all(b) + receive_all(b) + receive_all(b)
        assert [len(p) for p in received] == [15] * 200 + [10]
    assert b.address in a._no_gso


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", AF_INET), ("::1", AF_INET6)])
def test_each_datagram_comes_with_its_own_address(host: str, family: int) -> None:
    with ExitStack() as stack:
        first, second, target = [stack.enter_context(closing(UdpSocket((host, 0), family))) for _ in range(3)]
        slots = PacketBuffer()
        for sender in (first, second, second, first):
            assert sender.send(Transmit(target.address, b"who?", 4))
            time.sleep(0.01)
            received = target.receive(slots)
            assert received is not None
            assert received.remote == sender.address
            assert target.send(Transmit(received.remote, b"you", 3))
            time.sleep(0.01)
            answer = sender.receive(slots)
            assert answer is not None
            assert (answer.remote, bytes(slots.view[: answer.size])) == (target.address, b"you")


def test_a_closed_socket_sends_nothing(sockets: list[UdpSocket]) -> None:
    a, b = sockets
    a.close()
    # Its number may be another file's by now.
    assert a.send(Transmit(b.address, b"late", 4))
    assert receive_all(b) == []


def test_datagram_too_large_for_the_interface_counts_as_lost(sockets: list[UdpSocket]) -> None:
    a, b = sockets
    assert a.send(Transmit(b.address, bytes(65_507), 65_507))
    assert [len(p) for p in receive_all(b)] == [65_507]
    assert a.send(Transmit(("127.0.0.1", 1), bytes(65_508), 65_508))
    assert a.too_large == 65_508
    assert a.send(Transmit(b.address, b"small", 5))
    assert a.too_large == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere fragments cannot be forbidden")
@pytest.mark.parametrize("segment", [65_489, 65_500])
def test_our_host_says_what_it_lets_out(segment: int) -> None:
    with closing(UdpSocket(("::1", 0), AF_INET6)) as a, closing(UdpSocket(("::1", 0), AF_INET6)) as b:
        assert a.whole
        assert a.send(Transmit(b.address, bytes(65_488), 65_488))
        assert not a.too_large
        assert a.send(Transmit(b.address, bytes(segment), segment))
        assert a.too_large == 65_489
        assert [len(p) for p in receive_all(b)] == [65_488]
        # Nothing of it is left for whoever waits for the socket.
        assert not select.select([], [], [a.fileno()], 0)[2]
        assert select.select([a.fileno()], [], [], 0)[0] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of addresses that a socket is not connected to")
def test_an_error_about_an_earlier_datagram_costs_the_next_one_nothing(sockets: list[UdpSocket]) -> None:
    a, b = sockets
    with closing(UdpSocket(("127.0.0.1", 0), AF_INET)) as gone:
        dead = gone.address
    for _ in range(5):
        a.send(Transmit(dead, b"anybody?", 8))
        time.sleep(0.01)
        # ICMP said meanwhile that nobody is there, which the next call is told.
        assert a.send(Transmit(b.address, b"x" * 3000, 1000))
    assert receive_all(b) == [b"x" * 1000] * 15
    assert b.address not in a._no_gso
    assert a.refused


def test_empty_datagram_is_no_end_of_file(sockets: list[UdpSocket]) -> None:
    a, b = sockets
    a._socket.sendto(b"", b.address)
    a._socket.sendto(b"after", b.address)
    assert receive_all(b) == [b"after"]


def test_refusal_is_noted(sockets: list[UdpSocket]) -> None:
    a, b = sockets
    dead = b.address
    b.close()
    for _ in range(3):
        a.send(Transmit(dead, b"x", 1))
        time.sleep(0.01)
        assert a.receive(PacketBuffer()) is None
    assert a.refused


@pytest.mark.parametrize(("family", "host"), [(AF_INET, "127.0.0.1"), (AF_INET6, "::1")])
def test_wildcard_socket_answers_from_the_address_that_was_asked(family: int, host: str) -> None:
    server = UdpSocket(("", 0) if family == AF_INET else ("::", 0), family)
    client = UdpSocket((host, 0), family)
    try:
        target = "127.0.0.2" if family == AF_INET else host
        client.send(Transmit((target, server.address[1]), b"hello", 5))
        slots = PacketBuffer()
        time.sleep(0.01)
        received = server.receive(slots)
        assert received is not None
        assert received.local == (target, server.address[1])
        server.send(Transmit(received.remote, b"reply", 5, received.local))
        time.sleep(0.01)
        answer = client.receive(slots)
        assert answer is not None
        assert answer.remote[0] == target
    finally:
        server.close()
        client.close()


def test_address_that_cannot_be_bound_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 203\.0\.113\.1:5"):
        UdpSocket(("203.0.113.1", 5), AF_INET)


def test_reachable_host() -> None:
    assert reachable_host("192.0.2.7") == "192.0.2.7"
    assert reachable_host("0.0.0.0") not in ("", "0.0.0.0")


@pytest.mark.skipif(sys.platform != "linux", reason="ECN fields are read and written on Linux only")
@pytest.mark.parametrize(
    ("bind", "family", "target"),
    [("127.0.0.1", AF_INET, ""), ("::1", AF_INET6, ""), ("::", AF_INET6, "::ffff:127.0.0.1"), ("::", AF_INET6, "::1")],
)
def test_ecn_fields_go_with_their_datagrams(bind: str, family: int, target: str) -> None:
    with ExitStack() as stack:
        sender, receiver = [stack.enter_context(closing(UdpSocket((bind, 0), family))) for _ in range(2)]
        remote = (target or bind, *receiver.address[1:])
        slots = PacketBuffer()
        for ecn, size in ((2, 300), (0, 300), (3, 900), (1, 300)):
            assert sender.send(Transmit(remote, bytes(size), 300, None, ecn))
            time.sleep(0.01)
            count = 0
            while (received := receiver.receive(slots)) is not None:
                assert received.ecn == ecn
                count += received.size
            assert count == size
