"""What the store makes of frames, right ones and wrong ones, on a real disk that has things in the way."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import subprocess
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from jsp.transfer import frames
from jsp.transfer.basis import Basis
from jsp.transfer.chunks import CHUNK, hash_chunk, hash_root
from jsp.transfer.entries import File
from jsp.transfer.errors import BadFrame, DiskFull, TransferError
from jsp.transfer.frames import Begin
from jsp.transfer.storing import Arrival, Store, Stored
from jsp.transfer.target import Incoming, TargetDirectory
from jsp.transfer.tree import Tree, open_directory
from tests.transfer.ends import SmallDisk
from tests.transfer.peers import names
from tests.transfer.trees import OLD, TIME, identities, write

pytestmark = pytest.mark.usefixtures("all_closed")

PART = ".file.jsp-part"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    store = Store(Tree(open_directory(str(root))))
    yield store
    store.close()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def incoming(size: int, name: bytes = b"file", directory: TargetDirectory | None = None) -> Incoming:
    """A file that was announced with so many bytes."""
    return Incoming(0, directory or TargetDirectory(None, b""), File(name, 0o644, TIME, size))


def with_basis(root: Path, size: int, unfinished: bool) -> Incoming:
    """The same, of which there is a version here."""
    file = incoming(size)
    file.basis = Basis(unfinished, size)
    directory = os.open(root, os.O_RDONLY)
    while not file.basis.over:
        file.basis.hash_more(directory, b"file")
    os.close(directory)
    return file


def arrival(file: Incoming, packet: bytes) -> Arrival:
    return Arrival(packet[4], file, packet[5:])


def apply(store: Store, file: Incoming, *packets: bytes) -> Stored:
    """Carry out frames for one file, which may take no turns; the totals of all."""
    return store.apply(deque(arrival(file, packet) for packet in packets))


def whole(content: bytes, mode: int = 0o644, mtime: int = TIME, digest: bytes | None = None) -> bytes:
    return frames.pack_whole(0, mtime, mode, digest or hash_chunk(content), content)


def begin(size: int, mode: int = 0o644, mtime: int = TIME) -> bytes:
    return frames.pack_begin(Begin(0, size, mtime, mode))


def chunks(content: bytes) -> list[bytes]:
    return [content[i : i + CHUNK] for i in range(0, len(content), CHUNK)]


def data(content: bytes, *numbers: int) -> list[bytes]:
    """DATA frames for some chunks, or all."""
    pieces = chunks(content)
    which = numbers or range(len(pieces))
    return [frames.pack_data(0, i, hash_chunk(pieces[i]), pieces[i]) for i in which]


def end(content: bytes) -> bytes:
    return frames.pack_end(0, hash_root(b"".join(map(hash_chunk, chunks(content)))))


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


# --- files of one chunk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK])
def test_a_whole_file_gets_its_place_mode_and_mtime(root: Path, store: Store, size: int) -> None:
    content = noise(size)
    file = incoming(size + 3)
    stored = apply(store, file, whole(content, 0o6751, OLD))
    assert stored == Stored(settled=[file], received=size, grown=-3)
    assert (file.received, file.failed) == (size, False)
    assert names(root) == ["file"]
    assert (root / "file").read_bytes() == content
    assert (mode_of(root / "file"), (root / "file").stat().st_mtime_ns) == (0o751, OLD)


def test_an_older_version_is_replaced_and_not_written_to(root: Path, store: Store) -> None:
    write(root / "file", "an older version, and longer")
    with open(root / "file", "rb") as older:
        apply(store, incoming(3), whole(b"new"))
        assert older.read() == b"an older version, and longer"
    assert (root / "file").read_bytes() == b"new"


def test_links_in_the_way_are_replaced_and_not_written_through(root: Path, store: Store) -> None:
    secret = write(root.parent / "secret", "secret")
    before = identities(root.parent)[b"secret"]
    for name in ("file", PART):
        (root / name).symlink_to("../secret")
    apply(store, incoming(3), whole(b"new"))
    (root / PART).symlink_to("../secret")
    large = noise(CHUNK + 1)
    apply(store, incoming(len(large)), begin(len(large)), *data(large), end(large))
    assert (root / "file").read_bytes() == large
    assert not (root / "file").is_symlink()
    assert (names(root), secret.read_text()) == (["file"], "secret")
    assert identities(root.parent)[b"secret"] == before


def test_a_second_name_of_another_file_is_not_written_through(root: Path, store: Store) -> None:
    other = write(root.parent / "other", "other")
    os.link(other, root / PART)
    apply(store, incoming(3), whole(b"new"))
    assert (other.read_text(), (root / "file").read_text()) == ("other", "new")


def test_pipes_in_the_way_are_replaced(root: Path, store: Store) -> None:
    for name in ("file", PART):
        os.mkfifo(root / name)
    apply(store, incoming(3), whole(b"new"))
    assert (names(root), (root / "file").read_bytes()) == (["file"], b"new")


def test_a_directory_in_the_way_fails_the_file_and_no_other(root: Path, store: Store) -> None:
    write(root / "file" / "inside")
    first, second = incoming(3), incoming(3, b"other")
    stored = store.apply(deque([arrival(first, whole(b"new")), arrival(second, whole(b"new"))]))
    assert stored.settled == [first, second]
    assert stored.failed == [(first, "Is a directory")]
    assert (first.failed, second.failed) == (True, False)
    assert (names(root), names(root / "file")) == (["file", "other"], ["inside"])


def test_what_was_damaged_on_the_way_is_not_stored(root: Path, store: Store) -> None:
    write(root / "file", "older")
    file = incoming(3)
    stored = apply(store, file, whole(b"new", digest=bytes(32)))
    assert (stored.settled, stored.failed) == ([file], [(file, "it was damaged on the way")])
    assert (names(root), (root / "file").read_text()) == (["file"], "older")


def test_an_unfinished_file_of_before_is_used_up(root: Path, store: Store) -> None:
    write(root / PART, "something longer, from before", 0o600)
    apply(store, incoming(3), whole(b"new"))
    assert (names(root), (root / "file").read_bytes()) == (["file"], b"new")


def test_a_file_that_another_transfer_writes_has_to_wait_and_the_rest_with_it(root: Path, store: Store) -> None:
    write(root / PART, "theirs", 0o600)
    work = deque(arrival(incoming(3, name), whole(b"new")) for name in (b"first", b"file", b"last"))
    with open(root / PART, "r+b") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        stored = store.apply(work)
        assert (stored.busy, len(stored.settled), len(work)) == (True, 1, 2)
        assert store.apply(work).busy
        assert theirs.read() == b"theirs"
    stored = store.apply(work)
    assert (stored.busy, len(stored.settled), len(work)) == (False, 2, 0)
    assert names(root) == ["file", "first", "last"]


def test_a_file_that_is_given_up_while_it_is_busy(root: Path, store: Store) -> None:
    file, stored = incoming(3), Stored()
    store.fail(arrival(file, whole(b"new")), "busy", stored)
    assert (stored.settled, stored.failed, file.failed) == ([file], [(file, "busy")], True)
    large, stored = incoming(CHUNK + 1), Stored()
    store.fail(arrival(large, begin(CHUNK + 1)), "busy", stored)
    assert (stored.settled, stored.failed) == ([], [(large, "busy")]), "more of it is still to come"


# --- chunk by chunk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5, CHUNK + 1, 3 * CHUNK])
def test_a_file_that_comes_in_chunks(root: Path, store: Store, size: int) -> None:
    content = noise(size)
    file = incoming(size - 1)
    stored = apply(store, file, begin(size, 0o4640, OLD), *data(content), end(content))
    assert stored == Stored(settled=[file], received=size, grown=1)
    assert (names(root), (root / "file").read_bytes(), file.received) == (["file"], content, size)
    assert (mode_of(root / "file"), (root / "file").stat().st_mtime_ns) == (0o640, OLD)


def test_until_its_end_has_come_the_older_version_stays(root: Path, store: Store) -> None:
    write(root / "file", "older")
    content = noise(2 * CHUNK)
    file = incoming(len(content))
    assert apply(store, file, begin(len(content)), *data(content)).settled == []
    assert ((root / "file").read_text(), mode_of(root / PART)) == ("older", 0o600)
    assert apply(store, file, end(content)).settled == [file]
    assert (names(root), (root / "file").read_bytes()) == (["file"], content)


def test_holes_take_no_room(root: Path, store: Store) -> None:
    content = bytes(20 * CHUNK) + noise(CHUNK) + bytes(10 * CHUNK + 5)
    file = incoming(len(content))
    packets = [frames.pack_holes(0, 0, 20), *data(content, 20), frames.pack_holes(0, 21, 11)]
    stored = apply(store, file, begin(len(content)), *packets, end(content))
    assert (stored.received, stored.kept) == (CHUNK, 30 * CHUNK + 5)
    assert (root / "file").read_bytes() == content
    assert (root / "file").stat().st_blocks * 512 <= 2 * CHUNK


def test_what_is_there_already_is_not_sent_again(root: Path, store: Store) -> None:
    content = noise(4 * CHUNK + 9)
    for unfinished, name in ((True, PART), (False, "file")):
        (root / "file").unlink(missing_ok=True)
        write(root / name, content[: 2 * CHUNK + 100], 0o600)
        file = with_basis(root, len(content), unfinished)
        stored = apply(store, file, begin(len(content)), *data(content, 2, 3, 4), end(content))
        assert (stored.settled, stored.received, stored.kept) == ([file], 2 * CHUNK + 9, 2 * CHUNK)
        assert (names(root), (root / "file").read_bytes()) == (["file"], content)


def test_a_file_that_is_there_already_gets_its_mode_and_mtime_and_stays(root: Path, store: Store) -> None:
    content = noise(3 * CHUNK)
    inode = write(root / "file", content, mtime=OLD).stat().st_ino
    file = with_basis(root, len(content), False)
    stored = apply(store, file, begin(len(content), 0o600, TIME), end(content))
    assert stored == Stored(settled=[file], kept=len(content))
    status = (root / "file").stat()
    assert (status.st_ino, mode_of(root / "file"), status.st_mtime_ns) == (inode, 0o600, TIME)


def test_an_older_version_that_changes_meanwhile_fails_the_file_and_stays(root: Path, store: Store) -> None:
    content = noise(3 * CHUNK)
    for packets in ([end(content)], [*data(content, 2), end(content)]):
        write(root / "file", content)
        file = with_basis(root, len(content), False)
        write(root / "file", b"changed" + content[7:], mtime=OLD)
        stored = apply(store, file, begin(len(content)), *packets)
        assert stored.failed == [(file, "the file here changed meanwhile")]
        assert stored.settled == [file]
        assert (root / "file").read_bytes() == b"changed" + content[7:]


@pytest.mark.parametrize("unfinished", [True, False])
@pytest.mark.parametrize("first", [(), (1,), (2, 3)])
def test_a_file_that_the_sender_reads_once_more(
    root: Path, store: Store, unfinished: bool, first: tuple[int, ...]
) -> None:
    content = noise(4 * CHUNK)
    write(root / (PART if unfinished else "file"), content[:CHUNK] + bytes(CHUNK) + content[2 * CHUNK :], 0o600)
    file = with_basis(root, len(content), unfinished)
    changed = content[: 3 * CHUNK] + noise(CHUNK + 9, 2)
    again = [number for number in (1, 3, 4) if number not in first or number == 3]
    packets = [begin(len(content)), *data(content, *first)] if first else [begin(len(content))]
    stored = apply(store, file, *packets, begin(len(changed), mtime=OLD), *data(changed, *again), end(changed))
    assert (stored.settled, stored.failed, stored.grown) == ([file], [], 9)
    assert (names(root), (root / "file").read_bytes()) == (["file"], changed)
    assert (root / "file").stat().st_mtime_ns == OLD


def test_the_sender_gives_up_half_way(root: Path, store: Store) -> None:
    content = noise(3 * CHUNK)
    file, other = incoming(len(content)), incoming(3, b"other")
    stored = apply(store, file, begin(len(content)), *data(content, 0, 1), frames.pack_pass(0))
    assert (stored.settled, file.failed, stored.failed) == ([file], True, [])
    assert (root / PART).read_bytes() == content[: 2 * CHUNK], "for the next time"
    assert apply(store, other, whole(b"new")).settled == [other]


def test_a_plan_counts_and_stores_nothing(root: Path, store: Store) -> None:
    file = incoming(100)
    stored = apply(store, file, frames.pack_plan(0, 30))
    assert stored == Stored(settled=[file], received=30, kept=70)
    assert (file.received, file.failed, names(root)) == (30, False, [])


# --- wrong contents ----------------------------------------------------------------------------------------------


def test_a_wrong_root_fails_the_file_and_keeps_what_arrived(root: Path, store: Store) -> None:
    write(root / "file", "older")
    content = noise(2 * CHUNK)
    file = incoming(len(content))
    stored = apply(store, file, begin(len(content)), *data(content), end(content[1:]))
    assert (stored.settled, stored.failed) == ([file], [(file, "its hash is not the sender's")])
    assert ((root / "file").read_text(), (root / PART).read_bytes()) == ("older", content)


def test_an_end_that_comes_too_early_fails_the_file(root: Path, store: Store) -> None:
    content = noise(3 * CHUNK)
    file = incoming(len(content))
    stored = apply(store, file, begin(len(content)), *data(content, 0), end(content))
    assert (stored.settled, stored.failed) == ([file], [(file, "its hash is not the sender's")])
    assert not (root / "file").exists()


@pytest.mark.parametrize("last", [end(noise(3 * CHUNK)), frames.pack_pass(0)])
def test_a_damaged_chunk_fails_the_file_and_what_still_comes_of_it_is_dropped(
    root: Path, store: Store, last: bytes
) -> None:
    content = noise(3 * CHUNK)
    file, other = incoming(len(content)), incoming(3, b"other")
    damaged = frames.pack_data(0, 1, bytes(32), content[CHUNK : 2 * CHUNK])
    stored = apply(store, file, begin(len(content)), *data(content, 0), damaged)
    assert (stored.settled, stored.failed) == ([], [(file, "it was damaged on the way")])
    rest = [*data(content, 2), frames.pack_holes(0, 0, 9999), begin(5), *data(content, 0), last]
    stored = apply(store, file, *rest)
    assert stored == Stored(settled=[file]), "told once, and nothing of it counts"
    assert (root / PART).read_bytes() == content[:CHUNK]
    assert apply(store, other, whole(b"new")).settled == [other]


CONTENT = noise(3 * CHUNK + 5)
BEGUN = [begin(len(CONTENT)), *data(CONTENT, 0)]


@pytest.mark.parametrize(
    "packets",
    [
        data(CONTENT, 0),
        [frames.pack_holes(0, 0, 1)],
        [end(CONTENT)],
        [*BEGUN, *data(CONTENT, 0)],
        [*BEGUN, *data(CONTENT, 2)],
        [*BEGUN, frames.pack_data(0, 4, hash_chunk(b""), b"")],
        [*BEGUN, frames.pack_data(0, (1 << 32) - 1, hash_chunk(b"x"), b"x")],
        [*BEGUN, frames.pack_data(0, 1, hash_chunk(b"x"), b"x")],
        [*BEGUN, frames.pack_data(0, 1, hash_chunk(bytes(CHUNK + 1)), bytes(CHUNK + 1))],
        [*BEGUN, frames.pack_holes(0, 0, 1)],
        [*BEGUN, frames.pack_holes(0, 2, 1)],
        [*BEGUN, frames.pack_holes(0, 1, 0)],
        [*BEGUN, frames.pack_holes(0, 1, 4)],
        [*BEGUN, frames.pack_holes(0, 1, (1 << 32) - 1)],
        [*BEGUN, whole(b"x")],
        [whole(bytes(CHUNK + 1))],
        [begin(0), frames.pack_holes(0, 0, 1)],
        [begin(5), begin(1 << 61)],
    ],
    ids=lambda packets: "-".join(f"{packet[4]}" for packet in packets),
)
def test_frames_out_of_order_or_out_of_bounds_end_the_transfer(root: Path, store: Store, packets: list[bytes]) -> None:
    with pytest.raises(BadFrame):
        apply(store, incoming(len(CONTENT)), *packets)
    assert not (root / "file").exists()


def test_files_come_one_after_another(store: Store) -> None:
    one, other = incoming(len(CONTENT)), incoming(len(CONTENT), b"other")
    store.apply(deque([arrival(one, BEGUN[0])]))
    for packet in (begin(len(CONTENT)), *data(CONTENT, 0), end(CONTENT), whole(b"x")):
        with pytest.raises(BadFrame):
            store.apply(deque([arrival(other, packet)]))


# --- the disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_directory_that_is_gone_or_a_link_by_now(root: Path, store: Store, large: bool, replaced: bool) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    if replaced:
        (root / "dir").symlink_to("../outside")
    file = incoming(len(CONTENT), directory=TargetDirectory(TargetDirectory(None, b""), b"dir"))
    stored = apply(store, file, *([*BEGUN, end(CONTENT)] if large else [whole(b"new")]))
    assert stored.failed == [(file, "Not a directory" if replaced else "No such file or directory")]
    assert (stored.settled, names(outside)) == ([file], [])


def test_a_full_disk_ends_the_transfer_and_what_arrived_is_used_once_there_is_room(tmp_path: Path) -> None:
    content = noise(4 * CHUNK)
    with SmallDisk(tmp_path / "disk", 640) as disk:
        store = Store(Tree(open_directory(str(disk.path))))
        with pytest.raises(DiskFull, match="no space is left on the disk"):
            apply(store, incoming(len(content)), begin(len(content)), *data(content), end(content))
        store.close()
        assert (disk.path / PART).read_bytes()[: 2 * CHUNK] == content[: 2 * CHUNK]
        disk.enlarge(2048)
        file = with_basis(disk.path, len(content), True)
        assert file.basis is not None and len(file.basis.hashes) == 2 * 32
        store = Store(Tree(open_directory(str(disk.path))))
        stored = apply(store, file, begin(len(content)), *data(content, 2, 3), end(content))
        store.close()
        assert (stored.settled, (disk.path / "file").read_bytes()) == ([file], content)


def test_a_full_disk_leaves_nothing_of_a_small_file_and_the_older_version_as_it_is(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 128) as disk:
        write(disk.path / "file", "older")
        store = Store(Tree(open_directory(str(disk.path))))
        with pytest.raises(DiskFull, match=r"\(at file\)"):
            apply(store, incoming(CHUNK), whole(noise(CHUNK)))
        store.close()
        assert (names(disk.path), (disk.path / "file").read_text()) == (["file"], "older")


def test_a_file_system_that_became_read_only_ends_the_transfer(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 128) as disk:
        store = Store(Tree(open_directory(str(disk.path))))
        subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
        with pytest.raises(TransferError, match="the file system is read-only"):
            apply(store, incoming(3), whole(b"new"))
        store.close()


def test_a_file_larger_than_the_limit_fails_alone(root: Path, store: Store) -> None:
    content = noise(3 * CHUNK)
    file, other = incoming(len(content)), incoming(3, b"other")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * CHUNK, hard))
    try:
        stored = apply(store, file, begin(len(content)), *data(content), end(content))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (stored.settled, stored.failed) == ([file], [(file, "File too large")])
    assert apply(store, other, whole(b"new")).settled == [other]
    assert names(root) == [PART, "other"]


# --- letting go --------------------------------------------------------------------------------------------------


def test_what_was_released_goes_on_if_nobody_has_touched_it(root: Path, store: Store) -> None:
    file = incoming(len(CONTENT))
    apply(store, file, *BEGUN)
    store.release()
    with open(root / PART, "r+b") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        work = deque([arrival(file, data(CONTENT, 1)[0])])
        assert (store.apply(work).busy, len(work)) == (True, 1)
    assert not store.apply(work).busy
    assert apply(store, file, *data(CONTENT, 2, 3), end(CONTENT)).settled == [file]
    assert (root / "file").read_bytes() == CONTENT


def test_what_was_released_and_then_written_by_another_fails(root: Path, store: Store) -> None:
    file = incoming(len(CONTENT))
    apply(store, file, *BEGUN)
    store.release()
    write(root / PART, "theirs", 0o600)
    stored = apply(store, file, *data(CONTENT, 1, 2, 3), end(CONTENT))
    assert stored.failed == [(file, "another transfer has written it meanwhile")]
    assert (stored.settled, (root / PART).read_text()) == ([file], "theirs")


def test_closing_keeps_what_arrived(root: Path, store: Store) -> None:
    store.release()
    apply(store, incoming(len(CONTENT)), *BEGUN)
    store.close()
    store.close()
    assert (root / PART).read_bytes() == CONTENT[:CHUNK]
    with open(root / PART, "rb") as part:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_that_begins_again_and_again_ends_the_session(root: Path, store: Store) -> None:
    with pytest.raises(BadFrame, match="again and again"):
        apply(store, incoming(3 * CHUNK), *[begin(3 * CHUNK)] * 3)


def test_a_hole_of_one_frame_is_no_larger_than_our_own_senders_make_them(root: Path, store: Store) -> None:
    with pytest.raises(BadFrame, match="4096 chunks"):
        apply(store, incoming(1 << 40), begin(1 << 40), frames.pack_holes(0, 0, 4097))
