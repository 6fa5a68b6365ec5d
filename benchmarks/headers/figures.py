"""What there is to measure, and what it comes to."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from typing import Any

from benchmarks.headers.mix import Mix, Write, load
from benchmarks.headers.play import Player, config, play
from benchmarks.headers.tally import ACK, DATA, HEADERS, PACKET, PADDING, Tally
from benchmarks.headers.world import CLIENT, SERVER, World
from jsp.engine.builder import Train
from jsp.engine.flow import SendCredit
from jsp.engine.inbound import walk
from jsp.engine.modes import RELIABLE
from jsp.engine.scheduler import Scheduler
from jsp.engine.send_stream import SendStream
from jsp.wire import frames
from jsp.wire.buffer import Writer
from jsp.wire.packet import TAG_SIZE

Figures = dict[str, Any]

LOSSES = (0.0, 0.01, 0.1)
# Of the mixes, what stands for one message: a message, or a packet of a stream without any.
CALLS = ("rpc-64", "rpc-sequential", "messages-64")
BULK = "bulk"
TOGETHER = "rpc-together"
# The headers of the seed protocol: as a struct, and in the CBOR it used.
FIXED = 58
CBOR = 150

_GIB = 1 << 30
_MB = 1e6
# Of the timed loops.
_PACKETS = 40
_ROUNDS = 400


def headers(mix: Mix, loss: float) -> Figures:
    """Bytes of headers a message, of packets with data and of all there is."""
    client, server = sent = play(mix, loss)
    carriers = client.carriers + server.carriers
    # Of a stream without messages each packet is one.
    messages = carriers if mix.name == BULK else mix.messages() * _sent_again(mix, sent)
    carried = sum((end.carried for end in sent), client.carried.__class__())
    with_data = sum(carried[kind] for kind in HEADERS if kind != PADDING)
    return {
        "header": with_data / messages,
        "packet and frames": (carried[PACKET] + carried[DATA]) / messages,
        "ack": carried[ACK] / messages,
        "quic": (client.quic + server.quic) / messages,
        "all": (client.headers() + server.headers()) / (messages if mix.name == BULK else mix.messages()),
        "packets with data": carriers,
        "pieces": client.pieces + server.pieces,
        "datagrams": [client.datagrams, server.datagrams],
    }


def _sent_again(mix: Mix, sent: tuple[Tally, Tally]) -> float:
    """How often each byte was sent, on the average."""
    written = sum(w.size * (w.messages if w.channel == "message" else 1) for w in mix.writes)
    return sum(end.payload for end in sent) / written


def far(gib: float = 1.0) -> Figures:
    """A packet of a stream of which more than `gib` GiB have gone before."""
    world = World(config())
    sent = world.ends[CLIENT].sent
    sent.counting = False
    chunk = 16 << 20
    count = int(gib * _GIB) // chunk + 1
    Player(world, Mix("far", "", [Write(0, "2", chunk, 1, -1, 0.0)] * count)).play()
    world.ends[CLIENT].sent = sent = Tally()
    stream = world.ends[CLIENT].open.streams.streams[2]
    assert stream.send is not None
    stream.send.write(bytes(4 << 20))
    world.touch(world.ends[CLIENT])
    world.run_for(0.5)
    return {"offset": stream.send.buffer.sent, "header": (sent.carried[PACKET] + sent.carried[DATA]) / sent.carriers}


def further(messages: int = 1_000_000) -> Figures:
    """What the second message of 64 bytes in a packet adds to the first, early and after so many."""
    found = {}
    for label, before in (("first", 0), ("later", messages)):
        world = World(config())
        end = world.ends[CLIENT]
        end.sent.counting = False
        Player(world, Mix("messages", "", [Write(0, "message", 1, before, -1, 0.0)] if before else [])).play()
        sizes = []
        for count in (1, 2):
            end.sent = Tally()
            for _ in range(count):
                end.open.send_messages.send(bytes(64), RELIABLE, False, world.now)
            world.touch(end)
            world.run_for(0.1)
            sizes.append(end.sent.carried[DATA])
        found[label] = sizes[1] - sizes[0]
    return found


def coalescing() -> Figures:
    """Datagrams for 100 calls and 100 messages, as it is and with each write sent by itself."""
    found = {}
    messages = Mix("messages", "", [Write(0, "message", 64, 100, -1, 0.0)])
    for label, mix in (("calls", load(TOGETHER)), ("messages", messages)):
        found[label] = {
            how: [end.datagrams for end in play(mix, coalesce=on)] for how, on in (("on", True), ("off", False))
        }
    return found


def acknowledging() -> Figures:
    """ACK packets and bytes a MB of a bulk stream: a batch at a time, also under loss, a datagram at a time, and each
    by itself."""
    mix = Mix(BULK, "", [Write(0, "2", 16 << 20, 1, -1, 0.0)])
    ways: dict[str, dict[str, Any]] = {"batches": {}, **{f"{loss:.0%}": {"loss": loss} for loss in LOSSES[1:]}}
    ways |= {"single": {"batches": False}, "off": {"batches": False, "eager": True}}
    found = {}
    for label, way in ways.items():
        client, server = play(mix, **way)
        found[label] = {
            "packets a MB": server.acks / (client.payload / _MB),
            "bytes a MB": server.ack_bytes / (client.payload / _MB),
            "share": server.ack_bytes / client.payload,
            "without tags": (server.ack_bytes - TAG_SIZE * server.acks) / client.payload,
        }
    return found


def allocations() -> Figures:
    """Blocks of memory that a packet under way holds, and how many more there are after ten times as much traffic."""
    return {
        "bulk": _held([Write(0, "2", 10 << 10, 1, -1, 0.0)], coalesce=True),
        "messages": _held([Write(0, "message", 64, 100, -1, 0.0)], coalesce=True),
        "messages, each by itself": _held([Write(0, "message", 64, 100, -1, 0.0)], coalesce=False),
        "growth": _growth(),
    }


def _held(writes: list[Write], coalesce: bool) -> float:
    world = World(config())
    client = world.ends[CLIENT]
    mix = Mix("held", "", writes)
    Player(world, mix, coalesce).play()
    world.run_for(1.0)
    client.sent.counting = False
    world.loss = 1.0
    player = Player(world, mix, coalesce)
    sent = client.open.counters.packets_sent
    before = _blocks()
    player.begin()
    # Less than a probe timeout.
    world.run_for(0.02)
    held = _blocks() - before
    tracemalloc.stop()
    return held / (client.open.counters.packets_sent - sent)


def _growth() -> int:
    world = World(config())
    for end in world.ends:
        end.sent.counting = False
    counts = []
    for size in (1 << 20, 1 << 20, 10 << 20):
        Player(world, Mix("grown", "", [Write(0, "2", size, 1, -1, 0.0)])).play()
        world.run_for(2.0)
        counts.append(_blocks())
    tracemalloc.stop()
    return counts[2] - counts[1]


def _blocks() -> int:
    """Blocks of memory that were allocated since this was called first, and are still held."""
    if not tracemalloc.is_tracing():
        gc.collect()
        tracemalloc.start()
    gc.collect()
    own = tracemalloc.Filter(False, tracemalloc.__file__)
    return sum(s.count for s in tracemalloc.take_snapshot().filter_traces([own]).statistics("filename"))


def cost() -> Figures:
    """Microseconds to write and to read the headers of a packet with a few bytes of a stream, all that goes with it
    included but ciphers: its record in the ledger, its place in the stream."""
    return {"write us": _write_cost(), "read us": _read_cost()}


def _write_cost() -> float:
    world = World(config())
    keys = world.ends[CLIENT].open.keys.seal
    assert keys is not None
    train = Train()
    credit = SendCredit(1 << 60)
    stream = SendStream(2, 1 << 60, credit, Scheduler())
    stream.write(bytes(1 << 20))
    times = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        train.begin(keys, b"abcd", 5, 2, 64, 64 * _PACKETS, 0.0)
        stream.write_frames(train)
        times.append((time.perf_counter() - begin) / train.count)
        stream.on_acked(0, stream.buffer.sent)
        stream.write(bytes(4096))
    return statistics.median(times) * 1e6


def _read_cost() -> float:
    world = World(config())
    server = world.ends[SERVER].open
    path = server.paths[0]
    w = Writer(bytearray(1 << 16))
    padding = bytearray(1 << 16)
    offset = 0
    number = 1 << 20
    times = []
    for _ in range(_ROUNDS):
        w.pos = 0
        places = []
        for _ in range(_PACKETS):
            start = w.pos
            size = frames.offset_size(offset, 0) if offset else 0
            w.push_u8(frames.STREAM | (frames.STREAM_OFF if offset else 0))
            w.push_varint(2)
            if size:
                frames.push_offset(w, offset, size)
            w.push_bytes(b"payload")
            offset += 7
            places.append((start, w.pos))
        begin = time.perf_counter()
        for start, stop in places:
            number += 1
            walk(server, path, frames.APPLICATION, number, w.buffer, start, stop, world.now, path.remote)
        middle = time.perf_counter()
        # What the calls from here cost is not theirs.
        for start, _ in places:
            number += 1
            walk(server, path, frames.APPLICATION, number, padding, start, start + 1, world.now, path.remote)
        times.append((2 * middle - begin - time.perf_counter()) / _PACKETS)
        server.read(server.streams.streams[2], 1 << 16)
    return statistics.median(times) * 1e6
