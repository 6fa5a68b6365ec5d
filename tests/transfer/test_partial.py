"""Unfinished files: locked, found again, and never something that somebody else has put in their place."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jsp.transfer import partial
from jsp.transfer.names import NAME_MAX, temporary_name
from jsp.transfer.partial import BusyError, create_partial, file_state, open_partial

NAME = b"file"
OPENERS = [open_partial, create_partial]


pytestmark = pytest.mark.usefixtures("all_closed")


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """Where the unfinished file for `NAME` goes."""
    return tmp_path / os.fsdecode(temporary_name(NAME))


@contextmanager
def opened(folder: int, name: bytes = NAME) -> Iterator[int]:
    """The unfinished file, open."""
    fd = open_partial(folder, name)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """While it lives, it has the lock."""
    program = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    command = [sys.executable, "-S", "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        try:
            yield process
        finally:
            process.kill()


# --- one at a time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opener", OPENERS)
def test_it_is_made_for_its_owner_only(opener: Callable[[int, bytes], int], folder: int, unfinished: Path) -> None:
    before = os.umask(0)
    try:
        fd = opener(folder, NAME)
    finally:
        os.umask(before)
    assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
    assert os.path.samestat(unfinished.stat(), os.fstat(fd))
    assert not os.get_inheritable(fd)
    assert os.pwrite(fd, b"data", 0) == 4 and os.pread(fd, 9, 0) == b"data"
    os.close(fd)


def test_what_is_there_is_kept(folder: int, unfinished: Path) -> None:
    unfinished.write_bytes(b"so far")
    inode = unfinished.stat().st_ino
    with opened(folder) as fd:
        assert os.pread(fd, 9, 0) == b"so far"
        assert os.fstat(fd).st_ino == inode


@pytest.mark.parametrize("opener", OPENERS)
def test_a_second_transfer_finds_it_busy_until_the_first_lets_go(
    opener: Callable[[int, bytes], int], folder: int
) -> None:
    fd = opener(folder, NAME)
    with pytest.raises(BusyError):
        open_partial(folder, NAME)
    assert create_partial(folder, NAME) is None
    with opened(folder, b"another file"):
        pass
    os.close(fd)
    with opened(folder):
        pass


def test_another_process_has_it_until_it_is_killed(folder: int, unfinished: Path) -> None:
    unfinished.write_bytes(b"so far")
    with locked_by_another_process(unfinished) as process:
        with pytest.raises(BusyError):
            open_partial(folder, NAME)
        process.kill()
        process.wait(5)
        with opened(folder) as fd:
            assert os.pread(fd, 9, 0) == b"so far"


def test_the_quick_way_is_for_files_that_are_not_there(folder: int, unfinished: Path) -> None:
    unfinished.write_bytes(b"so far")
    assert create_partial(folder, NAME) is None
    assert unfinished.read_bytes() == b"so far"
    with opened(folder):
        pass


def test_the_longest_name_has_room_for_its_unfinished_file(folder: int, tmp_path: Path) -> None:
    name = b"n" * NAME_MAX
    with opened(folder, name):
        assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [temporary_name(name)]


# --- what is in the way ------------------------------------------------------------------------------------------


def put_link(path: Path) -> None:
    (path.parent / "precious").write_bytes(b"precious")
    path.symlink_to("precious")


def put_hard_link(path: Path) -> None:
    (path.parent / "precious").write_bytes(b"precious")
    os.link(path.parent / "precious", path)


def put_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def put_socket(path: Path) -> None:
    # Their addresses are short; the one of a descriptor is.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def put_file_of_another(path: Path) -> None:
    path.write_bytes(b"theirs")
    if os.geteuid():
        pytest.skip("only root can give files away")
    os.chown(path, 65534, 65534)


def put_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this user cannot make devices")


OBSTACLES = [put_link, put_hard_link, put_dangling_link, put_socket, put_file_of_another, put_device, os.mkfifo]


@pytest.mark.parametrize("put", OBSTACLES, ids=lambda f: f.__name__)
def test_what_somebody_put_in_its_place_is_replaced(
    put: Callable[[Path], None], folder: int, unfinished: Path, tmp_path: Path
) -> None:
    put(unfinished)
    assert create_partial(folder, NAME) is None, "the quick way leaves it"
    with opened(folder) as fd:
        found = unfinished.lstat()
        assert stat.S_ISREG(found.st_mode) and os.path.samestat(found, os.fstat(fd))
        assert (found.st_uid, found.st_nlink, found.st_size) == (os.geteuid(), 1, 0)
        os.pwrite(fd, b"data", 0)
    if (tmp_path / "precious").exists():
        assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("full", [False, True])
def test_a_directory_in_its_place_stays_and_is_the_error(full: bool, folder: int, unfinished: Path) -> None:
    unfinished.mkdir()
    if full:
        (unfinished / "file").touch()
    with pytest.raises(IsADirectoryError):
        open_partial(folder, NAME)
    assert create_partial(folder, NAME) is None
    assert unfinished.is_dir()


def test_a_file_without_permissions_is_no_obstacle(folder: int, unfinished: Path) -> None:
    unfinished.write_bytes(b"so far")
    unfinished.chmod(0)
    with opened(folder) as fd:
        assert os.path.samestat(unfinished.stat(), os.fstat(fd))


def test_a_directory_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    fd = os.open(tmp_path / "gone", os.O_RDONLY)
    (tmp_path / "gone").rmdir()
    for opener in OPENERS:
        with pytest.raises(FileNotFoundError):
            opener(fd, NAME)
    os.close(fd)


def test_somebody_who_puts_it_back_each_time_does_not_keep_us_for_ever(
    folder: int, unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def and_back(path: Any, **where: Any) -> None:
        unlink(path, **where)
        unfinished.symlink_to("elsewhere")

    unfinished.symlink_to("elsewhere")
    monkeypatch.setattr(os, "unlink", and_back)
    with pytest.raises(OSError, match="in the way"):
        open_partial(folder, NAME)


# --- races -------------------------------------------------------------------------------------------------------


def just_before_the_lock(monkeypatch: pytest.MonkeyPatch, function: Callable[[], object]) -> None:
    """Somebody else is quicker, once."""
    flock = fcntl.flock
    todo = [function]

    def late(fd: int, operation: int) -> None:
        if todo:
            todo.pop()()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_that_was_completed_meanwhile_is_not_written_to(
    exists: bool, folder: int, unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exists:
        unfinished.write_bytes(b"complete")
    just_before_the_lock(monkeypatch, lambda: unfinished.rename(tmp_path / "file"))
    with opened(folder) as fd:
        assert os.path.samestat(unfinished.stat(), os.fstat(fd))
        assert not os.path.samestat((tmp_path / "file").stat(), os.fstat(fd))


def test_a_file_that_was_completed_meanwhile_is_not_ours_though_we_made_it(
    folder: int, unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    just_before_the_lock(monkeypatch, lambda: unfinished.rename(tmp_path / "file"))
    assert create_partial(folder, NAME) is None


def test_a_file_that_was_removed_meanwhile_is_made_again(
    folder: int, unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished.write_bytes(b"so far")
    just_before_the_lock(monkeypatch, unfinished.unlink)
    with opened(folder) as fd:
        assert os.path.samestat(unfinished.stat(), os.fstat(fd))
        assert os.fstat(fd).st_size == 0


def test_somebody_who_locks_first_has_it(folder: int, unfinished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for opener in OPENERS:
        theirs: list[int] = []

        def lock(theirs: list[int] = theirs) -> None:
            theirs.append(os.open(unfinished, os.O_RDWR))
            fcntl.flock(theirs[0], fcntl.LOCK_EX)

        with monkeypatch.context() as patch:
            just_before_the_lock(patch, lock)
            if opener is open_partial:
                with pytest.raises(BusyError):
                    opener(folder, NAME)
            else:
                unfinished.unlink()
                assert opener(folder, NAME) is None
        os.close(theirs[0])


@pytest.mark.parametrize("opener", OPENERS)
def test_a_file_system_without_locks_is_an_error_and_leaves_nothing_open(
    opener: Callable[[int, bytes], int], folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)):
        opener(folder, NAME)


# --- states ------------------------------------------------------------------------------------------------------


def state_of(path: Path) -> partial.FileState:
    with open(path, "rb") as file:
        return file_state(file.fileno())


@pytest.mark.parametrize("change", ["append", "overwrite", "truncate", "touch", "replace"])
def test_a_change_shows_in_the_state(change: str, tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    for each in (path, other):
        each.write_bytes(b"content")
        os.utime(each, ns=(5, 5))
    before = state_of(path)
    if change == "replace":
        other.rename(path)
    elif change == "touch":
        os.utime(path, ns=(5, 6))
    else:
        with open(path, {"append": "ab", "overwrite": "r+b", "truncate": "r+b"}[change]) as file:
            file.truncate(3) if change == "truncate" else file.write(b"CONTENT")
            file.flush()
            os.utime(path, ns=(5, 5)) if change != "overwrite" else None
    assert state_of(path) != before


def test_what_is_no_change_of_the_contents_does_not_show(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    before = state_of(path)
    path.read_bytes()
    path.chmod(0o400)
    path.rename(tmp_path / "renamed")
    os.link(tmp_path / "renamed", tmp_path / "second")
    assert state_of(tmp_path / "renamed") == before
