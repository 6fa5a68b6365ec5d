"""Streams opened, written, finished, reset, stopped, read and let go in any order; afterwards nothing may be left."""

from __future__ import annotations

import random

from jsp.config import KIB, Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.states import Sending
from jsp.engine.streams import Stream
from tests.sim.link import LinkSpec
from tests.sim.world import World, connected


def run_chaos(seed: int) -> None:
    """Run the streams of `seed`; an AssertionError names what was left behind."""
    rng = random.Random(seed)
    world = World(seed)
    config = Config(
        idle_timeout=300.0, handshake_timeout=100.0, max_streams=50, send_buffer=16 * KIB, stream_window=16 * KIB,
        receive_window=rng.choice((64 * KIB, 1024 * KIB)), max_message=40_000,
    )  # fmt: skip
    link = LinkSpec(
        delay=rng.choice((0.001, 0.02)),
        loss=rng.choice((0.0, 0.05, 0.2)),
        reorder=rng.choice((0.0, 0.1)),
        jitter=rng.choice((0.0, 0.005)),
    )
    client, server, c, s = connected(world, link, client_config=config, server_config=config)
    ends = ((client, c), (server, s))
    for _ in range(60):
        for node, core in ends:
            if rng.random() < 0.3:
                core.open_stream(rng.random() < 0.3)
            for stream in list(core.streams.streams.values()):
                if rng.random() < 0.5 and not stream.released:
                    _do_something(core, stream, rng)
            node.flush(core)
        world.run_for(rng.choice((0.001, 0.01, 0.05)))
    for _ in range(3):
        for node, core in ends:
            for stream in list(core.streams.streams.values()):
                _let_go(core, stream)
            node.flush(core)
        world.run_for(20.0)
    for _, core in ends:
        _check_empty(core, seed)


def _do_something(core: ConnectionCore, stream: Stream, rng: random.Random) -> None:
    send, recv = stream.send, stream.recv
    what = rng.choice(("write", "write", "finish", "reset", "stop", "read", "read", "let go", "wait"))
    if what == "write" and send and send.state is Sending.OPEN and send.unsent() < core.config.send_buffer:
        send.write(rng.randbytes(rng.choice((0, 1, 500, 3000, 20_000))))
        if send.unsent() >= core.config.send_buffer:
            core.streams.want_writable(stream)
    elif what == "finish" and send:
        send.finish()
    elif what == "reset" and send:
        send.reset(1)
        core.streams.touch(stream)
    elif what == "stop" and recv:
        recv.stop(2)
        core.streams.touch(stream)
    elif what == "read" and recv:
        core.read(stream, rng.choice((100, 100_000)))
        if recv.reset_code >= 0:
            recv.take_reset()
    elif what == "let go":
        _let_go(core, stream)


def _let_go(core: ConnectionCore, stream: Stream) -> None:
    if stream.released:
        return
    if stream.send is not None:
        stream.send.finish()
    if stream.recv is not None:
        stream.recv.stop(0)
        core.streams.touch(stream)
    core.streams.release(stream)


def _check_empty(core: ConnectionCore, seed: int) -> None:
    left = [
        (stream.id, stream.send and stream.send.state, stream.recv and stream.recv.state)
        for stream in core.streams.streams.values()
    ]
    assert core.lifecycle.closed is None, f"seed {seed}: {core.lifecycle.closed}"
    assert not left, f"seed {seed}: streams left {left}"
    assert not core.streams._writers, f"seed {seed}: writers left"
    assert core.window.held() == core.window.fragments == 0, f"seed {seed}: credit left"
