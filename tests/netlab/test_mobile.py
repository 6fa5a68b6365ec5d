"""The lab with two ways out: packets take the way they should, what changes changes, and the bell rings for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from jsp.engine.traffic import Transmit
from jsp.net import interfaces
from jsp.net.interfaces import Watch, addresses, index_for
from jsp.net.udp import AF_INET, AF_INET6, UdpSocket
from tests.net.support import until
from tests.netlab.emulator import Direction
from tests.netlab.mobile import FAMILIES, Mobile, client_address, server_address, why_not

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture
def lab() -> Iterator[Mobile]:
    if reason := why_not():
        pytest.skip(reason)
    with Mobile(Direction(delay=1), Direction(delay=2)) as made:
        yield made


def udp(lab: Mobile, host: str, address: str) -> socket.socket:
    """A socket on `host`."""
    with lab.inside(host):
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(1)
        made.bind((address, 5000))
        return made


def came_from(lab: Mobile, client: socket.socket, to: str, size: int = 100) -> str | None:
    """Where a datagram of the client seems to come from, if it and the answer pass."""
    with udp(lab, "server", to) as server:
        client.sendto(bytes(size), server.getsockname())
        try:
            _, source = server.recvfrom(2000)
            server.sendto(bytes(size), source)
            client.recv(2000)
        except TimeoutError:
            return None
        return str(source[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_who_names_an_interface_leaves_by_it(lab: Mobile, family: int) -> None:
    remote = (server_address(family), 5000)
    with udp(lab, "server", server_address(family)) as server:
        for way, named in (("wifi", False), ("lte", True)):
            ours = client_address(way, family)
            with lab.inside("client"):
                client = UdpSocket((ours, 0), AF_INET6 if family == 6 else AF_INET)
                index = index_for(ours, remote)
                assert index == (socket.if_nametoindex(way) if named else 0)
            client.leave_by(index)
            assert client.send(Transmit(remote, b"hello", 5))
            assert server.recvfrom(100)[1][:2] == client.address[:2]
            client.close()
        assert {way: link.stats()["ab"]["offered"] for way, link in lab.links.items()} == {"wifi": 1, "lte": 1}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_alone_names_none(lab: Mobile, family: int) -> None:
    with udp(lab, "client", client_address("lte", family)) as client:
        assert came_from(lab, client, server_address(family)) is None
        assert lab.links["wifi"].stats()["ab"]["dropped"] == 1, "a network takes no addresses of another one"
        lab.prefer("lte")
        assert came_from(lab, client, server_address(family)) == client_address("lte", family)


@pytest.mark.parametrize("family", FAMILIES)
def test_interfaces_go_and_come_back(lab: Mobile, family: int) -> None:
    with udp(lab, "client", "::" if family == 6 else "0.0.0.0") as client:
        for change, way in (
            (lambda: None, "wifi"), (lambda: lab.down("wifi"), "lte"), (lambda: lab.up("wifi"), "wifi"),
            (lambda: lab.prefer("lte"), "lte"), (lambda: lab.links["lte"].set_both(blackhole=1), None),
            (lambda: lab.down("lte"), "wifi"),
        ):  # fmt: skip
            change()
            source = came_from(lab, client, server_address(family))
            assert source == (way and client_address(way, family))


@pytest.mark.parametrize("have", [(4,), (6,), (4, 6), ()])
def test_families(have: tuple[int, ...]) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with Mobile(Direction(), Direction(), families={"wifi": have, "lte": ()}, server=have) as lab:
        with lab.inside("client"):
            assert set(addresses()) == {client_address("wifi", family) for family in have}
        with lab.inside("server"):
            assert set(addresses(loopback=True)) >= {server_address(family) for family in have}
        for family in have:
            lab.set_server((family, 2))
            with udp(lab, "client", client_address("wifi", family)) as client:
                assert came_from(lab, client, server_address(family, 2)) == client_address("wifi", family)


def test_what_the_network_does(lab: Mobile) -> None:
    wifi, server = lab.links["wifi"], server_address()
    with udp(lab, "client", client_address("wifi")) as client:
        wifi.set_both(nat_host=4, nat_port=9)
        assert came_from(lab, client, server) == client_address("wifi", number=5)
        wifi.set_both(nat_host=0, nat_port=0, mtu=500)
        # With headers of IP and UDP.
        assert came_from(lab, client, server, 472) is not None
        assert came_from(lab, client, server, 473) is None
        wifi.set_both(mtu=0, no_udp=1)
        assert came_from(lab, client, server) is None
    with lab.inside("server"):
        listener = socket.create_server((server, 0))
    with listener, lab.inside("client"), socket.create_connection(listener.getsockname(), 2):
        listener.accept()[0].close()


def test_the_bell_rings_for_what_happens(lab: Mobile) -> None:
    rung: list[float] = []
    # A hub has one bell, and as long as connections of earlier tests linger, it is on a host of theirs.
    until(lambda: not interfaces._bells, 20)
    with lab.inside("client"):
        watch = Watch(lambda: rung.append(time.monotonic()), (server_address(), 9))
        seen = addresses()
    changes: list[Callable[[], None]] = [
        lambda: lab.add_address("wifi", 4, 2),
        lambda: lab.add_address("wifi", 6, 2),
        lambda: lab.remove_address("wifi", 4, 2),
        lambda: lab.remove_address("wifi", 6, 2),
        lambda: lab.ip("client", "route", "add", "198.51.100.0/24", "dev", "lte"),
        lambda: lab.ip("client", "-6", "route", "add", "2001:db8:1::/48", "dev", "lte"),
        lambda: lab.prefer("lte"),
        lambda: lab.down("wifi"),
        lambda: lab.up("wifi"),
    ]
    for change in changes:
        gevent.sleep(0.1)
        rung.clear()
        change()
        # Timeouts count from when the loop last looked at the clock, and commands keep it from that.
        until(lambda: rung, 20)
        # Commands take a few milliseconds each, and all of them are one change.
        gevent.sleep(0.1)
        assert len(rung) <= 2
    with lab.inside("client"):
        assert addresses() == seen
    rung.clear()
    lab.set_server((4, 2))
    gevent.sleep(0.2)
    assert not rung, "that was another host"
    watch.stop()
