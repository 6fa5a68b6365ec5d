"""How files are cut and hashed.

A chunk is the unit of hashing, of sending, and of what is sent again after a kill. A file's root is the hash over
its chunk hashes, so whoever knows those need not read the file again. The chunk size follows from the file's size:
both ends compute it for themselves.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

# 128 KiB to 1 MiB measure the same throughput; half a millisecond of work in a thread is long against the cost of
# handing it over, and short for everybody else who waits for a thread.
CHUNK = 256 * 1024

# A chunk is held whole in memory, several times on its way.
CHUNK_MAX = 4 * 1024 * 1024

# Files grow larger chunks beyond this many, so that the hashes of one file stay in the order of a megabyte (8 MiB
# for 1 TiB).
CHUNKS_AIM = 32768

HASH_SIZE = 32

# 64 TiB; ext4 takes 16. All hashes of a file are held in memory, and a frame of twenty bytes can say that it is one
# hole: neither end may make the other one hold more than half a gigabyte, or make hashes for ever.
SIZE_MAX = 1 << 46

_ZEROS = bytes(CHUNK_MAX)


def chunk_size(size: int) -> int:
    """Bytes in each chunk (but the last) of a file of `size` bytes."""
    chunk = CHUNK
    while chunk < CHUNK_MAX and size > chunk * CHUNKS_AIM:
        chunk *= 2
    return chunk


def chunk_count(size: int, chunk: int) -> int:
    """How many chunks a file of `size` bytes has."""
    return -(-size // chunk)


def chunk_length(size: int, chunk: int, number: int) -> int:
    """Bytes in chunk `number` of a file of `size` bytes."""
    return min(chunk, size - number * chunk)


def hash_chunk(data: bytes | bytearray | memoryview) -> bytes:
    """The hash of a chunk. SHA-256: with the instructions that CPUs have for it, nothing in hashlib is faster."""
    return hashlib.sha256(data).digest()


def hash_root(hashes: bytes | bytearray) -> bytes:
    """The root of a file: the hash over all its chunk hashes, in order."""
    return hashlib.sha256(hashes).digest()


def is_zero(data: bytes) -> bool:
    """Whether a chunk holds nothing but zeros, as holes in sparse files do. Stops at the first other byte."""
    return _ZEROS.startswith(data)


@lru_cache(maxsize=32)
def hash_zeros(length: int) -> bytes:
    """The hash of a chunk of `length` zeros."""
    return hash_chunk(memoryview(_ZEROS)[:length])


def zeros(length: int) -> memoryview:
    """`length` zeros, at most a chunk."""
    return memoryview(_ZEROS)[:length]
