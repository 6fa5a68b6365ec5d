"""Workers that share a port: whose a packet is, and that nobody answers for another."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from jsp.config import Config
from jsp.engine.modes import RELIABLE
from jsp.engine.sharing import WORKERS_MAX, Share
from jsp.engine.traffic import Received
from tests.sim.world import Node, World, confirmed_peer, pair

STRANGER = ("203.0.113.5", 5)

LASTING = Config(idle_timeout=None)

Passed = list[tuple[int, bytes, Received]]


def shared(node: Node, worker: int, workers: int) -> Passed:
    """Make a node one worker of several; what it passes on."""
    passed: Passed = []
    node.core.share = Share(worker, workers, lambda number, data, received: passed.append((number, data, received)))
    return passed


@pytest.mark.parametrize("workers", [2, 3, 4, 7, 100, 255, WORKERS_MAX])
def test_marked_ids_are_their_workers_and_even_otherwise(workers: int) -> None:
    firsts: Counter[int] = Counter()
    for worker in {0, 1, workers - 1}:
        share = Share(worker, workers, lambda *_: None)
        for first in range(256):
            cid = share.mark(bytes((first, 1, 2, 3)))
            assert not cid or (cid[0] % workers == worker and cid[1:] == b"\1\2\3" and share.owner(cid) is None)
            if cid:
                firsts[cid[0]] += 1
    assert set(firsts.values()) == {workers}
    assert len(firsts) == 256 // workers * len({0, 1, workers - 1})


def test_owner_is_told_by_the_first_byte() -> None:
    share = Share(2, 5, lambda *_: None)
    assert [share.owner(bytes((first, 9))) for first in range(6)] == [0, 1, None, 3, 4, 0]
    assert share.owner(b"") is None


def test_ids_of_a_connection_name_its_worker_and_no_packet_is_passed_on() -> None:
    world = World()
    client, server = pair(world, client_config=LASTING, server_config=LASTING)
    client.core._entropy = lambda size: bytes((7,)) + os.urandom(size - 1)  # the client's first choice: 7 % 4 is 3
    passed = shared(server, 3, 4)
    c = client.connect()
    s = confirmed_peer(world, c, server)
    for _ in range(5):
        world.run_for(61)  # after such a silence another id is used
        c.send_message(world.now, b"x", RELIABLE, False)
        client.flush(c)
        world.run_for(0.5)
    assert {cid[0] % 4 for cid in server.core._routes} == {3}
    assert s.scid[0] % 4 == 3
    assert not passed
    assert not c.is_closed()


def test_what_is_another_workers_is_passed_on_whole_and_not_answered() -> None:
    world = World()
    client, server = pair(world)
    said: list[bytes] = []
    server.default_link.tap = said.append
    first: list[bytes] = []
    client.default_link.tap = first.append
    client.core._entropy = lambda size: bytes((6,)) + os.urandom(size - 1)
    client.connect()
    passed = shared(server, 0, 4)
    for initial in first:
        server.receive(initial, STRANGER)
    short = b"\x80" + b"\x03bcd" + bytes(60)
    server.receive(short, STRANGER)
    unknown_version = b"\xc0" + b"odd!" + b"\x08" + b"\x05" + bytes(1300)
    server.receive(unknown_version, STRANGER)
    # Nothing was kept, nothing was said; above all no reset, whose token may be that of an id in use there.
    assert [(worker, data) for worker, data, _ in passed] == [
        *((2, initial) for initial in first),
        (3, short),
        (1, unknown_version),
    ]
    assert {received.remote for _, _, received in passed} == {STRANGER}
    assert not said and not server.core.connections and not server.core._revealed
    server.receive(b"\x80" + b"\x04bcd" + bytes(60), STRANGER)
    assert len(said) == 1


def test_a_batch_is_divided_among_its_owners() -> None:
    world = World()
    _, server = pair(world)
    passed = shared(server, 0, 2)
    size = 60
    packets = [b"\x80" + bytes((first,)) + bytes(size - 2) for first in (1, 1, 0, 3)]
    slots = server.core.load(b"".join(packets))
    server.core.handle_datagram(0.0, 0.0, slots, Received(4 * size, size, STRANGER, ("192.0.2.1", 9), 3))
    assert [(w, d, r.size, r.segment_size) for w, d, r in passed] == [
        (1, packets[0] * 2, 2 * size, size),
        (1, packets[3], size, size),
    ]
    assert {(r.remote, r.local, r.ecn) for _, _, r in passed} == {(STRANGER, ("192.0.2.1", 9), 3)}
