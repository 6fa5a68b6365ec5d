"""Where a transfer begins and ends: what a user means by a path, and how little a peer can mean by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jsp.transfer.errors import BadFrame, TransferError
from jsp.transfer.frames import Start
from jsp.transfer.places import (
    Destination,
    Source,
    local_destination,
    local_source,
    served_destination,
    served_source,
)
from tests.transfer.peers import names, without_rights
from tests.transfer.trees import TIME, facts, write

pytestmark = pytest.mark.usefixtures("all_closed")

ONE = Start(single=True)
MANY = Start(single=False)

CLIMBING = [b"/", b"/etc", b"..", b"../outside", b"dir/../..", b".", b"dir/.", b"./dir", b"dir//file", b"//", b"a\0b"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with something of everything, and something beside it."""
    root = tmp_path / "root"
    write(root / "dir" / "file", "x")
    write(root / "file", "x")
    write(tmp_path / "outside" / "secret", "x")
    for name, target in (
        ("link", "dir"),
        ("out", "../outside"),
        ("dangling", "nowhere"),
        ("leaf", "../outside/secret"),
    ):
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    (root / "dir").chmod(0o2750)
    os.utime(root / "dir", ns=(TIME, TIME))
    return root


def where(source: Source | Destination, root: Path) -> str:
    """Which directory below the parent of `root` it is; closes it."""
    path = os.readlink(f"/proc/self/fd/{source.fd}")
    os.close(source.fd)
    return os.path.relpath(path, root.parent)


# --- sources -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "directory", "only"),
    [
        ("dir", "root", b"dir"),
        ("dir/", "root/dir", None),
        ("dir/.", "root/dir", None),
        ("dir/..", "root", None),
        (".", "root", None),
        ("..", ".", None),
        ("./dir/file", "root/dir", b"file"),
        ("../outside/secret", "outside", b"secret"),
        ("link", "root", b"link"),
        ("link/", "root/dir", None),
        ("link/file", "root/dir", b"file"),
        ("out/secret", "outside", b"secret"),
        ("dangling", "root", b"dangling"),
        ("{root}/dir", "root", b"dir"),
        ("/{root}//dir//", "root/dir", None),
    ],
)
def test_a_users_source(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str, directory: str, only: bytes | None
) -> None:
    monkeypatch.chdir(root)
    source = local_source(os.fsencode(path.format(root=root)))
    assert (where(source, root), source.only) == (directory, only)


@pytest.mark.parametrize(
    ("path", "directory", "only"),
    [
        (b"", "root", None),
        (b"dir", "root", b"dir"),
        (b"dir/", "root/dir", None),
        (b"dir/file", "root/dir", b"file"),
        (b"link", "root", b"link"),
        (b"leaf", "root", b"leaf"),
        (b"dangling", "root", b"dangling"),
    ],
)
def test_a_served_source(root: Path, path: bytes, directory: str, only: bytes | None) -> None:
    source = served_source(os.fsencode(root), path)
    assert (where(source, root), source.only) == (directory, only)


@pytest.mark.parametrize(
    "path", [b"link/", b"link/file", b"out/", b"out/secret", b"dangling/", b"dir/file/", b"file/x"]
)
def test_a_served_source_never_leads_through_a_link_or_file(root: Path, path: bytes) -> None:
    with pytest.raises(TransferError, match=rf"^{path.decode()}: Not a directory$"):
        served_source(os.fsencode(root), path)


@pytest.mark.parametrize("path", [*CLIMBING, b"x" * 256, b"a/" * 2049])
def test_a_served_source_cannot_climb(root: Path, path: bytes) -> None:
    with pytest.raises(BadFrame):
        served_source(os.fsencode(root), path)


def test_what_is_announced(root: Path) -> None:
    for path, start in (
        ("dir", Start(single=False)),
        ("dir/", Start(False, 0o2750, TIME)),
        ("file", Start(single=True)),
        ("link", Start(single=True)),
        ("dangling", Start(single=True)),
        ("link/", Start(False, 0o2750, TIME)),
    ):
        source = local_source(os.fsencode(root / "x")[:-1] + path.encode())
        os.close(source.fd)
        assert source.start == start
    source = served_source(os.fsencode(root), b"dir/")
    os.close(source.fd)
    assert source.start == Start(False, 0o2750, TIME)


@pytest.mark.parametrize("path", ["missing", "missing/", "missing/file", "file/", "file/x", "pipe/", "dangling/", ""])
def test_a_users_source_that_is_not_there_is_named_in_full(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises((FileNotFoundError, NotADirectoryError)) as caught:
        local_source(path.encode())
    assert caught.value.filename == path


def test_a_served_source_that_is_not_there(root: Path) -> None:
    for path, shown in ((b"missing", "missing"), (b"dir/m\n", r"dir/m\\n"), (b"missing/file", "missing/file")):
        with pytest.raises(TransferError, match=rf"^{shown}: No such file or directory$"):
            served_source(os.fsencode(root), path)
    with pytest.raises(TransferError, match=r"^the served directory: No such file or directory$"):
        served_source(os.fsencode(root / "missing"), b"")


def test_a_source_that_is_neither_file_nor_directory_nor_link(root: Path) -> None:
    for call in (lambda: local_source(os.fsencode(root / "pipe")), lambda: served_source(os.fsencode(root), b"pipe")):
        with pytest.raises(TransferError, match="pipe is neither file nor directory nor link"):
            call()


# --- destinations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "path", "directory", "rename"),
    [
        (MANY, "dir", "root/dir", None),
        (MANY, "new", "root/new", None),
        (MANY, "new/deeper/", "root/new/deeper", None),
        (MANY, ".", "root", None),
        (ONE, "dir", "root/dir", None),
        (ONE, "dir/", "root/dir", None),
        (ONE, "new", "root", b"new"),
        (ONE, "new/", "root/new", None),
        (ONE, "new/name", "root/new", b"name"),
        (ONE, "file", "root", b"file"),
        (ONE, "dangling", "root", b"dangling"),
    ],
)
def test_a_destination_of_either_kind(
    root: Path, monkeypatch: pytest.MonkeyPatch, start: Start, path: str, directory: str, rename: bytes | None
) -> None:
    monkeypatch.chdir(root)
    found = local_destination(path.encode(), start, False)
    assert (where(found, root), found.rename) == (directory, rename)
    if path != ".":
        found = served_destination(os.fsencode(root), path.encode(), start, False)
        assert (where(found, root), found.rename) == (directory, rename)


def test_the_served_directory_itself(root: Path) -> None:
    for start in (ONE, MANY):
        found = served_destination(os.fsencode(root), b"", start, False)
        assert (where(found, root), found.rename) == ("root", None)


@pytest.mark.parametrize(
    ("start", "path", "directory"),
    [
        (MANY, "link", "root/dir"),
        (ONE, "link", "root/dir"),
        (MANY, "out/new", "outside/new"),
        (MANY, "../outside", "outside"),
        (ONE, "..", "."),
        (ONE, "missing/.", "root/missing"),
        (ONE, "missing/..", "root"),
    ],
)
def test_a_users_destination_is_taken_as_other_programs_take_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, start: Start, path: str, directory: str
) -> None:
    monkeypatch.chdir(root)
    found = local_destination(path.encode(), start, False)
    assert (where(found, root), found.rename) == (directory, None)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("start", "path"),
    [(MANY, b"out/new"), (ONE, b"out/new"), (MANY, b"out/new/deeper"), (ONE, b"link/file"), (ONE, b"dangling/")],
)
def test_a_served_destination_never_leads_through_a_link(root: Path, start: Start, path: bytes, dry_run: bool) -> None:
    before = facts(root.parent)
    if dry_run:
        found = served_destination(os.fsencode(root), path, start, True)
        assert found.fd == -1
    else:
        with pytest.raises(TransferError, match=f"{path.decode()}: Not a directory"):
            served_destination(os.fsencode(root), path, start, False)
    assert facts(root.parent) == before


def test_a_served_destination_that_is_a_link(root: Path) -> None:
    with pytest.raises(TransferError, match="out: Not a directory"):
        served_destination(os.fsencode(root), b"out", MANY, False)
    found = served_destination(os.fsencode(root), b"out", ONE, False)
    assert (where(found, root), found.rename) == ("root", b"out"), "the file takes the place of the link"


@pytest.mark.parametrize("start", [ONE, MANY])
@pytest.mark.parametrize("path", CLIMBING)
def test_a_served_destination_cannot_climb(root: Path, start: Start, path: bytes) -> None:
    before = facts(root.parent)
    with pytest.raises(BadFrame):
        served_destination(os.fsencode(root), path, start, False)
    assert facts(root.parent) == before


def test_something_that_is_no_directory_in_the_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    for path in ("file", "file/x", "dangling", "pipe"):
        with pytest.raises(NotADirectoryError) as caught:
            local_destination(path.encode(), MANY, False)
        assert caught.value.filename == path
    for path in ("file", "file/x", "pipe/x/y"):
        with pytest.raises(TransferError, match=f"^{path}: Not a directory"):
            served_destination(os.fsencode(root), path.encode(), MANY, False)
    with pytest.raises(TransferError, match=r"^the served directory: No such file or directory$"):
        served_destination(os.fsencode(root / "missing"), b"", MANY, False)


def test_the_name_of_an_unfinished_file_is_not_given_to_a_single_one(root: Path) -> None:
    with pytest.raises(TransferError, match="is the name of an unfinished file"):
        local_destination(os.fsencode(root / ".x.jsp-part"), ONE, False)
    with pytest.raises(TransferError, match="is the name of an unfinished file"):
        served_destination(os.fsencode(root), b"dir/.x.jsp-part", ONE, False)


# --- dry runs ----------------------------------------------------------------------------------------------------

Find = Callable[[Path, str, Start], Destination]


def find_local(root: Path, path: str, start: Start) -> Destination:
    return local_destination(os.fsencode(root / path), start, True)


def find_served(root: Path, path: str, start: Start) -> Destination:
    return served_destination(os.fsencode(root), path.encode(), start, True)


@pytest.mark.parametrize("find", [find_local, find_served])
def test_a_dry_run_makes_nothing(root: Path, find: Find) -> None:
    before = facts(root.parent)
    assert find(root, "new/deeper", MANY) == Destination(-1, None)
    assert find(root, "new/name", ONE) == Destination(-1, b"name")
    for start, path, directory, rename in ((MANY, "dir", "root/dir", None), (ONE, "name", "root", b"name")):
        found = find(root, path, start)
        assert (where(found, root), found.rename) == (directory, rename)
    assert facts(root.parent) == before


# --- the mode of the top -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "dry_run", "mode"),
    [
        (Start(False, 0o755, TIME), False, 0o1750),
        (Start(False, 0o755, TIME), True, 0o1450),
        (Start(single=False), False, 0o1450),
    ],
)
def test_a_directory_whose_mode_will_be_set_lets_its_owner_in_until_then(
    root: Path, start: Start, dry_run: bool, mode: int
) -> None:
    for find in (
        lambda: local_destination(os.fsencode(root / "dir"), start, dry_run),
        lambda: served_destination(os.fsencode(root), b"dir", start, dry_run),
    ):
        (root / "dir").chmod(0o1450)
        os.close(find().fd)
        assert (root / "dir").stat().st_mode & 0o7777 == mode


def test_a_directory_of_somebody_else_whose_mode_cannot_be_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("only root has directories that are somebody else's")
    (root / "dir").chmod(0o575)
    monkeypatch.chdir(root)
    with without_rights(), pytest.raises(PermissionError) as caught:
        local_destination(b"dir", Start(False, 0o755, TIME), False)
    assert caught.value.filename == "dir"
    assert names(root / "dir") == ["file"]
