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
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from zstandard import DICT_TYPE_RAWCONTENT, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

from jsp.engine.states import State
from jsp.engine.timers import IDLE, KEEP_ALIVE, NEVER

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore

_PARTS = (
    "control", "counters", "credit", "mobility", "path", "paths", "recv_messages", "scheduler", "send_messages",
    "streams", "timers", "window",
)  # fmt: skip


# What parts refer to and is not theirs alone, while one connection is written out or read: in its thread.
_shared: ContextVar[tuple[Any, ...]] = ContextVar("shared")
# The first connection that this process wrote out: what the others are compressed against.
_sample: list[ZstdCompressionDict] = []


@contextmanager
def _sharing(conn: ConnectionCore) -> Iterator[tuple[Any, ...]]:
    shared = (conn, conn.host, conn.config, conn.host.memory)
    token = _shared.set(shared)
    try:
        yield shared
    finally:
        _shared.reset(token)


def _get_shared(number: int) -> Any:
    return _shared.get()[number]


def _refer_to(number: int, thing: object) -> tuple[Any, tuple[int]]:
    if thing is not _get_shared(number):
        raise pickle.PicklingError("a part of another connection")
    return _get_shared, (number,)


def _write(conn: ConnectionCore) -> bytes:
    """The parts of `conn`, with the list of events that they append to."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    with _sharing(conn) as shared:
        # By their types: asked for where pickle does not know what to do by itself, and that without a call from C.
        pickler.dispatch_table = {type(thing): partial(_refer_to, i) for i, thing in enumerate(shared)}
        pickler.dump((conn.events, *(getattr(conn, name) for name in _PARTS)))
    return file.getvalue()


def _read(conn: ConnectionCore, written: bytes) -> None:
    with _sharing(conn):
        conn.events, *parts = pickle.loads(written)
    for name, part in zip(_PARTS, parts, strict=True):
        setattr(conn, name, part)


def _compress(written: bytes) -> bytes:
    # Threads may share the sample, and nothing else: the first that is there counts. A compressor is one thread's.
    if not _sample:
        sample = ZstdCompressionDict(written, dict_type=DICT_TYPE_RAWCONTENT)
        sample.precompute_compress(level=1)
        _sample.append(sample)
    return ZstdCompressor(dict_data=_sample[0], write_checksum=False).compress(written)


def _decompress(compressed: bytes) -> bytes:
    return ZstdDecompressor(dict_data=_sample[0]).decompress(compressed)


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
    if conn.asleep is not None:
        return True
    # A controller of the user's own may lead to what is not ours to copy.
    if not isinstance(conn.config.congestion, str) or not is_quiet(conn):
        return False
    wake_at = conn.poll_timeout()
    if conn.recv_messages.repair is not None:
        conn.recv_messages.repair.rest()
    conn.asleep, conn.wake_at = _compress(_write(conn)), wake_at
    for name in _PARTS:
        setattr(conn, name, None)
    return True


def wake(conn: ConnectionCore) -> None:
    """Bring the parts of `conn` back."""
    assert conn.asleep is not None
    _read(conn, _decompress(conn.asleep))
    conn.asleep = None
