"""The sending side of a session: walks, listens, sends; three greenlets that never wait for each other in a circle.

The walk runs ahead of the data by a window of files, so thousands of small ones flow without a round trip each. What
the receiver says is always read at once (it is bounded by the same window), so the receiver is never stuck saying it,
so it always goes on to read what we send.
"""

from __future__ import annotations

from collections import deque

from gevent.event import Event

from jsp.transfer import frames
from jsp.transfer.channel import Channel
from jsp.transfer.chunks import HASH_SIZE, chunk_count, chunk_size
from jsp.transfer.crew import together
from jsp.transfer.entries import Enter, File, Link, pack_entries
from jsp.transfer.errors import BadFrame
from jsp.transfer.reading import Outgoing, Reader
from jsp.transfer.report import Problem, Progress, Report
from jsp.transfer.threads import run
from jsp.transfer.walk import Found, Walk

# Files the receiver was told of that are not settled. Enough for 20,000 small files a second at 200 ms.
WINDOW = 4096

# Steps of the walk in one ENTRIES frame: some milliseconds in a thread.
_STEPS = 256

# Hashes the receiver may name, of all files in the window; 8 million are 2 TiB in chunks. What it names beyond that
# is sent as if it had not.
HASHES_MAX = 256 << 20


class Sender:
    """Sends a tree.

    Args:
        channel: to the receiver.
        start: what to say first.
        walk: over the tree; the caller closes it when `run` has returned.
        reader: of the same tree; likewise.
        report: kept up to date.
        progress: called with it whenever it changed.
    """

    def __init__(
        self, channel: Channel, start: frames.Start, walk: Walk, reader: Reader, report: Report, progress: Progress
    ) -> None:
        self._channel = channel
        self._start = start
        self._walk = walk
        self._reader = reader
        self._report = report
        self._progress = progress
        # By number: told of, not settled.
        self._outstanding: dict[int, Outgoing] = {}
        self._wanted: deque[Outgoing] = deque()
        self._files = 0
        self._hashes = 0
        self._walked = False
        self._work = Event()
        self._room = Event()

    def run(self) -> None:
        """Send until the receiver says that everything is in place. Raises TransferError and errors of the stream."""
        self._channel.send(frames.pack_start(self._start))
        together(self._tell, self._send, self._listen)

    # --- the walk ------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        while not self._walked:
            while len(self._outstanding) >= WINDOW:
                self._room.clear()
                self._room.wait()
            found = run(self._walk.take, _STEPS)
            self._register(found)
            packets = [frames.pack_problem(p.error, p.path, p.text) for p in found.problems]
            if found.entries:
                packets.append(frames.pack(frames.ENTRIES, pack_entries(found.entries)))
            if found.over:
                packets.append(frames.pack(frames.SCANNED))
            if not self._channel.send(b"".join(packets)):
                return
            # Not before: FINISH must not overtake the last entries.
            self._walked = self._report.scanned = found.over
            self._progress(self._report)
        self._work.set()

    def _register(self, found: Found) -> None:
        report = self._report
        places = iter(found.places)
        for entry in found.entries:
            if type(entry) is File:
                number = self._files
                self._outstanding[number] = Outgoing(number, next(places), entry.name, entry.size)
                self._files += 1
                report.files += 1
                report.bytes_total += entry.size
            elif type(entry) is Enter:
                report.directories += 1
            elif type(entry) is Link:
                report.links += 1
        for problem in found.problems:
            report.add(problem)

    # --- the data ------------------------------------------------------------------------------------------

    def _send(self) -> None:
        while True:
            batch = run(self._reader.read, self._wanted)
            for problem in batch.problems:
                self._report.add(problem)
                batch.frames.insert(0, frames.pack_problem(problem.error, problem.path, problem.text))
            if batch.frames and not self._channel.send(b"".join(batch.frames)):
                return
            report = self._report
            report.bytes_sent += batch.sent
            report.bytes_skipped += batch.skipped
            report.bytes_total += batch.grown
            for outgoing in batch.settled:
                self._settle(outgoing, sent=not outgoing.failed and (outgoing.sent > 0 or not outgoing.size))
            if batch.settled or batch.sent or batch.skipped:
                self._progress(report)
            elif not self._wanted:
                if self._walked and not self._outstanding:
                    self._channel.send(frames.pack(frames.FINISH))
                    return
                self._work.clear()
                self._work.wait()

    def _settle(self, outgoing: Outgoing, sent: bool) -> None:
        del self._outstanding[outgoing.number]
        self._hashes -= len(outgoing.have)
        report = self._report
        report.files_done += 1
        report.files_sent += sent
        report.path = outgoing.node.path(outgoing.name)
        if report.dry_run and sent:
            self._progress(report)
        if len(self._outstanding) < WINDOW:
            self._room.set()

    # --- what the receiver says ----------------------------------------------------------------------------

    def _listen(self) -> None:
        while True:
            kind, body = self._channel.read()
            if kind == frames.VERDICTS:
                self._on_verdicts(frames.parse_verdicts(body))
            elif kind == frames.HAVE:
                self._on_have(*frames.parse_have(body))
            elif kind == frames.CANCEL:
                # It may have been settled meanwhile.
                outgoing = self._outstanding.get(frames.parse_number(body))
                if outgoing is not None:
                    outgoing.cancelled = True
            elif kind == frames.PROBLEM:
                error, path, text = frames.parse_problem(body)
                self._report.add(Problem(path, text, error))
            elif kind == frames.RESULT:
                if self._outstanding or not self._walked:
                    raise BadFrame("the receiver ends before it has everything")
                return
            else:
                raise BadFrame(f"frame {kind} is not for a sender")

    def _find(self, number: int) -> Outgoing:
        outgoing = self._outstanding.get(number)
        if outgoing is None or outgoing.wanted:
            raise BadFrame("the receiver speaks of a file that is not in question")
        return outgoing

    def _on_verdicts(self, verdicts: frames.Verdicts) -> None:
        for number in verdicts.keep:
            outgoing = self._find(number)
            self._report.bytes_skipped += outgoing.size
            self._settle(outgoing, sent=False)
        for number in verdicts.refuse:
            self._settle(self._find(number), sent=False)
        for number in verdicts.want:
            outgoing = self._find(number)
            outgoing.wanted = True
            self._wanted.append(outgoing)
        self._work.set()
        self._progress(self._report)

    def _on_have(self, number: int, hashes: memoryview) -> None:
        outgoing = self._find(number)
        complete = outgoing.named == len(outgoing.have)
        outgoing.named += len(hashes)
        if outgoing.named > HASH_SIZE * chunk_count(outgoing.size, chunk_size(outgoing.size)):
            raise BadFrame("the receiver has more of a file than there is")
        # Behind those that were left out, others would stand for the wrong chunks.
        if complete and self._hashes + len(hashes) <= HASHES_MAX:
            outgoing.have += hashes
            self._hashes += len(hashes)
