"""CLOSE: when it is sent, and how often."""

from __future__ import annotations

import pytest

from jsp.config import Config
from jsp.crypto.identity import Identity
from jsp.engine.events import Closed
from jsp.engine.modes import RELIABLE
from jsp.engine.traffic import StreamReadable
from tests.sim.link import LinkSpec
from tests.sim.world import CLIENT_SEED, SERVER_SEED, World, connected

SERVER_ID = Identity.from_seed(SERVER_SEED)
CLIENT_ID = Identity.from_seed(CLIENT_SEED)


def test_close_delivers_what_was_written() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02, loss=0.1))
    content = bytes(range(256)) * 400
    stream = c.open_stream()
    stream.send.write(content)
    stream.send.finish()
    c.send_message(world.now, b"last words", RELIABLE, False)
    c.close(world.now, 5, "done")
    client.flush(c)
    got = bytearray()

    def read(core, event) -> None:  # type: ignore[no-untyped-def]
        if isinstance(event, StreamReadable):
            got.extend(core.read(core.streams.streams[event.stream_id], 1 << 20))

    server.handler = read
    world.run_until(lambda: s.is_closed())
    assert bytes(got) == content
    assert s.recv_messages.read().data == b"last words"
    assert server.events(Closed) == [Closed(5, "done", by_peer=True, application=True)]


@pytest.mark.parametrize("later", [0.0, 0.005])
def test_close_takes_a_round_trip(later: float) -> None:
    """The peer has nothing to say: without being asked it would acknowledge a lone packet 25 ms later."""
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    world.run_for(0.5)
    c.send_message(world.now, b"last words", RELIABLE, False)
    if later:
        client.flush(c)
        world.run_for(later)
    start = world.now
    c.close(world.now, 0, "")
    client.flush(c)
    world.run_until(lambda: c.is_closed())
    assert world.now - start < 0.0401
    assert s.recv_messages.read().data == b"last words"


def test_close_gives_up_on_a_peer_that_does_not_answer() -> None:
    world = World()
    client, server, c, s = connected(world, client_config=Config(close_timeout=2.0))
    client.default_link.blackhole = True
    c.open_stream().send.write(b"never arrives")
    c.close(world.now, 0, "")
    client.flush(c)
    begin = world.now
    world.run_until(lambda: c.is_closed())
    assert world.now - begin == pytest.approx(2.0)


def test_closing_side_answers_a_peer_that_goes_on_talking_but_less_and_less() -> None:
    world = World()
    client, server, c, s = connected(world)
    client.default_link.blackhole = True
    c.close_now(world.now, 3, "enough", application=True)
    client.flush(c)
    client.default_link.blackhole = False
    sent = client.default_link.sent
    for _ in range(20):
        s.ping()
        server.flush(s)
    world.run_until(lambda: s.is_closed())
    world.run_until(lambda: not client.core.connections)
    assert 1 <= client.default_link.sent - sent <= 5
    assert s.lifecycle.closed.code == 3


def test_close_does_not_wait_for_a_stream_that_was_reset() -> None:
    world = World()
    client, server, c, s = connected(world)
    stream = c.open_stream()
    stream.send.write(bytes(100_000))
    client.flush(c)
    world.run_for(0.05)
    inner = s.streams.streams[0]
    inner.recv.stop(9)
    s.streams.touch(inner)
    server.flush(s)
    world.run_for(0.5)
    begin = world.now
    c.close(world.now, 0, "")
    client.flush(c)
    world.run_until(lambda: c.is_closed())
    assert world.now == begin
