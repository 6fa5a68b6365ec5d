"""The walk over real trees: what is named, in which order, and what happens to trees that change under its feet."""

from __future__ import annotations

import os
import random
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jsp.transfer import walk as walk_module
from jsp.transfer.chunks import SIZE_MAX
from jsp.transfer.entries import Enter, Entry, File, Leave, Link, pack_entries, parse_entries
from jsp.transfer.exclude import Exclude
from jsp.transfer.report import Problem
from jsp.transfer.tree import Tree, open_directory
from jsp.transfer.walk import Found, Walk
from tests.transfer.ends import SmallDisk
from tests.transfer.peers import without_rights
from tests.transfer.trees import OLD, TIME, make_tree, write

pytestmark = pytest.mark.usefixtures("all_closed")

LINK_TIME = TIME + 1


@contextmanager
def walking(root: Path, *exclude: bytes, only: bytes | None = None) -> Iterator[Walk]:
    walk = Walk(Tree(open_directory(str(root))), only, Exclude(exclude))
    try:
        yield walk
    finally:
        walk.close()


def walked(root: Path, *exclude: bytes, only: bytes | None = None) -> Found:
    """All of a walk."""
    with walking(root, *exclude, only=only) as walk:
        found = walk.take(1_000_000)
    assert found.over
    return found


def paths(entries: list[Entry]) -> list[bytes]:
    """The paths that a receiver makes of entries; checks that each directory that is entered is left."""
    here: list[bytes] = []
    result = []
    for entry in entries:
        if isinstance(entry, Leave):
            here.pop()
            continue
        result.append(b"/".join([*here, entry.name]))
        if isinstance(entry, Enter):
            here.append(entry.name)
    assert here == []
    return result


def link(path: Path, target: str) -> None:
    path.symlink_to(target)
    os.utime(path, ns=(LINK_TIME, LINK_TIME), follow_symlinks=False)


# --- what is named -----------------------------------------------------------------------------------------------


def test_entries_say_what_a_copy_needs(tmp_path: Path) -> None:
    write(tmp_path / "dir" / "file", "content", mode=0o4751, mtime=OLD)
    link(tmp_path / "dir" / "link", "../no/where")
    os.utime(tmp_path / "dir", ns=(TIME, TIME))
    (tmp_path / "dir").chmod(0o3750)
    found = walked(tmp_path)
    assert found.entries[0] == Enter(b"dir", 0o3750, TIME)
    assert set(found.entries[1:3]) == {File(b"file", 0o4751, OLD, 7), Link(b"link", LINK_TIME, b"../no/where")}
    assert found.entries[3:] == [Leave()]
    assert [place.path() for place in found.places] == [b"dir"]
    assert found.problems == []


def test_every_name_comes_once_and_files_know_their_place(tmp_path: Path) -> None:
    make_tree(tmp_path, size=100)
    found = walked(tmp_path)
    there = [os.path.relpath(path, os.fsencode(tmp_path)) for path in _all(tmp_path)]
    assert sorted(paths(found.entries)) == sorted(there)
    files = [entry.name for entry in found.entries if isinstance(entry, File)]
    placed = [place.path(name) for place, name in zip(found.places, files, strict=True)]
    assert placed == [path for path in paths(found.entries) if stat.S_ISREG(os.lstat(_at(tmp_path, path)).st_mode)]


def _all(root: Path) -> list[bytes]:
    found = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        found += [os.path.join(folder, name) for name in folders + files]
    return found


def _at(root: Path, path: bytes) -> bytes:
    return os.path.join(os.fsencode(root), path)


def test_what_is_in_a_directory_comes_before_what_is_below_it(tmp_path: Path) -> None:
    chance = random.Random(1)
    for _ in range(60):
        folder = tmp_path.joinpath(*(chance.choice("abc") for _ in range(chance.randrange(5))))
        write(folder / f"file {chance.randrange(5)}")
    left: set[bytes] = set()
    here = [b""]
    entered_below = {b"": False}
    for entry in walked(tmp_path).entries:
        if isinstance(entry, Leave):
            left.add(here.pop())
        elif isinstance(entry, Enter):
            entered_below[here[-1]] = True
            here.append(here[-1] + b"/" + entry.name)
            assert here[-1] not in left, "a directory is entered twice"
            entered_below[here[-1]] = False
        else:
            assert not entered_below[here[-1]], "a file comes after a directory beside it"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_batches_of_any_size_make_the_same_walk(tmp_path: Path, limit: int) -> None:
    make_tree(tmp_path, size=100)
    os.mkfifo(tmp_path / "sub" / "pipe")
    whole = walked(tmp_path)
    total = Found()
    with walking(tmp_path) as walk:
        while not total.over:
            found = walk.take(limit)
            assert len(found.entries) + len(found.problems) <= limit
            assert len(found.places) == sum(isinstance(entry, File) for entry in found.entries)
            total.entries += found.entries
            total.problems += found.problems
            total.over = found.over
        assert walk.take(limit) == Found(over=True)
    assert (total.entries, total.problems) == (whole.entries, whole.problems)


def test_an_empty_tree(tmp_path: Path) -> None:
    assert walked(tmp_path) == Found(over=True)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    there = [b"\xff\xfe", b"two\nlines", b" ", b"...", b"-rf", b"x" * 255, b"\x7f\x1b[2J", "日本".encode()]
    for name in there:
        os.mkdir(_at(tmp_path, b"d" + name[1:]))
        os.symlink(name, _at(tmp_path, name))
    found = walked(tmp_path)
    assert sorted(entry.target for entry in found.entries if isinstance(entry, Link)) == sorted(there)
    assert sum(isinstance(entry, Enter) for entry in found.entries) == len(there)


def test_what_it_finds_can_be_told(tmp_path: Path) -> None:
    make_tree(tmp_path, size=100)
    entries = walked(tmp_path).entries
    assert parse_entries(pack_entries(entries)) == entries


def test_links_are_named_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    write(tmp_path / "outside" / "secret")
    (tmp_path / "root" / "dir").mkdir(parents=True)
    targets = {b"up": b"..", b"self": b".", b"loop": b"loop", b"out": b"../outside", b"abs": b"/etc", b"dir2": b"dir"}
    for name, target in targets.items():
        os.symlink(target, _at(tmp_path / "root", name))
    found = walked(tmp_path / "root")
    assert {entry.name: entry.target for entry in found.entries if isinstance(entry, Link)} == targets
    assert len(found.entries) == len(targets) + 2, "and besides only: into dir, out of dir"


def test_a_large_directory_takes_few_descriptors(tmp_path: Path) -> None:
    for number in range(200):
        os.close(os.open(tmp_path / str(number), os.O_CREAT))
    before = len(os.listdir("/proc/self/fd"))
    with walking(tmp_path) as walk:
        count = 0
        while not (found := walk.take(30)).over:
            count += len(found.entries)
            assert len(os.listdir("/proc/self/fd")) <= before + 10
        assert count + len(found.entries) == 200


# --- one name ----------------------------------------------------------------------------------------------------


def test_only_one_name(tmp_path: Path) -> None:
    write(tmp_path / "dir" / "file", "x")
    write(tmp_path / "file", "xy")
    link(tmp_path / "link", "dir")
    assert walked(tmp_path, only=b"file").entries == [File(b"file", 0o644, TIME, 2)]
    assert walked(tmp_path, only=b"link").entries == [Link(b"link", LINK_TIME, b"dir")]
    assert paths(walked(tmp_path, only=b"dir").entries) == [b"dir", b"dir/file"]


def test_what_was_named_is_not_left_out_but_what_is_in_it_is(tmp_path: Path) -> None:
    write(tmp_path / "a.pyc" / "b.pyc")
    write(tmp_path / "a.pyc" / "b.py")
    assert paths(walked(tmp_path, b"*.pyc", only=b"a.pyc").entries) == [b"a.pyc", b"a.pyc/b.py"]


def test_only_one_name_and_it_is_gone(tmp_path: Path) -> None:
    found = walked(tmp_path, only=b"file")
    assert (found.entries, found.problems) == ([], [Problem(b"file", "No such file or directory")])


# --- what is passed over -----------------------------------------------------------------------------------------


def test_pipes_and_sockets_are_passed_over_and_no_errors(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "sub" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        # Its path would be too long for the address of a socket.
        here = os.open(tmp_path / "sub", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    write(tmp_path / "sub" / "file")
    found = walked(tmp_path)
    assert paths(found.entries) == [b"sub", b"sub/file"]
    assert sorted(found.problems) == [
        Problem(b"sub/pipe", "passed over: it is a named pipe", error=False),
        Problem(b"sub/socket", "passed over: it is a socket", error=False),
    ]


def test_devices_are_passed_over() -> None:
    found = walked(Path("/dev"), only=b"null")
    assert (found.entries, found.problems) == ([], [Problem(b"null", "passed over: it is a device", error=False)])


def test_unfinished_files_are_passed_over_whatever_they_are(tmp_path: Path) -> None:
    write(tmp_path / ".a.jsp-part")
    write(tmp_path / ".b.jsp-part" / "file")
    (tmp_path / ".c.jsp-part").symlink_to("x")
    found = walked(tmp_path)
    assert found.entries == []
    assert sorted(problem.path for problem in found.problems) == [b".a.jsp-part", b".b.jsp-part", b".c.jsp-part"]
    assert not any(problem.error for problem in found.problems)
    assert walked(tmp_path, only=b".a.jsp-part").entries == []


def test_exclude_leaves_out_names_directories_and_paths(tmp_path: Path) -> None:
    for name in ("a.py", "a.pyc", "cache/x", "sub/cache", "build/x", "sub/build/x", ".git/x", "pipe.pyc/x"):
        write(tmp_path / name)
    os.mkfifo(tmp_path / "fifo.pyc")
    found = walked(tmp_path, b"*.pyc", b"cache/", b"/build", b".git")
    assert sorted(paths(found.entries)) == [b"a.py", b"sub", b"sub/build", b"sub/build/x", b"sub/cache"]
    assert found.problems == [], "what is left out is not told of either"


def test_deeper_than_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "DEPTH_MAX", 3)
    write(tmp_path / "1" / "2" / "3" / "4" / "5" / "too deep")
    write(tmp_path / "1" / "2" / "3" / "file")
    write(tmp_path / "other" / "file")
    found = walked(tmp_path)
    expected = [b"1", b"1/2", b"1/2/3", b"1/2/3/file", b"other", b"other/file"]
    assert sorted(paths(found.entries)) == expected
    assert found.problems == [Problem(b"1/2/3/4", "more than 3 directories deep")]


def test_a_file_larger_than_can_be_told(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 64) as disk:
        for name, size in (("fits", SIZE_MAX), ("huge", SIZE_MAX + 1)):
            write(disk.path / name)
            os.truncate(disk.path / name, size)
        found = walked(disk.path)
    assert [entry.name for entry in found.entries if isinstance(entry, File)] == [b"fits"]
    assert [(problem.path, problem.error) for problem in found.problems] == [(b"huge", True)]
    parse_entries(pack_entries(found.entries))


# --- trees that change, and that may not be read -----------------------------------------------------------------


def test_a_file_that_is_gone_when_its_turn_comes_is_no_error(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / name)
    with walking(tmp_path) as walk:
        (first,) = walk.take(1).entries
        assert isinstance(first, File)
        for name in {b"a", b"b", b"c"} - {first.name}:
            os.unlink(_at(tmp_path, name))
        assert walk.take(10) == Found(over=True)


def _replace_second(root: Path, walk: Walk, target: str | None) -> bytes:
    """Once the walk is in the first of two directories, move the other away; returns its name."""
    (first,) = walk.take(1).entries
    assert isinstance(first, Enter)
    second = b"b" if first.name == b"a" else b"a"
    os.rename(_at(root, second), _at(root.parent, b"moved"))
    if target is not None:
        os.symlink(target, _at(root, second))
    return second


@pytest.mark.parametrize(
    ("target", "text"),
    [("../outside", "Not a directory"), (".", "Not a directory"), (None, "No such file or directory")],
)
def test_a_directory_replaced_by_a_link_or_nothing_is_not_entered(tmp_path: Path, target: str, text: str) -> None:
    write(tmp_path / "outside" / "secret")
    for name in ("a", "b"):
        write(tmp_path / "root" / name / "file")
    with walking(tmp_path / "root") as walk:
        second = _replace_second(tmp_path / "root", walk, target)
        found = walk.take(100)
    assert found.entries == [File(b"file", 0o644, TIME, 0), Leave()]
    assert found.problems == [Problem(second, text)]
    assert found.over


def test_directories_that_may_not_be_read_are_problems_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "dir" / "locked" / "secret")
    write(tmp_path / "dir" / "names only" / "secret")
    write(tmp_path / "other" / "file")
    (tmp_path / "dir" / "locked").chmod(0)
    (tmp_path / "dir" / "names only").chmod(0o444)
    with walking(tmp_path) as walk:
        tmp_path.chmod(0o755)
        with without_rights():
            found = walk.take(100)
    for name in ("locked", "names only"):
        (tmp_path / "dir" / name).chmod(0o700)
    assert sorted(paths(found.entries)) == [b"dir", b"dir/names only", b"other", b"other/file"]
    assert sorted(found.problems) == [
        Problem(b"dir/locked", "Permission denied"),
        Problem(b"dir/names only", "Permission denied"),
    ]


def test_a_walk_that_is_given_up_lets_go_of_everything(tmp_path: Path) -> None:
    make_tree(tmp_path, size=100)
    for count in (0, 1, 5, 20):
        with walking(tmp_path) as walk:
            walk.take(count)
        walk.close()
