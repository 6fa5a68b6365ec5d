"""Streams: opening, ends, credit, whose turn."""

from __future__ import annotations

from jsp.config import KIB, Config
from jsp.crypto.identity import Identity
from jsp.engine.events import StreamOpened, StreamsAvailable
from jsp.engine.states import Receiving, Sending
from jsp.engine.traffic import StreamWritable
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import CLIENT_SEED, SERVER_SEED, World, connected

SERVER_ID = Identity.from_seed(SERVER_SEED)
CLIENT_ID = Identity.from_seed(CLIENT_SEED)


def quiet(*cores) -> bool:  # type: ignore[no-untyped-def]
    return all(not p.recovery.in_flight for core in cores for p in core.paths.values())


def test_lost_fin_is_sent_again() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    stream = c.open_stream()
    client.flush(c)
    world.run_for(0.1)
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    stream.send.write(b"bye")
    stream.send.finish()
    client.flush(c)
    inner = s.streams.streams[0]
    world.run_until(lambda: inner.recv.final_size == 3)
    assert s.read(inner, 100) == b"bye"
    assert inner.recv.at_end()
    world.run_until(lambda: stream.send.state is Sending.DONE)
    world.run_for(0.5)
    assert quiet(c, s)


def test_opening_announces_the_stream_before_anything_is_said() -> None:
    world = World()
    client, server, c, s = connected(world)
    c.open_stream()
    c.open_stream(unidirectional=True)
    client.flush(c)
    world.run_for(0.1)
    assert server.events(StreamOpened) == [StreamOpened(0), StreamOpened(2)]
    assert s.streams.streams[2].send is None


def test_lost_announcement_is_made_good_by_what_was_written_meanwhile() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    first, other = client.default_link.sent, c.open_stream(unidirectional=True)
    client.default_link.spec.drop = frozenset({first + 1})
    client.flush(c)
    stream = c.open_stream()
    client.flush(c)
    for _ in range(4):
        other.send.write(bytes(1000))
        client.flush(c)
    world.run_for(0.03)
    # Written and finished before the loss shows, with nothing of the stream acknowledged.
    stream.send.write(b"request")
    stream.send.finish()
    client.flush(c)
    world.run_for(1.0)
    assert stream.send.state is Sending.DONE
    assert s.read(s.streams.streams[0], 100) == b"request"
    assert quiet(c, s)


def test_lost_announcement_is_made_again() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    c.open_stream()
    client.flush(c)
    world.run_for(1.0)
    assert server.events(StreamOpened) == [StreamOpened(0)]


def test_later_stream_opens_the_earlier_ones() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    c.open_stream()
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    client.flush(c)
    second = c.open_stream()
    second.send.write(b"x")
    client.flush(c)
    world.run_for(0.03)
    assert server.events(StreamOpened) == [StreamOpened(0), StreamOpened(4)]


def test_reset_reaches_the_reader_and_gives_back_the_credit() -> None:
    world = World()
    client, server, c, s = connected(world)
    stream = c.open_stream()
    stream.send.write(bytes(50_000))
    client.flush(c)
    world.run_for(1.0)
    stream.send.reset(77)
    c.streams.touch(stream)
    client.flush(c)
    inner = s.streams.streams[0]
    world.run_until(lambda: inner.recv.state is Receiving.RESET)
    assert inner.recv.take_reset() == 77
    assert s.window.held() == 0
    assert c.read(stream, 10) == b""


def test_stop_makes_the_writer_stop() -> None:
    world = World()
    client, server, c, s = connected(world)
    stream = c.open_stream()
    stream.send.write(bytes(50_000))
    client.flush(c)
    world.run_for(0.05)
    inner = s.streams.streams[0]
    inner.recv.stop(9)
    s.streams.touch(inner)
    server.flush(s)
    world.run_until(lambda: stream.send.stop_code == 9)
    world.run_for(1.0)
    assert stream.send.state is Sending.DONE
    assert inner.recv.state is Receiving.DONE
    assert client.events(StreamWritable)
    assert s.window.held() == 0


def test_stopping_before_a_gap_is_filled_leaves_nothing_behind() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    stream = c.open_stream(unidirectional=True)
    client.flush(c)
    world.run_for(0.2)
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    stream.send.write(b"lost at first")
    client.flush(c)
    stream.send.finish()
    client.flush(c)
    inner = s.streams.streams[stream.id]
    world.run_until(lambda: inner.recv.final_size == 13)
    # What is missing is under way again when STOP would leave, and STOP would be lost.
    world.run_until(lambda: c.paths[0].recovery.packets_lost == 1 and not stream.send.buffer.lost)
    server.default_link.spec.drop = frozenset({server.default_link.sent})
    inner.recv.stop(0)
    s.streams.touch(inner)
    s.streams.release(inner)
    server.flush(s)
    world.run_for(5.0)
    assert inner.recv.state is Receiving.DONE
    assert stream.send.state is Sending.DONE
    assert not s.streams.streams


def test_writer_whose_stream_is_stopped_waits_no_more() -> None:
    world = World()
    config = Config(send_buffer=10_000)
    server_config = Config(stream_window=16 * KIB, stream_window_max=16 * KIB)
    client, server, c, s = connected(world, client_config=config, server_config=server_config)
    stream, other = c.open_stream(), c.open_stream()
    stream.send.write(bytes(100_000))
    c.streams.want_writable(stream)
    client.flush(c)
    world.run_for(0.2)
    assert stream.send.unsent() > 10_000
    inner = s.streams.streams[0]
    inner.recv.stop(9)
    s.streams.touch(inner)
    server.flush(s)
    world.run_for(0.2)
    other.send.write(b"x")
    client.flush(c)
    assert client.events(StreamWritable)
    assert not c.streams._writers


def test_slot_is_free_only_when_the_handler_let_go() -> None:
    world = World()
    client, server, c, s = connected(world, server_config=Config(max_streams=2))
    for _ in range(2):
        stream = c.open_stream()
        stream.send.finish()
    client.flush(c)
    world.run_for(0.2)
    assert c.open_stream() is None
    for inner in list(s.streams.streams.values()):
        s.read(inner, 10)
        inner.send.finish()
    server.flush(s)
    world.run_for(0.2)
    assert c.open_stream() is None  # both halves are over, and the handler still runs
    s.streams.release(next(iter(s.streams.streams.values())))
    server.flush(s)
    world.run_until(lambda: bool(client.events(StreamsAvailable)))
    assert c.open_stream() is not None


def test_peer_that_is_blocked_gets_each_slot_as_it_becomes_free() -> None:
    # 16 slots: unasked, a receiver tells of two free ones at once.
    world = World()
    client, server, c, s = connected(world, server_config=Config(max_streams=16))
    streams = [c.open_stream(unidirectional=True) for _ in range(16)]
    client.flush(c)
    world.run_for(0.2)

    def end_one() -> None:
        stream = streams.pop()
        stream.send.reset(0)
        c.streams.touch(stream)
        c.streams.release(stream)
        client.flush(c)
        world.run_for(0.2)
        inner = s.streams.streams[stream.id]
        inner.recv.take_reset()
        s.streams.release(inner)
        server.flush(s)
        world.run_for(0.2)

    for already_free in (True, False):
        client.received.clear()
        if already_free:
            end_one()
        # The first STREAMS_BLOCKED is lost.
        client.default_link.spec.drop = frozenset({client.default_link.sent})
        assert c.open_stream(unidirectional=True) is None
        client.flush(c)
        world.run_for(0.5)
        if not already_free:
            assert not client.events(StreamsAvailable)
            end_one()
        assert client.events(StreamsAvailable)
        assert c.open_stream(unidirectional=True) is not None
        client.flush(c)
        world.run_for(0.2)


def test_credit_is_given_only_for_what_was_read() -> None:
    world = World()
    config = Config(stream_window=16 * KIB, stream_window_max=16 * KIB, receive_window=64 * KIB, max_message=1000)
    client, server, c, s = connected(world, server_config=config)
    stream = c.open_stream()
    stream.send.write(bytes(100_000))
    client.flush(c)
    world.run_for(5.0)
    assert stream.send.credit.used == 16 * KIB
    inner = s.streams.streams[0]
    assert len(s.read(inner, 10_000)) == 10_000
    server.flush(s)
    world.run_for(1.0)
    assert stream.send.credit.used == 16 * KIB + 10_000


def test_window_grows_for_a_reader_that_keeps_up() -> None:
    world = World()
    plan = Plan(1)
    plan.streams[1] = [(6_000_000, False)]
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    run_plan(client, server, c, s, plan)
    # 256 KiB a round trip of 40 ms would have taken 0.92 s; the window doubled on the way.
    assert world.now < 0.8


def test_window_update_alone_gets_a_blocked_sender_going() -> None:
    # A deadlock that a prototype had: credit was told only together with an ACK, and nothing was left to acknowledge.
    world = World()
    client, server, c, s = connected(world, server_config=Config(stream_window=16 * KIB, stream_window_max=16 * KIB))
    stream = c.open_stream()
    stream.send.write(bytes(40_000))
    client.flush(c)
    world.run_for(3.0)
    inner = s.streams.streams[0]
    assert not s.paths[0].space.acks.pending
    before = world.now
    for _ in range(3):
        s.read(inner, 1 << 20)
        server.flush(s)
        world.run_for(0.2)
    assert inner.recv.window.received == 40_000
    assert world.now - before < 1.0


def test_ack_is_sent_though_the_sender_is_blocked_itself() -> None:
    # The other deadlock: both sides flow-blocked, each holding back the ACK that would let the other go on.
    world = World()
    config = Config(stream_window=16 * KIB, stream_window_max=16 * KIB)
    client, server, c, s = connected(world, client_config=config, server_config=config)
    up = c.open_stream()
    up.send.write(bytes(40_000))
    client.flush(c)
    world.run_for(0.1)
    down = s.streams.streams[0]
    down.send.write(bytes(40_000))
    server.flush(s)
    world.run_for(2.0)
    assert quiet(c, s)
    assert up.send.buffer.base == down.send.buffer.base == 16 * KIB


def test_urgent_stream_goes_first() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02, rate=200_000, queue=20_000))
    slow, urgent = c.open_stream(), c.open_stream()
    slow.send.write(bytes(200_000))
    client.flush(c)
    world.run_for(0.3)
    c.prioritize(urgent, 0, True)
    urgent.send.write(b"now")
    client.flush(c)
    begin = world.now
    inner = s.streams.streams[4]
    world.run_until(lambda: inner.recv.readable() == 3)
    assert world.now - begin < 0.25
    assert s.streams.streams[0].recv.window.received < 150_000


def test_streams_of_one_urgency_share() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02, rate=500_000, queue=20_000))
    for _ in range(4):
        c.open_stream().send.write(bytes(100_000))
    client.flush(c)
    world.run_for(0.4)
    got = [stream.recv.window.received for stream in s.streams.streams.values()]
    assert min(got) > 0.3 * max(got)
