"""Unfinished files: found under the same name by the next transfer, used by one at a time.

A file is put together under a temporary name beside its own and renamed when it is complete, so a kill at any moment
leaves the old file or the new one, and what arrived so far. There is no journal: how much of it is good, its chunk
hashes say. A lock (flock, which a kill releases) keeps two transfers from writing into one.

In a directory that others may write to, the name might be taken by something of theirs: a link, a pipe, a second name
of some other file. Only a regular file of our own that has no other name is used; anything else is removed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import NamedTuple

from jsp.transfer.names import temporary_name

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = _OPEN | os.O_CREAT | os.O_EXCL

# Only somebody who keeps putting things in our way needs more.
_ATTEMPTS = 20


class BusyError(Exception):
    """Another transfer is writing the file now."""


class FileState(NamedTuple):
    """What tells a file that was closed from one that was changed since."""

    device: int
    inode: int
    size: int
    mtime: int


def file_state(fd: int) -> FileState:
    """The state of an open file."""
    status = os.fstat(fd)
    return FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def open_partial(directory: int, name: bytes) -> int:
    """Open the unfinished file for `name` in a directory, locked, making it when there is none.

    Raises BusyError while another transfer has it, OSError when it cannot be had.
    """
    temporary = temporary_name(name)
    for _ in range(_ATTEMPTS):
        fd = _open_or_create(directory, temporary)
        if fd is not None and _lock(fd, directory, temporary):
            return fd
    raise OSError(f"{temporary!r} is in the way")


def _open_or_create(directory: int, temporary: bytes) -> int | None:
    """A descriptor; None when something was in the way and has been removed."""
    try:
        return os.open(temporary, _CREATE, 0o600, dir_fd=directory)
    except FileExistsError:
        pass
    try:
        fd = os.open(temporary, _OPEN, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError:
        # A link, a socket, a file without permission for us. A directory stays, and is the error.
        os.unlink(temporary, dir_fd=directory)
        return None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and status.st_uid == os.geteuid():
        return fd
    os.close(fd)
    os.unlink(temporary, dir_fd=directory)
    return None


def _lock(fd: int, directory: int, temporary: bytes) -> bool:
    """Lock an open file; False when its name means another by now. Closed unless True.

    Raises BusyError while another transfer has the lock, OSError when there are none.
    """
    locked = False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = _is_current(fd, directory, temporary)
    except BlockingIOError:
        raise BusyError from None
    finally:
        if not locked:
            os.close(fd)
    return locked


def _is_current(fd: int, directory: int, temporary: bytes) -> bool:
    """Whether the name still means the file that was opened: the one who had the lock before may have renamed it."""
    try:
        found = os.stat(temporary, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))


def create_partial(directory: int, name: bytes) -> int | None:
    """Like `open_partial`, but None when there is one: quicker, for the usual case of small files."""
    temporary = temporary_name(name)
    try:
        fd = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
    except FileExistsError:
        return None
    try:
        return fd if _lock(fd, directory, temporary) else None
    except BusyError:
        return None
