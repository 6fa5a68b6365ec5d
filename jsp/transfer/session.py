"""Sessions: who asks for what, and which side does which part. `push` and `pull` ask, `serve` answers.

A session is one stream. The client says what it wants; then one side sends and the other receives, and neither part
knows which of them is the client.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jsp.crypto.identity import PeerId
from jsp.errors import Code, Error, LocalError
from jsp.net import clock
from jsp.net.connection import Connection
from jsp.net.handler import Handler
from jsp.net.stream import Stream
from jsp.transfer import frames
from jsp.transfer.channel import Channel
from jsp.transfer.deciding import Decider
from jsp.transfer.errors import BadFrame, PeerGaveUp, TransferError
from jsp.transfer.exclude import Exclude
from jsp.transfer.names import display
from jsp.transfer.places import (
    Destination,
    Source,
    local_destination,
    local_source,
    served_destination,
    served_source,
)
from jsp.transfer.reading import Reader
from jsp.transfer.receiver import Receiver
from jsp.transfer.report import Progress, Report, no_progress
from jsp.transfer.sender import Sender
from jsp.transfer.storing import Store
from jsp.transfer.target import TargetDirectory
from jsp.transfer.threads import run
from jsp.transfer.tree import Tree, open_directory
from jsp.transfer.walk import Walk

log = logging.getLogger("jsp.transfer")

# The application protocol (jsp.Config.protocols) of servers that do nothing else.
PROTOCOL = "jsp-sync/1"

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Served(NamedTuple):
    """A session that a server has carried out.

    Attributes:
        peer: the client's identity, if it has one.
        push: whether the client sent; otherwise it fetched.
        path: what it named, below the served directory.
        report: the totals.
        error: why it ended early; None when it did not.
    """

    peer: PeerId | None
    push: bool
    path: bytes
    report: Report
    error: Exception | None


def push(
    conn: Connection,
    src: PathLike,
    dst: PathLike = "",
    *,
    progress: Progress | None = None,
    checksum: bool = False,
    dry_run: bool = False,
    exclude: Iterable[str | bytes] = (),
) -> Report:
    """Copy `src` of this machine to `dst` below the directory that the peer serves.

    Args:
        conn: a connection to a server with `handler`.
        src: a file, link or directory; with a slash at its end, the contents of a directory.
        dst: a directory, made when it is not there, or the new name of a single file; relative, without "..".
        progress: called with the report whenever it changed, many times a second; what it raises ends the transfer. In
            a dry run it is called for each file that would be sent (`Report.path`).
        checksum: compare files of the same size by their hashes, rather than trust equal mtimes.
        dry_run: change nothing, find out what would be sent.
        exclude: patterns of what to leave out (see `jsp.transfer.exclude`).

    Returns the report; what went wrong with single files is in there.

    Raises:
        OSError: `src` cannot be read at all.
        TransferError: it cannot go on (PeerGaveUp: the other side says so). What arrived is kept for the next time.
        jsp.ConnectionClosed and its kin: the connection broke; likewise.
    """
    request = frames.Open(True, os.fsencode(dst), checksum, dry_run, ())
    report = Report(dry_run=dry_run)
    source = run(local_source, os.fsencode(src))
    with _Sending(source, Exclude(map(os.fsencode, exclude)), report) as sending, conn.open_stream() as stream:
        channel = Channel(stream)
        with _telling(channel):
            channel.send(frames.pack_open(request))
            sending.run(channel, progress or no_progress)
    return report


def pull(
    conn: Connection,
    src: PathLike,
    dst: PathLike,
    *,
    progress: Progress | None = None,
    checksum: bool = False,
    dry_run: bool = False,
    exclude: Iterable[str | bytes] = (),
) -> Report:
    """Copy `src` below the directory that the peer serves to `dst` on this machine.

    As `push`, the other way round: `src` is relative and without "..", and empty for all that is served; `dst` is a
    directory, made when it is not there, or the new name of a single file. OSError: `dst` cannot be written at all.
    """
    target = os.fsencode(dst)
    if not target:
        raise LocalError("pull: dst is empty; '.' is the current directory")
    request = frames.Open(False, os.fsencode(src), checksum, dry_run, tuple(map(os.fsencode, exclude)))
    report = Report(dry_run=dry_run)
    with conn.open_stream() as stream:
        channel = Channel(stream)
        with _telling(channel):
            channel.send(frames.pack_open(request))
            _receive(channel, request, lambda start: local_destination(target, start, dry_run), report, progress)
    return report


# --- serving -----------------------------------------------------------------------------------------------------


def handler(
    directory: PathLike, *, read_only: bool = False, on_done: Callable[[Served], None] | None = None
) -> type[Handler]:
    """A handler class for `jsp.Server` that lets clients push to and pull from `directory`, and nowhere else.

    Who may connect is the server's `trust`.

    Args:
        directory: must exist; is opened anew for each session.
        read_only: refuse to have anything pushed.
        on_done: called after each session.

    Raises NotADirectoryError or FileNotFoundError when there is no such directory.
    """
    path = os.path.abspath(os.fsdecode(directory))
    # What is wrong with it shows now rather than to the first client.
    os.close(open_directory(path))

    class Sessions(Handler):
        def handle_stream(self, stream: Stream) -> None:
            serve(stream, path, read_only=read_only, on_done=on_done)

    return Sessions


def serve(
    stream: Stream,
    directory: PathLike,
    *,
    read_only: bool = False,
    on_done: Callable[[Served], None] | None = None,
) -> None:
    """Carry out the session that a client began on `stream`; what `handler` does with each.

    What goes wrong is told to the client, to `on_done`, and to the log "jsp.transfer".
    """
    channel = Channel(stream)
    report = Report()
    request: frames.Open | None = None
    failure: Exception | None = None
    try:
        with _telling(channel):
            kind, body = channel.read()
            if kind != frames.OPEN:
                raise BadFrame("a session begins with OPEN")
            request = frames.parse_open(body)
            _answer(channel, request, os.fsencode(directory), read_only, report)
    except (Error, OSError) as error:
        failure = error
        stream.reset(int(Code.NO_ERROR))
    if request is None:
        log.warning("a session that asked for nothing: %s", failure)
        return
    peer = stream.connection.peer
    what = "push to" if request.push else "pull of"
    if failure is None:
        log.info("%s /%s by %s", what, display(request.path), peer)
    else:
        log.warning("%s /%s by %s: %s", what, display(request.path), peer or "somebody", failure)
    if on_done is not None:
        on_done(Served(peer, request.push, request.path, report, failure))


def _answer(channel: Channel, request: frames.Open, directory: bytes, read_only: bool, report: Report) -> None:
    report.dry_run = request.dry_run
    if not request.push:
        source = run(served_source, directory, request.path)
        with _Sending(source, Exclude(request.exclude), report) as sending:
            sending.run(channel, no_progress)
    elif read_only and not request.dry_run:
        raise TransferError("this directory is served read-only")
    else:

        def destination(start: frames.Start) -> Destination:
            return served_destination(directory, request.path, start, request.dry_run)

        _receive(channel, request, destination, report, no_progress)


# --- both sides --------------------------------------------------------------------------------------------------


class _Sending:
    """A source that is open, and what sends it."""

    def __init__(self, source: Source, exclude: Exclude, report: Report) -> None:
        self._start = source.start
        self._report = report
        self._walk = Walk(Tree(source.fd), source.only, exclude)
        self._reader = Reader(Tree(os.dup(source.fd)), report.dry_run)

    def __enter__(self) -> _Sending:
        return self

    def __exit__(self, *exc: object) -> None:
        self._walk.close()
        self._reader.close()
        self._report.ended = clock.now()

    def run(self, channel: Channel, progress: Progress) -> None:
        Sender(channel, self._start, self._walk, self._reader, self._report, progress).run()


def _receive(
    channel: Channel,
    request: frames.Open,
    find: Callable[[frames.Start], Destination],
    report: Report,
    progress: Progress | None,
) -> None:
    """Receive what the other side sends; `find` opens where it goes, in a thread."""
    kind, body = channel.read()
    if kind != frames.START:
        raise BadFrame("a sender begins with START")
    start = frames.parse_start(body)
    destination = run(find, start)
    top = TargetDirectory(None, b"", start.mode, start.mtime)
    top.absent = destination.fd < 0
    decider = Decider(Tree(destination.fd), request.checksum, request.dry_run)
    store = Store(Tree(os.dup(destination.fd) if destination.fd >= 0 else -1))
    try:
        Receiver(channel, top, destination.rename, decider, store, report, progress or no_progress).run()
    finally:
        decider.close()
        store.close()
        report.ended = clock.now()


@contextmanager
def _telling(channel: Channel) -> Iterator[None]:
    """Tell the other side what goes wrong here."""
    try:
        yield
    except PeerGaveUp:
        raise
    except TransferError as error:
        channel.abort(str(error))
        raise
    except Error:
        # The connection is over; there is nobody to tell.
        raise
    except OSError as error:
        channel.abort(error.strerror or str(error))
        raise
