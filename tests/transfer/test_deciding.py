"""The receiver's verdicts over real directories: what is kept, wanted, refused, and what is never followed."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jsp.transfer.chunks import CHUNK, hash_chunk
from jsp.transfer.deciding import Decided, Decider, IncomingLink, Item
from jsp.transfer.entries import File, Link
from jsp.transfer.errors import DiskFull, TransferError
from jsp.transfer.partial import BusyError
from jsp.transfer.report import Problem
from jsp.transfer.target import Incoming, TargetDirectory
from jsp.transfer.tree import Tree, open_directory
from tests.transfer.ends import SmallDisk
from tests.transfer.peers import names, without_rights
from tests.transfer.trees import OLD, TIME, facts, identities, write

pytestmark = pytest.mark.usefixtures("all_closed")

PART = ".file.jsp-part"

Make = Callable[..., Decider]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root, with something beside it that nothing may touch."""
    write(tmp_path / "outside" / "file", "x")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def make(root: Path) -> Iterator[Make]:
    """Makes deciders over `root`."""
    made: list[Decider] = []

    def make(checksum: bool = False, dry_run: bool = False) -> Decider:
        made.append(Decider(Tree(open_directory(str(root))), checksum, dry_run))
        return made[-1]

    yield make
    for decider in made:
        decider.close()


def top() -> TargetDirectory:
    return TargetDirectory(None, b"")


def incoming(
    size: int, directory: TargetDirectory | None = None, name: bytes = b"file", mode: int = 0o644, mtime: int = TIME
) -> Incoming:
    return Incoming(0, directory or top(), File(name, mode, mtime, size))


def link(target: bytes, directory: TargetDirectory | None = None, name: bytes = b"link") -> IncomingLink:
    return IncomingLink(directory or top(), Link(name, TIME, target))


def lists(decided: Decided) -> tuple[list[Incoming], list[Incoming], list[Incoming], list[Incoming]]:
    return decided.want, decided.ask, decided.keep, decided.refuse


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


# --- files -------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_wanted(make: Make) -> None:
    for size in (0, 5, 9 * CHUNK):
        file = incoming(size)
        assert make().decide([file]) == Decided(want=[file])
        assert file.basis is None


def test_size_and_mtime_decide_whether_a_file_is_kept(root: Path, make: Make) -> None:
    write(root / "file", "12345")
    for size, mtime, kept in ((5, TIME, True), (4, TIME, False), (5, TIME + 1, False), (5, TIME - 1, False)):
        file = incoming(size, mtime=mtime)
        decided = make().decide([file])
        assert lists(decided) == (([], [], [file], []) if kept else ([file], [], [], []))


@pytest.mark.parametrize(
    ("before", "mode", "becomes"), [(0o600, 0o755, 0o755), (0o6755, 0o755, 0o755), (0o400, 0o4711, 0o711)]
)
def test_the_mode_of_a_file_that_is_kept_is_mended(
    root: Path, make: Make, before: int, mode: int, becomes: int
) -> None:
    write(root / "file", "12345", before)
    file = incoming(5, mode=mode)
    assert make(dry_run=True).decide([file]).keep == [file]
    assert mode_of(root / "file") == before
    assert make().decide([file]).keep == [file]
    assert (mode_of(root / "file"), (root / "file").stat().st_mtime_ns) == (becomes, TIME)


def test_what_is_kept_with_the_right_mode_is_not_touched(root: Path, make: Make) -> None:
    write(root / "file", "12345")
    before = identities(root)
    assert make().decide([incoming(5, mode=0o6644)]).keep
    assert identities(root) == before


def test_a_file_whose_mode_cannot_be_mended_is_wanted(root: Path, make: Make) -> None:
    write(root / "file", "12345", 0o200)
    root.chmod(0o755)
    file, decider = incoming(5), make()
    with without_rights():
        assert lists(decider.decide([file])) == ([file], [], [], [])


@pytest.mark.parametrize("kind", ["link", "pipe", "dangling"])
def test_what_is_no_file_is_never_kept_nor_read(root: Path, make: Make, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(root / "file")
    else:
        (root / "file").symlink_to("../outside/file" if kind == "link" else "nowhere")
    os.utime(root / "file", ns=(TIME, TIME), follow_symlinks=False)
    size = (root / "file").lstat().st_size
    before = facts(root.parent)
    for checksum in (False, True):
        file = incoming(size or 1)
        assert make(checksum).decide([file]) == Decided(want=[file])
        assert file.basis is None
    assert facts(root.parent) == before


def test_a_directory_in_the_way_of_a_file(root: Path, make: Make) -> None:
    (root / "dir" / "file").mkdir(parents=True)
    directory = TargetDirectory(top(), b"dir")
    file, other = incoming(5, directory), incoming(5, directory, b"other")
    decided = make().decide([directory, file, other])
    assert lists(decided) == ([other], [], [], [file])
    assert decided.problems == [Problem(b"dir/file", "a directory is in its way")]


def test_a_name_that_is_too_long_for_this_file_system_is_refused_alone(make: Make) -> None:
    file, other = incoming(5, name=b"x" * 256), incoming(5)
    decided = make().decide([file, other])
    assert lists(decided) == ([other], [], [], [file])
    assert decided.problems == [Problem(b"x" * 256, "File name too long")]


# --- what there is of a file already -----------------------------------------------------------------------------


def test_a_file_compared_by_its_hashes(root: Path, make: Make) -> None:
    write(root / "file", "12345")
    file = incoming(5)
    assert make(checksum=True).decide([file]) == Decided(want=[file])
    assert file.basis is not None and file.basis.hashes == hash_chunk(b"12345") and file.basis.over
    other_size = incoming(6)
    assert make(checksum=True).decide([other_size]).want == [other_size]
    assert other_size.basis is None, "a small file of another size is not worth comparing"


def test_a_small_older_version_is_not_worth_reading_and_a_large_one_is(root: Path, make: Make) -> None:
    write(root / "file", bytes(CHUNK + 1), mtime=OLD)
    small, large = incoming(CHUNK), incoming(CHUNK + 2)
    assert lists(make().decide([small, large])) == ([small], [large], [], [])
    assert small.basis is None
    assert large.basis is not None and not large.basis.unfinished and not large.basis.over
    assert make().hash_more(large) == hash_chunk(bytes(CHUNK)) and large.basis.over


@pytest.mark.parametrize("older", [False, True])
def test_an_unfinished_file_is_preferred(root: Path, make: Make, older: bool) -> None:
    write(root / PART, b"\1" * (2 * CHUNK + 5))
    if older:
        write(root / "file", bytes(3 * CHUNK), mtime=OLD)
    large = incoming(3 * CHUNK)
    assert make().decide([large]).ask == [large]
    assert large.basis is not None and large.basis.unfinished
    assert make().hash_more(large) == hash_chunk(b"\1" * CHUNK) * 2


def test_a_small_file_is_completed_too(root: Path, make: Make) -> None:
    write(root / PART, "12345")
    file = incoming(5)
    assert make().decide([file]) == Decided(want=[file])
    assert file.basis is not None and file.basis.unfinished and file.basis.hashes == hash_chunk(b"12345")


def test_an_unfinished_file_that_is_none_is_not_used(root: Path, make: Make) -> None:
    for obstacle in ("empty", "link", "pipe", "directory"):
        path = root / PART
        if obstacle == "empty":
            write(path)
        elif obstacle == "link":
            path.symlink_to("../outside/file")
        elif obstacle == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
        file = incoming(3 * CHUNK)
        assert make().decide([file]) == Decided(want=[file])
        assert file.basis is None
        path.rmdir() if obstacle == "directory" else path.unlink()


def test_an_unfinished_file_that_another_transfer_writes_is_asked_for_later(root: Path, make: Make) -> None:
    write(root / PART, "12345", 0o600)
    decider, file, other = make(), incoming(5), incoming(5, name=b"other")
    with open(root / PART, "rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        assert lists(decider.decide([file, other])) == ([other], [file], [], [])
        with pytest.raises(BusyError):
            decider.hash_more(file)
    assert decider.hash_more(file) == hash_chunk(b"12345")
    assert file.basis is not None and file.basis.over


def test_a_dry_run_waits_for_nobody(root: Path, make: Make) -> None:
    write(root / PART, "12345", 0o600)
    before = identities(root)
    with open(root / PART, "rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        file = incoming(5)
        assert make(dry_run=True).decide([file]).want == [file]
    assert file.basis is not None and file.basis.hashes == hash_chunk(b"12345")
    assert identities(root) == before


def test_a_large_file_whose_directory_is_gone_when_it_is_hashed_has_no_hashes(root: Path, make: Make) -> None:
    files = []
    items: list[Item] = []
    for number in range(12):
        write(root / f"{number}" / "file", bytes(CHUNK + 1), mtime=OLD)
        directory = TargetDirectory(top(), b"%d" % number)
        files.append(incoming(CHUNK + 2, directory))
        items += [directory, files[-1]]
    decider = make()
    assert decider.decide(items).ask == files
    (root / "0").rename(root.parent / "moved")
    (root / "1").rename(root.parent / "too")
    (root / "1").symlink_to("../too")
    for file in files[:2]:
        assert decider.hash_more(file) == b""
        assert file.basis is not None and file.basis.over
    assert decider.hash_more(files[2]) == hash_chunk(bytes(CHUNK)), "the others are not concerned"


# --- directories -------------------------------------------------------------------------------------------------


def test_directories_are_made_for_their_owner_alone_until_they_are_complete(root: Path, make: Make) -> None:
    outer = TargetDirectory(top(), b"outer", 0o777, TIME)
    inner = TargetDirectory(outer, b"inner", 0o777, TIME)
    file = incoming(5, inner)
    assert make().decide([outer, inner, file, link(b"x", inner)]) == Decided(want=[file])
    assert (mode_of(root / "outer"), mode_of(root / "outer" / "inner")) == (0o700, 0o700)
    assert outer.fresh and inner.fresh and not inner.failed
    assert os.readlink(root / "outer" / "inner" / "link") == "x"


def test_a_directory_that_is_there_lets_its_owner_in_until_it_is_complete(root: Path, make: Make) -> None:
    for before, during in ((0o555, 0o755), (0o2440, 0o2740), (0o1700, 0o1700)):
        (root / "dir").mkdir(exist_ok=True)
        (root / "dir").chmod(before)
        directory = TargetDirectory(top(), b"dir", 0o555, TIME)
        make(dry_run=True).decide([directory])
        assert mode_of(root / "dir") == before
        assert make().decide([directory]) == Decided()
        assert mode_of(root / "dir") == during
        assert not directory.fresh


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_what_is_no_directory_fails_the_directory_and_all_below_it(
    root: Path, make: Make, kind: str, dry_run: bool
) -> None:
    if kind == "file":
        write(root / "dir")
    else:
        (root / "dir").symlink_to("../outside" if kind == "link" else "nowhere")
    before = identities(root.parent)
    failing = TargetDirectory(top(), b"dir", 0, TIME)
    below = TargetDirectory(failing, b"below", 0, TIME)
    files = [incoming(5, failing), incoming(5, below)]
    other = incoming(5)
    items: list[Item] = [failing, files[0], below, files[1], link(b"x", below), link(b"x", failing), other]
    decided = make(dry_run=dry_run).decide(items)
    assert lists(decided) == ([other], [], [], files)
    assert decided.problems == [Problem(b"dir", "something that is no directory is in its way")], "told once"
    assert failing.failed and below.failed
    assert identities(root.parent) == before


def test_a_directory_replaced_by_a_link_after_the_verdict_is_not_entered(root: Path, make: Make) -> None:
    directory = TargetDirectory(top(), b"dir")
    assert make().decide([directory]) == Decided()
    (root / "dir").rmdir()
    (root / "dir").symlink_to("../outside")
    below = TargetDirectory(directory, b"below")
    file = incoming(5, below)
    before = identities(root.parent)
    decided = make().decide([below, link(b"x", directory), file])
    assert decided.refuse == [file]
    assert decided.problems == [Problem(b"dir/below", "Not a directory"), Problem(b"dir/link", "Not a directory")]
    assert identities(root.parent) == before


def test_names_that_come_twice_harm_nobody(root: Path, make: Make) -> None:
    outer = TargetDirectory(top(), b"outer")
    first, second = TargetDirectory(outer, b"x"), TargetDirectory(outer, b"x")
    file = incoming(5, second)
    decided = make().decide([outer, first, second, file, link(b"x", outer, b"x"), link(b"dir", outer, b"l")])
    assert lists(decided) == ([file], [], [], [])
    assert [problem.path for problem in decided.problems] == [b"outer/x"]
    assert names(root / "outer") == ["l", "x"], "nothing is left under a temporary name"
    third = TargetDirectory(outer, b"l")
    assert make().decide([third]).problems == [Problem(b"outer/l", "File exists")]


# --- links -------------------------------------------------------------------------------------------------------


def test_a_link_is_made_with_its_mtime_wherever_it_leads(root: Path, make: Make) -> None:
    targets = [b"../outside", b"/etc/passwd", b"..", b"link", b"nowhere", b"\xff", b"x" * 4000]
    for number, target in enumerate(targets):
        assert make().decide([link(target, name=b"%d" % number)]) == Decided()
        path = root / str(number)
        assert (os.readlink(os.fsencode(path)), path.lstat().st_mtime_ns) == (target, TIME)
    assert len(names(root)) == len(targets)


def test_a_link_that_is_there_stays_and_gets_its_mtime(root: Path, make: Make) -> None:
    (root / "link").symlink_to("target")
    inode = (root / "link").lstat().st_ino
    before = identities(root)
    make(dry_run=True).decide([link(b"target")])
    assert identities(root) == before
    assert make().decide([link(b"target")]) == Decided()
    assert ((root / "link").lstat().st_ino, (root / "link").lstat().st_mtime_ns) == (inode, TIME)
    before = identities(root)
    make().decide([link(b"target")])
    assert identities(root) == before, "and the next time it is not touched"


@pytest.mark.parametrize("dry_run", [False, True])
def test_other_links_files_and_pipes_make_way_for_a_link(root: Path, make: Make, dry_run: bool) -> None:
    (root / "0").symlink_to("../outside")
    write(root / "1", "x")
    os.mkfifo(root / "2")
    (root / ".0.jsp-part").symlink_to("stale")
    write(root / ".1.jsp-part", "stale")
    before = identities(root.parent)
    assert make(dry_run=dry_run).decide([link(b"new", name=b"%d" % number) for number in range(3)]) == Decided()
    if dry_run:
        assert identities(root.parent) == before
        return
    assert [os.readlink(root / name) for name in names(root)] == ["new"] * 3
    assert names(root) == ["0", "1", "2"]
    assert (root.parent / "outside" / "file").read_text() == "x"


@pytest.mark.parametrize("name", ["link", ".link.jsp-part"])
def test_a_directory_in_the_way_of_a_link_stays(root: Path, make: Make, name: str) -> None:
    write(root / name / "file", "x")
    other = link(b"x", name=b"other")
    decided = make().decide([link(b"x"), other])
    assert [problem.path for problem in decided.problems] == [b"link"]
    assert names(root) == sorted([name, "other"])
    assert names(root / name) == ["file"]


# --- dry runs, and the disk --------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_wants_what_would_be_wanted(root: Path, make: Make) -> None:
    write(root / "dir" / "file", "12345", 0o600)
    before = identities(root)
    there, absent = TargetDirectory(top(), b"dir", 0, OLD), TargetDirectory(top(), b"new", 0, OLD)
    below = TargetDirectory(absent, b"below", 0, OLD)
    kept, other, deep = incoming(5, there), incoming(5, there, b"other"), incoming(9 * CHUNK, below)
    decided = make(dry_run=True).decide([there, kept, other, absent, below, deep, link(b"x", below), link(b"x")])
    assert decided == Decided(want=[other, deep], keep=[kept])
    assert (there.absent, absent.absent, below.absent) == (False, True, True)
    assert identities(root) == before


def test_a_full_disk_ends_the_transfer(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 16) as disk:
        decider = Decider(Tree(open_directory(str(disk.path))), False, False)
        with pytest.raises(DiskFull, match=r"no space is left on the disk \(at \d+\)"):
            decider.decide([link(b"x" * 4000, name=b"%d" % number) for number in range(10)])
        decider.close()
        assert not [name for name in names(disk.path) if name.startswith(".")]


def test_a_read_only_file_system_ends_the_transfer(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 16) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
        decider = Decider(Tree(open_directory(str(disk.path))), False, False)
        for item in (TargetDirectory(top(), b"new"), link(b"x")):
            with pytest.raises(TransferError, match="the file system is read-only"):
                decider.decide([item])
        decider.close()
