"""The sender's walk over its tree: depth first, what is in a directory before what is below it.

A listing is not sorted and not kept, so directories may be of any size; names of sub-directories are kept until
their turn comes. What cannot be read or copied becomes a `Problem` and the walk goes on. Runs in threads, a batch
at a time (see `threads`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from jsp.transfer.chunks import SIZE_MAX
from jsp.transfer.entries import Enter, Entry, File, Leave, Link
from jsp.transfer.exclude import Exclude
from jsp.transfer.names import DEPTH_MAX, is_temporary
from jsp.transfer.report import Problem
from jsp.transfer.tree import Node, Tree

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_Step = tuple[Node, Entry] | Problem


@dataclass(slots=True)
class Found:
    """A batch of the walk.

    Attributes:
        entries: what to tell the receiver.
        places: for each `File` among the entries, in order, the directory it is in.
        problems: what was passed over.
        over: whether the walk has ended.
    """

    entries: list[Entry] = field(default_factory=list)
    places: list[Node] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    over: bool = False


class Walk:
    """A walk over a tree.

    Args:
        tree: where; the walk closes it.
        only: the one name in the root to copy; None: all that is in it.
        exclude: what to leave out.
    """

    def __init__(self, tree: Tree, only: bytes | None, exclude: Exclude) -> None:
        self._tree = tree
        self._only = only
        self._exclude = exclude
        self._steps = self._walk()

    def take(self, limit: int) -> Found:
        """Go on for `limit` steps, or to the end."""
        found = Found()
        for _ in range(limit):
            step = next(self._steps, None)
            if step is None:
                found.over = True
                break
            if isinstance(step, Problem):
                found.problems.append(step)
                continue
            node, entry = step
            found.entries.append(entry)
            if type(entry) is File:
                found.places.append(node)
        return found

    def close(self) -> None:
        """Close what is open."""
        self._steps.close()
        self._tree.close()

    def _walk(self) -> Generator[_Step, None, None]:
        root = Node()
        below: list[bytes] = []
        if self._only is None:
            yield from self._list(root, below)
        else:
            yield from self._look(root, self._only, below)
        # Sub-directories still to be visited, of each directory from the root to the one we are in. A list rather
        # than recursion, for trees may be deeper than Python's stack.
        stack = [(root, below)]
        while stack:
            node, below = stack[-1]
            if not below:
                stack.pop()
                if stack:
                    yield node, Leave()
                continue
            child = Node(node, below.pop())
            entered = self._enter(child)
            yield entered
            if not isinstance(entered, Problem):
                below = []
                yield from self._list(child, below)
                stack.append((child, below))

    def _enter(self, node: Node) -> _Step:
        if node.depth > DEPTH_MAX:
            return Problem(node.path(), f"more than {DEPTH_MAX} directories deep")
        try:
            status = os.fstat(self._tree.directory(node))
        except OSError as error:
            return _problem(node.path(), error)
        return node, Enter(node.name, stat.S_IMODE(status.st_mode), status.st_mtime_ns)

    def _list(self, node: Node, below: list[bytes]) -> Iterator[_Step]:
        """What is in a directory; names of directories are added to `below` instead."""
        prefix = node.path() + b"/" if node.parent is not None else b""
        try:
            fd = self._tree.directory(node)
            with os.scandir(fd) as listing:
                for item in listing:
                    name = os.fsencode(item.name)
                    if self._exclude and self._exclude.matches(name, prefix + name, item.is_dir(follow_symlinks=False)):
                        continue
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        # Gone since it was listed: the tree as it is now has no such file.
                        continue
                    yield from self._classify(node, name, status, below)
        except OSError as error:
            yield _problem(node.path(), error)

    def _look(self, node: Node, name: bytes, below: list[bytes]) -> Iterator[_Step]:
        """The same for one name."""
        try:
            status = os.stat(name, dir_fd=self._tree.directory(node), follow_symlinks=False)
        except OSError as error:
            yield _problem(node.path(name), error)
        else:
            yield from self._classify(node, name, status, below)

    def _classify(self, node: Node, name: bytes, status: os.stat_result, below: list[bytes]) -> Iterator[_Step]:
        kind = stat.S_IFMT(status.st_mode)
        if is_temporary(name):
            yield Problem(node.path(name), "passed over: left by a transfer that was interrupted", error=False)
        elif kind == stat.S_IFREG and status.st_size > SIZE_MAX:
            yield Problem(node.path(name), "it is larger than can be copied")
        elif kind == stat.S_IFREG:
            yield node, File(name, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_size)
        elif kind == stat.S_IFDIR:
            below.append(name)
        elif kind == stat.S_IFLNK:
            try:
                target = os.readlink(name, dir_fd=self._tree.directory(node))
            except OSError as error:
                yield _problem(node.path(name), error)
            else:
                yield node, Link(name, status.st_mtime_ns, target)
        else:
            text = f"passed over: it is {_SPECIAL.get(kind, 'neither file nor directory nor link')}"
            yield Problem(node.path(name), text, error=False)


def _problem(path: bytes, error: OSError) -> Problem:
    return Problem(path or b".", error.strerror or str(error))
