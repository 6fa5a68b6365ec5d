"""Whose turn it is among messages: urgency, deadlines, keys, and what becomes of those that are overtaken."""

from __future__ import annotations

import random

import pytest

from jsp.config import KIB, Config
from jsp.engine.connection import ConnectionCore
from jsp.engine.modes import BEST_EFFORT, RELIABLE, Mode, PartiallyReliable
from jsp.engine.out_message import OUTCOMES
from tests.sim.link import LinkSpec
from tests.sim.world import Node, World, connected


def slow() -> LinkSpec:
    return LinkSpec(delay=0.02, rate=200_000, queue=20_000)


def read_all(core: ConnectionCore) -> list[bytes]:
    got = []
    while (message := core.recv_messages.read()) is not None:
        got.append(message.data)
    return got


def fill_window(client: Node, c: ConnectionCore) -> None:
    """Enough best-effort bytes that what is sent next has to wait for the network."""
    while c.paths[0].recovery.allowance(1200, client.world.now) >= 1200:
        c.send_message(client.world.now, bytes(1100), BEST_EFFORT, False)
        client.flush(c)


# --- urgency and deadlines -------------------------------------------------------------------------------------


def test_urgent_messages_go_first_and_of_one_urgency_the_earliest_deadline() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    fill_window(client, c)
    for data, mode, urgency in (
        (b"bulk", RELIABLE, 7),
        (b"plain", RELIABLE, 3),
        (b"in nine", PartiallyReliable(ttl=9), 3),
        (b"plain too", RELIABLE, 3),
        (b"in five", PartiallyReliable(ttl=5), 3),
        (b"in seven", PartiallyReliable(ttl=7), 3),
        (b"first", RELIABLE, 0),
    ):
        assert c.send_message(world.now, data, mode, False, urgency)
    client.flush(c)
    world.run_for(2.0)
    got = [data for data in read_all(s) if len(data) < 1000]
    assert got == [b"first", b"in five", b"in seven", b"in nine", b"plain", b"plain too", b"bulk"]


def test_urgent_message_overtakes_streams_and_bulky_messages() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    c.open_stream().send.write(bytes(200_000))
    c.send_message(world.now, bytes(200_000), RELIABLE, False, 5)
    client.flush(c)
    world.run_for(0.3)
    c.send_message(world.now, b"now", RELIABLE, False, 0)
    client.flush(c)
    begin = world.now
    world.run_until(lambda: bool(s.recv_messages.ready))
    assert s.recv_messages.read().data == b"now"
    assert world.now - begin < 0.25
    assert s.streams.streams[0].recv.window.received < 150_000


def test_lost_piece_goes_again_by_the_urgency_of_its_message() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    c.send_message(world.now, b"urgent", RELIABLE, False, 0)
    client.flush(c)
    for _ in range(50):
        c.send_message(world.now, bytes(1000), RELIABLE, False)
    client.flush(c)
    world.run_until(lambda: any(len(m) < 1000 for m, _ in s.recv_messages.ready or ()))
    assert len(s.recv_messages.ready) < 40


def test_ordered_messages_never_overtake_each_other_and_hurry_together() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    fill_window(client, c)
    c.send_message(world.now, b"before", RELIABLE, False, 4)
    c.send_message(world.now, b"1", RELIABLE, True, 6)
    c.send_message(world.now, b"2", PartiallyReliable(ttl=60), True, 6)
    c.send_message(world.now, b"3", PartiallyReliable(ttl=30), True, 2)
    client.flush(c)
    world.run_for(2.0)
    assert [data for data in read_all(s) if len(data) < 1000] == [b"1", b"2", b"3", b"before"]


def test_queue_of_ordered_messages_is_as_urgent_as_the_next_one_once_it_was_empty() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    c.send_message(world.now, b"urgent", RELIABLE, True, 0)
    client.flush(c)
    fill_window(client, c)
    c.send_message(world.now, b"lazy", RELIABLE, True, 7)
    c.send_message(world.now, b"usual", RELIABLE, False, 3)
    client.flush(c)
    world.run_for(2.0)
    assert [data for data in read_all(s) if len(data) < 1000] == [b"urgent", b"usual", b"lazy"]


def test_ordered_messages_are_no_more_urgent_than_those_that_wait() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    fill_window(client, c)
    c.send_message(world.now, b"urgent", RELIABLE, True, 0)
    for _ in range(500):
        c.send_message(world.now, b"lazy" * 100, RELIABLE, True, 7)
    client.flush(c)
    world.run_for(0.3)
    # The queue has not been empty since, with or without another one behind.
    c.send_message(world.now, b"lazy" * 100, RELIABLE, True, 7)
    for _ in range(20):
        c.send_message(world.now, b"usual" * 100, RELIABLE, False, 3)
    client.flush(c)
    world.run_for(5.0)
    got = [data[:5] for data in read_all(s) if len(data) < 1000]
    assert len(got) == 522 and got[0] == b"urgen"
    last = max(i for i, data in enumerate(got) if data == b"usual")
    assert got[last + 1 :].count(b"lazyl") > 100


# --- credit ----------------------------------------------------------------------------------------------------


def small_window() -> Config:
    return Config(receive_window=64 * KIB, max_message=48 * KIB, stream_window=16 * KIB, stream_window_max=16 * KIB)


def test_large_messages_that_overtake_each_other_do_not_use_up_the_credit_all_need() -> None:
    # Each would need more than the others leave: begun together, none could be read, and no credit came back.
    world = World()
    client, server, c, s = connected(world, slow(), server_config=small_window())
    for urgency in (7, 5, 3, 1):
        c.send_message(world.now, bytes([urgency]) * (40 * KIB), RELIABLE, False, urgency)
        client.flush(c)
        world.run_for(0.02)
    got: list[int] = []
    while len(got) < 4:
        world.run_until(lambda: bool(s.recv_messages.ready))
        got += [data[0] for data in read_all(s)]
        server.flush(s)
    assert sorted(got) == [1, 3, 5, 7]


def test_ordered_messages_that_wait_for_credit_stay_urgent() -> None:
    world = World()
    client, server, c, s = connected(world, slow(), server_config=small_window())
    for _ in range(2):
        c.send_message(world.now, bytes(32 * KIB), RELIABLE, False)
    client.flush(c)
    world.run_for(1.0)
    c.send_message(world.now, b"urgent", RELIABLE, True, 0)
    client.flush(c)
    world.run_for(0.1)
    c.send_message(world.now, b"lazy", RELIABLE, True, 7)
    c.send_message(world.now, b"usual", RELIABLE, False, 3)
    client.flush(c)
    got = read_all(s)
    server.flush(s)
    world.run_for(1.0)
    assert next(data for data in got + read_all(s) if len(data) < 1000) == b"urgent"


@pytest.mark.parametrize("seed", range(20))
def test_any_mix_of_urgencies_deadlines_and_sizes_comes_through_a_small_window(seed: int) -> None:
    rng = random.Random(seed)
    world = World(seed)
    link = LinkSpec(delay=0.01, loss=rng.choice((0.0, 0.05)), rate=rng.choice((None, 500_000)))
    client, server, c, s = connected(world, link, server_config=small_window())
    got: list[bytes] = []

    def read(core: ConnectionCore, _: object) -> None:
        if core is s:
            got.extend(read_all(s))

    server.handler = read
    sent = []
    for i in range(60):
        mode: Mode = RELIABLE if rng.random() < 0.7 else PartiallyReliable(ttl=3600)
        data = b"%d:" % i + bytes(rng.choice((0, 100, 1300, 20_000, 47_000)))
        message = c.send_messages.send(data, mode, rng.random() < 0.3, world.now, rng.randrange(8))
        sent.append((data, message))
        client.flush(c)
        world.run_for(rng.choice((0.0, 0.001, 0.01)))
    world.run_until(lambda: not c.send_messages.unresolved)
    world.run_for(1.0)
    got.extend(read_all(s))
    assert sorted(got) == sorted(data for data, _ in sent)
    assert {OUTCOMES[message.outcome] for _, message in sent} == {"delivered"}
    assert c.send_messages.queued_bytes == c.send_messages.waiting == s.window.held() == 0


# --- latest only -----------------------------------------------------------------------------------------------


def test_newer_message_takes_the_place_of_the_one_with_its_key() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    fill_window(client, c)
    first = c.send_message(world.now, b"x=1", RELIABLE, False, 3, "x")
    c.send_message(world.now, b"y=1", RELIABLE, False, 3, "y")
    for i in range(2, 100):
        last = c.send_message(world.now, b"x=%d" % i, RELIABLE, False, 3, "x")
        assert c.send_messages.queued_bytes < 20
    client.flush(c)
    world.run_for(2.0)
    assert [data for data in read_all(s) if len(data) < 1000] == [b"x=99", b"y=1"]
    assert (OUTCOMES[first.outcome], OUTCOMES[last.outcome]) == ("replaced", "delivered")


def test_what_is_lost_of_a_replaced_message_is_not_sent_again() -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.05))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    old = c.send_message(world.now, b"old", RELIABLE, False, 3, "k")
    client.flush(c)
    new = c.send_message(world.now, b"new", RELIABLE, False, 3, "k")
    client.flush(c)
    world.run_for(3.0)
    assert read_all(s) == [b"new"]
    assert (OUTCOMES[old.outcome], OUTCOMES[new.outcome]) == ("replaced", "delivered")
    assert c.credit.used == s.window.received and s.window.held() == 0
    assert not c.send_messages.unresolved


def test_replaced_message_that_arrives_all_the_same_is_delivered() -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.05))
    old = c.send_message(world.now, b"old", RELIABLE, False, 3, "k")
    client.flush(c)
    c.send_message(world.now, b"new", RELIABLE, False, 3, "k")
    client.flush(c)
    world.run_for(1.0)
    assert read_all(s) == [b"old", b"new"]
    assert OUTCOMES[old.outcome] == "delivered"


def test_ordered_message_does_not_wait_for_the_lost_one_it_replaces() -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.05))
    client.default_link.spec.drop = frozenset({client.default_link.sent})
    c.send_message(world.now, b"old", RELIABLE, True, 3, "k")
    client.flush(c)
    c.send_message(world.now, b"new", RELIABLE, True, 3, "k")
    client.flush(c)
    world.run_for(0.06)
    assert read_all(s) == [b"new"]


def test_message_replaced_in_the_middle_is_abandoned() -> None:
    world = World()
    client, _, c, s = connected(world, slow())
    c.send_message(world.now, bytes(100_000), RELIABLE, False, 3, "frame")
    client.flush(c)
    world.run_for(0.1)
    c.send_message(world.now, b"newer", RELIABLE, False, 3, "frame")
    client.flush(c)
    world.run_for(2.0)
    assert read_all(s) == [b"newer"]
    assert not s.recv_messages.partial
    assert c.credit.used == s.window.received < 80_000 and s.window.held() == 0


@pytest.mark.parametrize("mode", [RELIABLE, BEST_EFFORT, PartiallyReliable(ttl=60)], ids=["reliable", "best", "ttl"])
@pytest.mark.parametrize("ordered", [False, True])
def test_the_latest_of_each_key_arrives_however_many_are_given(mode: Mode, ordered: bool) -> None:
    world = World()
    client, _, c, s = connected(world, LinkSpec(delay=0.02, rate=50_000, queue=100_000))
    for i in range(300):
        for key in range(5):
            c.send_message(world.now, b"%d %d" % (key, i) + bytes(500), mode, ordered, 3, key)
        client.flush(c)
        world.run_for(0.005)
        assert c.send_messages.waiting <= 5
    world.run_for(5.0)
    got = [data.rstrip(b"\0") for data in read_all(s)]
    for key in range(5):
        mine = [int(data.split()[1]) for data in got if data.startswith(b"%d " % key)]
        assert mine == sorted(mine) and mine[-1] == 299
        # Order wins over keys: a replaced ordered message goes to the back of the line.
        assert len(mine) > (5 if ordered else 10), "replaced again and again, and never sent"
    assert not c.send_messages._latest


def test_message_that_makes_room_by_replacing_finds_it() -> None:
    world = World()
    _, _, c, _ = connected(world, client_config=Config(send_buffer=10_000))
    assert c.send_message(world.now, bytes(9_000), RELIABLE, False, 3, "k")
    assert not c.send_message(world.now, bytes(9_000), RELIABLE, False)
    assert c.send_message(world.now, bytes(9_500), RELIABLE, False, 3, "k")
    assert c.send_messages.queued_bytes == 9_500


def test_key_that_cannot_be_one_changes_nothing() -> None:
    world = World()
    _, _, c, _ = connected(world)
    with pytest.raises(TypeError, match="unhashable"):
        c.send_message(world.now, b"x", RELIABLE, False, 3, [])
    assert c.send_messages.waiting == c.send_messages.unresolved == 0


# --- bounds ----------------------------------------------------------------------------------------------------


def test_empty_messages_fill_the_queue_too() -> None:
    world = World()
    client, _, c, _ = connected(world, client_config=Config(send_buffer=64_000))
    client.default_link.blackhole = True
    count = 0
    while c.send_message(world.now, b"", RELIABLE, False):
        count += 1
        client.flush(c)
    assert count < 64_000 / 64 + 14_720 / 4


def test_places_of_messages_that_ran_out_of_time_count_until_the_peer_is_told() -> None:
    world = World()
    client, _, c, _ = connected(world, client_config=Config(send_buffer=64_000, idle_timeout=3600.0))
    client.default_link.blackhole = True
    fill_window(client, c)
    sent = 0
    for _ in range(100):
        while c.send_message(world.now, bytes(10), PartiallyReliable(ttl=0.01), True):
            sent += 1
        client.flush(c)
        world.run_for(0.02)
    assert sent < 3 * 64_000 / 64


def test_many_messages_may_expire_at_once() -> None:
    # Taken out of the middle one by one they would take minutes.
    world = World()
    _, _, c, _ = connected(world)
    for i in range(100_000):
        c.send_messages.send(b"x", PartiallyReliable(ttl=1 + (i & 1)), bool(i & 2), world.now)
    c.send_messages.expire(world.now + 1.5)
    assert c.send_messages.expired == c.send_messages.waiting == 50_000
    c.send_messages.expire(world.now + 3)
    assert c.send_messages.waiting == c.send_messages.queued_bytes == 0


def test_settled_messages_do_not_wait_for_the_end_of_their_time() -> None:
    world = World()
    client, _, c, s = connected(world)
    for _ in range(50):
        for _ in range(100):
            c.send_message(world.now, b"x", PartiallyReliable(ttl=3600), False)
        client.flush(c)
        world.run_for(0.1)
        read_all(s)
    assert not c.send_messages.unresolved
    assert len(c.send_messages._expiry) < 300
