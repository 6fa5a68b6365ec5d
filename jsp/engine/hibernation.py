"""What a connection is kept as while nothing happens on it: a few hundred bytes.

The parts of a connection (streams, messages, credit, paths with their recovery) are some eight kilobytes of small
objects. When nothing is under way in any of them, they are written out as bytes by `pickle`, which takes along
whatever state they have, and compressed against those of another connection, which differ in a few numbers only.
The next packet, timer or call brings them back as they were. Keys and what is asked of every connection stay as
they are: keys are never written out.
"""

from __future__ import annotations

import io
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

from zstandard import DICT_TYPE_RAWCONTENT, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

from jsp.engine.states import State
from jsp.engine.timers import IDLE, KEEP_ALIVE, NEVER

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore

_PARTS = (
    "control", "counters", "credit", "paths", "recv_messages", "scheduler", "send_messages", "streams", "timers",
    "window",
)  # fmt: skip


# What parts refer to and is not theirs alone, for as long as one connection is written out or read.
_shared: list[Any] = []


def _get_shared(number: int) -> Any:
    return _shared[number]


def _write(conn: ConnectionCore) -> bytes:
    """The parts of `conn`, with the list of events that they append to."""
    _shared[:] = [conn, conn.host, conn.config, conn.host.memory]
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    # By their types: asked for where pickle does not know what to do by itself, and that without a call from C.
    pickler.dispatch_table = {type(thing): partial(_refer_to, i) for i, thing in enumerate(_shared)}
    try:
        pickler.dump((conn.events, *(getattr(conn, name) for name in _PARTS)))
    finally:
        _shared.clear()
    return file.getvalue()


def _refer_to(number: int, thing: object) -> tuple[Any, tuple[int]]:
    if thing is not _shared[number]:
        raise pickle.PicklingError("a part of another connection")
    return _get_shared, (number,)


def _read(conn: ConnectionCore, written: bytes) -> None:
    _shared[:] = [conn, conn.host, conn.config, conn.host.memory]
    try:
        conn.events, *parts = pickle.loads(written)
    finally:
        _shared.clear()
    for name, part in zip(_PARTS, parts, strict=True):
        setattr(conn, name, part)


class _Codec:
    """Compresses against the first connection that this process wrote out."""

    def __init__(self, sample: bytes) -> None:
        known = ZstdCompressionDict(sample, dict_type=DICT_TYPE_RAWCONTENT)
        self._compressor = ZstdCompressor(level=1, dict_data=known, write_checksum=False)
        self._decompressor = ZstdDecompressor(dict_data=known)
        self.compress = self._compressor.compress
        self.decompress = self._decompressor.decompress


_codec: _Codec | None = None


def is_quiet(conn: ConnectionCore) -> bool:
    """Whether nothing is under way, nothing waits for anybody, and no part is in the hands of the owner."""
    if conn.lifecycle.state is not State.OPEN or not conn.confirmed or conn.keying is not None:
        return False
    if conn.events or conn.early or conn.has_frames() or conn.scheduler or conn.streams.streams:
        return False
    if conn.send_messages.unresolved or conn.send_messages.waiting or conn.send_messages.watched:
        return False
    if conn.recv_messages.ready:
        return False
    # Packets in flight, acknowledgements due, challenges, keys of before, messages that expire: each has its timer.
    conn.poll_timeout()
    return not any(at != NEVER and timer not in (IDLE, KEEP_ALIVE) for timer, at in enumerate(conn.timers.deadlines))


def hibernate(conn: ConnectionCore) -> bool:
    """Keep the parts of `conn` as bytes until one is needed, if it is quiet; whether it was."""
    global _codec
    if conn.asleep is not None:
        return True
    # A controller of the user's own may lead to what is not ours to copy.
    if not isinstance(conn.config.congestion, str) or not is_quiet(conn):
        return False
    wake_at = conn.poll_timeout()
    written = _write(conn)
    if _codec is None:
        _codec = _Codec(written)
    conn.asleep, conn.wake_at = _codec.compress(written), wake_at
    for name in _PARTS:
        setattr(conn, name, None)
    return True


def wake(conn: ConnectionCore) -> None:
    """Bring the parts of `conn` back."""
    assert conn.asleep is not None and _codec is not None
    _read(conn, _codec.decompress(conn.asleep))
    conn.asleep = None
