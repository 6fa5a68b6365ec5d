"""Entries of a tree: there and back, and nothing but them or a declared error from any bytes."""

from __future__ import annotations

import time
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.transfer.chunks import SIZE_MAX
from jsp.transfer.entries import (
    ENTRIES_MAX,
    MODE_MAX,
    TIME_MAX,
    Enter,
    Entry,
    File,
    Leave,
    Link,
    check_mode,
    check_size,
    check_time,
    nearest_time,
    pack_entries,
    parse_entries,
)
from jsp.transfer.errors import BadFrame
from jsp.transfer.names import is_temporary
from tests.profiles import examples
from tests.transfer.test_names import COMPONENTS

NAMES = COMPONENTS.filter(lambda name: not is_temporary(name))
MODES = st.integers(0, MODE_MAX)
TIMES = st.integers(-TIME_MAX, TIME_MAX)
TARGETS = st.binary(min_size=1, max_size=60).filter(lambda target: 0 not in target)
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.just(Leave()),
    st.builds(Enter, NAMES, MODES, TIMES),
    st.builds(File, NAMES, MODES, TIMES, st.integers(0, SIZE_MAX)),
    st.builds(Link, NAMES, TIMES, TARGETS),
)


def parsed(*rows: Any) -> list[Entry]:
    return parse_entries(msgpack.packb(list(rows)))


@given(st.lists(ENTRIES, max_size=20))
def test_entries_there_and_back(entries: list[Entry]) -> None:
    there = parse_entries(pack_entries(entries))
    assert there == entries
    # Named tuples of different kinds are equal when their values are.
    assert [type(entry) for entry in there] == [type(entry) for entry in entries]


def test_entries_on_the_wire() -> None:
    entries: list[Entry] = [Enter(b"d", 0o755, -1), File(b"f", 0o644, 2, 3), Leave(), Link(b"l", 4, b"t")]
    rows = [[1, b"d", 0o755, -1], [2, b"f", 0o644, 2, 3], [0], [3, b"l", 4, b"t"]]
    assert msgpack.unpackb(pack_entries(entries)) == rows
    assert parse_entries(bytearray(msgpack.packb(rows))) == entries


@pytest.mark.parametrize("row", [[0, 1, None], [1, b"n", 0, 0, "x"], [2, b"n", 0, 0, 0, {}], [3, b"n", 0, b"t", []]])
def test_what_a_later_version_adds_is_passed_over(row: list[Any]) -> None:
    longer, shorter = parsed(row), parsed(row[: (1, 4, 5, 4)[row[0]]])
    assert longer == shorter


@examples(150)
@given(st.binary(max_size=100))
def test_any_bytes_are_entries_or_a_declared_error(body: bytes) -> None:
    try:
        parse_entries(body)
    except BadFrame:
        pass


@given(st.lists(ENTRIES, min_size=1, max_size=5), st.data())
def test_damaged_entries_are_entries_or_a_declared_error(entries: list[Entry], data: st.DataObject) -> None:
    packed = bytearray(pack_entries(entries))
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    try:
        there = parse_entries(packed)
    except BadFrame:
        return
    # What is taken can be packed, so it keeps all rules.
    assert parse_entries(pack_entries(there)) == there


@given(st.lists(ENTRIES, min_size=1, max_size=5))
def test_entries_cut_anywhere_are_damaged(entries: list[Entry]) -> None:
    packed = pack_entries(entries)
    for end in range(len(packed)):
        with pytest.raises(BadFrame):
            parse_entries(packed[:end])
    with pytest.raises(BadFrame):
        parse_entries(packed + b"\xc0")


BAD_ROWS: list[Any] = [
    [],
    {},
    None,
    b"\x00",
    "0",
    [None],
    ["0"],
    [4],
    [-1],
    [0.0],
    [True, b"n", 0, 0],
    [1 << 63],
    [[0]],
    [1],
    [1, b"n", 0],
    [2, b"n", 0, 0],
    [3, b"n", 0],
    [1, "n", 0, 0],
    [1, b"", 0, 0],
    [1, b"..", 0, 0],
    [2, b"a/b", 0, 0, 0],
    [3, b"a\0", 0, b"t"],
    [3, b"n", 0, b""],
    [3, b"n", 0, "t"],
    [1, b"n", MODE_MAX + 1, 0],
    [1, b"n", -1, 0],
    [1, b"n", True, 0],
    [2, b"n", 0, 1 << 63, 0],
    [2, b"n", 0, -(1 << 63), 0],
    [2, b"n", 0, 0.0, 0],
    [2, b"n", 0, None, 0],
    [2, b"n", 0, 0, -1],
    [2, b"n", 0, 0, SIZE_MAX + 1],
    [2, b"n", 0, 0, False],
    [3, b"n", msgpack.Timestamp(0), b"t"],
]


@pytest.mark.parametrize("row", BAD_ROWS, ids=repr)
def test_malformed_entries(row: Any) -> None:
    with pytest.raises(BadFrame):
        parsed([1, b"before", 0, 0], row)


@pytest.mark.parametrize("body", [{}, None, 0, b"", "text", {1: 2}], ids=repr)
def test_what_is_no_list_is_no_entries(body: Any) -> None:
    with pytest.raises(BadFrame):
        parse_entries(msgpack.packb(body))


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_names_of_unfinished_files_are_the_receivers_own(kind: int) -> None:
    rests: dict[int, list[Any]] = {1: [0, 0], 2: [0, 0, 0], 3: [0, b"t"]}
    with pytest.raises(BadFrame, match="unfinished"):
        parsed([kind, b".name.jsp-part", *rests[kind]])


def test_a_frame_cannot_keep_everybody_waiting() -> None:
    # Parsed by the hub: two million entries of two bytes would take seconds.
    assert len(parse_entries(pack_entries([Leave()] * ENTRIES_MAX))) == ENTRIES_MAX
    body = b"\xdd" + (2 << 20).to_bytes(4, "big") + b"\x91\x00" * (2 << 20)
    begin = time.thread_time()
    with pytest.raises(BadFrame):
        parse_entries(body)
    assert time.thread_time() - begin < 0.1


# --- values ------------------------------------------------------------------------------------------------------

ODD: list[Any] = [None, "1", b"1", 1.0, True, [1], -(1 << 63), 1 << 63, 1 << 64]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_values_that_are_neither_mode_nor_time_nor_size(value: Any) -> None:
    for check in (check_mode, check_time, check_size):
        with pytest.raises(BadFrame):
            check(value)


def test_bounds_of_values() -> None:
    assert (check_mode(0), check_mode(0o7777)) == (0, 0o7777)
    assert (check_time(TIME_MAX), check_time(-TIME_MAX)) == (TIME_MAX, -TIME_MAX)
    assert (check_size(0), check_size(SIZE_MAX)) == (0, SIZE_MAX)
    for check, value in ((check_mode, 0o10000), (check_mode, -1), (check_size, -1), (check_size, SIZE_MAX + 1)):
        with pytest.raises(BadFrame):
            check(value)


@pytest.mark.parametrize("year", [1600, 2300, 2486, 9999, 292_277])
def test_a_time_that_only_a_file_system_knows_becomes_the_nearest_there_is(year: int) -> None:
    # 64 bits of nanoseconds end in 2262; ext4 goes on until 2446, and others for ever.
    mtime = (year - 1970) * 31_556_952 * 10**9
    for entry in (Enter(b"n", 0, mtime), File(b"n", 0, mtime, 0), Link(b"n", mtime, b"t")):
        [there] = parse_entries(pack_entries([entry]))
        assert not isinstance(there, Leave)
        assert there.mtime == (TIME_MAX if year > 1970 else -TIME_MAX) == nearest_time(mtime)


@given(TIMES)
def test_other_times_are_kept_to_the_nanosecond(mtime: int) -> None:
    assert nearest_time(mtime) == mtime
