"""A file put together from what comes, what is here, and holes: it is the sender's in the end, or it is not touched."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jsp.transfer import assembly as assembly_module
from jsp.transfer.assembly import FileFailedError, write_all
from jsp.transfer.basis import Basis
from jsp.transfer.chunks import CHUNK, CHUNKS_AIM, hash_chunk, hash_root
from jsp.transfer.errors import BadFrame
from jsp.transfer.partial import BusyError, open_partial
from tests.transfer.ends import nothing_open
from tests.transfer.place import (
    CHUNKS,
    CONTENT,
    NAME,
    OTHER,
    SIZE,
    Place,
    begin,
    bring_up,
    end,
    hashes_of,
    leave_holes,
    write,
)
from tests.transfer.trees import TIME

ROOT = hash_root(hashes_of(CONTENT))
Z = bytes(CHUNK)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with nothing_open():
        place = Place(tmp_path)
        yield place
        place.close()


# --- chunks that come --------------------------------------------------------------------------------------------


def test_all_chunks_in_order_are_the_file(place: Place) -> None:
    assembly = place.assembly(mode=0o640)
    for number, data in enumerate(CHUNKS):
        write(assembly, number, data)
    assert not place.path.exists()
    end(assembly)
    assert place.path.read_bytes() == CONTENT
    status = place.path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, TIME)
    assert not place.unfinished.exists()


def test_an_empty_file_has_no_chunks(place: Place) -> None:
    end(place.assembly(0), b"")
    assert place.path.read_bytes() == b""


def test_rights_of_the_owner_are_not_lent(place: Place) -> None:
    end(place.assembly(0, mode=0o7755), b"")
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o755


@pytest.mark.parametrize(("done", "number"), [(0, 1), (0, 4), (1, 0), (1, 2), (4, 3), (4, 5), (0, 1 << 31)])
def test_a_chunk_that_is_missing_or_comes_twice_is_against_the_rules(place: Place, done: int, number: int) -> None:
    assembly = place.assembly()
    for each in range(done):
        write(assembly, each, CHUNKS[each])
    with pytest.raises(BadFrame):
        assembly.keep(number)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK + 1])
def test_a_chunk_of_another_size_is_against_the_rules(place: Place, size: int) -> None:
    with pytest.raises(BadFrame):
        write(place.assembly(), 0, bytes(size))


def test_the_last_chunk_has_the_size_it_must_have(place: Place) -> None:
    assembly = place.assembly()
    for number in range(3):
        write(assembly, number, CHUNKS[number])
    for wrong in (b"the en", b"the end.", bytes(CHUNK)):
        with pytest.raises(BadFrame):
            write(assembly, 3, wrong)
    write(assembly, 3, CHUNKS[3])
    with pytest.raises(BadFrame):
        write(assembly, 4, b"")


def test_behind_the_last_chunk_there_is_none(place: Place) -> None:
    assembly = place.assembly(CHUNK, basis=place.basis(CONTENT), announced=SIZE)
    with pytest.raises(BadFrame):
        assembly.keep(2)
    with pytest.raises(BadFrame):
        write(assembly, 1, b"")


def test_a_damaged_chunk_fails_the_file_and_is_not_written(place: Place) -> None:
    assembly = place.assembly()
    write(assembly, 0, CHUNKS[0])
    bring_up(assembly)
    with pytest.raises(FileFailedError, match="damaged"):
        assembly.write(1, hash_chunk(CHUNKS[1]), memoryview(OTHER))
    assembly.close()
    assert place.unfinished.read_bytes() == CHUNKS[0]


def test_a_wrong_root_or_a_missing_chunk_fails_the_file(place: Place) -> None:
    place.path.write_bytes(b"old")
    assembly = place.assembly()
    for number, data in enumerate(CHUNKS):
        with pytest.raises(FileFailedError, match="hash"):
            assembly.check(hash_root(hashes_of(CONTENT[: number * CHUNK])))
        write(assembly, number, data)
    with pytest.raises(FileFailedError, match="hash"):
        assembly.check(hash_root(b""))
    assembly.check(ROOT)
    assembly.close()
    assert place.path.read_bytes() == b"old"
    assert place.unfinished.read_bytes() == CONTENT, "what came is kept"


# --- holes -------------------------------------------------------------------------------------------------------


def test_holes_take_no_room(place: Place) -> None:
    content = CHUNKS[0] + 8 * Z + CHUNKS[1] + 5 * Z + b"\0\0\0"
    assembly = place.assembly(len(content))
    write(assembly, 0, CHUNKS[0])
    assert leave_holes(assembly, 1, 8) == 8 * CHUNK
    write(assembly, 9, CHUNKS[1])
    assert leave_holes(assembly, 10, 6) == 5 * CHUNK + 3
    end(assembly, content)
    assert place.path.read_bytes() == content
    assert place.path.stat().st_blocks * 512 <= 3 * CHUNK


def test_a_file_that_is_one_hole(place: Place) -> None:
    assembly = place.assembly(3 * CHUNK + 1)
    leave_holes(assembly, 0, 4)
    end(assembly, bytes(3 * CHUNK + 1))
    assert place.path.read_bytes() == bytes(3 * CHUNK + 1)
    assert place.path.stat().st_blocks == 0


@pytest.mark.parametrize(("number", "count"), [(0, 0), (0, 5), (1, 4), (3, 2), (0, 1 << 31)])
def test_a_hole_larger_than_its_file_is_against_the_rules(place: Place, number: int, count: int) -> None:
    assembly = place.assembly()
    for each in range(number):
        write(assembly, each, CHUNKS[each])
    with pytest.raises(BadFrame):
        leave_holes(assembly, number, count)


def test_a_hole_where_the_unfinished_file_has_data_that_is_used_behind_it(place: Place) -> None:
    content = CHUNKS[0] + Z + CHUNKS[2] + CHUNKS[3]
    assembly = place.assembly(basis=place.basis(CONTENT, unfinished=True))
    leave_holes(assembly, 1, 1)
    end(assembly, content)
    assert place.path.read_bytes() == content


def test_a_hole_where_the_unfinished_file_has_data_that_nobody_uses(place: Place) -> None:
    content = CHUNKS[0] + 3 * Z + CHUNKS[3]
    assembly = place.assembly(len(content), basis=place.basis(CONTENT[: 3 * CHUNK + 2], True, len(content)))
    leave_holes(assembly, 1, 3)
    write(assembly, 4, CHUNKS[3])
    end(assembly, content)
    assert place.path.read_bytes() == content
    assert place.path.stat().st_blocks * 512 < 2 * CHUNK, "a real hole"


# --- what is here: an unfinished file ----------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_an_unfinished_file_is_completed(place: Place, kept: int) -> None:
    assembly = place.assembly(basis=place.basis(CONTENT[: kept * CHUNK] + b"half a chunk", unfinished=True))
    inode = place.unfinished.stat().st_ino
    assert assembly.keep(kept) == kept * CHUNK
    for number in range(kept, 4):
        write(assembly, number, CHUNKS[number])
    end(assembly)
    assert place.path.read_bytes() == CONTENT
    assert place.path.stat().st_ino == inode


def test_what_differs_in_an_unfinished_file_is_replaced_and_what_is_too_much_cut_off(place: Place) -> None:
    here = CHUNKS[0] + OTHER + CHUNKS[2] + OTHER
    assembly = place.assembly(basis=place.basis(here, unfinished=True))
    write(assembly, 1, CHUNKS[1])
    write(assembly, 3, CHUNKS[3])
    end(assembly)
    assert place.path.read_bytes() == CONTENT


def test_an_unfinished_file_that_has_everything_is_put_in_its_place(place: Place) -> None:
    assembly = place.assembly(basis=place.basis(CONTENT, unfinished=True))
    assert assembly.keep_rest() == SIZE
    end(assembly)
    assert place.path.read_bytes() == CONTENT
    assert place.path.stat().st_mtime_ns == TIME


def test_an_unfinished_file_that_nobody_asked_about_is_begun_anew(place: Place) -> None:
    place.unfinished.write_bytes(2 * OTHER)
    assembly = place.assembly(1)
    write(assembly, 0, b"x")
    end(assembly, b"x")
    assert place.path.read_bytes() == b"x"


def test_more_than_is_here_cannot_be_left_out(place: Place) -> None:
    assembly = place.assembly(basis=place.basis(CONTENT[: 2 * CHUNK], unfinished=True))
    with pytest.raises(BadFrame):
        assembly.keep(3)
    assert assembly.keep(2) == 2 * CHUNK
    assert assembly.keep_rest() == 0
    with pytest.raises(FileFailedError):
        assembly.check(ROOT)


def test_an_unfinished_file_that_was_changed_meanwhile_fails_the_file(place: Place) -> None:
    assembly = place.assembly(basis=place.basis(CONTENT[:CHUNK], unfinished=True))
    with open(place.unfinished, "r+b") as file:
        file.write(b"changed")
    assembly.keep(1)
    with pytest.raises(FileFailedError, match="another transfer"):
        assembly.bring_up()


def test_an_unfinished_file_that_another_transfer_has_is_busy(place: Place) -> None:
    assembly = place.assembly(basis=place.basis(CONTENT[:CHUNK], unfinished=True))
    theirs = open_partial(place.folder, NAME)
    assembly.keep(1)
    for _ in range(2):
        with pytest.raises(BusyError):
            assembly.bring_up()
    os.close(theirs)
    for number in (1, 2, 3):
        write(assembly, number, CHUNKS[number])
    end(assembly)
    assert place.path.read_bytes() == CONTENT


# --- what is here: an older version ------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [CONTENT + b"more", CHUNKS[0] + OTHER + CHUNKS[2] + b"THE END", CHUNKS[0] + b"x"])
def test_equal_chunks_are_copied_from_the_older_version(place: Place, here: bytes) -> None:
    basis = place.basis(here)
    os.link(place.path, f"{place.path}.second name")
    assembly = place.assembly(basis=basis)
    have = hashes_of(here)
    for number, data in enumerate(CHUNKS):
        if have[32 * number : 32 * number + 32] != hash_chunk(data):
            write(assembly, number, data)
    assert place.path.read_bytes() == here
    end(assembly)
    assert place.path.read_bytes() == CONTENT
    assert Path(f"{place.path}.second name").read_bytes() == here, "it was replaced and not written to"


def test_it_is_copied_some_at_a_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly_module, "_COPIED_MAX", 1)
    assembly = place.assembly(basis=place.basis(3 * OTHER))
    assembly.keep(3)
    sizes = []
    for expected in (False, False, True):
        assert assembly.bring_up() is expected
        sizes.append(place.unfinished.stat().st_size)
    assert sizes == [CHUNK, 2 * CHUNK, 3 * CHUNK]


def restore_time(path: Path) -> None:
    os.utime(path, ns=(5, 5))


@pytest.mark.parametrize("hide", [lambda path: None, restore_time], ids=["openly", "with its old mtime"])
def test_an_older_version_that_was_changed_meanwhile_fails_the_file(place: Place, hide: Callable[[Path], None]) -> None:
    assembly = place.assembly(basis=place.basis(CONTENT[: 2 * CHUNK]))
    with open(place.path, "r+b") as file:
        file.seek(CHUNK)
        file.write(b"changed")
    hide(place.path)
    assembly.keep(2)
    with pytest.raises(FileFailedError, match="changed"):
        bring_up(assembly)


def test_an_older_version_that_is_equal_stays_and_gets_mode_and_mtime(place: Place) -> None:
    assembly = place.assembly(mode=0o7604, basis=place.basis(CONTENT))
    before = place.path.stat()
    end(assembly)
    after = place.path.stat()
    assert after.st_ino == before.st_ino
    assert (stat.S_IMODE(after.st_mode), after.st_mtime_ns) == (0o604, TIME)
    assert not place.unfinished.exists()
    assert place.path.read_bytes() == CONTENT


def test_an_older_version_with_more_at_its_end_is_not_in_place(place: Place) -> None:
    end(place.assembly(basis=place.basis(CONTENT + b"more")))
    assert place.path.read_bytes() == CONTENT


@pytest.mark.parametrize("late", [False, True], ids=["while it was hashed", "since"])
def test_an_older_version_that_was_equal_once_is_not_taken_for_it(
    place: Place, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the sender's mtime it would never be looked at again.
    monkeypatch.setattr("jsp.transfer.basis.HASHED_MAX", 1)
    place.path.write_bytes(CONTENT)
    os.utime(place.path, ns=(5, 5))
    basis = Basis(False, SIZE)
    while not basis.over:
        basis.hash_more(place.folder, NAME)
        if basis.over is late:
            with open(place.path, "r+b") as file:
                file.write(b"changed")
    assembly = place.assembly(basis=basis)
    assert assembly.keep_rest() == SIZE
    assembly.check(ROOT)
    with pytest.raises(FileFailedError, match="changed"):
        assembly.is_in_place()
    assert place.path.stat().st_mtime_ns != TIME


# --- a file that changes while it is sent ------------------------------------------------------------------------


def test_what_was_said_of_it_need_not_be_said_again(place: Place) -> None:
    assembly = place.assembly()
    for number, data in enumerate((CHUNKS[0], OTHER)):
        write(assembly, number, data)
    assembly.start_over(begin(SIZE, 0o600))
    write(assembly, 1, CHUNKS[1])
    write(assembly, 2, CHUNKS[2])
    write(assembly, 3, CHUNKS[3])
    end(assembly)
    assert place.path.read_bytes() == CONTENT
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("unfinished", [False, True], ids=["older", "unfinished"])
def test_what_was_left_out_of_it_without_a_word_is_still_here(place: Place, unfinished: bool) -> None:
    # The sender found two chunks equal, and then the file cut short.
    assembly = place.assembly(basis=place.basis(CONTENT[: 3 * CHUNK], unfinished))
    content = CONTENT[: 2 * CHUNK] + b"end"
    assembly.start_over(begin(len(content)))
    write(assembly, 2, b"end")
    end(assembly, content)
    assert place.path.read_bytes() == content


def test_chunks_of_another_size_are_all_sent_again(place: Place) -> None:
    assembly = place.assembly()
    write(assembly, 0, CHUNKS[0])
    assembly.start_over(begin(CHUNK * CHUNKS_AIM + 1))
    with pytest.raises(BadFrame):
        assembly.keep(1)
    write(assembly, 0, OTHER + CHUNKS[1])
    assembly.close()
    assert place.unfinished.read_bytes() == OTHER + CHUNKS[1]


# --- pauses and ends ---------------------------------------------------------------------------------------------


def test_who_waits_lets_others_have_it_and_goes_on_afterwards(place: Place) -> None:
    assembly = place.assembly()
    assembly.release()
    write(assembly, 0, CHUNKS[0])
    for _ in range(2):
        assembly.release()
    theirs = open_partial(place.folder, NAME)
    assembly.keep(1)
    with pytest.raises(BusyError):
        assembly.bring_up()
    os.close(theirs)
    for number in (1, 2, 3):
        write(assembly, number, CHUNKS[number])
        assembly.release()
    end(assembly)
    assert place.path.read_bytes() == CONTENT


def remove(path: Path) -> None:
    path.unlink()


def write_to(path: Path) -> None:
    path.write_bytes(OTHER)


@pytest.mark.parametrize("interfere", [remove, write_to])
def test_what_others_did_to_it_meanwhile_fails_the_file(place: Place, interfere: Callable[[Path], None]) -> None:
    assembly = place.assembly()
    write(assembly, 0, CHUNKS[0])
    assembly.release()
    interfere(place.unfinished)
    with pytest.raises(FileFailedError, match="another transfer"):
        assembly.bring_up()


def test_closing_keeps_what_came_and_lets_go_of_it(place: Place) -> None:
    assembly = place.assembly()
    write(assembly, 0, CHUNKS[0])
    for _ in range(2):
        assembly.close()
    os.close(open_partial(place.folder, NAME))
    assert place.unfinished.read_bytes() == CHUNKS[0]


def test_a_link_under_its_name_is_replaced_and_not_followed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    place.path.symlink_to("precious")
    assembly = place.assembly(1)
    write(assembly, 0, b"x")
    end(assembly, b"x")
    assert not place.path.is_symlink() and place.path.read_bytes() == b"x"
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_directory_under_its_name_is_an_error(place: Place) -> None:
    assembly = place.assembly(1)
    write(assembly, 0, b"x")
    place.path.mkdir()
    with pytest.raises(IsADirectoryError):
        end(assembly, b"x")
    assert place.unfinished.read_bytes() == b"x"


def test_a_disk_that_takes_only_a_part_is_an_error_and_has_that_part(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(tmp_path / "file", "wb") as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(OSError, match="too large"):
                write_all(file.fileno(), memoryview(OTHER), 100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "file").read_bytes() == bytes(100) + OTHER[:900]
