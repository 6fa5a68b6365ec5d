"""A directory that one file goes to, and what the frames with its contents make happen there."""

from __future__ import annotations

import os
import random
from pathlib import Path

from jsp.transfer.assembly import Assembly
from jsp.transfer.basis import Basis
from jsp.transfer.chunks import CHUNK, chunk_size, hash_chunk, hash_root
from jsp.transfer.entries import File
from jsp.transfer.frames import Begin
from jsp.transfer.names import temporary_name
from jsp.transfer.target import Incoming, TargetDirectory
from jsp.transfer.tree import Tree
from tests.transfer.trees import TIME

NAME = b"file"
CHUNKS = [random.Random(n).randbytes(CHUNK) for n in range(3)] + [b"the end"]
CONTENT = b"".join(CHUNKS)
SIZE = len(CONTENT)
OTHER = random.Random(9).randbytes(CHUNK)


def hashes_of(content: bytes) -> bytes:
    """The hashes of its chunks."""
    chunk = chunk_size(len(content))
    return b"".join(hash_chunk(content[at : at + chunk]) for at in range(0, len(content), chunk))


def begin(size: int, mode: int = 0o644) -> Begin:
    """What the sender says of a file of `size` bytes."""
    return Begin(5, size, TIME, mode)


class Place:
    """A directory that a file goes to.

    Attributes:
        path: where the file goes.
        unfinished: where it is until then.
        folder: descriptor of the directory.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / os.fsdecode(NAME)
        self.unfinished = folder / os.fsdecode(temporary_name(NAME))
        self._tree = Tree(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
        self._assemblies: list[Assembly] = []

    @property
    def folder(self) -> int:
        return self._tree.root

    def assembly(
        self, size: int = SIZE, mode: int = 0o644, basis: Basis | None = None, announced: int | None = None
    ) -> Assembly:
        """A file of `size` bytes, begun; it had the `announced` size before."""
        entry = File(NAME, mode, TIME, size if announced is None else announced)
        incoming = Incoming(5, TargetDirectory(None, b""), entry, basis)
        assembly = Assembly(incoming, begin(size, mode), self._tree)
        self._assemblies.append(assembly)
        return assembly

    def basis(self, content: bytes, unfinished: bool = False, size: int = SIZE) -> Basis:
        """`content` is here, and has been hashed for a file of `size` bytes."""
        path = self.unfinished if unfinished else self.path
        path.write_bytes(content)
        os.utime(path, ns=(5, 5))
        basis = Basis(unfinished, size)
        while not basis.over:
            basis.hash_more(self.folder, NAME)
        return basis

    def close(self) -> None:
        """All that is open."""
        for assembly in self._assemblies:
            assembly.close()
        self._tree.close()


def bring_up(assembly: Assembly) -> None:
    """Until all that is kept is in the unfinished file."""
    while not assembly.bring_up():
        pass


def write(assembly: Assembly, number: int, data: bytes) -> None:
    """What a DATA frame makes happen."""
    assembly.keep(number)
    bring_up(assembly)
    assembly.write(number, hash_chunk(data), memoryview(data))


def leave_holes(assembly: Assembly, number: int, count: int) -> int:
    """What a HOLES frame makes happen."""
    assembly.keep(number)
    bring_up(assembly)
    return assembly.leave_holes(number, count)


def end(assembly: Assembly, content: bytes = CONTENT) -> None:
    """What an END frame makes happen."""
    assembly.keep_rest()
    assembly.check(hash_root(hashes_of(content)))
    if not assembly.is_in_place():
        bring_up(assembly)
        assembly.finish()
    assembly.close()
