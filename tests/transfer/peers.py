"""A sender or a receiver of real files, and the other end of its stream in the hands of a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import msgpack
from gevent import Greenlet

from jsp.transfer import frames
from jsp.transfer.channel import Channel
from jsp.transfer.deciding import Decider
from jsp.transfer.entries import Entry, pack_entries
from jsp.transfer.exclude import Exclude
from jsp.transfer.frames import Body, FrameReader, Start, Verdicts
from jsp.transfer.reading import Reader
from jsp.transfer.receiver import Receiver
from jsp.transfer.report import Progress, Report, no_progress
from jsp.transfer.sender import Sender
from jsp.transfer.storing import Store
from jsp.transfer.target import TargetDirectory
from jsp.transfer.tree import Tree, open_directory
from jsp.transfer.walk import Walk

NOBODY = 65534

CONTENTS = Start(single=False)


class Peer:
    """The other end.

    Attributes:
        report: of the sender or receiver that is tested.
        greenlet: in which that runs; its value is the exception it ended with, or None.
        socket: of this end.
    """

    def __init__(self, sock: Any, greenlet: Greenlet[..., Exception | None], report: Report) -> None:
        self.socket = sock
        self.greenlet = greenlet
        self.report = report
        self._frames = FrameReader(sock)

    def say(self, *packets: bytes) -> None:
        """Send frames, in one piece."""
        self.socket.sendall(b"".join(packets))

    def say_entries(self, *entries: Entry) -> None:
        """Send one ENTRIES frame."""
        self.say(frames.pack(frames.ENTRIES, pack_entries(entries)))

    def say_rows(self, *rows: Any) -> None:
        """The same for entries that no `Entry` could be."""
        self.say(frames.pack(frames.ENTRIES, msgpack.packb(rows)))

    def hear(self) -> tuple[int, Body]:
        """Type and body of the next frame."""
        with gevent.Timeout(5):
            return self._frames.read()

    def expect(self, *kinds: int) -> Body:
        """The next frames must have these types; returns the body of the last."""
        body: Body = b""
        for kind in kinds:
            got, body = self.hear()
            assert got == kind, f"{kind} was expected, {got} came with {bytes(body)[:100]!r}"
        return body

    def verdicts(self) -> Verdicts:
        """The next frame, which must be one with verdicts."""
        return frames.parse_verdicts(self.expect(frames.VERDICTS))

    def wait(self) -> Report:
        """Wait for the end; returns the report, or raises what it ended with."""
        error = self.greenlet.get(timeout=5)
        if error is not None:
            raise error
        return self.report


@contextmanager
def _facing(run: Callable[[Channel], None], report: Report) -> Iterator[Peer]:
    near, far = gevent.socket.socketpair()
    # So that whoever does not listen is felt.
    near.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_SNDBUF, 16384)

    def caught() -> Exception | None:
        try:
            run(Channel(near))
        except Exception as error:
            return error
        return None

    spawned: list[Greenlet[..., Any]] = []
    Greenlet.add_spawn_callback(spawned.append)
    greenlet = gevent.spawn(caught)
    try:
        yield Peer(far, greenlet, report)
    finally:
        Greenlet.remove_spawn_callback(spawned.append)
        greenlet.kill()
        near.close()
        far.close()
    assert all(one.dead for one in spawned), "a greenlet was left behind"


@contextmanager
def sender(root: Path, dry_run: bool = False, progress: Progress = no_progress) -> Iterator[Peer]:
    """What faces a sender of the contents of `root`."""
    report = Report(dry_run=dry_run)
    walk = Walk(Tree(open_directory(os.fspath(root))), None, Exclude())
    reader = Reader(Tree(open_directory(os.fspath(root))), dry_run)

    def run(channel: Channel) -> None:
        Sender(channel, CONTENTS, walk, reader, report, progress).run()

    try:
        with _facing(run, report) as peer:
            yield peer
    finally:
        walk.close()
        reader.close()


@contextmanager
def receiver(
    root: Path,
    rename: bytes | None = None,
    checksum: bool = False,
    dry_run: bool = False,
    start: Start = CONTENTS,
    progress: Progress = no_progress,
) -> Iterator[Peer]:
    """What faces a receiver into `root`."""
    report = Report(dry_run=dry_run)
    top = TargetDirectory(None, b"", start.mode, start.mtime)
    decider = Decider(Tree(open_directory(os.fspath(root))), checksum, dry_run)
    store = Store(Tree(open_directory(os.fspath(root))))

    def run(channel: Channel) -> None:
        Receiver(channel, top, rename, decider, store, report, progress).run()

    try:
        with _facing(run, report) as peer:
            yield peer
    finally:
        decider.close()
        store.close()


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user who may only do what permissions say; root, who tests often are, may do anything."""
    if os.geteuid():
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def names(path: Path) -> list[str]:
    """What is in a directory."""
    return sorted(os.listdir(path))


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.path.samefile(f"/proc/self/fd/{fd}", path):
                return True
        except OSError:
            continue
    return False


def open_up(root: Path) -> None:
    """Let everybody into all directories again, so that they can be removed."""
    for folder, folders, _ in os.walk(root):
        for name in folders:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755)
