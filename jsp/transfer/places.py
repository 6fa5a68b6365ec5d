"""Where a transfer begins and ends: a path of this machine's user, or one that a peer named below a served directory.

What the user says is taken as the user's other programs take it: relative to where they are, links followed. What a
peer says goes through `names.split_path` and is opened component by component below the directory, links not
followed. Both come out as the descriptor of a directory and at most one name in it.

A slash at the end of a source means its contents, as rsync has it; without one it is copied under its own name. A
single file may get another name: when the destination is no directory and has no slash at its end.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from jsp.transfer.errors import TransferError
from jsp.transfer.frames import Start
from jsp.transfer.names import display, is_temporary, split_path
from jsp.transfer.target import OWNER_MODE
from jsp.transfer.tree import make_below, open_below, open_directory


class Source(NamedTuple):
    """What is to be sent.

    Attributes:
        fd: descriptor of a directory, the caller's to close.
        only: the name in it that is meant; None: its contents.
        start: how to announce it.
    """

    fd: int
    only: bytes | None
    start: Start


class Destination(NamedTuple):
    """Where things go.

    Attributes:
        fd: descriptor of a directory, the caller's to close; -1 in a dry run when it is not there.
        rename: the name that a single file gets; None: its own.
    """

    fd: int
    rename: bytes | None


def local_source(path: bytes) -> Source:
    """What the user means by `path`. OSError when it is not there, TransferError when it cannot be copied."""
    parent, name = os.path.split(path)
    try:
        if name in (b"", b".", b".."):
            return _contents(open_directory(path))
        return _named(open_directory(parent or b"."), name)
    except OSError as error:
        # Which of the names in it is at fault does not matter, and people do not write b'...'.
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from None


def served_source(directory: bytes, path: bytes) -> Source:
    """What a peer means by `path` below `directory`. TransferError when there is no such thing, BadFrame."""
    names, slash = split_path(path)
    try:
        base = open_directory(directory)
        try:
            if slash:
                return _contents(open_below(base, names))
            return _named(open_below(base, names[:-1]), names[-1])
        finally:
            os.close(base)
    except OSError as error:
        raise TransferError(f"{display(path) or 'the served directory'}: {error.strerror}") from error


def _contents(fd: int) -> Source:
    status = os.fstat(fd)
    return Source(fd, None, Start(False, stat.S_IMODE(status.st_mode), status.st_mtime_ns))


def _named(fd: int, name: bytes) -> Source:
    try:
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise TransferError(f"{display(name)} is neither file nor directory nor link")
    except BaseException:
        os.close(fd)
        raise
    return Source(fd, name, Start(single=not stat.S_ISDIR(mode)))


def local_destination(path: bytes, start: Start, dry_run: bool) -> Destination:
    """Where the user wants it. OSError when that is not there and cannot be made."""
    rename = None
    parent, name = os.path.split(path)
    if start.single and name not in (b"", b".", b"..") and not os.path.isdir(path):
        _check_rename(name)
        path, rename = parent or b".", name
    try:
        if not dry_run:
            os.makedirs(path, exist_ok=True)
        elif not os.path.exists(path):
            return Destination(-1, rename)
        return Destination(_prepare(open_directory(path), start, dry_run), rename)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path)) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from None


def served_destination(directory: bytes, path: bytes, start: Start, dry_run: bool) -> Destination:
    """Where a peer wants it, below `directory`. TransferError when it cannot be had, BadFrame."""
    names, slash = split_path(path)
    rename = None
    try:
        base = open_directory(directory)
        try:
            if start.single and not slash and not _is_directory(base, names):
                names, rename = names[:-1], names[-1]
                _check_rename(rename)
            if not dry_run:
                fd = make_below(base, names)
            elif _is_directory(base, names):
                fd = open_below(base, names)
            else:
                return Destination(-1, rename)
            return Destination(_prepare(fd, start, dry_run), rename)
        finally:
            os.close(base)
    except OSError as error:
        raise TransferError(f"{display(path) or 'the served directory'}: {error.strerror}") from error


def _is_directory(base: int, names: tuple[bytes, ...]) -> bool:
    try:
        os.close(open_below(base, names))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_rename(name: bytes) -> None:
    if is_temporary(name):
        raise TransferError(f"{display(name)} is the name of an unfinished file")


def _prepare(fd: int, start: Start, dry_run: bool) -> int:
    """A directory that gets its mode from the sender's must let us in until then, as those below it do."""
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if start.mode is not None and mode & OWNER_MODE != OWNER_MODE and not dry_run:
        try:
            os.fchmod(fd, mode | OWNER_MODE)
        except OSError:
            os.close(fd)
            raise
    return fd
