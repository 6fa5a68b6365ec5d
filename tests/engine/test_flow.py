"""Credit both ways: a peer never makes us hold more than a window, and is never left stuck."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import KIB, LIMITS, MIB, Config
from jsp.engine.flow import ConnectionWindow, Memory, ReceiveWindow, SendCredit
from jsp.engine.modes import BEST_EFFORT
from jsp.errors import Code, ProtocolViolation
from tests.engine.test_datagram_sizes import read_all, write
from tests.profiles import examples
from tests.sim.link import LinkSpec
from tests.sim.world import World, confirmed_peer, connected

RTT = 0.125


def test_credit_only_grows() -> None:
    credit = SendCredit(100)
    credit.used = 60
    assert credit.available() == 40
    assert credit.raise_to(150)
    assert credit.available() == 90
    for old in (150, 149, 100, 0):
        assert not credit.raise_to(old)
    assert credit.available() == 90
    assert credit.blocked_at == -1


def test_the_peer_may_fill_the_window_and_not_a_byte_more() -> None:
    window = ReceiveWindow(100, 100)
    window.on_received(60)
    window.on_received(40)
    assert window.held() == 100
    with pytest.raises(ProtocolViolation) as caught:
        window.on_received(1)
    assert caught.value.code == Code.FLOW_CONTROL


def test_credit_moves_with_what_is_read_and_not_with_what_arrives() -> None:
    window = ReceiveWindow(100, 100)
    window.on_received(100)
    assert not window.update_due
    assert not window.on_read(24)
    assert window.on_read(1)
    assert window.update_due
    assert window.advance(1.0, RTT) == window.limit == 125
    assert not window.update_due
    assert window.held() == 75
    window.on_received(25)
    with pytest.raises(ProtocolViolation):
        window.on_received(1)


def test_a_lost_update_is_told_again() -> None:
    window = ReceiveWindow(100, 100)
    window.on_received(100)
    window.on_read(100)
    assert window.advance(1.0, RTT) == 200
    window.on_lost()
    assert window.update_due
    assert window.advance(5.0, RTT) == 200
    assert not window.update_due


# --- growth --------------------------------------------------------------------------------------------------------


def read_quarter(window: ReceiveWindow, now: float) -> int:
    """The application reads a quarter of a window until `now`; the size of the window the peer then has."""
    window.on_received((window.limit - window.received) // 4)
    window.on_read(window.held())
    return window.advance(now, RTT) - window.received


def test_a_window_is_what_is_read_in_eight_round_trips() -> None:
    window = ReceiveWindow(1000, 9000)
    assert read_quarter(window, 1.0) == 1000
    # 250 in a round trip.
    assert read_quarter(window, 1.125) == 2000
    # A burst counts as what is read in a round trip.
    assert read_quarter(window, 1.126) == 4000
    # Bounds: four times as much, and the maximum.
    window.on_received(window.limit - window.received)
    window.on_read(4000)
    assert window.advance(1.25, RTT) - window.received == 9000
    assert read_quarter(window, 1.26) == 9000


def test_a_slow_reader_gets_no_larger_window() -> None:
    window = ReceiveWindow(1000, 8000)
    for i in range(10):
        assert read_quarter(window, 1.0 + i * 0.2501) == 1000


def test_what_waits_behind_a_gap_fills_no_window() -> None:
    window = ReceiveWindow(1000, 9000)
    window.on_received(100)
    window.on_read(100)
    for held, limit in ((500, 1000), (501, 4100), (2000, 4100), (2001, 9100), (9000, 9100)):
        window.on_received(held - window.held())
        window.widen()
        if window.update_due:
            assert window.advance(1.0, RTT) == window.limit
        assert window.limit == limit
    assert not window.update_due, "there are bounds"


def test_an_update_told_again_is_no_sign_of_speed() -> None:
    window = ReceiveWindow(1000, 8000)
    read_quarter(window, 1.0)
    window.on_lost()
    window.advance(1.01, RTT)
    window.on_lost()
    limit = window.advance(1.02, RTT)
    assert limit - window.received == 1000


# --- a peer that is stuck ------------------------------------------------------------------------------------------


def test_a_blocked_peer_gets_what_there_is() -> None:
    window = ReceiveWindow(100, 100)
    window.on_received(100)
    window.on_read(10)
    assert not window.update_due
    window.on_blocked(100)
    assert window.update_due
    assert window.advance(1.0, RTT) == 110


def test_a_blocked_peer_gets_the_next_byte_that_is_read() -> None:
    window = ReceiveWindow(100, 100)
    window.on_received(100)
    window.on_blocked(100)
    assert not window.update_due
    assert window.on_read(1)
    assert window.advance(1.0, RTT) == 101
    # It is stuck no more: a quarter of a window from here on.
    window.on_received(1)
    assert not window.on_read(10)


def test_a_blocked_peer_makes_no_window_grow() -> None:
    window = ReceiveWindow(100, 1000)
    window.on_received(100)
    now = 1.0
    for _ in range(50):
        now += 0.001
        window.on_blocked(window.limit)
        window.on_read(1)
        window.advance(now, RTT)
        window.on_received(1)
    assert window.limit - window.received + window.held() <= 101


def test_old_news_of_being_blocked_is_passed_over() -> None:
    window = ReceiveWindow(100, 100)
    window.on_received(100)
    window.on_read(60)
    window.advance(1.0, RTT)
    for limit in (0, 99, 100, 159, 161, 1 << 60):
        window.on_blocked(limit)
        assert not window.update_due
    assert not window.on_read(1)


# --- gaps ----------------------------------------------------------------------------------------------------------


def test_gaps_are_counted_and_bounded() -> None:
    window = ReceiveWindow(100, 100)
    window.on_fragments(LIMITS.fragments)
    window.on_fragments(-1)
    window.on_fragments(1)
    assert window.fragments == LIMITS.fragments
    with pytest.raises(ProtocolViolation) as caught:
        window.on_fragments(1)
    assert caught.value.code == Code.EXCESSIVE_LOAD


# --- both ends -----------------------------------------------------------------------------------------------------


@examples(80)
@given(seed=st.integers(0, 1 << 40), size=st.integers(1, 5000), growth=st.integers(1, 8), chunk=st.integers(1, 3000))
def test_everything_gets_through_and_never_more_than_a_window_is_held(
    seed: int, size: int, growth: int, chunk: int
) -> None:
    """A sender with credit, frames that get lost, a reader that reads only whole chunks when they fit a window."""
    rng = random.Random(seed)
    window = ReceiveWindow(size, size * growth)
    credit = SendCredit(size)
    chunk = min(chunk, size)
    total, read, now = 20_000, 0, 1.0
    for _ in range(200_000):
        if read >= total:
            break
        now += rng.choice((0.001, 0.01, 0.5))
        # The sender.
        n = min(credit.available(), rng.randint(1, 2 * chunk), total - credit.used)
        credit.used += n
        window.on_received(n)
        assert window.held() <= size * growth
        if credit.available() == 0 and credit.used < total and rng.random() < 0.9:
            window.on_blocked(credit.limit)
        # The reader takes whole chunks only, as of a message.
        if window.held() >= min(chunk, total - read):
            taken = min(chunk, total - read)
            read += taken
            window.on_read(taken)
        if window.update_due:
            limit = window.advance(now, RTT)
            if rng.random() < 0.3:
                window.on_lost()
            else:
                credit.raise_to(limit)
    assert (credit.used, read, window.held()) == (total, total, 0)


@pytest.mark.parametrize("seed", range(3))
def test_losses_leave_no_sender_without_credit(seed: int) -> None:
    """Who reads all that comes holds nobody up, though what was lost, once and again, holds up what is read."""
    world = World(seed)
    client, server, c, s = connected(
        world, LinkSpec(delay=0.05, rate=2_500_000, queue=250_000, loss=0.02), server_config=Config(congestion="bbr")
    )
    read_all(client)
    write(server, s, 20 * MIB)
    credit = next(iter(s.streams.streams.values())).send.credit
    blocked = set()

    def is_over() -> bool:
        blocked.add(credit.blocked_at)
        return c.window.held() == 0 and c.window.received == 20 * MIB

    world.run_until(is_over)
    assert len(blocked - {-1}) <= 2


# --- all connections of an endpoint together -----------------------------------------------------------------------


def test_above_the_memory_limit_a_share_is_left_to_each() -> None:
    memory = Memory(300)
    first, second, third = (ConnectionWindow(200, memory) for _ in range(3))
    first.on_received(200)
    second.on_received(100)
    third.on_received(100)
    assert memory.held == 400, "who holds no more than its share goes on"
    with pytest.raises(ProtocolViolation) as caught:
        third.on_received(1)
    assert caught.value.code == Code.EXCESSIVE_LOAD
    first.on_read(150)
    third.on_received(1)
    assert memory.held == 252


def test_what_a_connection_held_is_free_when_it_is_over() -> None:
    memory = Memory(300)
    first, second = (ConnectionWindow(200, memory) for _ in range(2))
    first.on_received(200)
    second.on_received(50)
    for _ in range(2):
        first.release()
    assert (memory.held, memory.sharers) == (50, 1)
    first.on_read(200)
    assert memory.held == 50, "reading on afterwards gives nothing back twice"


def test_a_server_closes_who_fills_its_memory_and_no_other() -> None:
    world = World()
    config = Config(receive_window=128 * KIB, stream_window=128 * KIB, max_message=KIB, memory_limit=256 * KIB)
    client, server, first, _ = connected(world, server_config=config)
    ends = [first] + [client.connect() for _ in range(2)]
    peers = [confirmed_peer(world, end, server) for end in ends]
    for end, size in zip(ends, (128, 128, 20), strict=True):
        end.open_stream().send.write(bytes(size * KIB))
        client.flush(end)
        world.run_for(2.0)
    assert server.core.memory.held == 276 * KIB
    assert not any(peer.is_closed() for peer in peers)
    ends[2].open_stream().send.write(bytes(100 * KIB))
    client.flush(ends[2])
    world.run_for(2.0)
    assert [peer.is_closed() for peer in peers] == [False, False, True]
    assert peers[2].lifecycle.closed.code == Code.EXCESSIVE_LOAD
    assert (server.core.memory.held, server.core.memory.sharers) == (256 * KIB, 2)


def test_best_effort_messages_count_for_the_memory_and_are_dropped_when_there_is_none() -> None:
    world = World()
    config = Config(
        receive_window=128 * KIB, stream_window=64 * KIB, max_message=60_000, memory_limit=128 * KIB,
        best_effort_queue=1024 * KIB,
    )  # fmt: skip
    client, server, c, s = connected(world, server_config=config)
    other = client.connect()
    confirmed_peer(world, other, server)
    for _ in range(20):
        c.send_message(world.now, bytes(1000), BEST_EFFORT, False)
        c.send_message(world.now, bytes(20_000), BEST_EFFORT, False)
        client.flush(c)
        world.run_for(0.5)
        assert server.core.memory.held == s.window.kept <= 150 * KIB
    assert s.recv_messages.dropped > 20
    while s.recv_messages.read() is not None:
        pass
    world.run_for(LIMITS.best_effort_lifetime)
    c.send_message(world.now, bytes(20_000), BEST_EFFORT, False)
    client.flush(c)
    world.run_for(0.5)
    assert s.recv_messages.read().data == bytes(20_000)
    assert server.core.memory.held == s.window.kept == 0
