"""Both ends of sessions on loopback, a disk that is too small, and a check that nothing stays open."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

import jsp
from jsp.transfer import Report, Served, handler, pull, push
from tests.net.support import serving, until


class Log(list[Served]):
    """The sessions a server has carried out."""

    def wait(self, count: int = 1) -> Served:
        """The `count`-th session, once it is over."""
        until(lambda: len(self) >= count)
        return self[count - 1]


@contextmanager
def served(
    directory: Path, log: Log | None = None, read_only: bool = False, identity: jsp.Identity | None = None
) -> Iterator[jsp.Connection]:
    """A connection, of a client with `identity`, to a server over `directory`."""
    sessions = handler(directory, read_only=read_only, on_done=None if log is None else log.append)
    with serving(sessions) as server, jsp.connect(server.url, identity=identity) as conn:
        yield conn


def push_contents(src: Path, dst: Path, **options: Any) -> Report:
    """Copy what is in `src` into `dst`, which is served."""
    dst.mkdir(exist_ok=True)
    with served(dst) as conn:
        return push(conn, f"{src}/", **options)


def pull_contents(src: Path, dst: Path, **options: Any) -> Report:
    """Copy what is in `src`, which is served, into `dst`."""
    with served(src) as conn:
        return pull(conn, "", dst, **options)


both_ways = pytest.mark.parametrize("copy", [push_contents, pull_contents], ids=["push", "pull"])


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def nothing_open() -> Iterator[None]:
    """Fails when files or sockets outlive the block. A closed connection keeps its socket for some round trips."""
    # What gevent opens on first use, it keeps.
    gevent.get_hub().threadpool.apply(os.getpid)
    before = _open_files()
    yield
    until(lambda: _open_files() <= before)


@pytest.fixture(scope="module")
def nothing_left() -> Iterator[None]:
    """`nothing_open` around the tests of a module together, for what is shared or takes its time to close."""
    with nothing_open():
        yield


class SmallDisk:
    """A file system of its own, of so many kilobytes, at `path`. For root only; skips the test when it cannot be.

    Attributes:
        path: where it is, while the `with` block runs.
    """

    def __init__(self, path: Path, kilobytes: int) -> None:
        self.path = path
        self._kilobytes = kilobytes

    def __enter__(self) -> SmallDisk:
        self.path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={self._kilobytes}k", "none", str(self.path)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user cannot mount a file system")
        return self

    def __exit__(self, *exc: object) -> None:
        if subprocess.run(["umount", str(self.path)], check=False).returncode:
            # A mistake, but no reason to leave a mount behind.
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)
            raise AssertionError("something on the small disk is still open")

    def enlarge(self, kilobytes: int) -> None:
        """Make room."""
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(self.path)], check=True)
