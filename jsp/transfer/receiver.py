"""The receiving side of a session: reads, decides, stores; three greenlets.

Reading never waits for anything but the other two, and they never wait for what is still to be read: what they say is
taken up at once by the sender (see `sender`). Their queues are short, so a slow disk is felt by the sender as a
full window, and memory stays bounded.
"""

from __future__ import annotations

from collections import deque

import gevent
from gevent.lock import BoundedSemaphore
from gevent.queue import Empty, Queue

from jsp.net import clock
from jsp.transfer import frames
from jsp.transfer.channel import Channel
from jsp.transfer.chunks import CHUNK
from jsp.transfer.crew import together
from jsp.transfer.deciding import Decided, Decider, IncomingLink, Item
from jsp.transfer.entries import Enter, Entry, File, Leave, Link, parse_entries
from jsp.transfer.errors import BadFrame
from jsp.transfer.names import DEPTH_MAX
from jsp.transfer.partial import BusyError
from jsp.transfer.report import Problem, Progress, Report
from jsp.transfer.sender import WINDOW
from jsp.transfer.storing import Arrival, Store
from jsp.transfer.target import Incoming, TargetDirectory, finish
from jsp.transfer.threads import run
from jsp.transfer.tree import Tree

# Batches read ahead of the disk, each of about a chunk.
_QUEUED = 4

# A transfer that was killed is noticed only by its silence: its unfinished file is let go after this long, and
# whoever needs it waits for that, with some to spare. Seconds.
_IDLE = 1.0
_BUSY_TIMEOUT = 5.0
_BUSY_PAUSE = 0.05
_BUSY = "another transfer is writing it"

# Files told of and not served yet. A sender keeps to half of it, and they are what memory is needed for here.
_UNSERVED_MAX = 2 * WINDOW

_CONTENTS = (frames.WHOLE, frames.BEGIN, frames.DATA, frames.HOLES, frames.END, frames.PASS)
_PLANS = (frames.PLAN, frames.PASS)
_LAST = (frames.WHOLE, frames.END, frames.PASS, frames.PLAN)


class Receiver:
    """Receives a tree.

    Args:
        channel: to the sender.
        top: where the entries go.
        rename: the name that a single file or link gets here; None: its own.
        decider, store: over the same place; the caller closes them when `run` has returned.
        report: kept up to date.
        progress: called with it whenever it changed.
    """

    def __init__(
        self,
        channel: Channel,
        top: TargetDirectory,
        rename: bytes | None,
        decider: Decider,
        store: Store,
        report: Report,
        progress: Progress,
    ) -> None:
        self._channel = channel
        self._here = top
        self._rename = rename
        self._decider = decider
        self._store = store
        self._report = report
        self._progress = progress
        # In a dry run nothing is written, whatever the sender sends.
        self._contents = _PLANS if report.dry_run else _CONTENTS
        self._files = 0
        self._unserved = 0
        # By number: asked for, not settled.
        self._wanted: dict[int, Incoming] = {}
        self._complete: list[TargetDirectory] = []
        self._finishing = BoundedSemaphore()
        self._to_decide: Queue[list[Entry] | None] = Queue(_QUEUED)
        self._to_store: Queue[list[Arrival] | None] = Queue(_QUEUED)

    def run(self) -> None:
        """Receive until everything is in its place. Raises TransferError, and errors of stream and disk."""
        together(self._read, self._decide, self._store_all)

    # --- reading -------------------------------------------------------------------------------------------

    def _read(self) -> None:
        batch: list[Arrival] = []
        size = 0
        while True:
            kind, body = self._channel.read()
            if kind in self._contents:
                incoming = self._wanted.get(frames.parse_number(body))
                if incoming is None:
                    raise BadFrame("contents of a file that was not asked for")
                batch.append(Arrival(kind, incoming, body))
                size += len(body)
                self._unserved -= kind in _LAST
            elif kind == frames.ENTRIES:
                self._to_decide.put(self._read_entries(body))
            elif kind == frames.PROBLEM:
                error, path, text = frames.parse_problem(body)
                self._report.add(Problem(path, text, error))
            elif kind == frames.SCANNED:
                self._report.scanned = True
            elif kind != frames.FINISH:
                raise BadFrame(f"frame {kind} is not for a receiver")
            if batch and (size >= CHUNK or kind == frames.FINISH or not self._channel.has_frame()):
                self._to_store.put(batch)
                batch, size = [], 0
            if kind == frames.FINISH:
                self._to_decide.put(None)
                return

    def _read_entries(self, body: frames.Body) -> list[Entry]:
        entries = parse_entries(body)
        self._unserved += sum(type(entry) is File for entry in entries)
        if self._unserved > _UNSERVED_MAX:
            raise BadFrame("the sender tells of more files than it may leave unserved")
        return entries

    # --- deciding ------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        while (entries := self._to_decide.get()) is not None:
            items: list[Item] = []
            for entry in entries:
                self._announce(entry, items)
            decided = run(self._decider.decide, items)
            for item in items:
                if isinstance(item, IncomingLink):
                    self._complete += item.directory.settle()
            self._answer(decided)
            for incoming in decided.ask:
                self._ask(incoming)
            self._finish_directories(self._decider.tree)
            self._progress(self._report)
        # The end; whatever was in the queue before it has been decided.
        if self._here.parent is not None:
            raise BadFrame("the tree ends inside a directory")
        self._complete += self._here.leave()
        self._to_store.put(None)

    def _announce(self, entry: Entry, items: list[Item]) -> None:
        here, report = self._here, self._report
        if type(entry) is Leave:
            if not isinstance(here.parent, TargetDirectory):
                raise BadFrame("a directory is left that was not entered")
            self._complete += here.leave()
            self._here = here.parent
            return
        if self._rename is not None:
            entry = self._renamed(entry)
        if type(entry) is File:
            items.append(Incoming(self._files, here, entry))
            here.begin()
            self._files += 1
            report.files += 1
            report.bytes_total += entry.size
        elif type(entry) is Link:
            items.append(IncomingLink(here, entry))
            here.begin()
            report.links += 1
        elif type(entry) is Enter:
            if here.depth >= DEPTH_MAX:
                raise BadFrame(f"the tree is more than {DEPTH_MAX} directories deep")
            self._here = TargetDirectory(here, entry.name, entry.mode, entry.mtime)
            items.append(self._here)
            report.directories += 1

    def _renamed(self, entry: Entry) -> Entry:
        if not isinstance(entry, File | Link) or self._files or self._report.links:
            raise BadFrame("more than the single thing that was announced")
        return entry._replace(name=self._rename or b"")

    def _answer(self, decided: Decided) -> None:
        report = self._report
        packets: list[bytes] = []
        for problem in decided.problems:
            report.add(problem)
            packets.append(frames.pack_problem(problem.error, problem.path, problem.text))
        for incoming in decided.want:
            self._wanted[incoming.number] = incoming
            if incoming.basis is not None and incoming.basis.hashes:
                packets.append(frames.pack_have(incoming.number, bytes(incoming.basis.hashes)))
        self._unserved -= len(decided.keep) + len(decided.refuse)
        for incoming in decided.keep:
            report.bytes_skipped += incoming.entry.size
            self._settle(incoming, sent=False)
        for incoming in decided.refuse:
            incoming.failed = True
            self._settle(incoming, sent=False)
        if decided.want or decided.keep or decided.refuse:
            lists = ([i.number for i in group] for group in (decided.want, decided.keep, decided.refuse))
            packets.append(frames.pack_verdicts(*lists))
        if packets:
            self._channel.send(b"".join(packets))

    def _ask(self, incoming: Incoming) -> None:
        """Ask for a file of which there is much here already."""
        assert incoming.basis is not None
        deadline = clock.now() + _BUSY_TIMEOUT
        try:
            while not incoming.basis.over:
                try:
                    hashes = run(self._decider.hash_more, incoming)
                except BusyError:
                    if clock.now() >= deadline:
                        problem = Problem(incoming.path(), _BUSY)
                        self._answer(Decided(refuse=[incoming], problems=[problem]))
                        return
                    gevent.sleep(_BUSY_PAUSE)
                else:
                    self._channel.send(frames.pack_have(incoming.number, hashes))
        finally:
            incoming.basis.close()
        self._wanted[incoming.number] = incoming
        self._channel.send(frames.pack_verdicts([incoming.number], (), ()))

    # --- storing -------------------------------------------------------------------------------------------

    def _store_all(self) -> None:
        work: deque[Arrival] = deque()
        while (batch := self._next_batch()) is not None:
            work.extend(batch)
            self._store_batch(work)
            self._finish_directories(self._store.tree)
        if self._wanted:
            raise BadFrame("the sender ends before it has sent everything")
        self._finish_directories(self._store.tree)
        self._channel.send(frames.pack(frames.RESULT))

    def _next_batch(self) -> list[Arrival] | None:
        try:
            return self._to_store.get(timeout=_IDLE)
        except Empty:
            run(self._store.release)
            return self._to_store.get()

    def _store_batch(self, work: deque[Arrival]) -> None:
        report = self._report
        deadline = clock.now() + _BUSY_TIMEOUT
        while work:
            stored = run(self._store.apply, work)
            if stored.busy and clock.now() >= deadline:
                self._store.fail(work.popleft(), _BUSY, stored)
            elif stored.busy:
                gevent.sleep(_BUSY_PAUSE)
            report.bytes_sent += stored.received
            report.bytes_skipped += stored.kept
            report.bytes_total += stored.grown
            for incoming, text in stored.failed:
                problem = Problem(incoming.path(), text)
                report.add(problem)
                cancel = frames.pack_cancel(incoming.number)
                self._channel.send(cancel + frames.pack_problem(True, problem.path, text))
            for incoming in stored.settled:
                if self._wanted.pop(incoming.number, None) is None:
                    raise BadFrame("a file comes more than once")
                sent = incoming.received > 0 or not incoming.entry.size
                self._settle(incoming, sent=sent and not incoming.failed)
            self._progress(report)

    def _settle(self, incoming: Incoming, sent: bool) -> None:
        self._complete += incoming.directory.settle()
        report = self._report
        report.files_done += 1
        report.files_sent += sent
        report.path = incoming.path()
        if report.dry_run and sent:
            self._progress(report)

    def _finish_directories(self, tree: Tree) -> None:
        # One at a time, for a directory's own mode may shut those out who are still busy below it.
        with self._finishing:
            complete, self._complete = self._complete, []
            problems = run(finish, tree, complete) if complete and not self._report.dry_run else ()
        for problem in problems:
            self._report.add(problem)
            self._channel.send(frames.pack_problem(problem.error, problem.path, problem.text))
