"""Strangers, damage and replay: datagrams that belong to nobody (N numbers name the case)."""

from __future__ import annotations

import random

import pytest

from jsp.config import Config
from jsp.crypto.credentials import Credentials
from jsp.crypto.identity import Identity
from jsp.crypto.protection import LongKeys
from jsp.engine import establish
from jsp.engine.endpoint import derive_reset_secret
from jsp.engine.events import Closed
from jsp.engine.keying import initial_secrets
from jsp.engine.modes import RELIABLE
from jsp.engine.traffic import StreamReadable
from jsp.errors import Code
from jsp.wire import frames as f
from jsp.wire.packet import TYPE_INITIAL, encode_long_header
from tests.sim.hostile import Pair, frames, initial, seal, send_frames, two_versions
from tests.sim.link import LinkSpec
from tests.sim.world import SERVER_SEED, Node, World, confirmed_peer, pair

STRANGER = ("203.0.113.5", 5)


def test_n46_exact_duplicates_are_dropped(ends: Pair) -> None:
    world, client, server, c, s = ends
    datagrams: list[bytes] = []
    client.default_link.tap = datagrams.append
    c.send_message(world.now, b"once", RELIABLE, False)
    client.flush(c)
    world.run_for(0.1)
    before = s.counters.packets_duplicate
    for datagram in datagrams:
        server.receive(datagram, client.address)
    assert s.counters.packets_duplicate > before
    assert s.recv_messages.read().data == b"once"
    assert s.recv_messages.read() is None


def test_n47_old_packets_are_dropped(ends: Pair) -> None:
    world, client, server, c, s = ends
    old = send_frames(client, c, frames((f.MESSAGE | f.MESSAGE_BEST_EFFORT, 0), b"old"))
    for i in range(9000):
        # Every third number is left out, so that there are more gaps than the window remembers.
        c.paths[0].space.next_number += i % 3 == 0
        send_frames(client, c, frames((f.PADDING,), (f.PADDING,)))
    world.run_for(0.5)
    server.receive(old, client.address)
    assert len(s.recv_messages.ready) == 1
    assert len(s.paths[0].space.acks.ranges) < 9000


def test_n01_any_flipped_bit_is_dropped(ends: Pair) -> None:
    world, client, server, c, s = ends
    good = seal(c, frames((f.STREAM, 0), b"content"))
    for position in range(len(good)):
        for bit in (0, 7):
            damaged = bytearray(good)
            damaged[position] ^= 1 << bit
            server.receive(bytes(damaged), client.address)
    assert not server.events(StreamReadable)
    assert not s.is_closed()
    server.receive(good, client.address)
    assert server.events(StreamReadable)


def test_n03_n08_truncated_and_tiny_datagrams(ends: Pair) -> None:
    world, client, server, c, s = ends
    good = seal(c, frames((f.STREAM, 0), b"content"))
    for size in range(1, len(good)):
        server.receive(good[:size], client.address)
    assert not server.events(StreamReadable)
    assert not s.is_closed()


def test_random_datagrams_do_nothing(ends: Pair) -> None:
    world, client, server, c, s = ends
    rng = random.Random(7)
    connections = len(server.core.connections)
    for _ in range(3000):
        size = rng.choice((1, 20, 43, 100, 1200, 1500))
        data = bytearray(rng.randbytes(size))
        kind = rng.random()
        if kind < 0.3:
            data[1:5] = s.scid[: size - 1]
            data[0] = 0x80 | data[0] & 0x3F
        elif kind < 0.7:
            data[:5] = (bytes([0xC0 | data[0] & 0x30]) + b"JSP\x01")[: len(data)]
        server.receive(bytes(data), STRANGER)
        client.receive(bytes(data), STRANGER)
    assert len(server.core.connections) == connections
    assert not s.is_closed()
    assert not c.is_closed()


def test_n10_connection_id_of_21_bytes(ends: Pair) -> None:
    world, client, server, c, s = ends
    dropped = server.core.dropped
    server.receive(b"\xc0JSP\x01\x15" + bytes(1300), STRANGER)
    assert server.core.dropped == dropped + 1


@pytest.mark.parametrize("left", [0, 3, 15, 16, 40])
def test_a_later_packet_of_another_version_ends_the_datagram(left: int) -> None:
    world = World()
    _, server = pair(world)
    server.receive(two_versions(b"odcid001", left), STRANGER)
    assert not server.core.connections
    assert server.default_link.sent == 0


def test_what_fails_behind_a_strangers_first_packet_does_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    _, server = pair(world)

    def fail(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(establish, "check_peer_cid", fail)
    with pytest.raises(RuntimeError):
        server.receive(initial(b"odcid001", frames((f.PING,))), STRANGER)
    assert not server.core.connections
    assert not server.core._routes


def test_a_strangers_first_packet_that_breaks_a_rule_leaves_nothing_in_the_end() -> None:
    world = World()
    client, server = pair(world, server_config=Config(max_half_open=3))
    for i in range(5):
        server.receive(initial(b"odcid%03d" % i, frames((f.PING,)), header_bits=1), (f"203.0.113.{i}", 5))
    assert [event.code for event in server.events(Closed)] == [Code.PROTOCOL_VIOLATION] * 5
    world.run_for(10.0)
    assert not server.core.connections
    confirmed_peer(world, client.connect(), server)


def test_a_short_packet_behind_long_ones_is_for_the_same_connection(ends: Pair) -> None:
    world, client, server, c, s = ends
    before = s.counters.packets_received
    server.receive(initial(b"odcid001", frames((f.PING,))) + seal(c, frames((f.PING,))), STRANGER)
    assert s.counters.packets_received == before
    # The connection of the long packet is settled all the same.
    assert server.accepted[-1].original_dcid == b"odcid001"


def test_n51_small_initial_is_not_answered() -> None:
    world = World()
    _, server = pair(world)
    for size in (100, 999, 1199):
        server.receive(initial(b"odcid001", frames((f.PING,)), size=size), STRANGER)
    assert not server.core.connections
    assert server.default_link.sent == 0
    # Nor is one for a handshake under way, by the client's id or the server's.
    server.receive(initial(b"odcid001", frames((f.PING,))), STRANGER)
    s = server.accepted[0]
    for dcid in (b"odcid001", s.scid):
        server.receive(initial(dcid, frames((f.PING,)), 1, size=1199, odcid=b"odcid001"), STRANGER)
    assert s.counters.packets_received == 1
    assert s.paths[0].received == 1200 + 2 * 1199


def test_n58_reset_token_with_one_wrong_bit(ends: Pair) -> None:
    world, client, server, c, s = ends
    token = next(iter(c.paths[0].remote_cids.reset_tokens))
    wrong = token[:-1] + bytes([token[-1] ^ 1])
    client.receive(b"\x80" + bytes(30) + wrong, ("198.51.100.1", 4433))
    assert not c.is_closed()
    client.receive(b"\x80" + bytes(30) + token, ("198.51.100.1", 4433))
    assert c.is_closed()


def test_n59_n60_resets_are_shorter_than_their_cause_and_rare(ends: Pair) -> None:
    world, client, server, c, s = ends
    replies: list[int] = []
    server.default_link.tap = lambda data: replies.append(len(data))
    for i in range(200):
        server.receive(b"\x80" + i.to_bytes(4, "big") + bytes(60), STRANGER)
    assert 0 < len(replies) <= 20
    assert max(replies) < 65
    server.receive(b"\x80" + bytes(41), STRANGER)
    assert len(replies) <= 20


def test_an_id_whose_token_was_given_away_is_not_given_out() -> None:
    world = World()
    client, server = pair(world)
    ids = [b"aaaa", b"bbbb", b"cccc"]
    server.receive(b"\x80aaaa" + bytes(60), STRANGER)
    server.receive(b"\x80cccc" + bytes(20), STRANGER)  # too short for an answer
    assert list(server.core._revealed) == [b"aaaa"]
    entropy = server.core._entropy
    server.core._entropy = lambda size: ids.pop(0) if size == 4 and ids else entropy(size)
    s = confirmed_peer(world, client.connect(), server)
    assert s.scid == b"bbbb"
    for i in range(50_000):
        world.now += 0.05
        server.receive(b"\x80" + i.to_bytes(4, "big") + bytes(60), STRANGER)
    assert len(server.core._revealed) == 4096


def test_servers_of_one_identity_have_reset_secrets_of_their_own() -> None:
    seed = bytes(32)
    secrets = [derive_reset_secret(seed, a) for a in (("192.0.2.1", 1), ("192.0.2.1", 2), ("192.0.2.11", 1, 0, 0))]
    assert len(set(secrets)) == 3
    assert derive_reset_secret(seed, ("192.0.2.1", 1)) == secrets[0]
    assert derive_reset_secret(bytes([1]) * 32, ("192.0.2.1", 1)) not in secrets


def test_n49_replayed_client_hello_makes_no_second_connection_event() -> None:
    world = World()
    client, server = pair(world)
    up: list[bytes] = []
    client.default_link.tap = up.append
    c = client.connect()
    world.run_until(lambda: c.confirmed)
    world.run_for(1.0)
    before = len(server.received)
    for datagram in up[:2]:
        server.receive(datagram, STRANGER)
    world.run_for(15.0)
    assert [type(e) for _, e in server.received[before:]] == [Closed]
    assert len(server.core.connections) == 1


def test_half_open_connections_are_bounded() -> None:
    world = World()
    identity = Identity.from_seed(SERVER_SEED)
    _, server = pair(world, server_config=Config(max_half_open=10), server_credentials=Credentials(identity=identity))
    for i in range(30):
        client = Node(world, ("192.0.2.9", 10_000 + i))
        up: list[bytes] = []
        client.default_link = world.link(LinkSpec(loss=1.0))
        client.default_link.tap = up.append
        client.connect()
        for datagram in up:
            server.receive(datagram, client.address)
    assert len(server.core.connections) == 10


def test_a_flood_of_strangers_makes_way_for_who_answers() -> None:
    world = World()
    client, server = pair(world, server_config=Config(max_half_open=50))
    count = 0

    def flood() -> None:
        nonlocal count
        for _ in range(20):
            count += 1
            server.receive(initial(b"flood%05d" % count, frames((f.PING,))), (f"10.0.{count >> 8}.{count & 255}", 5))
        world.schedule(world.now + 0.1, flood)

    flood()
    world.run_for(2.0)
    assert len(server.core.connections) == 50
    for _ in range(3):
        before = world.now
        confirmed_peer(world, client.connect(), server)
        assert world.now - before < 0.2
    # Their owners heard of it, each once.
    evicted = [core for core, event in server.received if isinstance(event, Closed)]
    assert len(set(evicted)) == len(evicted) == count + 3 - len(server.core.connections)


def test_handshake_rate_is_limited_by_prefix() -> None:
    world = World()
    _, server = pair(world, server_config=Config(rate_limit=2.0))
    admitted = 0
    for i in range(20):
        client = Node(world, ("192.0.2.9", 10_000 + i))
        up: list[bytes] = []
        client.default_link = world.link(LinkSpec(loss=1.0))
        client.default_link.tap = up.append
        client.connect()
        server.receive(up[0], client.address)
        admitted = len(server.core.connections)
    assert admitted == 4
    other = Node(world, ("192.0.2.10", 1))
    other.default_link = world.link(LinkSpec(loss=1.0))
    up = []
    other.default_link.tap = up.append
    other.connect()
    server.receive(up[0], other.address)
    assert len(server.core.connections) == 5


def test_unauthenticated_close_gives_the_real_server_its_chance() -> None:
    # A CLOSE in an Initial can be forged by whoever sees the ClientHello.
    world = World()
    client, server = pair(world, LinkSpec(delay=0.05))
    up: list[bytes] = []
    client.default_link.tap = up.append
    c = client.connect()
    keys = LongKeys(initial_secrets(c.original_dcid)[1])
    payload = frames((f.CLOSE, Code.REFUSED, 0)).ljust(1100, b"\x00")
    header = encode_long_header(TYPE_INITIAL, c.scid, b"fake", 0, len(payload) + 16)
    client.receive(header + keys.seal(header, 0, payload), ("198.51.100.1", 4433))
    assert not c.is_closed()
    world.run_until(lambda: c.is_closed() or c.confirmed)
    # The forged packet named another connection id, so the true server's are dropped: the attempt fails, cleanly.
    assert c.lifecycle.closed is None or c.lifecycle.closed.code in (Code.REFUSED, Code.HANDSHAKE_TIMEOUT)
