"""Peers that do allowed things far too often."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import pytest

from jsp.config import LIMITS, Config
from jsp.crypto.credentials import Credentials
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed, MessagesReadable
from jsp.errors import Code
from jsp.wire import frames as f
from jsp.wire.hello import CLIENT_HELLO
from jsp.wire.packet import TYPE_HANDSHAKE, TYPE_INITIAL, encode_long_header
from tests.sim.hostile import Pair, closed_with, frames, initial, seal, send_frames
from tests.sim.link import LinkSpec
from tests.sim.world import CLIENT, World, connected, pair


def flood(ends: Pair, payloads: Callable[[int], bytes], count: int) -> ConnectionCore:
    world, client, server, c, s = ends
    for i in range(count):
        send_frames(client, c, payloads(i))
        if s.is_closed():
            break
        world.run_for(0.0001)
    world.run_for(0.2)
    return s


def test_control_frames_in_proportion_are_fine(ends: Pair) -> None:
    s = flood(ends, lambda i: frames((f.MAX_DATA, i), (f.PING,)), 3000)
    assert not s.is_closed()


def test_flood_of_control_frames(ends: Pair) -> None:
    s = flood(ends, lambda i: frames(*[(f.MAX_DATA, i * 500 + j) for j in range(300)]), 100)
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD


def test_n73_path_challenges_are_answered_without_a_queue(ends: Pair) -> None:
    s = flood(ends, lambda i: frames((f.PATH_CHALLENGE,), i.to_bytes(8, "big")) * 50, 50)
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD
    assert not s.paths[0].challenges


def test_n73_path_challenges_from_many_addresses_leave_nothing(ends: Pair) -> None:
    """Few enough not to be a flood of control frames: 10 a second are answered, the rest is forgotten."""
    world, client, server, c, s = ends
    answered: list[tuple[str, int]] = []
    original = server._send

    def spy(data: bytes, remote: tuple[str, int], local: tuple[str, int] | None = None) -> None:
        if remote[0].startswith("203."):
            answered.append(remote)
        original(data, remote)

    server._send = spy  # type: ignore[method-assign]
    routes = len(server.core._routes)
    for i in range(2000):
        # Challenges alone move nothing (they only probe), so the path stays where it is.
        server.receive(seal(c, frames((f.PATH_CHALLENGE,), i.to_bytes(8, "big"))), (f"203.0.{i & 255}.{i >> 8}", i))
        world.run_for(0.001)
        for _ in range(2):
            send_frames(client, c, frames((f.PING,)))
    world.run_for(0.1)
    assert not s.is_closed()
    assert 20 <= len(answered) <= 32
    assert s.paths[0].remote == client.address
    assert (s.paths[0].responses, s.paths[0].challenges, len(server.core._routes)) == ([], [], routes)


def test_n74_new_connection_ids_with_retirements(ends: Pair) -> None:
    def payload(i: int) -> bytes:
        return frames((f.NEW_CID, 0, i + 2, i + 2), b"\x08" + i.to_bytes(8, "big") + bytes(16))

    ends[1].default_link.spec.loss = 0.0
    s = flood(ends, payload, 200)
    assert len(s.paths[0].remote_cids._spares) <= LIMITS.connection_ids
    assert len(s.paths[0].remote_cids._to_retire) <= 2 * LIMITS.connection_ids


def test_n74_new_connection_ids_with_holes_and_all_acks_given() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001))
    world.run_for(0.2)
    ids = s.paths[0].remote_cids
    # A client that takes any retirement, and gives no ids out by itself.
    c.paths[0].local_cids._told = 1 << 40
    c.peer_cid_limit = 0
    client.core._routes[b"zzzz"] = (c, 0)
    send_frames(client, c, frames((f.NEW_CID, 0, 10**6, 10**6), b"\x04zzzz" + bytes(16)))
    world.run_for(0.01)
    assert ids.current == b"zzzz"
    for i in range(200):
        numbers = [2 * (i * 8 + j) + 1 for j in range(8)]
        parts = [((f.NEW_CID, 0, n, 0), b"\x08" + n.to_bytes(8, "big") + bytes(16)) for n in numbers]
        send_frames(client, c, frames(*[x for part in parts for x in part]))
        world.run_for(0.01)
        assert len(ids._unacknowledged) <= 2 * LIMITS.connection_ids
    assert not ids._retired
    assert not s.is_closed()


def test_more_connection_ids_than_allowed(ends: Pair) -> None:
    s = flood(ends, lambda i: frames((f.NEW_CID, 0, i + 2, 0), b"\x08" + i.to_bytes(8, "big") + bytes(16)), 20)
    assert s.lifecycle.closed.code == Code.CONNECTION_ID_LIMIT


def test_n78_open_and_reset_as_fast_as_possible(ends: Pair) -> None:
    world, client, server, c, s = ends
    # The handlers do not end, so the limit of streams holds whatever is reset.
    flood(ends, lambda i: frames((f.STREAM, i << 2), b"x", (f.RESET, i << 2, 0, 1)), 10)
    assert closed_with(server) == Code.STREAM_LIMIT
    assert len(s.streams.streams) <= 4


@pytest.mark.parametrize("kind", [f.RESET, f.STOP])
@pytest.mark.parametrize("running", [True, False])
def test_n78_streams_whose_handlers_run_are_not_reset_without_end(kind: int, running: bool) -> None:
    """By the peer, or by us because it asks for it. A stream that its handler has left costs nothing."""
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001), server_config=Config(max_streams=5000))
    c.streams._next[0] = 5000  # answers are about streams that it has opened
    start, end = (f.STREAM, (0, 1)) if kind == f.RESET else (f.STREAM | f.STREAM_FIN, (0,))
    for i in range(0, 1500, 15):
        ids = range(i, i + 15)
        send_frames(client, c, frames(*[x for n in ids for x in ((start | f.STREAM_LEN, n << 2, 1), b"x")]))
        world.run_for(0.002)
        for stream in [] if running else list(s.streams.streams.values()):
            s.streams.release(stream)
        send_frames(client, c, frames(*[(kind, n << 2, *end) for n in ids]))
        world.run_for(0.002)
        if s.is_closed():
            break
    assert closed_with(server) == (Code.EXCESSIVE_LOAD if running else None)
    if running:
        assert s.lifecycle.closed.reason == "too many streams reset"
        assert LIMITS.resets_burst <= len(s.streams.streams) <= LIMITS.resets_burst + 100


def test_n78_resets_now_and_then_are_fine() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001), client_config=Config(idle_timeout=None))
    c.streams._next[0] = 5000
    for i in range(2500):
        send_frames(client, c, frames((f.STREAM, i << 2), b"x"))
        send_frames(client, c, frames((f.RESET, i << 2, 0, 1)))
        world.run_for(1 / 30)
        for stream in list(s.streams.streams.values()):
            stream.recv.take_reset()
            stream.send.reset(0)
            s.streams.touch(stream)
            s.streams.release(stream)
        server.flush(s)
    assert not s.is_closed()


def test_n79_sparse_bytes_are_capped() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001))
    step = 0

    def payload(i: int) -> bytes:
        parts: list[bytes | tuple[int, ...]] = []
        for j in range(250):
            parts += [(f.STREAM | f.STREAM_OFF | f.STREAM_LEN, 0, 2 * (i * 250 + j) + 1, 1), b"x"]
        return frames(*parts)

    for step in range(40):
        datagram = seal(c, payload(step))
        client._send(datagram, c.paths[0].remote)
        world.run_for(0.01)
        if s.is_closed():
            break
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD
    assert s.window.fragments <= LIMITS.fragments + 1


def test_too_many_messages_at_once(ends: Pair) -> None:
    s = flood(ends, lambda i: frames(*[x for j in range(50) for x in ((f.MESSAGE | 3, i * 50 + j, 0, 9, 1), b"x")]), 60)
    assert s.lifecycle.closed.code in (Code.EXCESSIVE_LOAD, Code.FLOW_CONTROL)
    assert len(s.recv_messages.partial) <= LIMITS.partial_messages


def test_message_ids_with_holes_are_not_remembered_for_ever() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.001))
    server.handler = lambda core, event: isinstance(event, MessagesReadable) and drain(core)

    def drain(core: ConnectionCore) -> None:
        while core.recv_messages.read() is not None:
            pass

    for i in range(60):
        send_frames(client, c, frames(*[x for j in range(200) for x in ((f.MESSAGE | 1, 2 * (i * 200 + j), 1), b"x")]))
        world.run_for(0.01)
        if s.is_closed():
            break
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD


@pytest.mark.parametrize("step", [1, 2, 1024])
def test_abandons_out_of_order_cost_a_bit_each(ends: Pair, step: int) -> None:
    """The first place never comes, so nothing is released; an honest sender may give up as many."""

    def payload(i: int) -> bytes:
        ids = range(i * 100, i * 100 + 100)
        return frames(*[(f.MESSAGE_ABANDON, n, n * step + 3, 0) for n in ids])

    s = flood(ends, payload, 200)
    places = s.recv_messages._abandoned
    assert not s.is_closed() or step == 1024
    assert len(places) <= LIMITS.places_ahead >> 10
    assert sum(map(sys.getsizeof, places._chunks.values())) < 400_000
    if step == 1024:
        assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD


def test_n79_sparse_bytes_of_best_effort_messages_are_capped(ends: Pair) -> None:
    kind = f.MESSAGE | f.MESSAGE_BEST_EFFORT | f.MESSAGE_FRAGMENT | f.MESSAGE_LEN

    def payload(i: int) -> bytes:
        return frames(*[x for j in range(120) for x in ((kind, 0, 2 * (i * 120 + j), 99_000, 1), b"x")])

    s = flood(ends, payload, 200)
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD
    assert s.window.fragments <= LIMITS.fragments + 120


def test_n79_sparse_bytes_of_messages_are_capped(ends: Pair) -> None:
    kind = f.MESSAGE | f.MESSAGE_FRAGMENT | f.MESSAGE_LEN

    def payload(i: int) -> bytes:
        return frames(*[x for j in range(120) for x in ((kind, 0, 2 * (i * 120 + j), 99_000, 1), b"x")])

    s = flood(ends, payload, 200)
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD
    assert s.window.fragments <= LIMITS.fragments + 120


def test_gaps_of_best_effort_messages_are_given_back(ends: Pair) -> None:
    """By what is given up for its age or for newer ones, and by what becomes whole."""
    kind = f.MESSAGE | f.MESSAGE_BEST_EFFORT | f.MESSAGE_FRAGMENT | f.MESSAGE_LEN
    s = flood(ends, lambda i: frames(*[x for o in (0, 5, 9) for x in ((kind, i, o, 10, 1), b"x")]), 80)
    assert s.window.fragments == 3 * LIMITS.best_effort_partial
    s = flood(ends, lambda i: frames((kind, i + 20, 1, 10, 4), b"xxxx", (kind, i + 20, 6, 10, 3), b"xxx"), 60)
    assert len(s.recv_messages.ready) == 60
    assert s.window.fragments == 3 * len(s.recv_messages._best_effort)
    ends[0].run_for(LIMITS.best_effort_lifetime)
    flood(ends, lambda i: frames((kind, 100, 0, 10, 1), b"x"), 1)
    assert s.window.fragments == 1


@pytest.mark.parametrize("offsets", [(10, LIMITS.crypto_buffer), range(10, 1000, 7)], ids=["far", "sparse"])
def test_n72_handshake_bytes_far_ahead_or_in_many_pieces_are_refused(offsets: Sequence[int]) -> None:
    world = World()
    client, server = pair(world)
    c = client.core.connect(0.0, 1e9, ("198.51.100.1", 4433), Credentials())
    level = c.keying.levels[f.INITIAL]
    for number, offset in enumerate(offsets):
        payload = frames((f.CRYPTO, offset, 1), bytes(1)).ljust(1170, b"\x00")
        header = encode_long_header(TYPE_INITIAL, c.original_dcid, c.scid, number, len(payload) + 16)
        server.receive(header + level.seal_keys.seal(header, number, payload), CLIENT)
        if number == 0:
            (s,) = server.core.connections
    assert closed_with(server) == Code.CRYPTO_BUFFER_EXCEEDED
    assert s.is_closed()


@pytest.mark.parametrize("in_order", [True, False])
def test_a_client_hello_that_does_not_end_is_refused(in_order: bool) -> None:
    world = World()
    _, server = pair(world)
    content = bytes([CLIENT_HELLO]) + (16_000).to_bytes(3, "big") + bytes(LIMITS.crypto_partial - 4)
    skipped = 0 if in_order else 1
    for number in range(4):
        piece = content[number * 1024 + skipped : (number + 1) * 1024]
        payload = frames((f.CRYPTO, number * 1024 + skipped, len(piece)), piece)
        server.receive(initial(b"odcid001", payload, number), CLIENT)
    assert not server.events(Closed)
    server.receive(initial(b"odcid001", frames((f.CRYPTO, LIMITS.crypto_partial, 1), b"x"), 99), CLIENT)
    assert closed_with(server) == Code.CRYPTO_BUFFER_EXCEEDED


def test_handshake_bytes_far_ahead_are_refused() -> None:
    world = World()
    client, server = pair(world)
    c = client.connect()
    world.run_until(lambda: bool(server.accepted) and f.HANDSHAKE in server.accepted[0].keying.levels)
    s = server.accepted[0]
    client.default_link.blackhole = True
    world.run_until(lambda: c.keys.seal is not None)
    keys = c.keying.levels[f.HANDSHAKE].seal_keys
    for number, offset in ((90, LIMITS.crypto_buffer - 10), (91, LIMITS.crypto_buffer - 9)):
        assert not server.events(Closed)
        payload = frames((f.CRYPTO, offset, 10), bytes(10))
        header = encode_long_header(TYPE_HANDSHAKE, s.scid, c.scid, number, len(payload) + 16)
        server.receive(header + keys.seal(header, number, payload), CLIENT)
    assert closed_with(server) == Code.CRYPTO_BUFFER_EXCEEDED
