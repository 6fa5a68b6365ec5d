"""Messages in all delivery modes."""

from __future__ import annotations

import pytest

from jsp.config import KIB, LIMITS, Config
from jsp.crypto.identity import Identity
from jsp.engine.events import MessagesWritable
from jsp.engine.modes import BEST_EFFORT, RELIABLE, Mode, PartiallyReliable
from jsp.engine.out_message import OUTCOMES
from jsp.errors import MessageTooLarge
from tests.sim.link import LinkSpec
from tests.sim.traffic import Plan, run_plan
from tests.sim.world import CLIENT_SEED, SERVER_SEED, World, connected

SERVER_ID = Identity.from_seed(SERVER_SEED)
CLIENT_ID = Identity.from_seed(CLIENT_SEED)


def test_messages_of_all_sizes_and_modes_on_a_clean_link() -> None:
    world = World()
    plan = Plan(3)
    for i, size in enumerate((0, 1, 1000, 1150, 1160, 5000, 200_000)):
        for j, mode in enumerate(
            (RELIABLE, BEST_EFFORT, PartiallyReliable(ttl=60), PartiallyReliable(max_retransmits=0))
        ):
            for ordered in (False, True):
                plan.messages[1].append((f"{i}/{j}/{ordered}".encode() + bytes(size), mode, ordered))
    client, server, c, s = connected(world)
    _, server_side = run_plan(client, server, c, s, plan)
    world.run_for(1.0)
    assert len(server_side.messages) == len(plan.messages[1])
    assert c.credit.used == s.window.received
    assert s.window.held() == 0


def test_lost_unordered_message_does_not_hold_up_the_next() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    c.send_message(world.now, b"first", RELIABLE, False)
    client.flush(c)
    c.send_message(world.now, b"second", RELIABLE, False)
    client.flush(c)
    world.run_for(0.06)
    assert s.recv_messages.read().data == b"second"
    world.run_until(lambda: bool(s.recv_messages.ready))
    assert s.recv_messages.read().data == b"first"


def test_ordered_messages_keep_their_order_and_skip_the_abandoned() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    c.send_message(world.now, b"lost", PartiallyReliable(max_retransmits=0), True)
    client.flush(c)
    c.send_message(world.now, b"after", RELIABLE, True)
    client.flush(c)
    world.run_for(0.06)
    assert s.recv_messages.read() is None
    world.run_until(lambda: bool(s.recv_messages.ready))
    assert s.recv_messages.read().data == b"after"
    world.run_for(1.0)
    assert c.send_messages.expired == 1
    assert c.credit.used == s.window.received
    assert s.window.held() == 0


def test_message_past_its_time_is_not_sent() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02, rate=100_000, queue=8_000))
    c.open_stream().send.write(bytes(100_000))
    c.send_message(world.now, bytes(50_000), PartiallyReliable(ttl=0.1), False)
    client.flush(c)
    world.run_for(5.0)
    assert c.send_messages.expired == 1
    assert not s.recv_messages.ready
    assert not s.recv_messages.partial
    assert c.send_messages.queued_bytes == 0


def test_message_that_expires_for_want_of_credit_lets_the_next_go() -> None:
    world = World()
    config = Config(receive_window=64 * KIB, max_message=40_000, stream_window=16 * KIB, stream_window_max=16 * KIB)
    client, server, c, s = connected(world, server_config=config)
    for size in (20_000, 20_000, 20_000, 5_250):
        c.send_message(world.now, bytes(size), RELIABLE, False)
    client.flush(c)
    world.run_for(1.0)
    assert c.credit.available() == 30
    c.send_message(world.now, bytes(2000), PartiallyReliable(ttl=0.5), False)
    c.send_message(world.now, b"needs no credit", BEST_EFFORT, False)
    client.flush(c)
    world.run_for(1.0)
    assert c.send_messages.expired == 1
    assert s.recv_messages.ready[-1][0].data == b"needs no credit"


def test_fragmented_messages_that_expire_let_the_next_go() -> None:
    world = World()
    client, server, c, s = connected(world)
    client.default_link.blackhole = True
    c.paths[0].recovery.controller.window = 1 << 24
    for _ in range(LIMITS.partial_messages):
        c.send_messages.send(bytes(1300), PartiallyReliable(ttl=0.3), False, world.now)
    c.send_messages.send(bytes(1300), RELIABLE, False, world.now)
    client.flush(c)
    world.run_for(0.25)
    assert c.send_messages.waiting == 1
    client.default_link.blackhole = False
    world.run_for(20.0)
    assert c.send_messages.expired == LIMITS.partial_messages
    assert [len(message) for message, _ in s.recv_messages.ready] == [1300]


def test_partly_reliable_message_is_sent_again_as_often_as_allowed() -> None:
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02))
    sent = client.default_link.sent
    client.default_link.spec.drop = frozenset({sent, sent + 1})
    c.send_message(world.now, b"three tries", PartiallyReliable(max_retransmits=5), False)
    client.flush(c)
    world.run_until(lambda: bool(s.recv_messages.ready))
    assert s.recv_messages.read().data == b"three tries"


def test_best_effort_messages_beyond_the_queue_are_dropped_and_counted() -> None:
    world = World()
    client, server, c, s = connected(world, server_config=Config(best_effort_queue=10_000))
    for i in range(50):
        c.send_message(world.now, bytes([i]) * 1000, BEST_EFFORT, False)
        client.flush(c)
    world.run_for(2.0)
    assert len(s.recv_messages.ready) == 9
    assert s.recv_messages.dropped == 41
    assert s.window.received == 0


def test_message_above_the_peers_limit_is_refused_at_home() -> None:
    world = World()
    _, _, c, _ = connected(world, server_config=Config(max_message=1000))
    with pytest.raises(MessageTooLarge, match="1000"):
        c.send_message(world.now, bytes(1001), RELIABLE, False)


def test_full_message_queue_says_when_it_takes_more() -> None:
    world = World()
    client, server, c, s = connected(
        world, LinkSpec(delay=0.02, rate=100_000), client_config=Config(send_buffer=20_000)
    )
    accepted = 0
    while c.send_message(world.now, bytes(1000), RELIABLE, False):
        accepted += 1
    assert accepted == 20
    client.flush(c)
    world.run_until(lambda: bool(client.events(MessagesWritable)))
    assert c.send_message(world.now, bytes(1000), RELIABLE, False)


def test_small_messages_share_packets() -> None:
    world = World()
    client, server, c, s = connected(world)
    before = client.default_link.sent
    for i in range(100):
        c.send_message(world.now, bytes([i]) * 64, RELIABLE, False)
    client.flush(c)
    assert client.default_link.sent - before <= 7


def test_most_of_a_long_queue_may_be_abandoned_behind_a_lost_message() -> None:
    """Every other one of 4,000 places is given up while the first is missing; the rest arrives, in order."""
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.05, rate=1_000_000, queue=50_000))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    for i in range(2000):
        c.send_message(world.now, b"%d" % i, RELIABLE, True)
        c.send_message(world.now, b"late", PartiallyReliable(ttl=0.001), True)
    client.flush(c)
    world.run_for(5.0)
    got = [s.recv_messages.read() for _ in range(len(s.recv_messages.ready))]
    reliable = [message.data for message in got if message.data != b"late"]
    assert reliable == [b"%d" % i for i in range(2000)]
    assert c.send_messages.expired > 1500
    assert not len(s.recv_messages._abandoned)
    assert not s.is_closed()


def test_abandoning_most_messages_is_not_a_flood() -> None:
    # A sender that offers far more than the link carries in time gives up most of it, honestly.
    world = World()
    client, server, c, s = connected(world, LinkSpec(delay=0.02, rate=100_000, queue=20_000))
    for _ in range(60):
        for _ in range(100):
            c.send_message(world.now, bytes(1000), PartiallyReliable(ttl=0.05), True)
        client.flush(c)
        world.run_for(0.1)
        s.recv_messages.ready.clear()
    assert c.send_messages.expired > 3000
    assert not s.is_closed()


@pytest.mark.parametrize(
    "mode", [RELIABLE, BEST_EFFORT, PartiallyReliable(ttl=60)], ids=["reliable", "best effort", "partial"]
)
def test_largest_message_arrives_in_every_mode(mode: Mode) -> None:
    world = World()
    config = Config(max_message=3_000_000, receive_window=3_000_064, best_effort_queue=10_000)
    client, server, c, s = connected(world, server_config=config)
    sizes: list[int] = []
    server.handler = lambda core, _: sizes.extend(len(m) for m in iter(core.recv_messages.read, None))
    message = c.send_messages.send(bytes(3_000_000), mode, False, world.now)
    small = [c.send_messages.send(b"small", BEST_EFFORT, False, world.now, urgency=0) for _ in range(5)]
    client.flush(c)
    world.run_until(lambda: bool(message.outcome) and all(m.outcome for m in small))
    assert sorted(sizes) == [5] * 5 + [3_000_000]
    assert {OUTCOMES[m.outcome] for m in (message, *small)} == {"delivered"}


def test_best_effort_messages_that_are_not_whole_give_way_to_newer_ones() -> None:
    world = World()
    config = Config(max_message=20_000, best_effort_queue=30_000)
    client, _, c, s = connected(world, server_config=config, client_config=Config(max_datagram_size=1200))
    for i in range(10):
        # The last packet of each of the first nine is lost.
        before = client.default_link.sent
        message = c.send_message(world.now, bytes([i]) * 12_000, BEST_EFFORT, False)
        if i < 9:
            client.default_link.spec.drop = frozenset(range(before + 10, before + 11))
        client.flush(c)
        world.run_for(0.2)
        assert s.recv_messages._partial_bytes <= 30_000
    assert OUTCOMES[message.outcome] == "delivered"
    assert s.recv_messages.read().data == bytes([9]) * 12_000


def test_lost_part_of_a_best_effort_message_spares_the_rest() -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.02, rate=100_000, queue=10_000))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    message = c.send_message(world.now, bytes(500_000), BEST_EFFORT, False)
    client.flush(c)
    world.run_for(2.0)
    assert OUTCOMES[message.outcome] == "lost"
    assert client.default_link.sent < 250
    assert c.send_messages.waiting == c.send_messages.queued_bytes == 0
