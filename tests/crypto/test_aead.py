"""Every provider that is present: published answers, trains, bounds, and each opens what the other sealed."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.crypto.provider import Provider, open_one, seal_one
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305, make_aead
from jsp.wire.buffer import DATAGRAM_MAX, PacketBuffer
from jsp.wire.packet import TAG_SIZE
from tests.crypto.providers import PROVIDERS, name_of
from tests.profiles import examples
from tests.vectors import aead as v

SUITES = [CHACHA20_POLY1305, AES_256_GCM]
KEY = bytes(range(32))
hex_ = bytes.fromhex

each = pytest.mark.parametrize("provider", PROVIDERS, ids=name_of)
both = pytest.mark.parametrize(
    ("sealing", "opening"),
    list(product(PROVIDERS, PROVIDERS)),
    ids=lambda provider: name_of(provider),
)


# --- published answers -----------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("case", v.AEAD, ids=lambda case: case.name)
def test_published_answers_in_place(case: v.Sealed, provider: Provider) -> None:
    aead = provider.aead(case.suite, hex_(case.key))
    nonce, header, text = hex_(case.nonce), hex_(case.header), hex_(case.plaintext)
    for _ in range(3):
        assert seal_one(aead, nonce, header, text).hex() == case.sealed
        assert open_one(aead, nonce, header, hex_(case.sealed)) == text


@each
@pytest.mark.parametrize("case", v.AEAD, ids=lambda case: case.name)
def test_any_flipped_bit_of_a_published_answer_is_refused(case: v.Sealed, provider: Provider) -> None:
    aead = provider.aead(case.suite, hex_(case.key))
    parts = [hex_(case.nonce), hex_(case.header), hex_(case.sealed)]
    for i, part in enumerate(parts):
        for bit in range(8 * len(part)):
            bad = bytearray(part)
            bad[bit // 8] ^= 1 << bit % 8
            changed = parts[:i] + [bytes(bad)] + parts[i + 1 :]
            assert open_one(aead, *changed) is None, (i, bit)
    # And what was refused leaves nothing behind.
    assert open_one(aead, parts[0], parts[1], parts[2]) == hex_(case.plaintext)


@each
def test_fips_197_aes_256_masks_many_samples_at_once(provider: Provider) -> None:
    masker = provider.masker(hex_(v.AES_256_KEY))
    for count in (1, 2, 7, 8, 9, 128, 3):
        data = bytearray(b"-" + (hex_(v.AES_256_BLOCK) + b"+++") * count)
        assert masker.masks(data, 1, 19, count)[: 16 * count].hex() == v.AES_256_ENCRYPTED * count
        assert data == b"-" + (hex_(v.AES_256_BLOCK) + b"+++") * count
    assert masker.masks(bytearray(), 0, 0, 0)[:0] == b""


# --- trains ----------------------------------------------------------------------------------------------------------


@each
@examples(60)
@given(
    suite=st.sampled_from(SUITES),
    count=st.integers(1, 128),
    size=st.integers(0, 400),
    last=st.integers(0, 400),
    header_size=st.integers(0, 30),
    high=st.integers(0, 2**32 - 1),
    low=st.integers(0, 2**64 - 1),
    number=st.integers(0, 2**62 - 200),
)
def test_a_train_is_packets_sealed_one_by_one(
    provider: Provider, suite: int, count: int, size: int, last: int, header_size: int, high: int, low: int, number: int
) -> None:
    rng = random.Random(size * 1000 + count)
    sizes = [size] * (count - 1) + [min(last, size)]
    segment = header_size + size + TAG_SIZE
    packets = [(rng.randbytes(header_size), rng.randbytes(n)) for n in sizes]
    laid = b"".join(header + text + bytes(TAG_SIZE) for header, text in packets)
    slots = PacketBuffer(len(laid) + 40)
    slots.data[:] = laid + b"\xee" * 40
    provider.aead(suite, KEY).seal_train(slots, count, segment, len(laid), header_size, high, low, number)
    reference = make_aead(suite, KEY)
    expected = b""
    for i, (header, text) in enumerate(packets):
        nonce = high.to_bytes(4, "big") + (low ^ (number + i)).to_bytes(8, "big")
        sealed = bytearray(len(text) + TAG_SIZE)
        reference.encrypt_into(nonce, text, header, sealed)
        expected += header + sealed
    assert slots.data == expected + b"\xee" * 40


@both
@pytest.mark.parametrize("suite", SUITES)
def test_what_one_provider_seals_another_one_opens(sealing: Provider, opening: Provider, suite: int) -> None:
    rng = random.Random(suite)
    sealer, opener = sealing.aead(suite, KEY), opening.aead(suite, KEY)
    largest = DATAGRAM_MAX - TAG_SIZE - 25
    sizes = [
        *range(70),
        largest,
        *(rng.randrange(65_000) for _ in range(60)),
        *(rng.randrange(1500) for _ in range(60)),
    ]
    for size in sizes:
        nonce, header, text = rng.randbytes(12), rng.randbytes(rng.randrange(26)), rng.randbytes(size)
        sealed = seal_one(sealer, nonce, header, text)
        assert open_one(opener, nonce, header, sealed) == text
        where = rng.randrange(len(sealed))
        bad = bytearray(sealed)
        bad[where] ^= 1 << rng.randrange(8)
        assert open_one(opener, nonce, header, bytes(bad)) is None, (size, where)


@each
@pytest.mark.parametrize("suite", SUITES)
def test_opening_touches_only_the_text(provider: Provider, suite: int) -> None:
    aead = provider.aead(suite, KEY)
    sealed = seal_one(aead, bytes(12), b"header", b"text")
    slots = PacketBuffer(100)
    slots.data[:] = b"\xee" * 100
    slots.data[30 : 36 + len(sealed)] = b"header" + sealed
    for flip in (1, 0):
        slots.data[36 + len(sealed) - 1] ^= flip
        kept = bytes(slots.data[:36]), bytes(slots.data[40:])
        assert aead.open_packet(slots, 30, 36, 40, 0, 0) is not bool(flip)
        assert (bytes(slots.data[:36]), bytes(slots.data[40:])) == kept
        slots.data[30 : 36 + len(sealed)] = b"header" + sealed
    assert aead.open_packet(slots, 30, 36, 40, 0, 0)
    assert slots.data[36:40] == b"text"


# --- bounds ----------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize(
    ("count", "segment", "end", "header_size"),
    [
        (0, 30, 30, 7),  # no packet
        (-1, 30, 30, 7),
        (1, 30, 101, 7),  # behind the buffer
        (1, 22, 100, 7),  # no room for header and tag
        (1, 30, 22, 7),
        (1, -30, 30, 7),
        (1, 30, -30, 7),
        (1, 30, 30, -1),
        (4, 30, 100, 7),  # the last one too small
        (5, 30, 100, 7),
        (1 << 60, 30, 100, 7),
        (1, 1 << 62, 100, (1 << 62) - 16),
        ((1 << 62) + 1, 64, 100, 7),  # a product that wraps
        (1, 0, 100, 0),
    ],
)
def test_a_train_that_its_buffer_does_not_hold(
    provider: Provider, count: int, segment: int, end: int, header_size: int
) -> None:
    slots = PacketBuffer(100)
    with pytest.raises(IndexError, match="train"):
        provider.aead(AES_256_GCM, KEY).seal_train(slots, count, segment, end, header_size, 0, 0, 0)
    assert slots.data == bytes(100)


@each
@pytest.mark.parametrize(
    ("start", "body", "end"),
    [(-1, 6, 50), (7, 6, 50), (0, 51, 50), (0, 6, 85), (0, 6, 100), (0, 6, 1 << 40), (-(1 << 62), 0, 50), (90, 95, 99)],
)
def test_a_packet_that_its_buffer_does_not_hold(provider: Provider, start: int, body: int, end: int) -> None:
    slots = PacketBuffer(100)
    with pytest.raises(IndexError, match="packet"):
        provider.aead(AES_256_GCM, KEY).open_packet(slots, start, body, end, 0, 0)
    assert slots.data == bytes(100)


@each
@pytest.mark.parametrize(
    ("start", "step", "count"),
    [
        (-1, 16, 1), (85, 16, 1), (0, 16, 7), (0, -16, 2), (0, 16, -1), (0, 16, 1 << 60), (101, 1, 1),
        (0, 1 << 62, 3), (1 << 62, 1 << 62, 3),
    ],
)  # fmt: skip
def test_samples_that_are_not_there(provider: Provider, start: int, step: int, count: int) -> None:
    with pytest.raises(IndexError, match="samples"):
        provider.masker(KEY).masks(bytearray(100), start, step, count)


numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 140)


@each
@examples(400)
@given(numbers, numbers, numbers, numbers)
def test_no_numbers_lead_out_of_a_buffer(provider: Provider, a: int, b: int, c: int, d: int) -> None:
    slots = PacketBuffer(120)
    aead = provider.aead(CHACHA20_POLY1305, KEY)
    for call in (
        lambda: aead.seal_train(slots, a, b, c, d, 0, 0, 0),
        lambda: aead.open_packet(slots, a, b, c, 0, 0),
    ):
        try:
            call()
        except IndexError:
            pass
    if a < 1 << 20:  # a step of 0 allows any number of samples
        try:
            assert len(provider.masker(KEY).masks(slots.data, b, c, a)) >= 16 * a
        except IndexError:
            pass


@each
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(provider: Provider, suite: int, size: int) -> None:
    # `cryptography` takes AES keys of 16 bytes too; ours are never of that size.
    if size != 16:
        with pytest.raises(ValueError, match=r"key|32|bits"):
            seal_one(provider.aead(suite, bytes(size)), bytes(12), b"", b"")
        with pytest.raises(ValueError, match=r"key|32"):
            provider.masker(bytes(size)).masks(bytearray(16), 0, 16, 1)
