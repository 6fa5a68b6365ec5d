"""The receiver's decision about each entry: keep what is here, want it, or say why it cannot be.

Directories and links are dealt with on the spot. A file is kept when size and mtime are the same (its mode is mended
if need be), else wanted; the hashes of what is here of it already are told to the sender. Runs in threads, a batch at
a time (see `threads`); in a dry run it changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from jsp.net import clock
from jsp.transfer.basis import Basis
from jsp.transfer.chunks import CHUNK
from jsp.transfer.entries import Link
from jsp.transfer.names import temporary_name
from jsp.transfer.partial import BusyError
from jsp.transfer.report import Problem
from jsp.transfer.target import FILE_MODE, OWNER_MODE, Incoming, TargetDirectory, check_disk
from jsp.transfer.tree import OPEN_FILE, Tree

# Transfers of the same tree take the name of an unfinished link from each other at most so often.
_LINK_TRIES = 10


@dataclass(slots=True)
class IncomingLink:
    """A symbolic link the sender announced, and where it goes."""

    directory: TargetDirectory
    entry: Link


Item = TargetDirectory | Incoming | IncomingLink


@dataclass(slots=True)
class Decided:
    """Verdicts on a batch.

    Attributes:
        want: files to be sent; the hashes of their basis, if there is one, come first.
        ask: the same, but their basis is so large that it is hashed piece by piece.
        keep: files that are as they should be.
        refuse: files that have no place here.
        problems: why not, and what else went wrong.
    """

    want: list[Incoming] = field(default_factory=list)
    ask: list[Incoming] = field(default_factory=list)
    keep: list[Incoming] = field(default_factory=list)
    refuse: list[Incoming] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Decider:
    """Decides.

    Args:
        tree: where things go; the decider closes it.
        checksum: compare files of the same size by their hashes.
        dry_run: change nothing.
    """

    def __init__(self, tree: Tree, checksum: bool, dry_run: bool) -> None:
        self.tree = tree
        self._checksum = checksum
        self._dry_run = dry_run

    def decide(self, items: Iterable[Item]) -> Decided:
        """Verdicts on `items`, in order. Raises TransferError when the disk takes nothing any more."""
        decided = Decided()
        for item in items:
            try:
                if isinstance(item, Incoming):
                    self._file(item, decided)
                elif isinstance(item, IncomingLink):
                    self._link(item, decided)
                else:
                    self._enter(item, decided)
            except OSError as error:
                self._fail(item, error.strerror or str(error), decided)
                check_disk(error, decided.problems[-1].path)
        return decided

    def close(self) -> None:
        """Close what is open."""
        self.tree.close()

    def _fail(self, item: Item, text: str, decided: Decided) -> None:
        if isinstance(item, TargetDirectory):
            item.failed = True
            decided.problems.append(Problem(item.path(), text))
            return
        decided.problems.append(Problem(item.directory.path(item.entry.name), text))
        if isinstance(item, Incoming):
            decided.refuse.append(item)

    # --- directories ---------------------------------------------------------------------------------------

    def _enter(self, directory: TargetDirectory, decided: Decided) -> None:
        parent = directory.parent
        assert isinstance(parent, TargetDirectory)
        directory.failed = parent.failed
        directory.absent = parent.absent
        if parent.failed or parent.absent:
            return
        fd = self.tree.directory(parent)
        status = None if parent.fresh else _look(directory.name, fd)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            self._fail(directory, "something that is no directory is in its way", decided)
        elif self._dry_run:
            directory.absent = status is None
        elif status is None:
            directory.fresh = _make_directory(directory.name, fd)
        elif stat.S_IMODE(status.st_mode) & OWNER_MODE != OWNER_MODE:
            os.fchmod(self.tree.directory(directory), stat.S_IMODE(status.st_mode) | OWNER_MODE)

    # --- links ---------------------------------------------------------------------------------------------

    def _link(self, item: IncomingLink, decided: Decided) -> None:
        directory, entry = item.directory, item.entry
        if directory.failed or directory.absent:
            return
        fd = self.tree.directory(directory)
        status = None if directory.fresh else _look(entry.name, fd)
        if status is not None and stat.S_ISDIR(status.st_mode):
            self._fail(item, "a directory is in its way", decided)
        elif status is not None and stat.S_ISLNK(status.st_mode) and os.readlink(entry.name, dir_fd=fd) == entry.target:
            if status.st_mtime_ns != entry.mtime and not self._dry_run:
                _set_link_time(entry.name, fd, entry.mtime)
        elif not self._dry_run:
            _make_link(entry, fd)

    # --- files ---------------------------------------------------------------------------------------------

    def _file(self, incoming: Incoming, decided: Decided) -> None:
        directory, entry = incoming.directory, incoming.entry
        if directory.failed:
            decided.refuse.append(incoming)
            return
        if directory.fresh or directory.absent:
            decided.want.append(incoming)
            return
        fd = self.tree.directory(directory)
        status = _look(entry.name, fd)
        if status is not None and stat.S_ISDIR(status.st_mode):
            self._fail(incoming, "a directory is in its way", decided)
        elif status is not None and self._is_same(incoming, status) and self._mend_mode(incoming, status, fd):
            decided.keep.append(incoming)
        else:
            incoming.basis = self._find_basis(incoming, status, fd)
            self._want(incoming, fd, decided)

    def _is_same(self, incoming: Incoming, status: os.stat_result) -> bool:
        entry = incoming.entry
        same = status.st_size == entry.size and status.st_mtime_ns == entry.mtime
        return same and stat.S_ISREG(status.st_mode) and not self._checksum

    def _mend_mode(self, incoming: Incoming, status: os.stat_result, fd: int) -> bool:
        """Give the file the mode it should have; False when that cannot be done without sending it."""
        mode = incoming.entry.mode & FILE_MODE
        if stat.S_IMODE(status.st_mode) == mode or self._dry_run:
            return True
        try:
            file = os.open(incoming.entry.name, OPEN_FILE, dir_fd=fd)
        except OSError:
            return False
        try:
            os.fchmod(file, mode)
        finally:
            os.close(file)
        return True

    def _find_basis(self, incoming: Incoming, status: os.stat_result | None, fd: int) -> Basis | None:
        size = incoming.entry.size
        unfinished = _look(temporary_name(incoming.entry.name), fd)
        if unfinished is not None and stat.S_ISREG(unfinished.st_mode) and unfinished.st_size:
            return Basis(True, size, self._dry_run)
        # An older version costs its reading, and saves sending what has not changed: not worth it for a small file.
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size:
            if size > CHUNK or (self._checksum and status.st_size == size):
                return Basis(False, size, self._dry_run)
        return None

    def _want(self, incoming: Incoming, fd: int, decided: Decided) -> None:
        if incoming.basis is not None:
            if incoming.entry.size > CHUNK:
                decided.ask.append(incoming)
                return
            try:
                incoming.basis.hash_more(fd, incoming.entry.name)
            except BusyError:
                decided.ask.append(incoming)
                return
        decided.want.append(incoming)

    def hash_more(self, incoming: Incoming) -> bytes:
        """The next hashes of a basis. BusyError while another transfer writes it."""
        assert incoming.basis is not None
        try:
            directory = self.tree.directory(incoming.directory)
        except OSError:
            # No longer there; the store will say so.
            incoming.basis.over = True
            return b""
        return incoming.basis.hash_more(directory, incoming.entry.name)


def _look(name: bytes, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _make_directory(name: bytes, directory: int) -> bool:
    """Whether it is new; another transfer of the same tree may have been quicker."""
    try:
        os.mkdir(name, OWNER_MODE, dir_fd=directory)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise
        return False
    return True


def _make_link(entry: Link, directory: int) -> None:
    temporary = temporary_name(entry.name)
    for tries_left in reversed(range(_LINK_TRIES)):
        # One of a transfer that was broken off, or of another one of the same tree.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        try:
            os.symlink(entry.target, temporary, dir_fd=directory)
            _set_link_time(temporary, directory, entry.mtime)
            os.rename(temporary, entry.name, src_dir_fd=directory, dst_dir_fd=directory)
            return
        except (FileExistsError, FileNotFoundError):
            # Somebody else makes the same one: whoever is first, it is in place in the end.
            if not tries_left:
                raise
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            raise


def _set_link_time(name: bytes, directory: int, mtime: int) -> None:
    times = (int(clock.wall_time() * 1e9), mtime)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)
