"""The packet seal: trains there and back, every flipped bit, key updates in any order of arrival.

All of it with every provider that is present.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from jsp.crypto import protection
from jsp.crypto.protection import BATCH_MAX, LongKeys, OpenKeys, SealKeys
from jsp.crypto.provider import Provider
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305, FORGERY_LIMIT, SEAL_LIMIT
from jsp.errors import Code, ProtocolViolation
from jsp.wire.buffer import DATAGRAM_MAX, PacketBuffer
from jsp.wire.packet import SHORT_RESERVED, TAG_SIZE
from tests.crypto.packets import CID, header_of, open_batch, seal, seal_train
from tests.crypto.providers import PROVIDERS, name_of
from tests.profiles import examples

SUITES = [CHACHA20_POLY1305, AES_256_GCM]
SECRET = bytes(range(32))


@pytest.fixture(scope="module", params=PROVIDERS, ids=name_of, autouse=True)
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """What keys use in these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protection, "chosen", lambda: request.param)
        yield request.param


def keys_of(suite: int, secret: bytes = SECRET) -> tuple[SealKeys, OpenKeys]:
    return SealKeys(suite, secret), OpenKeys(suite, secret)


def violation(call: Callable[[], object]) -> int:
    with pytest.raises(ProtocolViolation) as caught:
        call()
    return caught.value.code


# --- the specification in twenty lines -----------------------------------------------------------------------------


def _derived(secret: bytes, label: bytes, size: int) -> bytes:
    full = b"jsp1 " + label
    info = size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\x00"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def _spec_packet(suite: int, secret: bytes, header: bytes, text: bytes, path_id: int, number: int) -> bytes:
    """Spec sections 7.1 to 7.3, with primitives of the `cryptography` package only."""
    key, iv, hp = _derived(secret, b"key", 32), _derived(secret, b"iv", 12), _derived(secret, b"hp", 32)
    nonce = bytes(a ^ b for a, b in zip(iv, path_id.to_bytes(4, "big") + number.to_bytes(8, "big"), strict=True))
    aead = AESGCM(key) if suite == AES_256_GCM else ChaCha20Poly1305(key)
    sealed = aead.encrypt(nonce, text, header)
    number_size = 4 if header[0] & 1 else 2
    number_at = len(header) - number_size
    sample = (header + sealed)[number_at + 4 : number_at + 20]
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sample)
    masked = bytearray(header)
    masked[0] ^= mask[0] & 0x3F
    for i in range(number_size):
        masked[number_at + i] ^= mask[1 + i]
    return bytes(masked) + sealed


@examples(80)
@given(
    st.sampled_from(SUITES),
    st.binary(min_size=1, max_size=20),
    st.sampled_from([2, 4]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**62 - 200),
    st.binary(min_size=2, max_size=1300),
)
def test_a_sealed_packet_is_what_the_specification_says(
    suite: int, cid: bytes, number_size: int, path_id: int, number: int, text: bytes
) -> None:
    keys = SealKeys(suite, SECRET)
    packet, _ = seal_train(keys, [text], number, cid, number_size, path_id)
    header = header_of(cid, number, number_size, 0)
    assert packet == _spec_packet(suite, SECRET, header, text, path_id, number)
    keys.update()
    packet, _ = seal_train(keys, [text], number, cid, number_size, path_id)
    # After an update: other key and nonce, the same header protection.
    header = header_of(cid, number, number_size, 1)
    opener = OpenKeys(suite, SECRET)
    opener.update_allowed = True
    assert open_batch(opener, packet, 0, len(cid), path_id, number - 1) == [(number, text)]


@pytest.mark.parametrize("suite", SUITES)
def test_a_long_packet_is_what_the_specification_says(suite: int) -> None:
    key, iv = _derived(SECRET, b"key", 32), _derived(SECRET, b"iv", 12)
    aead = AESGCM(key) if suite == AES_256_GCM else ChaCha20Poly1305(key)
    for number in (0, 1, 2**32 - 1):
        nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
        assert LongKeys(SECRET, suite).seal(b"header", number, b"text") == aead.encrypt(nonce, b"text", b"header")


# --- long headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_long_packets_open_and_nothing_else_does(suite: int) -> None:
    keys = LongKeys(SECRET, suite)
    sealed = keys.seal(b"header", 7, bytearray(b"text"))
    assert keys.open(memoryview(b"header"), 7, memoryview(sealed)) == b"text"
    assert keys.open(b"headeR", 7, sealed) is None
    assert keys.open(b"header", 8, sealed) is None
    assert LongKeys(b"s" * 32, suite).open(b"header", 7, sealed) is None
    for bit in range(8 * len(sealed)):
        bad = bytearray(sealed)
        bad[bit // 8] ^= 1 << bit % 8
        assert keys.open(b"header", 7, bytes(bad)) is None
    for size in range(len(sealed)):
        assert keys.open(b"header", 7, sealed[:size]) is None
    assert keys.open(b"header", 0, keys.seal(b"header", 0, b"")) == b""


def test_initial_packets_use_aes() -> None:
    sealed = LongKeys(SECRET).seal(b"h", 0, b"text")
    assert LongKeys(SECRET, AES_256_GCM).open(b"h", 0, sealed) == b"text"


# --- trains --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("number_size", [2, 4])
def test_every_packet_of_a_train_of_any_length_opens(suite: int, number_size: int) -> None:
    sealer, opener = keys_of(suite)
    number = 1000
    for count in range(1, BATCH_MAX + 1):
        texts = [bytes([i]) * 60 for i in range(count)]
        data, segment = seal_train(sealer, texts, number, CID, number_size)
        opened = open_batch(opener, data, segment, largest=number - 1)
        assert opened == [(number + i, text) for i, text in enumerate(texts)]
        number += count
    assert sealer.sealed == number - 1000
    assert opener.forgeries == 0


@pytest.mark.parametrize("cid_size", range(1, 21))
def test_connection_ids_of_every_size(cid_size: int) -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    cid = bytes(range(cid_size))
    data, segment = seal_train(sealer, [b"abc", b"def", b"g2"], 5, cid)
    assert open_batch(opener, data, segment, cid_size) == [(5, b"abc"), (6, b"def"), (7, b"g2")]


@examples(120)
@given(
    suite=st.sampled_from(SUITES),
    cid=st.binary(min_size=1, max_size=20),
    number_size=st.sampled_from([2, 4]),
    path_id=st.integers(0, 2**32 - 1),
    count=st.integers(1, BATCH_MAX),
    size=st.integers(2, 480),
    last=st.integers(0, 480),
    number=st.integers(0, 1 << 61),
    at=st.integers(0, 300),
)
def test_any_train_opens_anywhere_in_a_buffer(
    suite: int, cid: bytes, number_size: int, path_id: int, count: int, size: int, last: int, number: int, at: int
) -> None:
    sealer, opener = keys_of(suite)
    rng = random.Random(size * 1000 + count)
    texts = [rng.randbytes(size) for _ in range(count - 1)] + [rng.randbytes(max(2, min(last, size)))]
    data, segment = seal_train(sealer, texts, number, cid, number_size, path_id)
    opened = open_batch(opener, data, segment, len(cid), path_id, number - 1, at)
    assert opened == [(number + i, text) for i, text in enumerate(texts)]


def test_the_largest_datagram_and_the_smallest_packet() -> None:
    sealer, opener = keys_of(AES_256_GCM)
    text = bytes(DATAGRAM_MAX - 1 - len(CID) - 2 - TAG_SIZE)
    assert open_batch(opener, seal(sealer, 0, text)) == [(0, text)]
    # A number of four bytes is a sample's distance from the tag by itself.
    data, _ = seal_train(sealer, [b""], 1, number_size=4)
    assert open_batch(opener, data, largest=0) == [(1, b"")]


@pytest.mark.parametrize("suite", SUITES)
def test_packets_arrive_in_any_order_and_numbers_are_found_again(suite: int) -> None:
    sealer, opener = keys_of(suite)
    packets = {n: seal(sealer, n, b"number %d" % n) for n in (0, 1, 2, 40, 32_000, 65_000)}
    largest = -1
    for n in (2, 0, 32_000, 1, 40, 65_000):
        assert open_batch(opener, packets[n], largest=largest) == [(n, b"number %d" % n)]
        largest = max(largest, n)


def test_a_number_too_far_away_is_another_number_and_does_not_open() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    packet = seal(sealer, 1 << 15)
    assert open_batch(opener, packet, largest=-1 + (1 << 17)) == []
    number = (1 << 33) + (1 << 31) + 1
    far, _ = seal_train(sealer, [b"text"], number, number_size=4)
    assert open_batch(opener, far, largest=(1 << 33) - 1) == []
    assert open_batch(opener, far, largest=1 << 33) == [(number, b"text")]


# --- what must not open --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("number_size", [2, 4])
def test_n01_n02_any_flipped_bit_closes_a_packet(suite: int, number_size: int) -> None:
    sealer, opener = keys_of(suite)
    packet, _ = seal_train(sealer, [b"text of it"], 300, number_size=number_size)
    for bit in range(8 * len(packet)):
        bad = bytearray(packet)
        bad[bit // 8] ^= 1 << bit % 8
        assert open_batch(opener, bytes(bad), largest=299) == [], f"bit {bit}"
    assert opener.forgeries == 8 * len(packet)
    assert open_batch(opener, packet, largest=299) == [(300, b"text of it")]
    assert (opener.phase, opener.updated) == (0, False)


@examples(60)
@given(
    count=st.integers(2, 20),
    victim=st.integers(0, 1 << 30),
    bit=st.integers(0, 1 << 30),
    suite=st.sampled_from(SUITES),
)
def test_a_flipped_bit_costs_one_packet_of_a_train(count: int, victim: int, bit: int, suite: int) -> None:
    sealer, opener = keys_of(suite)
    texts = [bytes([i]) * 30 for i in range(count)]
    data, segment = seal_train(sealer, texts, 0)
    victim %= count
    bad = bytearray(data)
    bit %= 8 * segment
    bad[victim * segment + bit // 8] ^= 1 << bit % 8
    opened = open_batch(opener, bytes(bad), segment)
    assert opened == [(i, text) for i, text in enumerate(texts) if i != victim]
    assert opener.forgeries == 1


@pytest.mark.parametrize("suite", SUITES)
def test_n03_a_cut_or_lengthened_packet_does_not_open(suite: int) -> None:
    sealer, opener = keys_of(suite)
    packet = seal(sealer, 0, b"text of it")
    for size in range(len(packet)):
        assert open_batch(opener, packet[:size]) == []
    for tail in (b"\x00", bytes(16), packet):
        assert open_batch(opener, packet + tail) == []


def test_packets_of_another_path_key_or_suite_do_not_open() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    packet = seal(sealer, 0, path_id=1)
    assert open_batch(opener, packet, path_id=0) == []
    assert open_batch(opener, packet, path_id=1) == [(0, b"some text")]
    assert open_batch(OpenKeys(CHACHA20_POLY1305, b"o" * 32), packet, path_id=1) == []
    assert open_batch(OpenKeys(AES_256_GCM, SECRET), packet, path_id=1) == []


@pytest.mark.parametrize("suite", SUITES)
def test_no_nonce_is_used_twice_on_any_path(suite: int) -> None:
    sealer = SealKeys(suite, SECRET)
    zeros = bytes(32)
    paths = (0, 1, 2, 255, 256, 2**31, 2**32 - 1)
    numbers = (0, 1, 2, 255, 256, 65535, 65536, 2**32, 2**61)
    streams = set()
    for path_id in paths:
        for number in numbers:
            packet = seal(sealer, number, zeros, path_id)
            # Zeros sealed are the key stream itself: equal for equal nonces, whatever the header.
            streams.add(packet[7:39])
    assert len(streams) == len(paths) * len(numbers)


@pytest.mark.parametrize("bit", [b for b in (0x04, 0x08, 0x10, 0x20) if b & SHORT_RESERVED])
def test_n04_reserved_bits_under_a_valid_seal_end_the_connection(bit: int) -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    assert violation(lambda: open_batch(opener, seal(sealer, 0, extra=bit))) == Code.PROTOCOL_VIOLATION


@examples(300)
@given(
    data=st.binary(max_size=400),
    segment=st.integers(1, 30) | st.integers(1, 400),
    cid_size=st.integers(1, 20),
    largest=st.integers(-1, (1 << 62) - 1),
    at=st.integers(0, 40),
)
def test_n08_junk_of_any_shape_opens_nothing_and_harms_nothing(
    data: bytes, segment: int, cid_size: int, largest: int, at: int
) -> None:
    sealer, opener = keys_of(AES_256_GCM)
    assert open_batch(opener, data, segment, cid_size, 0, largest, at) == []
    # Header protection is a stateful object: it must still be in step.
    good, size = seal_train(sealer, [b"one", b"two"], 3)
    assert open_batch(opener, good, size) == [(3, b"one"), (4, b"two")]
    assert (opener.phase, opener.updated) == (0, False)


def test_a_batch_of_scraps_is_dropped_whole() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    for segment in range(1, 26):
        for size in range(0, 130, 3):
            assert open_batch(opener, bytes(range(size)), segment) == []
    assert len(open_batch(opener, seal(sealer, 0))) == 1


def test_more_packets_than_a_batch_holds_are_dropped_and_harm_nothing() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    data, segment = seal_train(sealer, [b"text"] * BATCH_MAX, 0)
    assert open_batch(opener, data + data[:segment], segment) == []
    assert len(open_batch(opener, data, segment)) == BATCH_MAX


def test_a_short_tail_of_a_batch_is_dropped_alone() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    data, segment = seal_train(sealer, [b"a" * 40] * 3, 0)
    for tail in (1, 5, 20, 24):
        assert [n for n, _ in open_batch(opener, data + bytes(tail), segment)] == [0, 1, 2]


@pytest.mark.parametrize("suite", SUITES)
def test_too_many_forgeries_end_the_connection(suite: int) -> None:
    opener = OpenKeys(suite, SECRET)
    assert opener.forgery_limit == FORGERY_LIMIT[suite]
    opener.forgery_limit = 5
    junk = bytes(range(60))
    for _ in range(4):
        assert open_batch(opener, junk) == []
    assert violation(lambda: open_batch(opener, junk)) == Code.AEAD_LIMIT


def test_sealing_ends_at_twice_the_update_limit() -> None:
    sealer = SealKeys(AES_256_GCM, SECRET)
    assert sealer.update_at == SEAL_LIMIT[AES_256_GCM]
    sealer.sealed = 2 * sealer.update_at - 1
    assert not sealer.exhausted()
    seal(sealer, 0)
    assert sealer.exhausted()
    sealer.update()
    assert not sealer.exhausted()
    assert sealer.sealed == 0


# --- key updates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_the_receiver_follows_updates(suite: int) -> None:
    sealer, opener = keys_of(suite)
    for generation in range(5):
        assert (sealer.phase, opener.phase) == (generation % 2,) * 2
        number = 10 * generation
        assert open_batch(opener, seal(sealer, number), largest=number - 1) == [(number, b"some text")]
        sealer.update()
        opener.update_allowed = True
        assert open_batch(opener, seal(sealer, number + 5), largest=number) == [(number + 5, b"some text")]
        assert opener.updated
        assert not opener.update_allowed
        opener.updated = False
        opener.drop_previous()


def test_packets_from_before_an_update_open_until_their_keys_are_dropped() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    old = [seal(sealer, n, b"old %d" % n) for n in range(4)]
    sealer.update()
    new = [seal(sealer, n, b"new %d" % n) for n in range(4, 8)]
    opener.update_allowed = True
    assert open_batch(opener, old[1]) == [(1, b"old 1")]
    assert open_batch(opener, new[2], largest=1) == [(6, b"new 6")]
    assert open_batch(opener, old[3], largest=6) == [(3, b"old 3")]
    assert open_batch(opener, new[0], largest=6) == [(4, b"new 4")]
    assert open_batch(opener, old[0], largest=6) == [(0, b"old 0")]
    opener.drop_previous()
    assert open_batch(opener, old[2], largest=6) == []
    assert open_batch(opener, new[3], largest=6) == [(7, b"new 7")]
    assert opener.phase == 1


def test_n81_an_update_that_comes_too_early_ends_the_connection() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    sealer.update()
    assert violation(lambda: open_batch(opener, seal(sealer, 0))) == Code.KEY_UPDATE
    # And so does a second one before the first is acknowledged.
    sealer, opener = keys_of(CHACHA20_POLY1305)
    opener.update_allowed = True
    sealer.update()
    assert len(open_batch(opener, seal(sealer, 0))) == 1
    sealer.update()
    assert violation(lambda: open_batch(opener, seal(sealer, 1), largest=0)) == Code.KEY_UPDATE


def test_n81_old_keys_under_a_number_above_the_update_do_not_open() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    late = seal(sealer, 10)
    sealer.update()
    opener.update_allowed = True
    assert len(open_batch(opener, seal(sealer, 5))) == 1
    opener.update_allowed = True
    assert open_batch(opener, late, largest=5) == []
    assert opener.phase == 1


def test_a_forged_phase_bit_moves_nothing() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    opener.update_allowed = True
    packet = bytearray(seal(sealer, 0))
    packet[0] ^= 0x02
    assert open_batch(opener, bytes(packet)) == []
    assert (opener.phase, opener.updated, opener.update_allowed) == (0, False, True)
    assert len(open_batch(opener, seal(sealer, 1))) == 1


def test_each_path_has_its_own_beginning_of_a_phase() -> None:
    sealer, opener = keys_of(AES_256_GCM)
    opener.update_allowed = True
    old_on_1 = [seal(sealer, n, b"old", path_id=1) for n in (50, 99)]
    sealer.update()
    assert len(open_batch(opener, seal(sealer, 3), path_id=0)) == 1
    # Path 1 has not shown the new phase yet: any number there may still be an old one.
    assert open_batch(opener, old_on_1[1], path_id=1, largest=98) == [(99, b"old")]
    assert open_batch(opener, seal(sealer, 100, b"new", path_id=1), path_id=1, largest=99) == [(100, b"new")]
    assert open_batch(opener, old_on_1[0], path_id=1, largest=100) == [(50, b"old")]


@examples(40)
@given(seed=st.integers(0, 1 << 30), suite=st.sampled_from(SUITES), generations=st.integers(2, 5))
def test_every_packet_opens_once_whatever_the_order_around_updates(seed: int, suite: int, generations: int) -> None:
    """On the way a generation overlaps with the next one only."""
    rng = random.Random(seed)
    sealer, opener = keys_of(suite)
    numbers = {0: 0, 1: 0}
    sent: list[list[tuple[int, int, bytes]]] = []
    for _ in range(generations):
        batch = []
        for _ in range(rng.randint(2, 8)):
            path_id = rng.choice((0, 0, 1))
            number = numbers[path_id]
            numbers[path_id] += rng.randint(1, 3)
            batch.append((path_id, number, seal(sealer, number, b"%d/%d" % (path_id, number), path_id)))
        sent.append(batch)
        sealer.update()
    largest = {0: -1, 1: -1}
    held: list[tuple[int, int, bytes]] = []
    for i, batch in enumerate(sent):
        # Some of the generation before arrive among these.
        arriving = held + batch
        rng.shuffle(arriving)
        late = rng.sample(batch, rng.randint(0, len(batch) - 1)) if i + 1 < len(sent) else []
        held = [packet for packet in arriving if packet in late]
        if i:
            # Nobody updates again before the keys before the last update are forgotten.
            opener.drop_previous()
            opener.update_allowed = True
        for path_id, number, packet in arriving:
            if (path_id, number, packet) in held:
                continue
            opened = open_batch(opener, packet, path_id=path_id, largest=largest[path_id])
            assert opened == [(number, b"%d/%d" % (path_id, number))]
            largest[path_id] = max(largest[path_id], number)
        assert opener.phase == i % 2
        if opener.updated:
            opener.updated = False
    assert not held
    assert opener.forgeries == 0


def test_views_of_one_buffer_serve_many_trains() -> None:
    sealer, opener = keys_of(CHACHA20_POLY1305)
    slots = PacketBuffer()
    for n in range(20):
        assert open_batch(opener, seal(sealer, n), largest=n - 1, slots=slots) == [(n, b"some text")]
