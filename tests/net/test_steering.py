"""Steering by connection id: in the kernel, and from worker to worker."""

from __future__ import annotations

import os
import socket as stdlib_socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

import jsp
from jsp.config import Config
from jsp.engine.traffic import Received
from jsp.net import steering
from jsp.net.endpoint import Endpoint
from jsp.net.udp import AF_INET, AF_INET6, UdpSocket
from jsp.wire.buffer import PacketBuffer
from tests.net.support import LOOPBACK, until
from tests.net.workers_support import kernel_steers

HERE = ("192.0.2.1", 7)


@contextmanager
def bound(workers: int, host: str = "127.0.0.1", family: int = AF_INET) -> Iterator[list[UdpSocket]]:
    sockets = steering.bind_all((host, 0), family, workers)
    try:
        yield sockets
    finally:
        for socket in sockets:
            socket.close()


def short(first: int) -> bytes:
    return b"\x80" + bytes((first,)) + bytes(30)


def long(first: int) -> bytes:
    return b"\xc0" + b"\xff\xfe\xfd\xfc" + b"\x08" + bytes((first,)) + bytes(30)


@pytest.mark.skipif(not kernel_steers(), reason="this kernel does not steer")
@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", AF_INET), ("0.0.0.0", AF_INET), ("::", AF_INET6)])
def test_kernel_goes_by_the_rule_of_the_engine(workers: int, host: str, family: int) -> None:
    slots = PacketBuffer()
    with bound(workers, host, family) as sockets:
        assert steering.attach(sockets[0], workers)
        port = sockets[0].address[1]
        for number in range(256):
            # Each from a port of its own, so that the kernel's usual choice would be another one each time.
            with stdlib_socket.socket(AF_INET, stdlib_socket.SOCK_DGRAM) as client:
                client.sendto((short, long)[number % 2](number), ("127.0.0.1", port))
            took = [worker for worker, socket in enumerate(sockets) if socket.receive(slots) is not None]
            assert took == [number % workers]
        with stdlib_socket.socket(AF_INET, stdlib_socket.SOCK_DGRAM) as client:
            for odd in (b"", b"\xc0", b"\x80", b"\x00" * 20):
                client.sendto(odd, ("127.0.0.1", port))
        assert sum(1 for socket in sockets for _ in range(4) if socket.receive(slots) is not None) == 4


def test_port_of_another_is_not_shared() -> None:
    with bound(2) as sockets, pytest.raises(OSError, match="cannot listen on 127"):
        steering.bind_all(sockets[0].address, AF_INET, 2)


def test_nothing_stays_open_when_a_socket_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(os.listdir("/proc/self/fd"))

    class Refused(UdpSocket):
        def share_port(self) -> None:
            raise OSError(92, "Protocol not available")

    monkeypatch.setattr(steering, "UdpSocket", Refused)
    with pytest.raises(OSError, match="not available"):
        steering.bind_all(LOOPBACK, AF_INET, 3)
    assert set(os.listdir("/proc/self/fd")) == before
    monkeypatch.delattr(stdlib_socket, "SO_REUSEPORT")
    with pytest.raises(jsp.LocalError, match="cannot share a port"):
        steering.bind_all(LOOPBACK, AF_INET, 3)


def parts(batch: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if batch is None:
        return None
    data, received, *files = batch
    assert files in ([], [-1])
    return data, received.size, received.segment_size, received.remote, received.local, received.ecn


def test_mail_arrives_as_it_was() -> None:
    boxes = steering.Mailboxes(2)
    try:
        batches = [
            (b"a" * 65_507, Received(65_507, 1200, ("127.0.0.1", 9), None, 0)),
            (b"b", Received(1, 1, ("fe80::1", 9, 0, 3), ("fe80::2", 1), 3)),
        ]
        for data, received in batches:
            boxes.send(1, data, received)
        assert [parts(boxes.receive(1)) for _ in range(3)] == [*map(parts, batches), None]
        assert boxes.receive(0) is None
        for _ in range(10_000):  # nobody takes them out: what is too much is lost, and nothing waits
            boxes.send(0, *batches[0])
        assert parts(boxes.receive(0)) == parts(batches[0])
    finally:
        boxes.close()


def test_an_open_file_arrives_open() -> None:
    boxes = steering.Mailboxes(2)
    reader, writer = os.pipe()
    try:
        assert boxes.send_file(1, writer, b"so far", HERE)
        os.close(writer)
        batch = boxes.receive(1)
        assert batch is not None
        data, received, writer = batch
        assert (data, received.remote) == (b"so far", HERE)
        os.write(writer, b"!")
        assert os.read(reader, 2) == b"!"
    finally:
        boxes.close()
        os.close(reader)
        os.close(writer)


def test_exchange_hands_over_and_takes_in() -> None:
    taken: list[Any] = []

    class Taking(Endpoint):
        def handle_passed_on(self, data: bytes, received: Received) -> None:
            taken.append((data, received))

    boxes = steering.Mailboxes(2)
    endpoint = Taking(UdpSocket(LOOPBACK, AF_INET), Config())
    exchange = steering.Exchange(endpoint, boxes, 0)
    try:
        share = endpoint.core.share
        assert share is not None
        assert (share.owner(b"\4"), share.owner(b"\5")) == (None, 1)
        share.pass_on(1, b"theirs", Received(6, 6, HERE))
        assert parts(boxes.receive(1)) == parts((b"theirs", Received(6, 6, HERE)))
        for number in range(20):
            boxes.send(0, bytes((number,)), Received(1, 1, HERE))
        until(lambda: len(taken) == 20)
        assert [data[0] for data, _ in taken] == list(range(20))
    finally:
        exchange.close()
        boxes.send(0, b"late", Received(4, 4, HERE))
        gevent.sleep(0.01)
        assert len(taken) == 20
        endpoint.close()
        boxes.close()


def test_mistake_in_what_was_passed_on_costs_that_batch_only(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __bool__(self) -> bool:
            raise RuntimeError("a bug")

    endpoint = Endpoint(UdpSocket(LOOPBACK, AF_INET), Config())
    endpoint.handle_passed_on(b"\x80abcd" + bytes(30), Received(35, 35, HERE))
    assert endpoint.core.dropped == 1
    endpoint.core.accepted = Broken()  # type: ignore[assignment]
    endpoint.handle_passed_on(b"x", Received(1, 1, HERE))
    assert "internal error" in caplog.text
    endpoint.close()
    endpoint.handle_passed_on(b"x", Received(1, 1, HERE))
