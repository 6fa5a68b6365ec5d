"""How files are cut: every byte is in one chunk, both ends cut alike, and hashes stay few."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.transfer import chunks
from jsp.transfer.chunks import (
    CHUNK,
    CHUNK_MAX,
    CHUNKS_AIM,
    HASH_SIZE,
    SIZE_MAX,
    chunk_count,
    chunk_length,
    chunk_size,
    hash_chunk,
    hash_root,
    hash_zeros,
    is_zero,
    zeros,
)
from tests.profiles import examples

SIZES = st.one_of(st.integers(0, 3 * CHUNK), st.integers(0, SIZE_MAX), st.integers(0, 60).map(lambda n: 1 << n))


@examples(100)
@given(SIZES, st.integers(0, 1 << 60))
def test_every_byte_is_in_one_chunk(size: int, seed: int) -> None:
    chunk = chunk_size(size)
    count = chunk_count(size, chunk)
    assert (count == 0) == (size == 0)
    if not count:
        return
    number = seed % count
    assert 0 < chunk_length(size, chunk, number) <= chunk
    assert number == count - 1 or chunk_length(size, chunk, number) == chunk
    assert (count - 1) * chunk + chunk_length(size, chunk, count - 1) == size


@examples(100)
@given(SIZES)
def test_chunks_grow_before_there_are_too_many(size: int) -> None:
    chunk = chunk_size(size)
    assert CHUNK <= chunk <= CHUNK_MAX and chunk % CHUNK == 0
    assert chunk_count(size, chunk) <= CHUNKS_AIM or chunk == CHUNK_MAX
    assert chunk == CHUNK or chunk_count(size, chunk // 2) > CHUNKS_AIM, "larger than need be"


@pytest.mark.parametrize(
    ("size", "chunk"),
    [
        (0, CHUNK),
        (CHUNK * CHUNKS_AIM, CHUNK),
        (CHUNK * CHUNKS_AIM + 1, 2 * CHUNK),
        (2 * CHUNK * CHUNKS_AIM, 2 * CHUNK),
        (2 * CHUNK * CHUNKS_AIM + 1, 4 * CHUNK),
        (1 << 40, CHUNK_MAX),
        (SIZE_MAX, CHUNK_MAX),
    ],
)
def test_sizes_at_which_chunks_double(size: int, chunk: int) -> None:
    # Both ends compute it: another answer is another protocol.
    assert chunk_size(size) == chunk


def test_the_hashes_of_the_largest_file_fit_into_memory() -> None:
    # A frame of twenty bytes can say that a file of any size is one hole, and the receiver makes all its hashes.
    assert chunk_count(SIZE_MAX, chunk_size(SIZE_MAX)) * HASH_SIZE <= 1 << 29
    assert SIZE_MAX >= 16 << 40


@given(st.binary(max_size=200))
def test_hashes_are_the_same_of_all_kinds_of_bytes(data: bytes) -> None:
    digest = hashlib.sha256(data).digest()
    assert len(digest) == HASH_SIZE
    assert hash_chunk(data) == hash_chunk(bytearray(data)) == hash_chunk(memoryview(data)) == digest
    assert hash_root(data) == hash_root(bytearray(data)) == digest


def test_the_root_depends_on_the_order() -> None:
    one, other = hash_chunk(b"1"), hash_chunk(b"2")
    assert hash_root(one + other) != hash_root(other + one)
    assert hash_root(b"") == hashlib.sha256().digest()


@pytest.mark.parametrize("length", [0, 1, 4095, CHUNK - 1, CHUNK, CHUNK_MAX])
def test_zeros_of_any_length(length: int) -> None:
    assert zeros(length) == bytes(length)
    assert is_zero(bytes(length))
    for _ in range(2):
        assert hash_zeros(length) == hash_chunk(bytes(length))


def test_zeros_are_nobodys_to_change() -> None:
    assert zeros(1).readonly


@pytest.mark.parametrize("length", [1, 4096, CHUNK, CHUNK_MAX])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_other_byte_is_no_hole(length: int, place: float) -> None:
    data = bytearray(length)
    data[int((length - 1) * place)] = 1
    assert not is_zero(bytes(data))


def test_remembered_hashes_of_zeros_are_few() -> None:
    # A peer chooses the lengths.
    for length in range(100):
        hash_zeros(length)
    assert chunks.hash_zeros.cache_info().currsize <= 32
