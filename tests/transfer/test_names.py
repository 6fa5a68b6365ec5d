"""Names, paths and link targets from a peer: what may be opened, what is refused, what people get to see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jsp.transfer import names
from jsp.transfer.errors import BadFrame
from jsp.transfer.names import (
    NAME_MAX,
    TARGET_MAX,
    check_name,
    check_target,
    display,
    is_temporary,
    split_path,
    temporary_name,
)
from tests.profiles import examples

COMPONENTS = st.binary(min_size=1, max_size=40).filter(lambda n: n not in (b".", b"..") and not set(n) & {0, 0x2F})
# Where the temporary name stops being the name with something around it.
LONGEST_PLAIN = NAME_MAX - len(b"." + b".jsp-part")

# --- one component -----------------------------------------------------------------------------------------------


@examples(200)
@given(st.binary(max_size=300))
def test_a_name_is_taken_as_it_is_or_refused(name: bytes) -> None:
    possible = 0 < len(name) <= 255 and name not in (b".", b"..") and not set(name) & {0, 0x2F}
    if possible:
        assert check_name(name) == name
    else:
        with pytest.raises(BadFrame):
            check_name(name)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"/", b"a/b", b"/a", b"a/", b"../a", b"a\0", b"\0", b"n" * 256])
def test_no_name_leads_anywhere_else(name: bytes) -> None:
    with pytest.raises(BadFrame):
        check_name(name)


@pytest.mark.parametrize("name", [b"...", b" ", b"\n", b"-rf", b"\xff", b"..a", b"a..", b"~", b"C:\\", b"n" * 255])
def test_odd_names_are_names(name: bytes) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("value", ["text", bytearray(b"a"), memoryview(b"a"), None, 1, [b"a"], True], ids=repr)
def test_only_bytes_are_names_and_targets(value: Any) -> None:
    for check in (check_name, check_target):
        with pytest.raises(BadFrame):
            check(value)


def test_the_limits_are_those_of_the_file_system(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    open(os.path.join(folder, b"n" * NAME_MAX), "x").close()
    with pytest.raises(OSError, match="too long"):
        open(os.path.join(folder, b"n" * (NAME_MAX + 1)), "x").close()
    os.symlink(b"t" * TARGET_MAX, os.path.join(folder, b"link"))
    with pytest.raises(OSError, match="too long"):
        os.symlink(b"t" * (TARGET_MAX + 1), os.path.join(folder, b"other"))


@pytest.mark.parametrize("target", [b"", b"a\0b", b"\0", b"t" * 4096])
def test_targets_that_no_link_can_hold(target: bytes) -> None:
    with pytest.raises(BadFrame):
        check_target(target)


@pytest.mark.parametrize("target", [b"..", b"/etc/passwd", b"../../a", b"\xff\n", b"t" * 4095])
def test_where_a_link_leads_is_not_looked_at(target: bytes) -> None:
    assert check_target(target) == target


# --- paths -------------------------------------------------------------------------------------------------------


@given(st.lists(COMPONENTS, min_size=1, max_size=10), st.booleans())
def test_paths_come_apart_as_they_were_joined(parts: list[bytes], slash: bool) -> None:
    assert split_path(b"/".join(parts) + b"/" * slash) == (tuple(parts), slash)


@examples(200)
@given(st.text("a./\0", max_size=12).map(str.encode))
def test_no_path_climbs(path: bytes) -> None:
    try:
        parts, slash = split_path(path)
    except BadFrame:
        # What is refused has something wrong with it.
        inner = (path[:-1] if path.endswith(b"/") else path).split(b"/")
        assert any(part in (b"", b".", b"..") or b"\0" in part for part in inner)
        return
    assert all(check_name(part) == part for part in parts)
    assert b"/".join(parts) + (b"/" if slash and parts else b"") == path


@given(st.binary(max_size=600))
def test_any_bytes_are_a_path_or_a_declared_error(path: bytes) -> None:
    try:
        split_path(path)
    except BadFrame:
        pass


def test_the_empty_path_is_the_directory_itself() -> None:
    assert split_path(b"") == ((), True)


@pytest.mark.parametrize("path", [b"/", b"//", b"/a", b"a//", b"a//b", b"./a", b"a/.", b"../a", b"a/..", b"a/../b/"])
def test_paths_that_are_refused(path: bytes) -> None:
    with pytest.raises(BadFrame):
        split_path(path)


@pytest.mark.parametrize(("path", "words"), [(b"/etc", "/etc: .* relative"), (b"a/../b", "must not contain '..'")])
def test_people_are_told_what_is_wrong_with_a_path(path: bytes, words: str) -> None:
    with pytest.raises(BadFrame, match=words):
        split_path(path)


def test_depth_is_bounded() -> None:
    deepest = (b"a",) * names.DEPTH_MAX
    assert split_path(b"/".join(deepest)) == (deepest, False)
    assert split_path(b"/".join(deepest) + b"/") == (deepest, True)
    with pytest.raises(BadFrame, match="components"):
        split_path(b"/".join((*deepest, b"a")))


# --- temporary names ---------------------------------------------------------------------------------------------


@examples(200)
@given(st.one_of(COMPONENTS, st.integers(LONGEST_PLAIN - 3, NAME_MAX).map(lambda size: b"n" * size)))
def test_a_temporary_name_is_a_name_and_known_for_what_it_is(name: bytes) -> None:
    temporary = temporary_name(name)
    assert check_name(temporary) == temporary != name
    assert is_temporary(temporary)
    assert temporary_name(name) == temporary


@given(COMPONENTS, COMPONENTS)
def test_two_names_have_two_temporary_names(one: bytes, other: bytes) -> None:
    assume(one != other)
    assert temporary_name(one) != temporary_name(other)
    # So long that they are hashed.
    assert temporary_name(one.ljust(NAME_MAX, b"\0")) != temporary_name(other.ljust(NAME_MAX, b"\0"))


@pytest.mark.parametrize("size", [LONGEST_PLAIN, LONGEST_PLAIN + 1])
def test_names_that_would_grow_too_long_are_hashed(size: int) -> None:
    name = b"n" * size
    assert (name in temporary_name(name)) is (size <= LONGEST_PLAIN)
    assert len(temporary_name(name)) <= NAME_MAX


@pytest.mark.parametrize("name", [b"", b".", b".jsp-part", b"a.jsp-part", b".a.jsp-part~", b".a.jsp-parts", b".a"])
def test_names_of_other_files_are_not_taken_for_temporary(name: bytes) -> None:
    assert not is_temporary(name)


# --- for people --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"a/b c.txt", "a/b c.txt"),
        ("é/日本".encode(), "é/日本"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"a\nb\rc\td", "a\\nb\\rc\\td"),
        (b"\x1b[2J", "\\x1b[2J"),
        (b"\x7f\xc2\x9b", "\\x7f\\x9b"),
        ("\u202ecod.exe".encode(), "\\u202ecod.exe"),
        ("\U000e0001".encode(), "\\U000e0001"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"", ""),
    ],
)  # fmt: skip
def test_what_people_see(path: bytes, text: str) -> None:
    assert display(path) == text


@examples(200)
@given(st.binary(max_size=60))
def test_nothing_displayed_moves_the_cursor(path: bytes) -> None:
    text = display(path)
    assert text.isprintable()
    text.encode()


@given(st.text().filter(str.isprintable))
def test_what_can_be_printed_is_left_alone(text: str) -> None:
    assert display(text.encode()) == text
