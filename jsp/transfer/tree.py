"""Directories opened one component at a time, never through a symbolic link.

Everything a transfer touches is named by a `Node` (a directory below the root) and a name in it, and opened relative
to the descriptor of that directory, which was opened relative to its parent's, and so on from the root, each with
O_NOFOLLOW. So a link that somebody plants in the tree, this very transfer included, leads nowhere, and no path
has to be compared with any other. What is moved while it is open stays open: that is all a race can win.

A tree keeps a few descriptors. It is used by one thread at a time; each part of a session has its own.
"""

from __future__ import annotations

import os
from collections import OrderedDict

# For a file: it may be replaced by a pipe after it was looked at, and opening it must not wait for a writer.
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# A walk goes from a directory to its parent or a neighbour; more than these few save nothing.
_KEPT_MAX = 8


class Node:
    """A directory below the root (which is the node without a parent).

    Attributes:
        parent: the directory it is in.
        name: its name there; empty for the root.
        depth: how many directories are above it.
    """

    __slots__ = ("depth", "name", "parent")

    def __init__(self, parent: Node | None = None, name: bytes = b"") -> None:
        self.parent = parent
        self.name = name
        self.depth: int = 0 if parent is None else parent.depth + 1

    def path(self, name: bytes = b"") -> bytes:
        """The path of `name` in this directory (or of the directory), from the root, for people and patterns."""
        parts = [name] if name else []
        node = self
        while node.parent is not None:
            parts.append(node.name)
            node = node.parent
        return b"/".join(reversed(parts))


class Tree:
    """Descriptors of the directories below one directory.

    Args:
        root: descriptor of that directory; the tree owns it from now on.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._kept: OrderedDict[Node, int] = OrderedDict()

    @property
    def root(self) -> int:
        """The descriptor of the root."""
        return self._root

    def directory(self, node: Node) -> int:
        """A descriptor of `node`, good until the next call. OSError when it is not there, or not a directory."""
        if node.parent is None:
            return self._root
        kept = self._kept.get(node)
        if kept is not None:
            self._kept.move_to_end(node)
            return kept
        missing = [node]
        above: Node | None = node.parent
        while above is not None and above.parent is not None and above not in self._kept:
            missing.append(above)
            above = above.parent
        fd = self._root if above is None else self._kept.get(above, self._root)
        for step in reversed(missing):
            fd = self._keep(step, os.open(step.name, _OPEN_DIRECTORY, dir_fd=fd))
        return fd

    def _keep(self, node: Node, fd: int) -> int:
        self._kept[node] = fd
        if len(self._kept) > _KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)
            os.close(oldest)
        return fd

    def close(self) -> None:
        """Close all descriptors, the root's included. Harmless when closed."""
        while self._kept:
            os.close(self._kept.popitem()[1])
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def open_directory(path: bytes | str) -> int:
    """A descriptor of a directory that the user named: here links are followed, as they are everywhere else."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_below(root: int, names: tuple[bytes, ...]) -> int:
    """A descriptor of the directory `names` below the descriptor `root`; the caller's to close."""
    return _below(root, names, make=False)


def make_below(root: int, names: tuple[bytes, ...]) -> int:
    """Like `open_below`, making the directories that are not there."""
    return _below(root, names, make=True)


def _below(root: int, names: tuple[bytes, ...], make: bool) -> int:
    fd = os.dup(root)
    try:
        for name in names:
            if make:
                try:
                    os.mkdir(name, 0o777, dir_fd=fd)
                except FileExistsError:
                    pass
            below = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd
