"""Peers that do allowed things far too often."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jsp.config import LIMITS
from jsp.engine.connection import ConnectionCore
from jsp.engine.events import Closed, MessagesReadable
from jsp.errors import Code
from jsp.wire import frames as f
from jsp.wire.hello import CLIENT_HELLO
from jsp.wire.packet import TYPE_HANDSHAKE, encode_long_header
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


def test_n74_new_connection_ids_with_retirements(ends: Pair) -> None:
    def payload(i: int) -> bytes:
        return frames((f.NEW_CID, 0, i + 2, i + 2), b"\x08" + i.to_bytes(8, "big") + bytes(16))

    ends[1].default_link.spec.loss = 0.0
    s = flood(ends, payload, 200)
    assert len(s.paths[0].remote_cids._spares) <= LIMITS.connection_ids
    assert len(s.paths[0].remote_cids._to_retire) <= 2 * LIMITS.connection_ids


def test_more_connection_ids_than_allowed(ends: Pair) -> None:
    s = flood(ends, lambda i: frames((f.NEW_CID, 0, i + 2, 0), b"\x08" + i.to_bytes(8, "big") + bytes(16)), 20)
    assert s.lifecycle.closed.code == Code.CONNECTION_ID_LIMIT


def test_n78_open_and_reset_as_fast_as_possible(ends: Pair) -> None:
    world, client, server, c, s = ends
    # The handlers do not end, so the limit of streams holds whatever is reset.
    flood(ends, lambda i: frames((f.STREAM, i << 2), b"x", (f.RESET, i << 2, 0, 1)), 10)
    assert closed_with(server) == Code.STREAM_LIMIT
    assert len(s.streams.streams) <= 4


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
    assert len(s.recv_messages._partial) <= LIMITS.partial_messages


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


def test_abandons_out_of_order_are_capped(ends: Pair) -> None:
    s = flood(ends, lambda i: frames(*[(f.MESSAGE_ABANDON, i * 100 + j, i * 100 + j + 3, 0) for j in range(100)]), 200)
    assert s.lifecycle.closed.code == Code.EXCESSIVE_LOAD


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
