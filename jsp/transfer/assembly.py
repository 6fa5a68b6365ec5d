"""One file being put together from chunks: those that arrive, those that are here, and holes.

Chunks come in order. One that is left out is one whose hash was told to the sender, so it is in the unfinished file
already, or in the older version and copied from there (and verified again). The unfinished file is opened when the
first chunk has to be written: if none has, the older version is the file, and only its mode and mtime are set.
"""

from __future__ import annotations

import os

from jsp.transfer.chunks import (
    HASH_SIZE,
    chunk_count,
    chunk_length,
    chunk_size,
    hash_chunk,
    hash_root,
    hash_zeros,
    zeros,
)
from jsp.transfer.errors import BadFrame
from jsp.transfer.frames import Begin
from jsp.transfer.names import temporary_name
from jsp.transfer.partial import FileState, file_state, open_partial
from jsp.transfer.target import FILE_MODE, Incoming, set_time
from jsp.transfer.tree import Tree

# Copied at once from an older version: tens of milliseconds in a thread.
_COPIED_MAX = 16 << 20


class FileFailedError(Exception):
    """This file cannot be had; the text says why. The others can."""


class Assembly:
    """A file under construction.

    Args:
        incoming: which.
        begin: what the sender says of it.
        tree: where it goes.
    """

    def __init__(self, incoming: Incoming, begin: Begin, tree: Tree) -> None:
        self.incoming = incoming
        self.begins = 1
        self._tree = tree
        self._name = incoming.entry.name
        self._fd = -1
        self._basis_fd = -1
        # Of the unfinished file while it is closed; None: not opened yet.
        self._state: FileState | None = None
        # Chunks, from the first on, that the unfinished file holds as `_hashes` says.
        self._written = 0
        basis = incoming.basis
        self._describe(begin, bytes(basis.hashes) if basis is not None else b"", basis.chunk if basis else 0)

    def _describe(self, begin: Begin, have: bytes, chunk: int) -> None:
        self.begin = begin
        self._chunk = chunk_size(begin.size)
        self._count = chunk_count(begin.size, self._chunk)
        self._have = have if chunk == self._chunk else b""
        self._hashes = bytearray()

    def start_over(self, begin: Begin) -> None:
        """The file changed while the sender read it. What is here of it by now is what has been said of it so far, and
        behind that what was here before: the sender may have left out some of it without a word yet.
        """
        self.begins += 1
        same = chunk_size(begin.size) == self._chunk
        self._describe(begin, bytes(self._hashes) + self._have[len(self._hashes) :], self._chunk)
        if not same:
            self._written = 0

    # --- chunks --------------------------------------------------------------------------------------------

    def keep(self, number: int) -> int:
        """All chunks before `number` that have not come are here already. Returns their size in bytes."""
        done = len(self._hashes) // HASH_SIZE
        if not done <= number <= self._count or (number > done and number * HASH_SIZE > len(self._have)):
            raise BadFrame("a chunk is missing, or comes twice")
        self._hashes += self._have[done * HASH_SIZE : number * HASH_SIZE]
        return min(number * self._chunk, self.begin.size) - min(done * self._chunk, self.begin.size)

    def keep_rest(self) -> int:
        """The same for all that have not come; a file that is not complete then fails `check`."""
        done = len(self._hashes) // HASH_SIZE
        return self.keep(max(done, min(len(self._have) // HASH_SIZE, self._count)))

    def bring_up(self) -> bool:
        """Write the chunks that are kept, some at a time; False when there are more. Opens the unfinished file.

        BusyError while another transfer has it, FileFailedError when it is not as it was, OSError.
        """
        if self._fd < 0:
            self._fd = self._open()
        basis = self.incoming.basis
        done = len(self._hashes) // HASH_SIZE
        if basis is None or basis.unfinished:
            self._written = done
            return True
        copied = 0
        while self._written < done and copied < _COPIED_MAX:
            copied += self._copy_one(self._written)
            self._written += 1
        return self._written >= done

    def write(self, number: int, digest: bytes, data: memoryview) -> None:
        """Write the next chunk, once `keep` and `bring_up` are through."""
        if number >= self._count or len(data) != chunk_length(self.begin.size, self._chunk, number):
            raise BadFrame("a chunk has not the size it must have")
        if hash_chunk(data) != digest:
            raise FileFailedError("it was damaged on the way")
        write_all(self._fd, data, number * self._chunk)
        self._hashes += digest
        self._written = max(self._written, number + 1)

    def leave_holes(self, number: int, count: int) -> int:
        """The next `count` chunks are zeros; likewise. Returns their size in bytes."""
        if not 0 < count <= self._count - number:
            raise BadFrame("a hole is larger than its file")
        begin = number * self._chunk
        end = min((number + count) * self._chunk, self.begin.size)
        here = os.fstat(self._fd).st_size
        if here > begin and len(self._have) <= (number + count) * HASH_SIZE:
            # What comes after it is not used, so the hole can be a real one.
            os.ftruncate(self._fd, begin)
        else:
            for offset in range(begin, min(end, here), self._chunk):
                write_all(self._fd, zeros(min(self._chunk, end - offset)), offset)
        for hole in range(number, number + count):
            self._hashes += hash_zeros(chunk_length(self.begin.size, self._chunk, hole))
        self._written = max(self._written, number + count)
        return end - begin

    # --- the end -------------------------------------------------------------------------------------------

    def check(self, root: bytes) -> None:
        """Everything is here: is it what the sender read? FileFailedError when it is not."""
        if len(self._hashes) != self._count * HASH_SIZE or hash_root(self._hashes) != root:
            raise FileFailedError("its hash is not the sender's")

    def is_in_place(self) -> bool:
        """Whether the older version is the file already; its mode and mtime are set then."""
        basis = self.incoming.basis
        untouched = self._fd < 0 and self._state is None
        if not untouched or basis is None or basis.unfinished or basis.size() != self.begin.size:
            return False
        self._set_metadata(self._open_basis())
        return True

    def finish(self) -> None:
        """Put the file in its place, once `check` and `bring_up` are through."""
        size = self.begin.size
        if os.fstat(self._fd).st_size != size:
            os.ftruncate(self._fd, size)
        self._set_metadata(self._fd)
        directory = self._tree.directory(self.incoming.directory)
        os.rename(temporary_name(self._name), self._name, src_dir_fd=directory, dst_dir_fd=directory)

    def _set_metadata(self, fd: int) -> None:
        os.fchmod(fd, self.begin.mode & FILE_MODE)
        set_time(fd, self.begin.mtime)

    # --- files ---------------------------------------------------------------------------------------------

    def _open(self) -> int:
        directory = self._tree.directory(self.incoming.directory)
        basis = self.incoming.basis
        if self._state is not None:
            fd = open_partial(directory, self._name)
            if file_state(fd) != self._state:
                os.close(fd)
                raise FileFailedError("another transfer has written it meanwhile")
            return fd
        if basis is not None and basis.unfinished:
            reopened = basis.reopen(directory, self._name)
            if reopened is None:
                raise FileFailedError("another transfer has written it meanwhile")
            return reopened
        fd = open_partial(directory, self._name)
        os.ftruncate(fd, 0)
        return fd

    def _open_basis(self) -> int:
        if self._basis_fd < 0:
            basis = self.incoming.basis
            assert basis is not None
            fd = basis.reopen(self._tree.directory(self.incoming.directory), self._name)
            if fd is None:
                raise FileFailedError("the file here changed meanwhile")
            self._basis_fd = fd
        return self._basis_fd

    def _copy_one(self, number: int) -> int:
        length = chunk_length(self.begin.size, self._chunk, number)
        data = os.pread(self._open_basis(), length, number * self._chunk)
        if hash_chunk(data) != self._hashes[number * HASH_SIZE : (number + 1) * HASH_SIZE]:
            raise FileFailedError("the file here changed meanwhile")
        write_all(self._fd, memoryview(data), number * self._chunk)
        return length

    def release(self) -> None:
        """Let other transfers have the unfinished file while nothing comes; `bring_up` opens it again."""
        if self._fd >= 0:
            self._state = file_state(self._fd)
        self.close()

    def close(self) -> None:
        """Close what is open; the unfinished file stays for the next time. Harmless when closed."""
        for fd in (self._fd, self._basis_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._basis_fd = -1


def write_all(fd: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; a file system that is about to be full takes it in parts."""
    while data:
        size = os.pwrite(fd, data, offset)
        data = data[size:]
        offset += size
