"""What the receiver has of a file already: an unfinished copy of it, or an older version under its own name.

Its complete chunks are hashed and the hashes told to the sender, who then leaves out the chunks that are equal. The
file is closed in between, as there may be many; when its turn comes it must not have changed.
"""

from __future__ import annotations

import os
import stat

from jsp.transfer.chunks import chunk_count, chunk_length, chunk_size, hash_chunk
from jsp.transfer.names import temporary_name
from jsp.transfer.partial import FileState, file_state, open_partial
from jsp.transfer.tree import OPEN_FILE

# Hashed at once: tens of milliseconds in a thread.
HASHED_MAX = 16 << 20


class Basis:
    """A file whose chunks may be those of the sender's.

    Args:
        unfinished: whether it is the unfinished copy, which will be completed; else the file itself, which will be
            replaced.
        size: of the sender's file, bytes.
        dry_run: only look: no lock.

    Attributes:
        hashes: of its chunks, as far as they have been read.
        chunk: bytes in a chunk.
        over: whether that is all.
    """

    def __init__(self, unfinished: bool, size: int, dry_run: bool = False) -> None:
        self.unfinished = unfinished
        self.hashes = bytearray()
        self.chunk = chunk_size(size)
        self.over = False
        self._size = size
        self._dry_run = dry_run
        self._count = 0
        self._next = 0
        self._fd = -1
        self._state: FileState | None = None

    def size(self) -> int:
        """Bytes it had when it was hashed."""
        return self._state.size if self._state is not None else -1

    def hash_more(self, directory: int, name: bytes) -> bytes:
        """The next hashes; `over` is set with the last ones. BusyError while another transfer writes the file.

        What cannot be read has no hashes: it is sent again then.
        """
        begin = len(self.hashes)
        try:
            if self._fd < 0:
                self._fd = self._open(directory, name)
                # Now, for what changes while it is read is another file.
                self._state = file_state(self._fd)
                here = self._state.size
                complete = here >= self._size
                self._count = chunk_count(self._size, self.chunk) if complete else here // self.chunk
            done = 0
            while self._next < self._count and done < HASHED_MAX:
                done += self._hash_one()
            self.over = self._next >= self._count
        except OSError:
            self.over = True
        if self.over:
            self.close()
        return bytes(self.hashes[begin:])

    def _open(self, directory: int, name: bytes) -> int:
        if self.unfinished and not self._dry_run:
            return open_partial(directory, name)
        fd = os.open(temporary_name(name) if self.unfinished else name, OPEN_FILE, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError("not a regular file")
        return fd

    def _hash_one(self) -> int:
        length = chunk_length(self._size, self.chunk, self._next)
        data = os.pread(self._fd, length, self._next * self.chunk)
        if len(data) != length:
            raise OSError("shorter than it was")
        self.hashes += hash_chunk(data)
        self._next += 1
        return length

    def reopen(self, directory: int, name: bytes) -> int | None:
        """A descriptor of the same file, the caller's to close (and locked, if it is unfinished); None when it is not
        the same any more. BusyError, OSError.
        """
        fd = self._open(directory, name)
        if file_state(fd) == self._state:
            return fd
        os.close(fd)
        return None

    def close(self) -> None:
        """Let go of the file. Harmless when closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
