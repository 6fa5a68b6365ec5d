"""The machine's addresses, and the bell: over a socket of the test's own where the kernel would have to be moved."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.net import interfaces
from jsp.net.interfaces import Watch
from tests.net.support import leftovers, until

REMOTE = ("192.0.2.1", 9)
OTHER = ("2001:db8::1", 9, 0, 0)


@pytest.fixture(autouse=True)
def _nobody_listens() -> None:
    # Connections of earlier tests may still be draining.
    until(lambda: not interfaces._bells)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The other end of what the bell listens to."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    monkeypatch.setattr(interfaces, "_subscribed", lambda: theirs)
    with ours:
        yield ours
    theirs.close()


# --- which addresses there are -----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_addresses_can_be_used() -> None:
    found = interfaces.addresses(loopback=True)
    assert found["127.0.0.1"] == socket.if_nametoindex("lo")
    for host, index in found.items():
        assert socket.if_indextoname(index)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.bind((host, 0))
    outside = interfaces.addresses()
    assert not {"127.0.0.1", "::1"} & set(outside)
    assert outside.items() <= found.items()


def test_which_interface_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interfaces, "addresses", lambda: {"10.0.0.1": 2, "10.9.0.1": 3})
    for source, host, remote, index in (
        ("10.0.0.1", "10.0.0.1", REMOTE[0], 0),  # the system would take it anyway
        ("10.0.0.1", "10.9.0.1", REMOTE[0], 3),
        ("127.0.0.1", "10.9.0.1", REMOTE[0], 3),  # there is no route
        ("10.0.0.1", "10.9.0.1", "10.0.0.1", 0),  # that is ourselves
        ("10.0.0.1", "203.0.113.1", REMOTE[0], 0),  # nobody has it
    ):
        monkeypatch.setattr(interfaces, "outward_host", lambda family, remote, source=source: source)
        assert interfaces.index_for(host, (remote, 9)) == index


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "not here")

    with monkeypatch.context() as patch:
        patch.setattr(interfaces, "new_socket", refuse)
        assert interfaces.addresses() == {}
    monkeypatch.setattr(sys, "platform", "darwin")
    assert interfaces.addresses(loopback=True) == {}


class Answers:
    """In the place of a netlink socket: each `recv` is one of `datagrams`."""

    def __init__(self, *datagrams: bytes) -> None:
        self.datagrams = list(datagrams)

    def sendto(self, data: bytes, address: tuple[int, int]) -> None:
        assert len(data) == 16 + 8 and address == (0, 0)

    def recv(self, _: int) -> bytes:
        return self.datagrams.pop(0)


def message(kind: int, body: bytes = b"", sequence: int = 22) -> bytes:
    return interfaces._MESSAGE.pack(16 + len(body), kind, 2, sequence, 0) + body + bytes(-len(body) % 4)


def usable(*datagrams: bytes) -> list[tuple[str, int]]:
    return list(interfaces._usable_addresses(Answers(*datagrams, message(3)), loopback=False))


def address(
    *attributes: tuple[int, bytes], family: int = socket.AF_INET, flags: int = 0, scope: int = 0, index: int = 7
) -> bytes:
    body = interfaces._ADDRESS.pack(family, 24, flags, scope, index)
    for kind, value in attributes:
        body += interfaces._ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)
    return body


OURS, THEIRS = (2, bytes([10, 0, 0, 1])), (1, bytes([10, 0, 0, 2]))


def test_which_of_the_kernels_addresses_are_meant() -> None:
    ours = [("10.0.0.1", 7)]
    assert usable(message(20, address(OURS, THEIRS))) == ours, "not the other end of a tunnel"
    assert usable(message(20, address(THEIRS)) + message(20, address(OURS))) == [("10.0.0.2", 7), *ours]
    assert usable(message(20, address(OURS, (8, (0x40).to_bytes(4, sys.byteorder))))) == [], "still being checked"
    assert usable(message(20, address(OURS, flags=0x20))) == [], "deprecated"
    assert usable(message(20, address(OURS, scope=253))) == [], "of one link only"
    assert usable(message(20, address((1, bytes(6)), family=17))) == [], "not IP"
    assert usable(message(20, address(OURS), sequence=3), message(16, address(OURS)), message(20, b"short")) == []


def test_a_kernel_that_refuses() -> None:
    with pytest.raises(OSError, match="does not list"):
        usable(message(2, bytes(20)))


@given(st.binary(max_size=200))
def test_nonsense_ends(data: bytes) -> None:
    list(interfaces._messages(data))
    list(interfaces._attributes(data))


# --- the bell ------------------------------------------------------------------------------------------------------


def test_one_change_rings_once(kernel: Any) -> None:
    rung: list[str] = []
    first, second = (Watch(lambda name=name: rung.append(name), REMOTE) for name in "ab")
    for _ in range(250):
        kernel.send(b"something about a link")
    until(lambda: rung)
    gevent.sleep(3 * interfaces._QUIET_S)
    assert rung == ["a", "b"]
    first.stop()
    kernel.send(b"something about a route")
    until(lambda: len(rung) > 2)
    assert rung == ["a", "b", "b"]
    second.stop()


def test_the_last_one_stops_it() -> None:
    before = leftovers()
    watches = [Watch(print, REMOTE) for _ in range(3)]
    assert leftovers() == (before[0], before[1] + (sys.platform == "linux"))
    for watch in watches:
        watch.stop()
        watch.stop()
    assert leftovers() == before
    assert not interfaces._bells


def test_it_may_be_stopped_while_it_rings(kernel: Any) -> None:
    rung: list[str] = []
    watches: list[Watch] = []

    def stop_all() -> None:
        rung.append("rung")
        for watch in watches:
            watch.stop()

    watches += [Watch(stop_all, REMOTE) for _ in range(3)]
    kernel.send(b"!")
    until(lambda: rung)
    assert rung == ["rung"] and not interfaces._bells


def test_a_mistake_of_one_listener_is_not_the_others(kernel: Any, caplog: pytest.LogCaptureFixture) -> None:
    rung: list[str] = []

    def fail() -> None:
        raise RuntimeError("oh")

    watches = [Watch(fail, REMOTE), Watch(lambda: rung.append("rung"), REMOTE)]
    kernel.send(b"!")
    until(lambda: rung)
    assert "a change of addresses was not taken in" in caplog.text
    for watch in watches:
        watch.stop()


def test_where_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {REMOTE: "10.0.0.1", OTHER: "fd00::1"}

    def refuse() -> None:
        raise PermissionError(13, "not here")

    monkeypatch.setattr(interfaces, "_subscribed", refuse)
    monkeypatch.setattr(interfaces, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(interfaces, "outward_host", lambda family, remote: sources[remote])
    rung: list[object] = []
    watches = [Watch(lambda remote=remote: rung.append(remote), remote) for remote in (REMOTE, OTHER, REMOTE)]
    gevent.sleep(0.05)
    assert rung == []
    sources[REMOTE] = "10.9.0.1"
    until(lambda: rung)
    gevent.sleep(0.05)
    assert rung == [REMOTE, REMOTE]
    for watch in watches:
        watch.stop()
    assert not interfaces._bells


def run(program: str) -> str:
    """What a Python program prints."""
    words = [sys.executable, "-c", program]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True, env=dict(os.environ)).stdout


def test_an_idle_program_ends() -> None:
    program = (
        "import gevent\n"
        "from jsp.net.interfaces import Watch\n"
        "watch = Watch(print, ('192.0.2.1', 9))\n"
        "print(gevent.wait())\n"
    )
    assert run(program) == "True\n"


def test_a_forked_child_has_a_bell_of_its_own() -> None:
    program = (
        "import os, socket, sys\n"
        "import gevent\n"
        "from jsp.net import interfaces\n"
        "def pair():\n"
        "    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    theirs.setblocking(False)\n"
        "    interfaces._subscribed = lambda: theirs\n"
        "    return ours, theirs\n"
        "def say(word):\n"
        "    print(word, flush=True)\n"
        "kernel, heard = pair()\n"
        "watch = interfaces.Watch(lambda: say('parent'), ('192.0.2.1', 9))\n"
        "gevent.sleep(0.01)\n"
        "if gevent.os.fork() == 0:\n"
        "    assert heard.fileno() == -1 and not interfaces._bells\n"
        "    kernel.send(b'!')\n"
        "    watch.stop()\n"
        "    gevent.sleep(0.2)\n"
        "    other, heard = pair()\n"
        "    watch = interfaces.Watch(lambda: say('child'), ('192.0.2.1', 9))\n"
        "    other.send(b'!')\n"
        "    gevent.sleep(0.2)\n"
        "    os._exit(0)\n"
        "gevent.sleep(0.1)\n"
        "gevent.os.waitpid(-1, 0)\n"
        "watch.stop()\n"
    )
    assert run(program) == "parent\nchild\n"
