"""Messages out of repairs: what can be known is known, nothing else is; and peers that lie about all of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.config import KIB, LIMITS, MIB, Config
from jsp.engine.flow import ConnectionWindow, Memory
from jsp.engine.gf256 import cauchy, combine
from jsp.engine.pieces import sum_pieces
from jsp.engine.recv_repair import RecvRepair
from jsp.errors import Code
from jsp.wire import frames as f
from jsp.wire import repair_frames as r
from jsp.wire.symbols import make_symbol, mask_of
from tests.engine.test_gf256 import rank
from tests.profiles import examples
from tests.sim.dated import check_bounds
from tests.sim.hostile import Pair, closed_with, frames, send_frames
from tests.sim.world import World, connected

Messages = dict[int, tuple[int, bytes]]


def repair_of(messages: Messages, ids: list[int], number: int) -> tuple[int, int, int, bytes]:
    """The fields of a REPAIR of `ids`."""
    symbols = [(cauchy(number, i), make_symbol(*messages[i])) for i in ids]
    total = combine(symbols, max(len(symbol) for _, symbol in symbols))
    return max(ids), mask_of(max(ids), ids), number, total


def take(decoder: RecvRepair) -> Messages:
    """What was found since the last time."""
    found = {i: (order, data) for i, order, data in decoder.solved}
    assert len(found) == len(decoder.solved)
    decoder.solved.clear()
    check_bounds(decoder)
    return found


def made_up(count: int, seed: int, first: int = 0) -> Messages:
    chance = random.Random(seed)
    return {first + i: (chance.choice((-1, i)), chance.randbytes(chance.choice((0, 1, 50, 200)))) for i in range(count)}


def test_one_repair_stands_in_for_any_one_message() -> None:
    messages = made_up(10, 1)
    for lost in range(10):
        decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
        for i in range(10):
            if i != lost:
                decoder.on_message(i, *messages[i])
        decoder.on_repair(*repair_of(messages, list(range(10)), 0))
        assert take(decoder) == {lost: messages[lost]}


def test_repairs_may_come_before_the_messages() -> None:
    messages = made_up(6, 2)
    decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
    for number in range(3):
        decoder.on_repair(*repair_of(messages, list(range(6)), number))
    assert not take(decoder)
    for i in (5, 0, 3):
        assert not take(decoder)
        decoder.on_message(i, *messages[i])
    assert take(decoder) == {i: messages[i] for i in (1, 2, 4)}


def test_what_came_by_itself_is_not_found_again() -> None:
    messages = made_up(4, 3)
    decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
    for i in range(4):
        decoder.on_message(i, *messages[i])
    decoder.on_repair(*repair_of(messages, [0, 1, 2, 3], 7))
    assert not take(decoder)
    assert not decoder._equations


@examples(150)
@given(st.integers(0, 1 << 30), st.integers(2, 25), st.integers(0, 12), st.sampled_from((0.1, 0.3, 0.6)))
def test_all_that_follows_from_what_came_is_known_and_nothing_else(
    seed: int, count: int, repairs: int, loss: float
) -> None:
    chance = random.Random(seed)
    messages = made_up(count, seed, first=chance.choice((0, 1000, 1 << 40)))
    ids = sorted(messages)
    events: list[object] = [i for i in ids if chance.random() >= loss]
    came = list(events)
    rows = []
    for number in range(repairs):
        chosen = sorted(chance.sample(ids, chance.randrange(1, count + 1)), reverse=True)
        events.append(repair_of(messages, chosen, number))
        rows.append([cauchy(number, i) if i in chosen else 0 for i in ids])
    chance.shuffle(events)
    decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
    found: Messages = {}
    for event in events:
        if isinstance(event, int):
            decoder.on_message(event, *messages[event])
        else:
            decoder.on_repair(*event)  # type: ignore[misc]
        found |= take(decoder)
    rows += [[int(i == j) for j in ids] for i in came]
    for at, i in enumerate(ids):
        unit = [int(at == j) for j in range(count)]
        follows = bool(rows) and rank(rows) == rank([*rows, unit])
        assert (i in came or i in found) == follows
        assert i not in found or found[i] == messages[i]


def test_what_is_old_is_forgotten() -> None:
    messages = made_up(300, 4)
    decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
    for i in range(0, 300, 2):
        decoder.on_message(i, *messages[i])
        if i >= 10:
            decoder.on_repair(*repair_of(messages, [i, i - 3, i - 5], i & 127))
        check_bounds(decoder)
    # One that asks for what was forgotten.
    decoder.on_repair(*repair_of(messages, [200, 199], 3))
    assert all(min(equation.terms) > 240 for equation in decoder._equations.values())


def test_large_messages_are_kept_within_bounds() -> None:
    decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
    for i in range(60):
        decoder.on_message(2 * i, -1, bytes(60_000))
        decoder.on_repair(2 * i + 1, 0b11, i, bytes(60_010))
        take(decoder)
    assert decoder._held > LIMITS.repair_bytes // 2


def test_what_is_kept_counts_for_the_memory_and_leaves_half_of_it_to_others() -> None:
    memory = Memory(64 * KIB)
    window = ConnectionWindow(0, memory)
    decoder = RecvRepair(window)
    for i in range(40):
        decoder.on_message(2 * i, -1, bytes(1000))
        decoder.on_repair(2 * i + 1, 0b11, i, bytes(1010))
        take(decoder)
        assert memory.spare == decoder._held <= 32 * KIB
    assert memory.spare > 29 * KIB
    others = ConnectionWindow(64 * KIB, memory)
    others.on_received(60 * KIB)  # and does not end for what can be let go of
    decoder.on_message(80, -1, b"")
    assert not memory.spare
    others.on_read(60 * KIB)
    decoder.on_message(82, -1, bytes(1000))
    assert memory.spare == decoder._held > 1000
    window.release()
    assert not memory.spare


@examples(60)
@given(st.integers(0, 1 << 30))
def test_any_repairs_are_survived(seed: int) -> None:
    """Ids, masks, numbers and sums as they come."""
    chance = random.Random(seed)
    decoder = RecvRepair(ConnectionWindow(0, Memory(MIB)))
    known: dict[int, bytes] = {}
    for _ in range(150):
        newest = chance.choice((3, 40, 50, 60, 100, chance.randrange(1 << 61)))
        if chance.random() < 0.5:
            known.setdefault(newest, chance.randbytes(chance.randrange(30)))
            decoder.on_message(newest, -1, known[newest])
        else:
            mask = (chance.getrandbits(30) | 1) & ((1 << min(30, newest + 1)) - 1)
            total = (
                chance.randbytes(chance.randrange(3, 60)) if chance.random() < 0.5 else bytes(chance.randrange(3, 60))
            )
            decoder.on_repair(newest, mask, chance.randrange(256), total)
        take(decoder)


# --- on a connection ------------------------------------------------------------------------------------------------


def repair(newest: int, mask: int, number: int, total: bytes) -> bytes:
    body = frames((newest, mask), bytes((number,)), total)
    return frames((r.REPAIR, len(body)), body)


def message(message_id: int, data: bytes, kind: int = f.MESSAGE_PARTIAL) -> bytes:
    return frames((f.MESSAGE | f.MESSAGE_LEN | kind, message_id, len(data)), data)


def test_recovered_message_is_delivered_once_and_told_of(ends: Pair) -> None:
    world, client, server, c, s = ends
    messages: Messages = {0: (-1, b"zero"), 1: (-1, b"one")}
    for number in (0, 1):
        send_frames(client, c, repair(*repair_of(messages, [1, 0], number)))
    world.run_for(0.1)
    assert {m.data for m, _ in s.recv_messages.ready} == {b"zero", b"one"}
    assert s.recv_messages.repair.recovered == 2
    assert not s.recv_messages.repair.owed
    for i in (0, 1):
        send_frames(client, c, message(i, messages[i][1]))
    send_frames(client, c, frames((f.MESSAGE_ABANDON, 0, 0, 5)))
    send_frames(client, c, repair(*repair_of(messages, [1, 0], 2)))
    world.run_for(0.1)
    assert len(s.recv_messages.ready) == 2
    assert s.window.received == 2 * LIMITS.message_overhead + 7
    assert not s.is_closed()


def test_recovered_message_takes_its_place_in_the_order(ends: Pair) -> None:
    world, client, server, c, s = ends
    messages: Messages = {i: (i, b"%d" % i) for i in range(3)}
    ordered = f.MESSAGE | f.MESSAGE_LEN | f.MESSAGE_PARTIAL | f.MESSAGE_ORDERED
    send_frames(client, c, repair(*repair_of(messages, [2, 1, 0], 0)))
    send_frames(client, c, frames((ordered, 2, 2, 1), b"2"))
    send_frames(client, c, frames((ordered, 0, 0, 1), b"0"))
    world.run_for(0.1)
    assert [(m.data, m.ordered) for m, _ in s.recv_messages.ready] == [(b"0", True), (b"1", True), (b"2", True)]


def test_what_was_abandoned_is_not_recovered(ends: Pair) -> None:
    world, client, server, c, s = ends
    messages: Messages = {0: (-1, b"late"), 1: (-1, b"one")}
    send_frames(client, c, repair(*repair_of(messages, [1, 0], 0)))
    send_frames(client, c, frames((f.MESSAGE_ABANDON, 0, 0, 5)))
    send_frames(client, c, message(1, b"one"))
    world.run_for(0.1)
    assert [m.data for m, _ in s.recv_messages.ready] == [b"one"]
    assert s.recv_messages.repair.recovered == 0
    assert not s.is_closed()


def test_lost_recovered_is_said_again(ends: Pair) -> None:
    world, client, server, c, s = ends
    server.default_link.blackhole = True
    send_frames(client, c, repair(*repair_of({0: (-1, b"gone")}, [0], 0)))
    world.run_for(0.05)
    told: list[int] = []
    server.default_link.blackhole = False
    server.default_link.tap = lambda data: told.append(len(data))
    world.run_for(1.0)
    assert told
    assert not s.recv_messages.repair.owed
    assert not s.paths[0].recovery.in_flight


@pytest.mark.parametrize("what", ["too large", "beyond the window", "place taken"])
def test_recovered_message_must_keep_the_rules_of_messages(what: str) -> None:
    world = World()
    config = Config(max_message=100, receive_window=64 * 1024, stream_window=16 * 1024, stream_window_max=16 * 1024)
    client, server, c, s = connected(world, server_config=config)
    if what == "too large":
        send_frames(client, c, repair(*repair_of({0: (-1, bytes(101))}, [0], 0)))
        expected = Code.MESSAGE_LIMIT
    elif what == "place taken":
        for i in (0, 1):
            send_frames(client, c, repair(*repair_of({i: (0, b"same place")}, [i], 0)))
        expected = Code.PROTOCOL_VIOLATION
    else:
        for i in range(1000):
            send_frames(client, c, repair(*repair_of({i: (-1, bytes(80))}, [i], 0)))
            world.run_for(0.001)
        expected = Code.FLOW_CONTROL
    world.run_for(0.1)
    assert closed_with(server) == expected


def test_repairs_that_lie_change_nothing_that_came(ends: Pair) -> None:
    world, client, server, c, s = ends
    chance = random.Random(5)
    for i in range(400):
        mask = (chance.getrandbits(30) | 1) & ((1 << min(30, i + 2)) - 1)
        # The next message is in them, too: what comes out of a lie may be taken for it, but then it does not come.
        lie = repair(i + 1, mask, i & 127, b"\0\4\0lie" + chance.randbytes(30))
        send_frames(client, c, message(i, b"true %d" % i) + lie)
        world.run_for(0.001)
    world.run_for(0.1)
    assert not s.is_closed()
    check_bounds(s.recv_messages.repair)
    got = [m.data for m, _ in s.recv_messages.ready]
    assert len(set(got)) == len(got) == 400
    assert sum(data.startswith(b"true") for data in got) >= 395


def test_only_one_repair_in_a_packet_counts(ends: Pair) -> None:
    world, client, server, c, s = ends
    pairs = [repair(*repair_of({i: (-1, b"%d" % i)}, [i], 0)) for i in range(3)]
    send_frames(client, c, b"".join(pairs))
    world.run_for(0.1)
    assert [m.data for m, _ in s.recv_messages.ready] == [b"0"]


def test_repairs_nobody_asked_for_are_passed_over() -> None:
    world = World()
    client, server, c, s = connected(world, server_config=Config(repair=False))
    assert c.send_messages.repair is None
    body = repair(*repair_of({0: (-1, b"x")}, [0], 0))
    send_frames(client, c, body + frames((r.RECOVERED, 2, 0, 1)))
    world.run_for(0.1)
    assert s.recv_messages.ready is None and s.recv_messages.repair is None
    assert not s.is_closed()


def test_malformed_repair_closes_the_connection(ends: Pair) -> None:
    world, client, server, c, s = ends
    send_frames(client, c, frames((r.REPAIR, 6, 0, 3), b"\0\0\0\0"))
    world.run_for(0.1)
    assert closed_with(server) == Code.FRAME_ENCODING


def test_flood_of_recovered_is_one_of_control_frames(ends: Pair) -> None:
    world, client, server, c, s = ends
    for _ in range(100):
        send_frames(client, c, frames((r.RECOVERED, 2, 0, 1)) * 200)
        world.run_for(0.001)
    assert closed_with(server) == Code.EXCESSIVE_LOAD


def test_recovered_of_what_was_never_sent_is_passed_over(ends: Pair) -> None:
    world, client, server, c, s = ends
    send_frames(server, s, frames((r.RECOVERED, 2, 5, 3)))
    world.run_for(0.1)
    assert not c.is_closed()


# --- messages in fragments ------------------------------------------------------------------------------------------

WHOLE = bytes(range(250)) * 4
PIECE = 300


def fragment(i: int, kind: int = f.MESSAGE_PARTIAL, whole: bytes = WHOLE) -> bytes:
    """Piece `i` of message 0."""
    part = whole[i * PIECE : (i + 1) * PIECE]
    kind |= f.MESSAGE | f.MESSAGE_LEN | f.MESSAGE_FRAGMENT
    order = (0,) if kind & f.MESSAGE_ORDERED else ()
    return frames((kind, 0, *order, i * PIECE, len(whole), len(part)), part)


def repair_fragments(number: int, total: bytes = b"") -> bytes:
    body = frames((0,), bytes((number,)), total or sum_pieces(WHOLE, PIECE, number))
    return frames((r.REPAIR_FRAGMENTS, len(body)), body)


@pytest.mark.parametrize("lost", [(0,), (3,), (0, 1, 3), (1, 2)])
@pytest.mark.parametrize("ordered", [0, f.MESSAGE_ORDERED])
def test_message_in_fragments_is_found_out_of_as_many_repairs_as_fragments_are_missing(
    ends: Pair, lost: tuple[int, ...], ordered: int
) -> None:
    world, client, server, c, s = ends
    came = [i for i in range(4) if i not in lost]
    for i in came[:1]:
        send_frames(client, c, fragment(i, f.MESSAGE_PARTIAL | ordered))
    for number in range(len(lost)):
        assert s.recv_messages.ready is None
        send_frames(client, c, repair_fragments(number))
        world.run_for(0.05)
        check_bounds(s.recv_messages.repair)
    for i in came[1:]:
        assert s.recv_messages.ready is None
        send_frames(client, c, fragment(i, f.MESSAGE_PARTIAL | ordered))
        world.run_for(0.05)
    assert [(m.data, m.ordered) for m, _ in s.recv_messages.ready] == [(WHOLE, bool(ordered))]
    assert s.window.received == len(WHOLE) + LIMITS.message_overhead
    repair = s.recv_messages.repair
    assert (repair.recovered, repair.owed, s.window.spare) == (1, [], 0)
    for i in lost:
        send_frames(client, c, fragment(i, f.MESSAGE_PARTIAL | ordered))
    world.run_for(0.05)
    assert len(s.recv_messages.ready) == 1 and not s.is_closed()


@pytest.mark.parametrize("what", ["nothing of it", "reliable", "abandoned", "all is here"])
def test_repairs_of_what_is_not_under_way_are_dropped(ends: Pair, what: str) -> None:
    world, client, server, c, s = ends
    if what == "reliable":
        send_frames(client, c, fragment(0, 0))
    elif what == "abandoned":
        send_frames(client, c, fragment(0))
        send_frames(client, c, repair_fragments(0))
        send_frames(client, c, frames((f.MESSAGE_ABANDON, 0, 0, 1 + PIECE)))
    elif what == "all is here":
        for i in range(4):
            send_frames(client, c, fragment(i))
    for number in range(4):
        send_frames(client, c, repair_fragments(number))
    world.run_for(0.05)
    assert (s.recv_messages.ready is None) == (what != "all is here")
    assert s.recv_messages.repair._held == s.recv_messages.repair.recovered == 0
    assert not s.is_closed()


def test_repairs_of_fragments_that_lie_are_bounded_and_make_one_message_at_most(ends: Pair) -> None:
    world, client, server, c, s = ends
    chance = random.Random(7)
    for i in range(60):
        send_frames(client, c, frames((f.MESSAGE | 0x13, i, 0, chance.choice((2, 900, 70_000)), 1), b"x"))
        for _ in range(10):
            size = chance.choice((1, 2, 300, 1100))
            body = frames((i,), chance.randbytes(1 + size))
            send_frames(client, c, frames((r.REPAIR_FRAGMENTS, len(body)), body))
        world.run_for(0.02)
        if s.recv_messages.repair is not None:
            check_bounds(s.recv_messages.repair)
    assert not s.is_closed()
    assert len(s.recv_messages.ready or ()) <= 60
