"""What a sender sends of its files."""

from __future__ import annotations

from jsp.transfer import frames
from jsp.transfer.chunks import CHUNK, hash_chunk, hash_root
from jsp.transfer.entries import File
from jsp.transfer.frames import Begin
from jsp.transfer.report import Report
from tests.transfer.peers import Peer
from tests.transfer.trees import TIME

SCANNED = frames.pack(frames.SCANNED)
FINISH = frames.pack(frames.FINISH)


def file(size: int, name: bytes = b"file", mode: int = 0o644) -> File:
    """How it is announced."""
    return File(name, mode, TIME, size)


def whole(content: bytes, number: int = 0) -> bytes:
    """The frame of a file that comes in one."""
    return frames.pack_whole(number, TIME, 0o644, hash_chunk(content), content)


def chunked(content: bytes, number: int = 0) -> list[bytes]:
    """The frames of a file that comes chunk by chunk."""
    pieces = [content[i : i + CHUNK] for i in range(0, len(content), CHUNK)]
    hashes = [hash_chunk(piece) for piece in pieces]
    data = [frames.pack_data(number, i, hashes[i], piece) for i, piece in enumerate(pieces)]
    begin = frames.pack_begin(Begin(number, len(content), TIME, 0o644))
    return [begin, *data, frames.pack_end(number, hash_root(b"".join(hashes)))]


def finish(peer: Peer) -> Report:
    """The end as it should be."""
    peer.say(SCANNED, FINISH)
    peer.expect(frames.RESULT)
    return peer.wait()
