"""What is here of a file already: its hashes, as many as can be had, and that it is still the same when it is used."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from jsp.transfer import basis as basis_module
from jsp.transfer.basis import Basis
from jsp.transfer.chunks import CHUNK, CHUNKS_AIM, HASH_SIZE, hash_chunk
from jsp.transfer.names import temporary_name
from jsp.transfer.partial import BusyError, open_partial

NAME = b"file"
CONTENT = random.Random(1).randbytes(3 * CHUNK + 7)
SIZE = len(CONTENT)
HASHES = [hash_chunk(CONTENT[at : at + CHUNK]) for at in range(0, SIZE, CHUNK)]


pytestmark = pytest.mark.usefixtures("all_closed")


@pytest.fixture(params=["older", "unfinished"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a basis is looked for; `kind_of` says which it is."""
    return tmp_path / os.fsdecode(NAME if request.param == "older" else temporary_name(NAME))


def basis_at(here: Path, size: int = SIZE, dry_run: bool = False) -> Basis:
    return Basis(os.fsencode(here.name) != NAME, size, dry_run)


def hashes_of(basis: Basis, folder: int) -> list[bytes]:
    """All that are still to come, one by one."""
    before = len(basis.hashes)
    hashes = b""
    while not basis.over:
        hashes += basis.hash_more(folder, NAME)
    assert hashes == basis.hashes[before:]
    return [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chunk is hashed at once."""
    monkeypatch.setattr(basis_module, "HASHED_MAX", 1)


# --- hashes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("length", "count"),
    [(SIZE, 4), (SIZE + 1, 4), (SIZE - 1, 3), (3 * CHUNK, 3), (3 * CHUNK - 1, 2), (CHUNK, 1), (CHUNK - 1, 0), (0, 0)],
)
def test_complete_chunks_are_hashed(here: Path, folder: int, length: int, count: int, dry_run: bool) -> None:
    here.write_bytes((CONTENT + b"more")[:length])
    basis = basis_at(here, dry_run=dry_run)
    assert hashes_of(basis, folder) == HASHES[:count]
    assert basis.size() == length


def test_piece_by_piece(here: Path, folder: int, one_by_one: None) -> None:
    here.write_bytes(CONTENT)
    basis = basis_at(here)
    for number, expected in enumerate(HASHES):
        assert not basis.over
        assert basis.hash_more(folder, NAME) == expected
        assert basis.hashes == b"".join(HASHES[: number + 1])
    assert basis.over


def test_chunks_are_as_large_as_those_of_the_senders_file(here: Path, folder: int) -> None:
    here.write_bytes(CONTENT)
    basis = basis_at(here, CHUNK * CHUNKS_AIM + 1)
    assert basis.chunk == 2 * CHUNK
    assert hashes_of(basis, folder) == [hash_chunk(CONTENT[: 2 * CHUNK])]


def test_nothing_is_known_of_it_before_it_is_read() -> None:
    basis = Basis(False, SIZE)
    assert basis.size() == -1
    assert not basis.hashes and not basis.over


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_not_there_has_no_hashes(here: Path, folder: int, dry_run: bool) -> None:
    basis = basis_at(here, dry_run=dry_run)
    assert hashes_of(basis, folder) == []
    assert here.exists() is (basis.unfinished and not dry_run), "only a transfer makes an unfinished file"


def put_link(path: Path) -> None:
    (path.parent / "other").write_bytes(CONTENT)
    path.symlink_to("other")


@pytest.mark.parametrize("put", [put_link, os.mkfifo, os.mkdir], ids=["link", "pipe", "directory"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_no_file_has_no_hashes(here: Path, folder: int, put: Callable[[Path], None], dry_run: bool) -> None:
    put(here)
    assert hashes_of(basis_at(here, dry_run=dry_run), folder) == []


def test_a_file_that_shrinks_under_the_eyes_has_those_that_were_read(here: Path, folder: int, one_by_one: None) -> None:
    here.write_bytes(CONTENT)
    basis = basis_at(here)
    basis.hash_more(folder, NAME)
    os.truncate(here, CHUNK + 5)
    assert hashes_of(basis, folder) == []
    assert basis.hashes == HASHES[0]


# --- locks -------------------------------------------------------------------------------------------------------


def test_an_unfinished_file_is_locked_while_it_is_hashed(tmp_path: Path, folder: int, one_by_one: None) -> None:
    (tmp_path / os.fsdecode(temporary_name(NAME))).write_bytes(CONTENT)
    basis = Basis(True, SIZE)
    basis.hash_more(folder, NAME)
    with pytest.raises(BusyError):
        open_partial(folder, NAME)
    hashes_of(basis, folder)
    os.close(open_partial(folder, NAME))


def test_an_unfinished_file_that_another_transfer_writes_is_busy_and_can_be_had_later(
    tmp_path: Path, folder: int
) -> None:
    (tmp_path / os.fsdecode(temporary_name(NAME))).write_bytes(CONTENT)
    basis = Basis(True, SIZE)
    theirs = open_partial(folder, NAME)
    for _ in range(2):
        with pytest.raises(BusyError):
            basis.hash_more(folder, NAME)
        assert not basis.over
    # Who only looks has nothing to wait for.
    assert hashes_of(Basis(True, SIZE, dry_run=True), folder) == HASHES
    os.close(theirs)
    assert hashes_of(basis, folder) == HASHES


def test_who_gives_up_lets_go(tmp_path: Path, folder: int, one_by_one: None) -> None:
    (tmp_path / os.fsdecode(temporary_name(NAME))).write_bytes(CONTENT)
    basis = Basis(True, SIZE)
    basis.hash_more(folder, NAME)
    for _ in range(2):
        basis.close()
    os.close(open_partial(folder, NAME))


# --- the same again ----------------------------------------------------------------------------------------------


def test_it_is_opened_again_and_can_be_read(here: Path, folder: int) -> None:
    here.write_bytes(CONTENT)
    basis = basis_at(here)
    hashes_of(basis, folder)
    fd = basis.reopen(folder, NAME)
    assert fd is not None
    assert os.pread(fd, SIZE, 0) == CONTENT
    if basis.unfinished:
        with pytest.raises(BusyError):
            basis.reopen(folder, NAME)
    os.close(fd)


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"x" * 10)


def replace(path: Path) -> None:
    status = path.stat()
    path.rename(f"{path}.old")
    path.write_bytes(CONTENT)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES = [append, overwrite, replace]


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_it_is_not_the_same_when_it_was_changed_meanwhile(
    here: Path, folder: int, change: Callable[[Path], None]
) -> None:
    here.write_bytes(CONTENT)
    os.utime(here, ns=(5, 5))
    basis = basis_at(here)
    hashes_of(basis, folder)
    change(here)
    assert basis.reopen(folder, NAME) is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_it_is_not_the_same_when_it_was_changed_while_it_was_hashed(
    here: Path, folder: int, change: Callable[[Path], None], one_by_one: None
) -> None:
    # The first hash is of what was there before.
    here.write_bytes(CONTENT)
    os.utime(here, ns=(5, 5))
    basis = basis_at(here)
    basis.hash_more(folder, NAME)
    change(here)
    hashes_of(basis, folder)
    assert basis.reopen(folder, NAME) is None


def test_what_has_vanished_is_not_the_same(here: Path, folder: int) -> None:
    here.write_bytes(CONTENT)
    basis = basis_at(here)
    hashes_of(basis, folder)
    here.unlink()
    try:
        assert basis.reopen(folder, NAME) is None
    except FileNotFoundError:
        assert not basis.unfinished


def test_what_has_become_something_else_is_an_error(tmp_path: Path, folder: int) -> None:
    path = tmp_path / os.fsdecode(NAME)
    path.write_bytes(CONTENT)
    basis = Basis(False, SIZE)
    hashes_of(basis, folder)
    for put in (os.mkfifo, put_link):
        path.unlink()
        put(path)
        with pytest.raises(OSError, match=r"not a regular file|symbolic links"):
            basis.reopen(folder, NAME)


def test_what_was_never_read_is_not_the_same(here: Path, folder: int) -> None:
    here.write_bytes(CONTENT)
    assert basis_at(here).reopen(folder, NAME) is None
