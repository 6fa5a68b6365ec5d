"""A receiver facing senders that break the rules: nothing gets out of its directory, or in it uninvited."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jsp.transfer import frames
from jsp.transfer import receiver as receiver_module
from jsp.transfer.chunks import CHUNK, hash_chunk
from jsp.transfer.entries import Enter, Leave, Link
from jsp.transfer.errors import BadFrame
from jsp.transfer.frames import Begin, Start
from jsp.transfer.names import DEPTH_MAX
from jsp.transfer.sender import WINDOW
from tests.transfer.peers import names, receiver
from tests.transfer.sends import FINISH, SCANNED, chunked, file, finish, whole
from tests.transfer.trees import TIME, facts, identities, write

pytestmark = pytest.mark.usefixtures("all_closed")

NEW = whole(b"new")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where things go, with something beside it that nothing may reach."""
    write(tmp_path / "outside" / "secret", "x")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([whole(b"new", 1)], "not asked for"),
        ([whole(b"new", (1 << 32) - 1)], "not asked for"),
        ([frames.pack_begin(Begin(1, 3, TIME, 0o644))], "not asked for"),
        ([frames.pack_data(1, 0, hash_chunk(b"new"), b"new")], "not asked for"),
        ([frames.pack_holes(1, 0, 1)], "not asked for"),
        ([frames.pack_end(1, bytes(32))], "not asked for"),
        ([frames.pack_pass(1)], "not asked for"),
        ([frames.pack_data(0, 0, hash_chunk(b"new"), b"new")], "not begun"),
        ([frames.pack_begin(Begin(0, CHUNK + 1, TIME, 0o644)), frames.pack_holes(0, 0, 3)], "larger than its file"),
        ([frames.pack_begin(Begin(0, 3, TIME, 0o644)), NEW], "in the middle of another"),
        ([NEW, NEW], "more than once"),
        ([NEW, frames.pack_pass(0)], "more than once"),
        ([frames.pack_pass(0), frames.pack_pass(0)], "more than once"),
        ([frames.pack_pass(0), frames.pack_end(0, bytes(32))], "more than once"),
        ([*chunked(b"new"), *chunked(b"new")], "more than once"),
        ([FINISH], "ends before it has sent everything"),
        ([frames.pack_begin(Begin(0, 3, TIME, 0o644)), FINISH], "ends before it has sent everything"),
        ([frames.pack_plan(0, 3)], "frame 11 is not for a receiver"),
        ([frames.pack_verdicts([0], (), ())], "frame 16 is not for a receiver"),
        ([frames.pack(frames.RESULT)], "frame 19 is not for a receiver"),
        ([frames.pack_start(Start(single=False))], "frame 2 is not for a receiver"),
        ([frames.pack(63)], "frame 63 is not for a receiver"),
        ([frames.pack(frames.WHOLE, b"\0\0")], "too short"),
        ([frames.pack(frames.WHOLE, b"\0\0\0\0\0\0")], "too short"),
        ([frames.pack(frames.ENTRIES, b"\xc1")], "damaged"),
        ([b"\xff\xff\xff\xff\x05"], "longer than any can be"),
    ],
)
def test_a_sender_that_breaks_the_rules_ends_the_session(root: Path, script: list[bytes], words: str) -> None:
    with receiver(root) as peer:
        peer.say_entries(file(3))
        assert peer.verdicts() == ([0], [], [])
        peer.say(*script)
        with pytest.raises(BadFrame, match=words):
            peer.wait()
    assert facts(root.parent / "outside").keys() == {b".", b"secret"}


def test_contents_before_the_verdict_or_against_it_end_the_session(root: Path) -> None:
    write(root / "file", "new")
    with receiver(root) as peer:
        peer.say_entries(file(3))
        assert peer.verdicts().keep == [0]
        before = identities(root)
        peer.say(whole(b"evl"))
        with pytest.raises(BadFrame, match="not asked for"):
            peer.wait()
    assert identities(root) == before


@pytest.mark.parametrize(
    "row",
    [
        [2, b"..", 0o644, TIME, 3],
        [2, b".", 0o644, TIME, 3],
        [2, b"", 0o644, TIME, 3],
        [2, b"../outside/new", 0o644, TIME, 3],
        [2, b"/new", 0o644, TIME, 3],
        [2, b"dir/new", 0o644, TIME, 3],
        [2, b"new\0", 0o644, TIME, 3],
        [2, b"x" * 256, 0o644, TIME, 3],
        [2, "text", 0o644, TIME, 3],
        [2, b".file.jsp-part", 0o644, TIME, 3],
        [1, b"..", 0o755, TIME],
        [1, b"a/b", 0o755, TIME],
        [1, b"\0", 0o755, TIME],
        [1, b".file.jsp-part", 0o755, TIME],
        [3, b"..", TIME, b"x"],
        [3, b"../new", TIME, b"x"],
        [3, b"link", TIME, b"x\0"],
        [3, b".file.jsp-part", TIME, b"x"],
        [4, b"new"],
        [],
    ],
    ids=repr,
)
def test_names_that_climb_or_cannot_be_end_the_session(root: Path, row: list[Any]) -> None:
    before = identities(root.parent)
    with receiver(root) as peer:
        peer.say_rows([2, b"harmless", 0o644, TIME, 3], row)
        with pytest.raises(BadFrame):
            peer.wait()
    assert identities(root.parent) == before, "nor is any other entry beside it carried out"


def test_a_directory_left_that_was_not_entered_ends_the_session(root: Path) -> None:
    for entries in ([Leave()], [Enter(b"a", 0o755, TIME), Leave(), Leave()]):
        with receiver(root) as peer:
            peer.say_entries(*entries)
            with pytest.raises(BadFrame, match="left that was not entered"):
                peer.wait()


def test_a_tree_that_ends_inside_a_directory_ends_the_session(root: Path) -> None:
    with receiver(root) as peer:
        peer.say_entries(Enter(b"a", 0o555, TIME))
        peer.say(SCANNED, FINISH)
        with pytest.raises(BadFrame, match="ends inside a directory"):
            peer.wait()
    assert (root / "a").stat().st_mtime_ns != TIME


def test_a_tree_deeper_than_any_path_ends_the_session(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "DEPTH_MAX", 5)
    assert DEPTH_MAX > 5
    with receiver(root) as peer:
        peer.say_entries(*[Enter(b"d", 0o755, TIME)] * 5, *[Leave()] * 5)
        finish(peer)
    with receiver(root) as peer:
        peer.say_entries(*[Enter(b"d", 0o755, TIME)] * 6)
        with pytest.raises(BadFrame, match="more than 5 directories deep"):
            peer.wait()


@pytest.mark.parametrize(
    "entries",
    [
        [file(3), file(3, b"second")],
        [file(3), Link(b"second", TIME, b"x")],
        [Link(b"first", TIME, b"x"), file(3)],
        [Link(b"first", TIME, b"x"), Link(b"second", TIME, b"x")],
        [Enter(b"dir", 0o755, TIME)],
        [file(3), Enter(b"dir", 0o755, TIME)],
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_more_than_the_single_thing_that_was_announced_ends_the_session(
    root: Path, entries: list[Any], apart: bool
) -> None:
    with receiver(root, rename=b"renamed") as peer:
        if apart:
            for entry in entries:
                peer.say_entries(entry)
        else:
            peer.say_entries(*entries)
        with pytest.raises(BadFrame, match="more than the single thing"):
            peer.wait()
    assert set(names(root)) <= {"renamed"}


def test_files_without_end_that_are_never_sent_end_the_session(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert receiver_module._UNSERVED_MAX == 2 * WINDOW
    monkeypatch.setattr(receiver_module, "_UNSERVED_MAX", 500)
    with receiver(root) as peer:
        for batch in range(5):
            peer.say_entries(*[file(3, b"%d" % (100 * batch + i)) for i in range(100)])
            peer.verdicts()
        peer.say_entries(file(3))
        with pytest.raises(BadFrame, match="more files than it may leave unserved"):
            peer.wait()
    assert peer.report.files == 500


def test_files_that_are_served_kept_or_refused_make_room_for_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "_UNSERVED_MAX", 4)
    write(root / "kept", "new")
    (root / "dir").mkdir()
    with receiver(root) as peer:
        for number in range(0, 20, 4):
            peer.say_entries(file(3, b"kept"), file(3, b"dir"), file(3, b"%d" % number), file(3, b"l%d" % number))
            peer.expect(frames.PROBLEM)
            assert peer.verdicts() == ([number + 2, number + 3], [number], [number + 1])
            peer.say(whole(b"new", number + 2), *(chunked(b"new", number + 3) if number else [frames.pack_pass(3)]))
        report = finish(peer)
    assert (report.files, report.files_done, report.files_sent) == (20, 20, 9)


def test_a_link_that_was_sent_leads_nowhere(root: Path) -> None:
    with receiver(root) as peer:
        peer.say_entries(Link(b"link", TIME, b"../outside"), Enter(b"link", 0, TIME), file(3), Leave(), file(3, b"x"))
        assert frames.parse_problem(peer.expect(frames.PROBLEM))[1] == b"link"
        assert peer.verdicts() == ([1], [], [0])
        peer.say(whole(b"new", 1))
        report = finish(peer)
    assert (report.errors, names(root.parent / "outside")) == (1, ["secret"])
    assert os.readlink(root / "link") == "../outside"


# --- dry runs ----------------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing(root: Path) -> None:
    write(root / "dir" / "file", "older")
    before = identities(root)
    planned: list[bytes] = []
    with receiver(
        root, dry_run=True, start=Start(False, 0o700, TIME), progress=lambda report: planned.append(report.path)
    ) as peer:
        peer.say_entries(Enter(b"dir", 0o700, TIME), file(3), Leave(), Enter(b"new", 0o700, TIME), file(3), Leave())
        peer.say_entries(Link(b"link", TIME, b"x"))
        assert peer.verdicts() == ([0, 1], [], [])
        peer.say(frames.pack_plan(0, 3), frames.pack_plan(1, 3))
        report = finish(peer)
    assert identities(root) == before
    assert (report.files_sent, report.bytes_sent, report.errors) == (2, 6, 0)
    assert {b"dir/file", b"new/file"} <= set(planned)


@pytest.mark.parametrize("script", [[NEW], chunked(b"new"), chunked(bytes(CHUNK + 1))])
def test_contents_in_a_dry_run_end_the_session_and_are_not_stored(root: Path, script: list[bytes]) -> None:
    before = identities(root)
    with receiver(root, dry_run=True) as peer:
        peer.say_entries(file(3))
        peer.verdicts()
        peer.say(*script)
        with pytest.raises(BadFrame, match="is not for a receiver"):
            peer.wait()
    assert identities(root) == before
