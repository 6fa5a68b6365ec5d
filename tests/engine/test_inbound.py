"""Frames that break the rules (docs/spec.md section 12; N numbers name the case)."""

from __future__ import annotations

import pytest

from jsp.config import KIB
from jsp.crypto.credentials import Credentials
from jsp.crypto.protection import LongKeys
from jsp.engine.events import Closed
from jsp.engine.keying import initial_secrets
from jsp.engine.traffic import Received, StreamReadable
from jsp.errors import Code
from jsp.wire import frames as f
from jsp.wire.buffer import PacketBuffer
from jsp.wire.packet import TAG_SIZE, TYPE_INITIAL, encode_long_header
from tests.sim.hostile import Pair, closed_with, frames, seal, send_frames
from tests.sim.link import LinkSpec
from tests.sim.world import CLIENT, World, pair

SID = 0  # the client's first bidirectional stream
VIOLATIONS: list[tuple[str, bytes, Code]] = [
    ("N76 ACK of a packet never sent", frames((f.ACK, 0, 100_000, 0, 0, 0)), Code.PROTOCOL_VIOLATION),
    ("N77 ACK range below zero", frames((f.ACK, 0, 3, 0, 1, 0, 5, 0)), Code.FRAME_ENCODING),
    ("N77 too many ACK ranges", frames((f.ACK, 0, 9, 0, 10_000, 0)), Code.FRAME_ENCODING),
    ("truncated STREAM", frames((f.STREAM | f.STREAM_LEN, 0, 500), b"x"), Code.FRAME_ENCODING),
    ("N80 stream above the limit", frames((f.STREAM, 4 << 2), b"x"), Code.STREAM_LIMIT),
    ("N80 stream above the limit by RESET", frames((f.RESET, 4 << 2, 0, 0)), Code.STREAM_LIMIT),
    ("stream that only the server may open", frames((f.STREAM, 1), b"x"), Code.STREAM_STATE),
    ("data on a stream that only the server writes", frames((f.STREAM, 3), b"x"), Code.STREAM_STATE),
    ("MAX_STREAM_DATA for what the server cannot write", frames((f.MAX_STREAM_DATA, 2, 5)), Code.STREAM_STATE),
    ("STOP for what the server cannot write", frames((f.STOP, 2, 0)), Code.STREAM_STATE),
    ("beyond the stream's credit", frames((f.STREAM | f.STREAM_OFF, SID, 64 * KIB), b"x"), Code.FLOW_CONTROL),
    ("RESET beyond the credit", frames((f.RESET, SID, 0, 1 << 40)), Code.FLOW_CONTROL),
    (
        "N80 the end moves",
        frames((f.STREAM | f.STREAM_FIN | f.STREAM_LEN, SID, 1), b"x", (f.STREAM | f.STREAM_FIN, SID), b"xy"),
        Code.FINAL_SIZE,
    ),
    (
        "N80 data behind the end",
        frames((f.STREAM | f.STREAM_FIN | f.STREAM_LEN, SID, 1), b"x", (f.STREAM | f.STREAM_OFF, SID, 9), b"y"),
        Code.FINAL_SIZE,
    ),
    ("MAX_STREAMS out of range", frames((f.MAX_STREAMS_BIDI, 1 << 61)), Code.FRAME_ENCODING),
    ("N75 RETIRE of an id never given", frames((f.RETIRE_CID, 0, 99)), Code.PROTOCOL_VIOLATION),
    ("N75 RETIRE of an id not told yet", frames((f.RETIRE_CID, 0, 1), (f.RETIRE_CID, 0, 2)), Code.PROTOCOL_VIOLATION),
    ("N75 RETIRE of the id in use", frames((f.RETIRE_CID, 0, 0)), Code.PROTOCOL_VIOLATION),
    ("NEW_TOKEN to a server", frames((f.NEW_TOKEN, 3), b"abc"), Code.PROTOCOL_VIOLATION),
    ("NEW_CID without an id", frames((f.NEW_CID, 0, 1, 0), b"\x00" + bytes(16)), Code.FRAME_ENCODING),
    ("NEW_CID retiring its own future", frames((f.NEW_CID, 0, 1, 5), b"\x04aaaa" + bytes(16)), Code.FRAME_ENCODING),
    ("N82 HANDSHAKE_DONE to a server", frames((f.HANDSHAKE_DONE,)), Code.PROTOCOL_VIOLATION),
    ("CRYPTO after the handshake", frames((f.CRYPTO, 0, 1), b"x"), Code.UNEXPECTED_MESSAGE),
    ("message above the limit", frames((f.MESSAGE | f.MESSAGE_FRAGMENT, 0, 0, 200_000), b"x"), Code.MESSAGE_LIMIT),
    ("fragment outside its message", frames((f.MESSAGE | f.MESSAGE_FRAGMENT, 0, 5, 3), b"x"), Code.FRAME_ENCODING),
    (
        "contradicting modes",
        frames((f.MESSAGE | f.MESSAGE_BEST_EFFORT | f.MESSAGE_PARTIAL, 0), b"x"),
        Code.FRAME_ENCODING,
    ),
    (
        "a message changes its size",
        frames((f.MESSAGE | 3, 0, 0, 10, 1), b"x", (f.MESSAGE | 3, 0, 1, 11, 1), b"x"),
        Code.PROTOCOL_VIOLATION,
    ),
    (
        "two messages with one place",
        frames((f.MESSAGE | 5, 0, 0, 1), b"x", (f.MESSAGE | 5, 1, 0, 1), b"y"),
        Code.PROTOCOL_VIOLATION,
    ),
    ("close reason too long", frames((f.CLOSE, 0, 65), bytes(65)), Code.FRAME_ENCODING),
    ("ACK_FREQUENCY for no packet", frames((f.ACK_FREQUENCY, 5, 0, 0, 0, 9_000, 1)), Code.FRAME_ENCODING),
    ("ACK_FREQUENCY sooner than any", frames((f.ACK_FREQUENCY, 6, 0, 0, 2, 999, 1)), Code.PROTOCOL_VIOLATION),
    (
        "ACK_FREQUENCY later than any",
        frames((f.ACK_FREQUENCY, 8, 0, 0, 2, 16_384_001, 1)),
        Code.PROTOCOL_VIOLATION,
    ),
    ("extension frame that runs over", frames((0x41, 500), b"x"), Code.FRAME_ENCODING),
    ("extension number in too many bytes", frames(b"\x40\x01"), Code.FRAME_ENCODING),
]


@pytest.mark.parametrize(("payload", "code"), [v[1:] for v in VIOLATIONS], ids=[v[0] for v in VIOLATIONS])
def test_violation_ends_the_connection(ends: Pair, payload: bytes, code: Code) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, payload)
    world.run_for(0.1)
    assert closed_with(server) == code
    world.run_until(lambda: c.is_closed())
    assert c.lifecycle.closed.code == code


def test_new_cid_that_repeats_the_id_in_use_ends_the_connection(ends: Pair) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, frames((f.NEW_CID, 0, 5, 0), b"\x04" + s.paths[0].remote_cids.current + bytes(16)))
    world.run_for(0.1)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_nothing_happens_after_the_end(ends: Pair) -> None:
    world, client, server, c, s = ends
    end = seal(c, frames((f.CLOSE, 0, 0)).ljust(40, b"\x00"))
    more = seal(c, frames((f.STREAM | f.STREAM_LEN, SID, 4), b"data").ljust(40, b"\x00"))
    before = len(server.received)
    server.receive(end + more, CLIENT, len(end))
    server.receive(seal(c, frames((f.STREAM, SID), b"data")), CLIENT)
    assert [type(event) for _, event in server.received[before:]] == [Closed]


def test_n04_reserved_bits_under_a_valid_seal(ends: Pair) -> None:
    world, client, server, c, s = ends
    client._send(seal(c, frames((f.PING,)), header_bits=0x10), c.paths[0].remote)
    world.run_for(0.1)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_n05_packet_without_frames(ends: Pair) -> None:
    world, client, server, c, s = ends
    # With a number of four bytes the sample just fits.
    number = c.paths[0].space.next_number
    header = bytes([0x81]) + c.paths[0].remote_cids.current + number.to_bytes(4, "big")
    slots = PacketBuffer()
    slots.data[: len(header)] = header
    end = len(header) + TAG_SIZE
    c.keys.seal.seal_train(slots, 1, end, end, len(header), 0, number)
    server.receive(bytes(slots.data[:end]), CLIENT)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_n05_initial_without_frames() -> None:
    world = World()
    _, server = pair(world)
    header = encode_long_header(TYPE_INITIAL, b"odcid001", b"scid", 0, TAG_SIZE)
    sealed = LongKeys(initial_secrets(b"odcid001")[0]).seal(header, 0, b"")
    server.receive((header + sealed).ljust(1200, b"\x00"), CLIENT)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_n45_application_frames_in_the_handshake() -> None:
    world = World()
    client, server = pair(world)
    c = client.core.connect(0.0, 1e9, ("198.51.100.1", 4433), Credentials())
    level = c.keying.levels[f.INITIAL]
    level.outgoing.write(b"")
    payload = frames((f.STREAM, 0), b"early").ljust(1170, b"\x00")
    header = encode_long_header(TYPE_INITIAL, c.original_dcid, c.scid, 0, len(payload) + 16)
    server.receive(header + level.seal_keys.seal(header, 0, payload), CLIENT)
    assert closed_with(server) == Code.PROTOCOL_VIOLATION


def test_few_packets_are_kept_before_their_keys_are_there() -> None:
    """However many come in one receive batch, and however large they are."""
    for size in (1200, 5000):
        world = World()
        client, server = pair(world)
        client.connect()
        world.run_until(lambda server=server: bool(server.accepted))
        s = server.accepted[0]
        slots = PacketBuffer()
        batch = (b"\x80" + s.scid + bytes(size - 5)) * (60_000 // size)
        slots.data[: len(batch)] = batch
        for _ in range(3):
            server.core.handle_datagram(world.now, 1e9, slots, Received(len(batch), size, client.address))
        assert [len(packet) for packet, _ in s.early] == [size] * (4 if size == 1200 else 1)


def test_packets_before_their_keys_are_taken_when_those_come() -> None:
    """The client's data overtakes its Finished, in one receive batch."""
    world = World()
    client, server = pair(world, LinkSpec(delay=0.05))
    c = client.connect()
    data: list[bytes] = []
    world.run_until(lambda: c.keys.seal is not None)
    (s,) = server.core.connections
    for n in range(3):
        c.open_stream().send.write(bytes([n]) * 1100)
        while (transmit := c.poll_transmit(world.now)) is not None:
            data.append(bytes(transmit.data))
    slots, batch = PacketBuffer(), b"".join(data)
    slots.data[: len(batch)] = batch
    server.core.handle_datagram(world.now, 1e9, slots, Received(len(batch), len(data[0]), CLIENT))
    assert len(s.early) == len(data) == 3
    world.run_for(0.06)
    assert s.confirmed
    assert not s.early
    assert len(s.streams.streams) == 3


def test_unknown_extension_frames_are_passed_over(ends: Pair) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, frames((0x4321, 3), b"abc", (f.STREAM, SID), b"data"))
    world.run_for(0.1)
    assert server.events(StreamReadable)
    assert not s.is_closed()
