"""What the receiver knows of the places things go to: directories under way, and files that were announced.

A directory gets its mode and mtime when the sender has left it and nothing in it is under way any more. So it is
written to while it may be, its mtime is the last thing that changes it, and what is finished is forgotten: memory
holds the directories that are open and the files in the window, whatever the size of the tree.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from jsp.net import clock
from jsp.transfer.basis import Basis
from jsp.transfer.entries import File
from jsp.transfer.errors import DiskFull, TransferError
from jsp.transfer.names import display
from jsp.transfer.report import Problem
from jsp.transfer.tree import Node, Tree

# What is kept of a mode. Set-user-id and set-group-id would lend the rights of whoever runs this to a program that
# somebody else wrote; on a directory set-group-id only says which group new files get.
FILE_MODE = 0o777
DIRECTORY_MODE = 0o3777

# To read and change what is in a directory, until it gets its own mode.
OWNER_MODE = 0o700


class TargetDirectory(Node):
    """A directory that things go to.

    Attributes:
        mode, mtime: what it gets at the end; None: left as they are.
        failed: it could not be made or entered; nothing goes there.
        fresh: it was made just now, so there is nothing in it.
        absent: it would be made, were this not a dry run.
    """

    __slots__ = ("_left", "_pending", "absent", "failed", "fresh", "mode", "mtime")

    def __init__(
        self, parent: TargetDirectory | None, name: bytes, mode: int | None = None, mtime: int | None = None
    ) -> None:
        super().__init__(parent, name)
        self.mode = mode
        self.mtime = mtime
        self.failed = False
        self.fresh = False
        self.absent = False
        self._left = False
        self._pending = 0
        if parent is not None:
            parent.begin()

    def begin(self) -> None:
        """Something in it is under way."""
        self._pending += 1

    def settle(self) -> list[TargetDirectory]:
        """Something in it no longer is. Returns the directories that are complete thereby, innermost first."""
        self._pending -= 1
        return self._complete()

    def leave(self) -> list[TargetDirectory]:
        """The sender has named all that is in it. Returns as `settle` does."""
        self._left = True
        return self._complete()

    def _complete(self) -> list[TargetDirectory]:
        complete: list[TargetDirectory] = []
        directory = self
        while directory._left and not directory._pending:
            complete.append(directory)
            parent = directory.parent
            if not isinstance(parent, TargetDirectory):
                break
            parent._pending -= 1
            directory = parent
        return complete


@dataclass(slots=True, eq=False)
class Incoming:
    """A file the sender announced.

    Attributes:
        number: its number in the session.
        directory: where it goes.
        entry: as announced, under the name it gets here.
        basis: what is here of it.
        failed: it cannot be stored; what still comes of it is dropped.
        received: bytes of it that came.
    """

    number: int
    directory: TargetDirectory
    entry: File
    basis: Basis | None = None
    failed: bool = False
    received: int = 0

    def path(self) -> bytes:
        """For people."""
        return self.directory.path(self.entry.name)


def finish(tree: Tree, directories: Iterable[TargetDirectory]) -> list[Problem]:
    """Give directories that are complete their mode and mtime; returns what could not be done."""
    problems: list[Problem] = []
    for directory in directories:
        if directory.failed or directory.absent or directory.mode is None or directory.mtime is None:
            continue
        try:
            fd = tree.directory(directory)
            status = os.fstat(fd)
            mode = directory.mode & DIRECTORY_MODE
            if stat.S_IMODE(status.st_mode) != mode:
                os.fchmod(fd, mode)
            if status.st_mtime_ns != directory.mtime:
                set_time(fd, directory.mtime)
        except OSError as error:
            check_disk(error, directory.path())
            problems.append(Problem(directory.path() or b".", error.strerror or str(error)))
    return problems


def set_time(fd: int, mtime: int) -> None:
    """Set the mtime, in ns, of an open file; its atime becomes now."""
    os.utime(fd, ns=(int(clock.wall_time() * 1e9), mtime))


def check_disk(error: OSError, path: bytes) -> None:
    """Raise TransferError for errors that every other file would run into as well."""
    where = display(path or b".")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "no space is left on the disk" if error.errno == errno.ENOSPC else "the disk quota is used up"
        raise DiskFull(f"{what} (at {where}); what has arrived is kept, the same command goes on from there") from error
    if error.errno == errno.EROFS:
        raise TransferError(f"cannot write {where}: the file system is read-only") from error
