"""The sender's side of the disk: opens what is wanted, reads it chunk by chunk, leaves out what the receiver has.

Small files are read whole and become one frame. A file that changes under the reader's eyes is read a second time, of
which only the chunks that differ are sent again; one that changes then too is given up. Runs in threads, a batch
at a time (see `threads`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass, field

from jsp.transfer import frames
from jsp.transfer.chunks import (
    CHUNK,
    HASH_SIZE,
    SIZE_MAX,
    chunk_count,
    chunk_length,
    chunk_size,
    hash_chunk,
    hash_root,
    hash_zeros,
    is_zero,
)
from jsp.transfer.report import Problem
from jsp.transfer.tree import OPEN_FILE, Node, Tree

# One batch: as much data as makes a chunk, or this many files. What is not sent is only read, so more of that fits.
_BATCH_FILES = 64
_UNSENT_SHARE = 4


class _ChangedError(Exception):
    """The file is not what it was when it was opened."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A file the receiver has been told of.

    Attributes:
        number: its number in the session.
        node, name: where it is.
        size: as the walk found it, bytes.
        wanted: whether the verdict was to send it.
        have: hashes of its first chunks that the receiver has.
        named: bytes of all hashes that the receiver named, those for which there was no room too.
        cancelled: whether the receiver does not want it any more.
        failed: whether it was not sent to its end.
        sent: bytes of it that were sent.
    """

    number: int
    node: Node
    name: bytes
    size: int
    wanted: bool = False
    have: bytearray = field(default_factory=bytearray)
    named: int = 0
    cancelled: bool = False
    failed: bool = False
    sent: int = 0


@dataclass(slots=True)
class Batch:
    """What came out of one round of reading.

    Attributes:
        frames: to be sent, in order.
        settled: files that are through, either way.
        problems: of those that could not be read.
        sent, skipped: bytes of contents in `frames`, and bytes that did not have to be.
        grown: how many bytes more the files have than the walk found.
    """

    frames: list[bytes] = field(default_factory=list)
    settled: list[Outgoing] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sent: int = 0
    skipped: int = 0
    grown: int = 0


class _Open:
    """The file being read chunk by chunk."""

    def __init__(self, outgoing: Outgoing, fd: int, status: os.stat_result) -> None:
        self.outgoing = outgoing
        self.fd = fd
        self.attempt = 1
        self.have = bytes(outgoing.have) if chunk_size(status.st_size) == chunk_size(outgoing.size) else b""
        self.start(status)

    def start(self, status: os.stat_result) -> None:
        self.status = status
        self.size = status.st_size
        self.chunk = chunk_size(self.size)
        self.count = chunk_count(self.size, self.chunk)
        self.next = 0
        self.hashes = bytearray()

    def start_over(self) -> None:
        """Read it once more. What the receiver has by now is what we said of it so far."""
        self.attempt += 1
        before = self.chunk
        have = bytes(self.hashes)
        self.start(os.fstat(self.fd))
        self.have = have if self.chunk == before else b""


class Reader:
    """Reads what is wanted.

    Args:
        tree: where the files are; the reader closes it.
        dry_run: read only what has to be compared, and say what would be sent.
    """

    def __init__(self, tree: Tree, dry_run: bool) -> None:
        self._tree = tree
        self._dry_run = dry_run
        self._open: _Open | None = None

    def read(self, wanted: deque[Outgoing]) -> Batch:
        """Go on with the current file and then with `wanted`, for one batch; takes from `wanted` what it begins."""
        batch = Batch()
        while batch.sent + batch.skipped // _UNSENT_SHARE < CHUNK and len(batch.settled) < _BATCH_FILES:
            if self._open is not None:
                self._go_on(self._open, batch)
            elif wanted:
                self._begin(wanted.popleft(), batch)
            else:
                break
        return batch

    def close(self) -> None:
        """Close what is open."""
        self._close_file()
        self._tree.close()

    # --- whole files ---------------------------------------------------------------------------------------

    def _begin(self, outgoing: Outgoing, batch: Batch) -> None:
        try:
            if outgoing.cancelled:
                self._pass(outgoing, batch)
            elif outgoing.have or outgoing.size > CHUNK:
                self._begin_chunks(outgoing, batch)
            elif self._dry_run:
                batch.sent += outgoing.size
                outgoing.sent = outgoing.size
                self._plan(outgoing, batch)
            else:
                self._whole(outgoing, batch)
        except OSError as error:
            self._give_up(outgoing, batch, error.strerror or str(error))

    def _open_file(self, outgoing: Outgoing) -> tuple[int, os.stat_result]:
        fd = os.open(outgoing.name, OPEN_FILE, dir_fd=self._tree.directory(outgoing.node))
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size <= SIZE_MAX:
            return fd, status
        os.close(fd)
        large = stat.S_ISREG(status.st_mode)
        raise OSError("it is larger than can be copied" if large else "it is no regular file any more")

    def _whole(self, outgoing: Outgoing, batch: Batch) -> None:
        fd, before = self._open_file(outgoing)
        try:
            for _ in range(frames.BEGINS_MAX):
                if before.st_size > CHUNK:
                    break
                # One byte more, to see it grow.
                data = os.pread(fd, before.st_size + 1, 0)
                after = os.fstat(fd)
                if len(data) == before.st_size and _same(before, after):
                    self._send_whole(outgoing, before, data, batch)
                    return
                before = after
        finally:
            os.close(fd)
        if before.st_size > CHUNK:
            self._begin_chunks(outgoing, batch)
        else:
            self._give_up(outgoing, batch, "it changes while it is read")

    def _send_whole(self, outgoing: Outgoing, status: os.stat_result, data: bytes, batch: Batch) -> None:
        mode = stat.S_IMODE(status.st_mode)
        frame = frames.pack_whole(outgoing.number, status.st_mtime_ns, mode, hash_chunk(data), data)
        batch.frames.append(frame)
        batch.sent += len(data)
        batch.grown += len(data) - outgoing.size
        outgoing.sent = len(data)
        batch.settled.append(outgoing)

    # --- chunk by chunk ------------------------------------------------------------------------------------

    def _begin_chunks(self, outgoing: Outgoing, batch: Batch) -> None:
        fd, status = self._open_file(outgoing)
        self._open = _Open(outgoing, fd, status)
        batch.grown += status.st_size - outgoing.size
        self._send_begin(self._open, batch)

    def _send_begin(self, file: _Open, batch: Batch) -> None:
        if not self._dry_run:
            mode = stat.S_IMODE(file.status.st_mode)
            begin = frames.Begin(file.outgoing.number, file.size, file.status.st_mtime_ns, mode)
            batch.frames.append(frames.pack_begin(begin))

    def _go_on(self, file: _Open, batch: Batch) -> None:
        outgoing = file.outgoing
        try:
            if outgoing.cancelled:
                self._pass(outgoing, batch)
            elif file.next < file.count:
                self._chunk(file, batch)
            else:
                self._end(file, batch)
        except _ChangedError:
            if file.attempt == frames.BEGINS_MAX or os.fstat(file.fd).st_size > SIZE_MAX:
                self._give_up(outgoing, batch, "it changes while it is read")
                return
            size = file.size
            file.start_over()
            batch.grown += file.size - size
            self._send_begin(file, batch)
        except OSError as error:
            self._give_up(outgoing, batch, error.strerror or str(error))

    def _chunk(self, file: _Open, batch: Batch) -> None:
        number = file.next
        length = chunk_length(file.size, file.chunk, number)
        data = os.pread(file.fd, length, number * file.chunk)
        if len(data) != length:
            raise _ChangedError
        zero = is_zero(data)
        digest = hash_zeros(length) if zero else hash_chunk(data)
        file.next += 1
        file.hashes += digest
        if file.have[number * HASH_SIZE : (number + 1) * HASH_SIZE] == digest:
            batch.skipped += length
        elif zero:
            batch.skipped += length
            self._holes(file, number, batch)
        else:
            batch.sent += length
            file.outgoing.sent += length
            if not self._dry_run:
                batch.frames.append(frames.pack_data(file.outgoing.number, number, digest, data))

    def _holes(self, file: _Open, number: int, batch: Batch) -> None:
        """Chunk `number` holds zeros: say so, of all that follow in the same hole of a sparse file."""
        count = 1
        if len(file.have) <= file.next * HASH_SIZE:
            count += min(self._empty_chunks(file), frames.HOLES_MAX - 1)
        for hole in range(number + 1, number + count):
            length = chunk_length(file.size, file.chunk, hole)
            file.hashes += hash_zeros(length)
            batch.skipped += length
        file.next = number + count
        if not self._dry_run:
            batch.frames.append(frames.pack_holes(file.outgoing.number, number, count))

    def _empty_chunks(self, file: _Open) -> int:
        """How many chunks from the next one on hold no data according to the file system."""
        here = file.next * file.chunk
        if here >= file.size:
            return 0
        try:
            data = os.lseek(file.fd, here, os.SEEK_DATA)
        except OSError as error:
            # ENXIO: no data up to the end. Anything else: it cannot be told, so what is there has to be read.
            return file.count - file.next if error.errno == errno.ENXIO else 0
        return max(0, min(data, file.size) - here) // file.chunk

    def _end(self, file: _Open, batch: Batch) -> None:
        if not _same(file.status, os.fstat(file.fd)):
            raise _ChangedError
        outgoing = file.outgoing
        if self._dry_run:
            self._plan(outgoing, batch)
            return
        batch.frames.append(frames.pack_end(outgoing.number, hash_root(file.hashes)))
        batch.settled.append(outgoing)
        self._close_file()

    # --- ends ----------------------------------------------------------------------------------------------

    def _give_up(self, outgoing: Outgoing, batch: Batch, text: str) -> None:
        batch.problems.append(Problem(outgoing.node.path(outgoing.name), text))
        self._pass(outgoing, batch)

    def _pass(self, outgoing: Outgoing, batch: Batch) -> None:
        outgoing.failed = True
        batch.frames.append(frames.pack_pass(outgoing.number))
        batch.settled.append(outgoing)
        self._close_file()

    def _plan(self, outgoing: Outgoing, batch: Batch) -> None:
        batch.frames.append(frames.pack_plan(outgoing.number, outgoing.sent))
        batch.settled.append(outgoing)
        self._close_file()

    def _close_file(self) -> None:
        file, self._open = self._open, None
        if file is not None:
            os.close(file.fd)


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return before.st_size == after.st_size and before.st_mtime_ns == after.st_mtime_ns
