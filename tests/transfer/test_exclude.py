"""Patterns of what is left out: which names they catch, and that a peer's patterns cost little."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.transfer.exclude import Exclude
from tests.profiles import examples

LETTERS = "ab*?[]!^-\\.\n\x00\xff&~|"


def left_out(pattern: bytes, path: bytes, directory: bool = False) -> bool:
    return Exclude([pattern]).matches(path.rpartition(b"/")[2], path, directory)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (b"*.pyc", b"a.pyc", True),
        (b"*.pyc", b"deep/er/a.pyc", True),
        (b"*.pyc", b"a.pyc.txt", False),
        (b"*.pyc", b"a\nb.pyc", True),
        (b".git", b"sub/.git", True),
        (b".git", b".github", False),
        (b".GIT", b".git", False),
        (b"a?c", b"abc", True),
        (b"a?c", b"ac", False),
        (b"[ab]c", b"ac", True),
        (b"[!ab]c", b"ac", False),
        (b"[a", b"[a", True),
        (b"\xff*", b"\xff\xfe", True),
        (b"a", b"a/b", False),
        (b"", b"a", False),
        (b"/build", b"build", True),
        (b"/build", b"sub/build", False),
        (b"docs/*.html", b"docs/a.html", True),
        (b"docs/*.html", b"docs/deep/a.html", True),
        (b"docs/*.html", b"sub/docs/a.html", False),
        (b"*/docs", b"sub/docs", True),
        (b"*/docs", b"docs", False),
        (b"//build", b"build", True),
        (b"a/b", b"a/b/c", False),
    ],
)
def test_what_a_pattern_catches(pattern: bytes, path: bytes, expected: bool) -> None:
    assert left_out(pattern, path) is left_out(pattern, path, directory=True) is expected


@pytest.mark.parametrize(
    ("pattern", "path"), [(b"build/", b"build"), (b"build/", b"sub/build"), (b"/build/", b"build"), (b"a/*/", b"a/b")]
)
def test_a_slash_at_the_end_catches_only_directories(pattern: bytes, path: bytes) -> None:
    assert left_out(pattern, path, directory=True)
    assert not left_out(pattern, path)


def test_a_slash_at_the_end_alone_does_not_make_it_a_path() -> None:
    assert left_out(b"build/", b"sub/build", directory=True)
    assert not left_out(b"/build/", b"sub/build", directory=True)


@pytest.mark.parametrize("pattern", [b"/", b"//", b"///"])
def test_nothing_but_slashes_catches_nothing(pattern: bytes) -> None:
    for path in (b"a", b"a/b"):
        assert not left_out(pattern, path, directory=True)


def test_one_of_many_is_enough() -> None:
    exclude = Exclude(iter([b"*.o", b"/out/", b"x/y"]))
    assert exclude.matches(b"a.o", b"d/a.o", False)
    assert exclude.matches(b"out", b"out", True)
    assert exclude.matches(b"y", b"x/y", False)
    assert not exclude.matches(b"out", b"out", False)
    assert not exclude.matches(b"y", b"y", False)


@pytest.mark.parametrize("pattern", [b"a", b"a/", b"a/b", b"/a", b"a/b/"])
def test_patterns_of_every_kind_count(pattern: bytes) -> None:
    assert Exclude([pattern])
    assert not Exclude()
    assert not Exclude().matches(b"a", b"a", True)


@examples(150)
@given(st.text(LETTERS, max_size=12), st.text(LETTERS, max_size=12))
def test_names_are_matched_as_the_shell_does(pattern: str, name: str) -> None:
    expected = fnmatch.fnmatchcase(name, pattern)
    assert left_out(pattern.encode("latin-1"), name.encode("latin-1")) is expected


@examples(150)
@given(st.binary(max_size=30), st.binary(max_size=30), st.booleans())
def test_any_bytes_are_a_pattern(pattern: bytes, path: bytes, directory: bool) -> None:
    assert left_out(pattern, path, directory) in (False, True)


EVIL = {
    "stars": b"*a" * 120 + b"b",
    "sets": b"*[ab]" * 50 + b"c",
    "open brackets": b"[" * 250,
    "ranges": b"[a-" * 80 + b"]",
    "question marks": b"*?" * 120 + b"b",
}


@pytest.mark.parametrize("pattern", EVIL.values(), ids=EVIL.keys())
def test_matching_does_not_backtrack(pattern: bytes) -> None:
    exclude = Exclude([pattern, b"/" + pattern])
    begin = time.thread_time()
    assert not exclude.matches(b"a" * 100, b"a" * 4000 + b"\0", False)
    assert time.thread_time() - begin < 0.2


def test_patterns_are_compiled_by_whoever_walks() -> None:
    # A request is read by the hub, and a hundred such patterns take it a second.
    begin = time.thread_time()
    exclude = Exclude([b"[" * 1000 + b"%d" % i for i in range(100)])
    assert time.thread_time() - begin < 0.1
    assert exclude
