"""Files as a `Reader` is asked for them, and what a receiver would make of the frames that come."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jsp.transfer import frames
from jsp.transfer.chunks import chunk_length, chunk_size, hash_chunk, hash_root, zeros
from jsp.transfer.frames import Begin
from jsp.transfer.reading import Batch, Outgoing, Reader
from jsp.transfer.tree import Node


def noise(size: int, seed: int = 1) -> bytes:
    """Content without zeros or repetition."""
    return random.Random(seed).randbytes(size)


def hashes(content: bytes) -> list[bytes]:
    """Of the chunks of a file with that content."""
    chunk = chunk_size(len(content))
    return [hash_chunk(content[i : i + chunk]) for i in range(0, len(content), chunk)]


def outgoing(path: Path, number: int = 0, have: bytes = b"", node: Node | None = None) -> Outgoing:
    """A file as the walk has found it, of which the receiver has a version with the content `have`."""
    found = Outgoing(number, node or Node(), os.fsencode(path.name), path.stat().st_size, wanted=True)
    found.have += b"".join(hashes(have))
    return found


class Sent(NamedTuple):
    """A frame: its type, and what was made of its body."""

    kind: int
    value: object


def parsed(batch: Batch) -> list[Sent]:
    """Its frames."""
    parse: dict[int, Callable[[bytes], object]] = {
        frames.WHOLE: frames.parse_whole,
        frames.BEGIN: frames.parse_begin,
        frames.DATA: frames.parse_data,
        frames.HOLES: frames.parse_holes,
        frames.END: frames.parse_end,
        frames.PASS: frames.parse_number,
        frames.PLAN: frames.parse_plan,
    }
    return [Sent(packet[4], parse[packet[4]](packet[5:])) for packet in batch.frames]


def read_all(reader: Reader, *files: Outgoing, begun: bool = False) -> Batch:
    """All that comes of some files (or is still to come, of one that is `begun`), as one batch."""
    wanted: deque[Outgoing] = deque(() if begun else files)
    total = Batch()
    while len(total.settled) < len(files):
        batch = reader.read(wanted)
        assert batch.frames or batch.skipped, "nothing comes any more"
        for name in ("frames", "settled", "problems"):
            getattr(total, name).extend(getattr(batch, name))
        total.sent += batch.sent
        total.skipped += batch.skipped
        total.grown += batch.grown
    return total


def joined(packets: list[bytes], rest: Batch) -> Batch:
    """`rest` with what came before it."""
    return replace(rest, frames=packets + rest.frames)


def assembled(batch: Batch, have: bytes = b"") -> bytes:
    """What a receiver with `have` makes of the frames of one large file; checks each hash, and the root."""
    content = bytearray(have)
    begin = Begin(0, 0, 0, 0)
    for kind, value in parsed(batch):
        if kind == frames.BEGIN:
            assert isinstance(value, Begin)
            begin = value
            content[begin.size :] = bytes(max(0, begin.size - len(content)))
        chunk = chunk_size(begin.size)
        if kind == frames.DATA:
            assert isinstance(value, frames.Data) and hash_chunk(value.data) == value.hash
            content[value.chunk * chunk : value.chunk * chunk + len(value.data)] = value.data
        elif kind == frames.HOLES:
            assert isinstance(value, tuple)
            for hole in range(value[1], value[1] + value[2]):
                length = chunk_length(begin.size, chunk, hole)
                content[hole * chunk : hole * chunk + length] = zeros(length)
    assert parsed(batch)[-1] == (frames.END, (0, hash_root(b"".join(hashes(content)))))
    return bytes(content)


def kinds(batch: Batch) -> list[int]:
    """The types of its frames."""
    return [packet[4] for packet in batch.frames]


def data_chunks(batch: Batch) -> list[int]:
    """Which chunks were sent, in order."""
    return [frames.parse_data(packet[5:]).chunk for packet in batch.frames if packet[4] == frames.DATA]
