"""Trees of files for tests: made with a bit of everything, and compared in all that a copy has to keep."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from pathlib import Path
from typing import NamedTuple

from jsp.transfer.chunks import CHUNK, chunk_count, chunk_length, chunk_size
from jsp.transfer.names import temporary_name

# With more digits than a float or a coarse file system keeps; some of them before 1970.
OLD = -86_400_000_000_001
TIME = 1_600_000_000_123_456_789


class Facts(NamedTuple):
    """What a copy has in common with its original.

    Attributes:
        kind: file, directory, link, ...
        mode: permission bits.
        mtime: nanoseconds.
        what: hash of a file, target of a link.
    """

    kind: str
    mode: str
    mtime: int
    what: str | bytes = ""


def facts(root: Path, without: str | None = None) -> dict[bytes, Facts]:
    """The facts of all that is in `root` (but the directory `without` in there), and of `root` itself as b"."."""
    return {name: _facts(path) for name, path in _paths(root, without)}


def identities(root: Path) -> dict[bytes, tuple[int, int]]:
    """Inode and ctime of all that is in `root`: the same again only if nobody has changed or replaced anything."""
    return {name: (os.lstat(path).st_ino, os.lstat(path).st_ctime_ns) for name, path in _paths(root)}


def assert_same(original: Path, copy: Path, without: str | None = None) -> None:
    """Fail when `copy` differs from `original` (but the directory `without` in there) in any name or fact."""
    one, other = facts(original, without), facts(copy)
    wrong = [(name, one.get(name), other.get(name)) for name in sorted(one | other) if one.get(name) != other.get(name)]
    assert not wrong, f"{len(wrong)} differ, (name, original, copy) are {wrong[:5]}"


def _paths(root: Path, without: str | None = None) -> list[tuple[bytes, bytes]]:
    top = os.fsencode(root)
    found = [(b".", top)]
    for folder, folders, files in os.walk(top, onerror=_fail):
        if folder == top and without is not None:
            folders.remove(os.fsencode(without))
        paths = [os.path.join(folder, name) for name in folders + files]
        found += [(os.path.relpath(path, top), path) for path in paths]
    return found


def _fail(error: OSError) -> None:
    raise error


def _facts(path: bytes) -> Facts:
    status = os.lstat(path)
    kind, mode = stat.filemode(status.st_mode)[0], oct(stat.S_IMODE(status.st_mode))
    what: str | bytes = ""
    if stat.S_ISLNK(status.st_mode):
        what = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            what = hashlib.file_digest(file, "sha256").hexdigest()
    return Facts(kind, mode, status.st_mtime_ns, what)


# --- making ------------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes | str = b"", mode: int = 0o644, mtime: int = TIME) -> Path:
    """A file, and the directories above it; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    os.utime(path, ns=(mtime, mtime))
    return path


def make_tree(root: Path, seed: int = 1, size: int = 3 * CHUNK + 7) -> Path:
    """A tree with a bit of everything, its largest file of `size` random bytes; returns `root`."""
    chance = random.Random(seed)
    write(root / "large.bin", chance.randbytes(size))
    write(root / "sub" / "deeper" / "chunk.bin", chance.randbytes(CHUNK), mtime=OLD)
    write(root / "sub" / "read-only", "for reading", mode=0o400)
    write(root / "sub" / "run", "#!/bin/sh\n", mode=0o755)
    for i in range(20):
        write(root / "many" / f"{i:03}.txt", chance.randbytes(chance.randrange(5000)), mtime=TIME + i)
    write(root / "empty")
    write(Path(os.fsdecode(b"".join((os.fsencode(root), b"/\xff\xfe latin \xe9")))), "not UTF-8")
    write(root / "two\nlines\t\x1b[31m", "control characters")
    write(root / "日本語 ü.txt", "unicode")
    (root / "hollow").mkdir()
    (root / "link").symlink_to("sub/run")
    (root / "dangling").symlink_to("nowhere/at/all")
    (root / "absolute").symlink_to("/etc/passwd")
    write(root / "locked" / "inside", "in a directory without permission to write")
    (root / "locked").chmod(0o555)
    for name in ("link", "dangling", "sub/deeper", "sub", "hollow", "locked", "."):
        os.utime(root / name, ns=(TIME, TIME + len(name)), follow_symlinks=False)
    return root


# --- how much is there -------------------------------------------------------------------------------------------


def missing(original: Path, copy: Path) -> tuple[int, int]:
    """Bytes of the files in `original` that an interrupted `copy` has not, and how many files it has begun.

    It has a file whose size and mtime are right, and in an unfinished one the chunks that are complete and equal.
    """
    bytes_missing = begun = 0
    for name, path in _paths(original):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            continue
        there = os.path.join(os.fsencode(copy), name)
        if os.path.lexists(there):
            found = os.lstat(there)
            if (found.st_size, found.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
                continue
        folder, base = os.path.split(there)
        unfinished = os.path.join(folder, temporary_name(base))
        begun += os.path.exists(unfinished)
        bytes_missing += status.st_size - _complete(path, unfinished)
    return bytes_missing, begun


def _complete(original: bytes, unfinished: bytes) -> int:
    size = os.path.getsize(original)
    chunk = chunk_size(size)
    if not os.path.exists(unfinished):
        return 0
    complete = 0
    with open(original, "rb") as one, open(unfinished, "rb") as other:
        for number in range(chunk_count(size, chunk)):
            length = chunk_length(size, chunk, number)
            if one.read(length) == other.read(length):
                complete += length
    return complete


def stored(copy: Path) -> int:
    """Bytes of all files in `copy`, unfinished ones too, while it is being written; 0 before it is there."""
    total = 0
    for folder, _, names in os.walk(copy):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
