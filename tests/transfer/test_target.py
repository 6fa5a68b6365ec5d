"""When directories are complete, and that they then get mode and mtime, and nothing else does."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jsp.net import clock
from jsp.transfer.entries import File
from jsp.transfer.errors import DiskFull, TransferError
from jsp.transfer.report import Problem
from jsp.transfer.target import Incoming, TargetDirectory, check_disk, finish, set_time
from jsp.transfer.tree import Tree, open_directory
from tests.transfer.peers import NOBODY, without_rights
from tests.transfer.trees import OLD, TIME, identities, write

pytestmark = pytest.mark.usefixtures("all_closed")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    tree = Tree(open_directory(str(root)))
    yield tree
    tree.close()


def top() -> TargetDirectory:
    return TargetDirectory(None, b"")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


# --- when a directory is complete --------------------------------------------------------------------------------


def test_an_empty_directory_is_complete_when_it_is_left() -> None:
    directory = TargetDirectory(top(), b"d")
    assert directory.leave() == [directory]


def test_a_directory_waits_for_what_is_under_way_in_it() -> None:
    directory = TargetDirectory(top(), b"d")
    directory.begin()
    directory.begin()
    assert directory.settle() == []
    assert directory.leave() == []
    assert directory.settle() == [directory]


def test_a_directory_is_not_complete_before_it_is_left() -> None:
    directory = TargetDirectory(top(), b"d")
    for _ in range(3):
        directory.begin()
        assert directory.settle() == []
    assert directory.leave() == [directory]


def test_the_last_file_completes_all_directories_around_it_innermost_first() -> None:
    root = top()
    a = TargetDirectory(root, b"a")
    b = TargetDirectory(a, b"b")
    c = TargetDirectory(b, b"c")
    c.begin()
    for directory in (c, b, a, root):
        assert directory.leave() == []
    assert c.settle() == [c, b, a, root]


def test_a_directory_waits_for_all_of_those_in_it() -> None:
    root = top()
    slow, quick = TargetDirectory(root, b"slow"), TargetDirectory(root, b"quick")
    slow.begin()
    assert slow.leave() == []
    assert quick.leave() == [quick]
    assert root.leave() == []
    assert slow.settle() == [slow, root]


def test_a_directory_that_was_not_left_holds_those_around_it_back() -> None:
    root = top()
    outer = TargetDirectory(root, b"outer")
    inner = TargetDirectory(outer, b"inner")
    inner.begin()
    assert inner.leave() == []
    assert inner.settle() == [inner]
    assert outer.leave() == [outer]
    assert root.leave() == [root]


def test_a_very_deep_tree_completes_at_once() -> None:
    here = root = top()
    directories = [root]
    for _ in range(2048):
        here = TargetDirectory(here, b"d")
        directories.append(here)
    here.begin()
    for directory in reversed(directories):
        assert directory.leave() == []
    assert here.settle() == directories[::-1]


def test_the_path_of_an_incoming_file() -> None:
    directory = TargetDirectory(TargetDirectory(top(), b"a"), b"b")
    assert Incoming(0, directory, File(b"x", 0o644, TIME, 1)).path() == b"a/b/x"
    assert Incoming(0, top(), File(b"x", 0o644, TIME, 1)).path() == b"x"


# --- finishing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "becomes"), [(0o755, 0o755), (0o500, 0o500), (0, 0), (0o7777, 0o3777), (0o4711, 0o711), (0o2750, 0o2750)]
)
def test_a_directory_gets_its_mode_and_mtime(root: Path, tree: Tree, mode: int, becomes: int) -> None:
    for name, mtime in (("new", TIME), ("old", OLD)):
        (root / name).mkdir()
        assert finish(tree, [TargetDirectory(top(), name.encode(), mode, mtime)]) == []
        assert (mode_of(root / name), (root / name).stat().st_mtime_ns) == (becomes, mtime)


def test_the_top_gets_them_too(root: Path, tree: Tree) -> None:
    assert finish(tree, [TargetDirectory(None, b"", 0o510, TIME)]) == []
    assert (mode_of(root), root.stat().st_mtime_ns) == (0o510, TIME)


def test_what_failed_or_is_not_there_or_has_no_facts_is_left_alone(root: Path, tree: Tree) -> None:
    (root / "d").mkdir()
    before = identities(root)
    failed, absent = (TargetDirectory(top(), b"d", 0o500, TIME) for _ in range(2))
    failed.failed = absent.absent = True
    assert finish(tree, [failed, absent, top(), TargetDirectory(top(), b"d")]) == []
    assert identities(root) == before


def test_what_is_right_already_is_not_touched(root: Path, tree: Tree) -> None:
    (root / "d").mkdir(mode=0o750)
    os.utime(root / "d", ns=(TIME, TIME))
    before = identities(root)
    assert finish(tree, [TargetDirectory(top(), b"d", 0o4750, TIME)]) == []
    assert identities(root) == before


def test_directories_that_shut_their_owner_out_are_finished_from_within(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    if not os.geteuid():
        for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
            os.chown(path, NOBODY, NOBODY)
    root = top()
    a = TargetDirectory(root, b"a", 0, TIME)
    b = TargetDirectory(a, b"b", 0, TIME)
    c = TargetDirectory(b, b"c", 0, TIME)
    tree = Tree(open_directory(str(tmp_path)))
    tmp_path.chmod(0o755)
    try:
        with without_rights():
            problems = finish(tree, [c, b, a])
            with pytest.raises(PermissionError):
                os.listdir(f"/proc/self/fd/{tree.root}/a")
    finally:
        tree.close()
    assert problems == []
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"):
        assert mode_of(path) == 0
        path.chmod(0o755)
        assert path.stat().st_mtime_ns == TIME


def test_a_directory_that_is_gone_is_a_problem_and_the_others_are_finished(root: Path, tree: Tree) -> None:
    (root / "d").mkdir()
    directories = [TargetDirectory(top(), name, 0o500, TIME) for name in (b"gone", b"d")]
    assert finish(tree, directories) == [Problem(b"gone", "No such file or directory")]
    assert mode_of(root / "d") == 0o500


def test_a_link_in_the_place_of_a_directory_is_not_followed(root: Path, tree: Tree) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root / "d").symlink_to("../outside")
    before = identities(outside)
    directory = TargetDirectory(TargetDirectory(top(), b"d", 0, TIME), b"e", 0, TIME)
    assert finish(tree, [directory]) == [Problem(b"d/e", "Not a directory")]
    assert identities(outside) == before


def test_the_top_has_a_name_in_problems(tree: Tree) -> None:
    if os.geteuid():
        pytest.skip("only root has directories that are somebody else's")
    with without_rights():
        problems = finish(tree, [TargetDirectory(None, b"", 0o500, TIME)])
    assert problems == [Problem(b".", "Operation not permitted")]


# --- times, and errors of the disk -------------------------------------------------------------------------------


@pytest.mark.parametrize("mtime", [TIME, OLD, 0, 1, -1])
def test_set_time_is_exact_and_the_file_counts_as_read_now(tmp_path: Path, mtime: int) -> None:
    path = write(tmp_path / "file", mtime=0)
    fd = os.open(path, os.O_RDONLY)
    before = clock.wall_time()
    set_time(fd, mtime)
    status = os.fstat(fd)
    os.close(fd)
    assert status.st_mtime_ns == mtime
    assert before - 1 <= status.st_atime <= clock.wall_time() + 1


@pytest.mark.parametrize(
    ("number", "text"), [(errno.ENOSPC, "no space is left on the disk"), (errno.EDQUOT, "the disk quota is used up")]
)
def test_a_full_disk_ends_the_transfer_and_says_that_it_can_go_on(number: int, text: str) -> None:
    cause = OSError(number, "x")
    with pytest.raises(DiskFull, match=rf"^{text} \(at a/b\); .*goes on from there") as caught:
        check_disk(cause, b"a/b")
    assert caught.value.__cause__ is cause
    with pytest.raises(DiskFull, match=r"\(at \.\)"):
        check_disk(cause, b"")


def test_a_read_only_file_system_ends_the_transfer() -> None:
    with pytest.raises(TransferError, match=r"^cannot write a\\x1b: the file system is read-only$") as caught:
        check_disk(OSError(errno.EROFS, "x"), b"a\x1b")
    assert not isinstance(caught.value, DiskFull)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EPERM, errno.ENOENT, errno.EFBIG, errno.ELOOP, errno.EIO, errno.ENAMETOOLONG, None]
)
def test_other_errors_are_those_of_one_file(number: int | None) -> None:
    check_disk(OSError(number, "x") if number else OSError("x"), b"a")
