"""Whole sessions between two ends on loopback: what a copy keeps, where it goes, what is sent again and what is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jsp
from jsp.transfer import Problem, Report, handler, pull, push, sender
from jsp.transfer.chunks import CHUNK
from tests.net.support import OTHER
from tests.transfer.ends import Log, both_ways, pull_contents, served
from tests.transfer.trees import OLD, TIME, assert_same, facts, identities, make_tree, write

Copy = Callable[..., Report]


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Where originals go."""
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def dst(tmp_path: Path) -> Path:
    """Where copies go; not made yet."""
    return tmp_path / "dst"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# --- what a copy keeps -------------------------------------------------------------------------------------------


@both_ways
def test_a_tree_with_a_bit_of_everything_arrives_as_it_is(copy: Copy, src: Path, dst: Path) -> None:
    make_tree(src)
    report = copy(src, dst)
    assert_same(src, dst)
    files = [path for path in src.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files)
    assert (report.files, report.files_done, report.files_sent) == (len(files),) * 3
    assert (report.directories, report.links) == (5, 3)
    assert (report.bytes_total, report.bytes_sent, report.bytes_skipped) == (size, size, 0)
    assert (report.errors, report.problems, report.scanned) == (0, [], True)


@both_ways
def test_files_of_every_size_around_a_chunk(copy: Copy, src: Path, dst: Path) -> None:
    sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 3]
    for number, size in enumerate(sizes):
        # Each ends in another way: a last chunk of one byte that two files have in common would be sent once.
        write(src / str(size), os.urandom(max(0, size - 1)) + bytes((number,))[:size])
    assert copy(src, dst).bytes_sent == sum(sizes)
    assert_same(src, dst)


@both_ways
def test_modes_of_files_whatever_the_umask(copy: Copy, src: Path, dst: Path) -> None:
    for mode in (0o400, 0o444, 0o600, 0o640, 0o666, 0o700, 0o755, 0o777):
        write(src / f"small {mode:o}", "x", mode)
        write(src / f"large {mode:o}", bytes(CHUNK) + b"x", mode)
    before = os.umask(0o077)
    try:
        copy(src, dst)
    finally:
        os.umask(before)
    assert_same(src, dst)


@both_ways
def test_a_directory_without_permission_to_write_gets_its_contents(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "locked" / "deeper" / "file", "content")
    for name in ("locked/deeper", "locked"):
        (src / name).chmod(0o555)
    copy(src, dst)
    assert_same(src, dst)
    assert mode_of(dst / "locked") == 0o555


@both_ways
def test_a_file_lends_nobody_the_rights_of_its_owner(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "tool", "#!/bin/sh\n", 0o6755)
    write(src / "large", bytes(range(256)) * 2048, 0o4711)
    (src / "shared").mkdir()
    (src / "shared").chmod(0o7775)
    copy(src, dst)
    assert (mode_of(dst / "tool"), mode_of(dst / "large")) == (0o755, 0o711)
    assert mode_of(dst / "shared") == 0o3775, "there set-group-id only says which group new files get"
    assert copy(src, dst).files_sent == 0, "and that is no difference to be mended"


@both_ways
def test_mtimes_to_the_nanosecond(copy: Copy, src: Path, dst: Path) -> None:
    mtimes = (OLD, -1, 0, 1, TIME, 4_000_000_000_999_999_999)
    for mtime in mtimes:
        write(src / str(mtime) / "small", "x", mtime=mtime)
        write(src / str(mtime) / "large", bytes(CHUNK) + b"x", mtime=mtime)
        (src / str(mtime) / "link").symlink_to("large")
        os.utime(src / str(mtime) / "link", ns=(0, mtime), follow_symlinks=False)
        os.utime(src / str(mtime), ns=(0, mtime))
    os.utime(src, ns=(0, OLD))
    copy(src, dst)
    for mtime in mtimes:
        times = [(dst / str(mtime) / name).lstat().st_mtime_ns for name in ("small", "large", "link", ".")]
        assert times == [mtime] * 4
    assert_same(src, dst)


@both_ways
def test_links_are_copied_and_not_followed(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "file", "x")
    (src / "dir").mkdir()
    targets = [b"file", b"dir", b"nowhere", b"/etc/passwd", b"../../..", b"5", b"\xff\n", b"x" * 4095]
    for number, target in enumerate(targets):
        os.symlink(target, os.fsencode(src / str(number)))
    assert copy(src, dst).links == len(targets)
    assert [os.readlink(os.fsencode(dst / str(number))) for number in range(len(targets))] == targets
    assert_same(src, dst)


@both_ways
def test_names_of_any_bytes(copy: Copy, src: Path, dst: Path) -> None:
    names = [
        b"\xff\xfe", b"latin \xe9", "ü 日本語 \U0001f40d".encode(), b"two\nlines", b"\x1b[31m\r\t", b" ", b"-rf", b"*",
        b"\\", b"...", b"x" * 255,
    ]  # fmt: skip
    for kind in ("dir", "link", "file"):
        (src / kind).mkdir()
    for name in names:
        os.mkdir(os.fsencode(src / "dir") + b"/" + name)
        os.symlink(name, os.fsencode(src / "link") + b"/" + name)
        Path(os.fsdecode(os.fsencode(src / "file") + b"/" + name)).write_text("content")
    copy(src, dst)
    assert sorted(os.listdir(os.fsencode(dst / "file"))) == sorted(names)
    assert_same(src, dst)


@both_ways
def test_empty_directories_and_an_empty_tree(copy: Copy, src: Path, dst: Path) -> None:
    assert copy(src, dst).directories == 0
    assert facts(dst) == facts(src)
    (src / "a" / "b" / "c").mkdir(parents=True)
    assert copy(src, dst).directories == 3
    assert_same(src, dst)


@both_ways
def test_a_sparse_file_stays_sparse_and_costs_nothing(copy: Copy, src: Path, dst: Path) -> None:
    with open(src / "sparse", "wb") as file:
        file.truncate(16 << 20)
        file.seek(10 << 20)
        file.write(b"an island")
    report = copy(src, dst)
    assert_same(src, dst)
    assert report.bytes_sent == CHUNK and report.bytes_skipped == (16 << 20) - CHUNK
    assert (dst / "sparse").stat().st_blocks * 512 <= 2 * CHUNK


@both_ways
def test_deep_trees(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "/".join(["d"] * 50) / "file", "at the bottom")
    assert copy(src, dst).directories == 50
    assert_same(src, dst)


def test_more_files_than_are_under_way_at_once(src: Path, dst: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "WINDOW", 20)
    names = [f"{i:03}" for i in range(200)]
    for name in names:
        (src / name).touch()
    report = pull_contents(src, dst)
    assert report.files_sent == len(names)
    assert sorted(os.listdir(dst)) == names


@both_ways
def test_what_is_neither_file_nor_directory_nor_link_is_passed_over(copy: Copy, src: Path, dst: Path) -> None:
    os.mkfifo(src / "pipe")
    write(src / "file", "x")
    report = copy(src, dst)
    assert report.problems == [Problem(b"pipe", "passed over: it is a named pipe", error=False)]
    assert (os.listdir(dst), report.errors) == (["file"], 0)


@both_ways
def test_unfinished_files_of_others_are_not_copied(copy: Copy, src: Path, dst: Path) -> None:
    write(src / ".file.jsp-part", "half of it")
    report = copy(src, dst)
    assert os.listdir(dst) == []
    assert [(problem.path, problem.error) for problem in report.problems] == [(b".file.jsp-part", False)]


# --- where it goes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "where", "arrives"),
    [
        ("dir", "", ["dir", "dir/file"]),
        ("dir", "new", ["new", "new/dir", "new/dir/file"]),
        ("dir/", "", ["file"]),
        ("dir/.", "a/b", ["a", "a/b", "a/b/file"]),
        ("file", "", ["file"]),
        ("file", "renamed", ["renamed"]),
        ("file", "a/renamed", ["a", "a/renamed"]),
        ("file", "new/", ["new", "new/file"]),
        ("link", "", ["link"]),
        ("link", "renamed", ["renamed"]),
        ("link/", "", ["file"]),
    ],
)
def test_push_goes_where_rsync_would_put_it(what: str, where: str, arrives: list[str], src: Path, dst: Path) -> None:
    write(src / "dir" / "file", "x")
    write(src / "file", "x")
    (src / "link").symlink_to("dir")
    dst.mkdir()
    with served(dst) as conn:
        push(conn, f"{src}/{what}", where)
    assert sorted(str(path.relative_to(dst)) for path in dst.rglob("*")) == arrives


@pytest.mark.parametrize(
    ("what", "where", "arrives"),
    [
        ("", "", ["dir", "dir/file", "file", "link"]),
        ("dir", "", ["dir", "dir/file"]),
        ("dir/", "", ["file"]),
        ("dir/", "a/b", ["a", "a/b", "a/b/file"]),
        ("dir/file", "", ["file"]),
        ("file", "/renamed", ["renamed"]),
        ("file", "/new/", ["new", "new/file"]),
        ("link", "", ["link"]),
    ],
)
def test_pull_goes_where_rsync_would_put_it(what: str, where: str, arrives: list[str], src: Path, dst: Path) -> None:
    write(src / "dir" / "file", "x")
    write(src / "file", "x")
    (src / "link").symlink_to("dir")
    dst.mkdir()
    with served(src) as conn:
        pull(conn, what, os.path.join(dst, where.lstrip("/")))
    assert sorted(str(path.relative_to(dst)) for path in dst.rglob("*")) == arrives


def test_paths_of_any_kind(src: Path, dst: Path) -> None:
    file = write(src / "file", "x")
    dst.mkdir()
    with served(dst) as conn:
        push(conn, file, Path("one"))
        push(conn, os.fsencode(file), b"\xff")
        pull(conn, b"\xff", os.fsencode(src / "three"))
    assert sorted(os.listdir(os.fsencode(dst))) == [b"one", b"\xff"]
    assert (src / "three").read_text() == "x"


def test_a_pull_to_nowhere_is_a_mistake(src: Path) -> None:
    with served(src) as conn, pytest.raises(jsp.LocalError, match=r"'\.' is the current directory"):
        pull(conn, "", "")


@both_ways
def test_exclude(copy: Copy, src: Path, dst: Path) -> None:
    for name in ("a.py", "a.pyc", "build/x", "sub/build/x", "docs/x.html", "docs/x.md", "cache/x", "sub/cache"):
        write(src / name, "x")
    copy(src, dst, exclude=["*.pyc", "/build", b"docs/*.html", "cache/"])
    left = {str(path.relative_to(dst)) for path in dst.rglob("*") if path.is_file()}
    assert left == {"a.py", "sub/build/x", "docs/x.md", "sub/cache"}


# --- what is there already ---------------------------------------------------------------------------------------


@both_ways
def test_a_second_run_sends_and_changes_nothing(copy: Copy, src: Path, dst: Path) -> None:
    make_tree(src)
    (src / "locked").chmod(0o755)
    first = copy(src, dst)
    before = identities(dst)
    second = copy(src, dst)
    assert (second.files_sent, second.bytes_sent, second.bytes_skipped) == (0, 0, first.bytes_total)
    assert identities(dst) == before


@both_ways
def test_a_dry_run_leaves_directories_alone(copy: Copy, src: Path, dst: Path) -> None:
    (src / "dir").mkdir()
    (dst / "dir").mkdir(parents=True)
    for folder in (dst, dst / "dir"):
        folder.chmod(0o700)
        os.utime(folder, ns=(TIME, TIME))
    before = facts(dst)
    copy(src, dst, dry_run=True)
    assert facts(dst) == before


@both_ways
def test_a_dry_run_says_what_would_be_sent_and_changes_nothing(copy: Copy, src: Path, dst: Path) -> None:
    make_tree(src)
    copy(src, dst)
    write(src / "large.bin", (src / "large.bin").read_bytes()[:-5] + b"other", mtime=TIME + 1)
    write(src / "new" / "file", "x")
    (dst / "empty").chmod(0o600)
    (dst / "link").unlink()
    before = identities(dst)
    plan: list[bytes] = []
    dry = copy(src, dst, dry_run=True, progress=lambda report: plan.append(report.path))
    assert identities(dst) == before
    assert dry.dry_run and {b"large.bin", b"new/file"} <= set(plan)
    real = copy(src, dst)
    assert (dry.files_sent, dry.bytes_sent) == (real.files_sent, real.bytes_sent) == (2, 7 + 1)
    assert_same(src, dst)


def test_a_dry_run_to_where_nothing_is_makes_nothing(src: Path, dst: Path) -> None:
    make_tree(src / "tree")
    before = identities(src)
    with served(src) as conn:
        reports = [push(conn, src / "tree", "new/dir", dry_run=True), pull(conn, "tree", dst / "new", dry_run=True)]
    assert [report.bytes_sent for report in reports] == [report.bytes_total for report in reports]
    assert identities(src) == before and not dst.exists()


@both_ways
def test_checksum_finds_what_size_and_mtime_hide(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "small", "one")
    write(src / "large", bytes(range(256)) * 4096)
    copy(src, dst)
    write(dst / "small", "two")
    write(dst / "large", b"\xff" + (dst / "large").read_bytes()[1:])
    assert copy(src, dst).files_sent == 0
    report = copy(src, dst, checksum=True)
    assert (report.files_sent, report.bytes_sent) == (2, 3 + CHUNK)
    assert_same(src, dst)
    assert copy(src, dst, checksum=True).bytes_sent == 0


@both_ways
@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (lambda old: old[: 2 * CHUNK + 5] + b"\xff" + old[2 * CHUNK + 6 :], CHUNK),
        (lambda old: old + b"ten bytes.", 10),
        (lambda old: old[: 2 * CHUNK + 1], 0),
        (lambda old: b"first" + old[5 : 3 * CHUNK] + b"last", CHUNK + 4),
    ],
    ids=["changed in the middle", "grown", "shrunk", "both ends"],
)
def test_of_an_older_version_only_chunks_that_differ_are_sent(
    copy: Copy, change: Callable[[bytes], bytes], sent: int, src: Path, dst: Path
) -> None:
    old = bytes(range(256)) * (4 * CHUNK // 256)
    write(src / "file", old)
    copy(src, dst)
    write(src / "file", change(old), mtime=TIME + 1)
    report = copy(src, dst)
    assert (report.bytes_sent, report.bytes_sent + report.bytes_skipped) == (sent, report.bytes_total)
    assert_same(src, dst)


@both_ways
def test_a_mode_is_mended_without_sending_the_file(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "file", "x", 0o640)
    copy(src, dst)
    (dst / "file").chmod(0o777)
    assert copy(src, dst).bytes_sent == 0
    assert mode_of(dst / "file") == 0o640


@both_ways
def test_what_only_the_copy_has_stays(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "file", "x")
    write(dst / "other" / "file", "mine")
    copy(src, dst)
    assert (dst / "other" / "file").read_text() == "mine"


# --- what is in the way ------------------------------------------------------------------------------------------


@both_ways
def test_a_file_takes_the_place_of_a_link_not_of_what_it_leads_to(
    copy: Copy, src: Path, dst: Path, tmp_path: Path
) -> None:
    write(src / "small", "new")
    write(src / "large", os.urandom(CHUNK + 1))
    outside = write(tmp_path / "outside", "old")
    dst.mkdir()
    for name in ("small", "large"):
        (dst / name).symlink_to(outside)
    copy(src, dst)
    assert_same(src, dst)
    assert outside.read_text() == "old"


@both_ways
def test_a_link_takes_the_place_of_a_file_and_of_another_link(copy: Copy, src: Path, dst: Path) -> None:
    (src / "one").symlink_to("there")
    (src / "two").symlink_to("there")
    write(dst / "one", "a file")
    (dst / "two").symlink_to("elsewhere")
    copy(src, dst)
    assert_same(src, dst)


@both_ways
def test_a_directory_is_in_the_way_of_a_file_and_of_a_link(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "file", "x")
    (src / "link").symlink_to("file")
    write(src / "other", "x")
    for name in ("file", "link"):
        write(dst / name / "precious", "mine")
    report = copy(src, dst)
    assert sorted(map(str, report.problems)) == ["file: a directory is in its way", "link: a directory is in its way"]
    assert (report.errors, report.files_sent, (dst / "other").read_text()) == (2, 1, "x")
    assert (dst / "file" / "precious").read_text() == (dst / "link" / "precious").read_text() == "mine"


@both_ways
def test_a_file_is_in_the_way_of_a_directory(copy: Copy, src: Path, dst: Path) -> None:
    write(src / "dir" / "sub" / "file", "x")
    write(src / "other", "x")
    write(dst / "dir", "mine")
    report = copy(src, dst)
    assert [str(problem) for problem in report.problems] == ["dir: something that is no directory is in its way"]
    assert (report.errors, report.files, report.files_sent) == (1, 2, 1)
    assert (dst / "dir").read_text() == "mine"


# --- what both ends know -----------------------------------------------------------------------------------------


def test_both_ends_have_the_same_totals(src: Path, dst: Path) -> None:
    make_tree(src)
    (dst / "empty").mkdir(parents=True)
    log = Log()
    with served(dst, log, identity=OTHER) as conn:
        reports = [push(conn, f"{src}/", "sub"), pull(conn, "sub", dst), push(conn, f"{src}/")]
        log.wait(3)
    for mine, there in zip(reports, log, strict=True):
        assert {**mine.totals(), "seconds": 0} == {**there.report.totals(), "seconds": 0}
        assert mine.problems == there.report.problems
        assert mine.ended is not None and there.report.ended is not None
    assert [session[:3] for session in log] == [
        (OTHER.peer_id, True, b"sub"), (OTHER.peer_id, False, b"sub"), (OTHER.peer_id, True, b"")
    ]  # fmt: skip
    assert [session.error for session in log] == [None, None, None]
    assert reports[2].errors == 1, "a directory in the way of a file is both ends' affair"


@both_ways
def test_progress_never_goes_back_and_ends_with_everything(copy: Copy, src: Path, dst: Path) -> None:
    make_tree(src, size=8 * CHUNK)
    seen: list[tuple[Any, ...]] = []

    def note(report: Report) -> None:
        seen.append((report.scanned, report.files_done, report.bytes_sent + report.bytes_skipped, report.bytes_total))

    report = copy(src, dst, progress=note)
    assert seen == sorted(seen) and len(seen) > 3
    assert seen[-1] == (True, report.files, report.bytes_total, report.bytes_total)


@pytest.mark.parametrize(("name", "error"), [("missing", FileNotFoundError), ("file", NotADirectoryError)])
def test_only_a_directory_can_be_served(name: str, error: type[OSError], src: Path) -> None:
    write(src / "file")
    with pytest.raises(error):
        handler(src / name)
