"""The receiver's side of the disk: frames with file contents in, files in their places out.

A file of one chunk is written in one go; larger ones are an `Assembly`, of which there is one at a time, since the
sender sends one after another. What goes wrong with a file fails that file; the frames still on their way for it are
dropped. Runs in threads, a batch at a time (see `threads`).
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from jsp.transfer import frames
from jsp.transfer.assembly import Assembly, FileFailedError, write_all
from jsp.transfer.chunks import CHUNK, hash_chunk
from jsp.transfer.errors import BadFrame
from jsp.transfer.names import temporary_name
from jsp.transfer.partial import BusyError, create_partial, open_partial
from jsp.transfer.target import FILE_MODE, Incoming, check_disk, set_time
from jsp.transfer.tree import Tree


class Arrival(NamedTuple):
    """A frame with contents of a file."""

    kind: int
    incoming: Incoming
    body: frames.Body


@dataclass(slots=True)
class Stored:
    """What became of a batch.

    Attributes:
        settled: files that are through, either way.
        failed: those of which nothing more should be sent, and why.
        received, kept: bytes that came (in a dry run: would come), and bytes that were here already or are holes.
        grown: how many bytes more the files have than was announced.
        busy: whether the rest of the batch has to wait for another transfer.
    """

    settled: list[Incoming] = field(default_factory=list)
    failed: list[tuple[Incoming, str]] = field(default_factory=list)
    received: int = 0
    kept: int = 0
    grown: int = 0
    busy: bool = False


class Store:
    """Stores.

    Args:
        tree: where things go; the store closes it.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._assembly: Assembly | None = None

    def apply(self, work: deque[Arrival]) -> Stored:
        """Carry out frames from the left of `work`, which keeps those that there was no time for.

        Raises BadFrame, and TransferError when the disk takes nothing any more.
        """
        stored = Stored()
        while work:
            arrival = work[0]
            try:
                if not self._carry_out(arrival, stored):
                    break
            except BusyError:
                stored.busy = True
                break
            except FileFailedError as error:
                self.fail(arrival, str(error), stored)
            except OSError as error:
                check_disk(error, arrival.incoming.path())
                self.fail(arrival, error.strerror or str(error), stored)
            work.popleft()
        return stored

    def fail(self, arrival: Arrival, text: str, stored: Stored) -> None:
        """The file of `arrival` cannot be stored."""
        incoming = arrival.incoming
        self._drop()
        incoming.failed = True
        stored.failed.append((incoming, text))
        if arrival.kind in (frames.WHOLE, frames.END):
            stored.settled.append(incoming)

    def release(self) -> None:
        """Nothing comes: let other transfers have what is open."""
        if self._assembly is not None:
            self._assembly.release()

    def close(self) -> None:
        """Close what is open; unfinished files stay."""
        self._drop()
        self.tree.close()

    def _drop(self) -> None:
        assembly, self._assembly = self._assembly, None
        if assembly is not None:
            assembly.close()

    # --- frames --------------------------------------------------------------------------------------------

    def _carry_out(self, arrival: Arrival, stored: Stored) -> bool:
        """Do what the frame says; False when it has to be called again, to give others a turn meanwhile."""
        kind, incoming, body = arrival
        if kind in (frames.PASS, frames.PLAN):
            self._pass(arrival, stored)
            return True
        if incoming.failed:
            if kind == frames.END:
                stored.settled.append(incoming)
            return True
        if kind == frames.WHOLE:
            self._whole(incoming, frames.parse_whole(body), stored)
            stored.settled.append(incoming)
            return True
        if kind == frames.BEGIN:
            self._begin(incoming, frames.parse_begin(body), stored)
            return True
        if self._assembly is None or self._assembly.incoming is not incoming:
            raise BadFrame("contents of a file that was not begun")
        if kind == frames.DATA:
            return self._data(self._assembly, frames.parse_data(body), stored)
        if kind == frames.HOLES:
            return self._holes(self._assembly, body, stored)
        return self._end(self._assembly, body, stored)

    def _pass(self, arrival: Arrival, stored: Stored) -> None:
        incoming = arrival.incoming
        if self._assembly is not None and self._assembly.incoming is incoming:
            self._drop()
        if arrival.kind == frames.PLAN:
            _, incoming.received = frames.parse_plan(arrival.body)
            stored.received += incoming.received
            stored.kept += max(0, incoming.entry.size - incoming.received)
        else:
            incoming.failed = True
        stored.settled.append(incoming)

    def _begin(self, incoming: Incoming, begin: frames.Begin, stored: Stored) -> None:
        assembly = self._assembly
        if assembly is None:
            self._assembly = Assembly(incoming, begin, self.tree)
            stored.grown += begin.size - incoming.entry.size
        elif assembly.incoming is incoming:
            if assembly.begins == frames.BEGINS_MAX:
                raise BadFrame("a file begins again and again")
            stored.grown += begin.size - assembly.begin.size
            assembly.start_over(begin)
        else:
            raise BadFrame("a file begins before the one before it has ended")

    def _data(self, assembly: Assembly, data: frames.Data, stored: Stored) -> bool:
        stored.kept += assembly.keep(data.chunk)
        if not assembly.bring_up():
            return False
        assembly.write(data.chunk, data.hash, data.data)
        stored.received += len(data.data)
        assembly.incoming.received += len(data.data)
        return True

    def _holes(self, assembly: Assembly, body: frames.Body, stored: Stored) -> bool:
        _, chunk, count = frames.parse_holes(body)
        stored.kept += assembly.keep(chunk)
        if not assembly.bring_up():
            return False
        stored.kept += assembly.leave_holes(chunk, count)
        return True

    def _end(self, assembly: Assembly, body: frames.Body, stored: Stored) -> bool:
        _, root = frames.parse_end(body)
        stored.kept += assembly.keep_rest()
        assembly.check(root)
        if not assembly.is_in_place():
            if not assembly.bring_up():
                return False
            assembly.finish()
        self._drop()
        stored.settled.append(assembly.incoming)
        return True

    # --- files of one chunk --------------------------------------------------------------------------------

    def _whole(self, incoming: Incoming, whole: frames.Whole, stored: Stored) -> None:
        if self._assembly is not None or len(whole.data) > CHUNK:
            raise BadFrame("a whole file in the middle of another, or too large for one")
        directory = self.tree.directory(incoming.directory)
        name = incoming.entry.name
        fd = create_partial(directory, name)
        if fd is None:
            fd = open_partial(directory, name)
            os.ftruncate(fd, 0)
        try:
            stored.received += len(whole.data)
            stored.grown += len(whole.data) - incoming.entry.size
            incoming.received = len(whole.data)
            if hash_chunk(whole.data) != whole.hash:
                raise FileFailedError("it was damaged on the way")
            write_all(fd, whole.data, 0)
            os.fchmod(fd, whole.mode & FILE_MODE)
            set_time(fd, whole.mtime)
            os.rename(temporary_name(name), name, src_dir_fd=directory, dst_dir_fd=directory)
        except (OSError, FileFailedError):
            # Nothing of it is worth keeping.
            _remove(temporary_name(name), directory)
            raise
        finally:
            os.close(fd)


def _remove(name: bytes, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        pass
