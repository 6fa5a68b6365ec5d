"""What a tree is made of, as it goes over the wire: a walk, one name at a time.

The sender walks depth first and says what it meets: a file, a link, "into this directory", "out of it again". So an
entry needs one name and no path, a directory's entries follow it without a gap, and the receiver knows when it has
seen the last of them. Each entry is a msgpack array that begins with its kind; elements at its end that are not
known here are passed over, so a later version can say more.

    [0]                             leave the directory
    [1, name, mode, mtime]          enter (and make) a directory
    [2, name, mode, mtime, size]    a regular file; files are numbered from 0 in the order they are named
    [3, name, mtime, target]        a symbolic link

Times are nanoseconds since 1970, modes the twelve permission bits, names and targets bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgpack

from jsp.transfer.chunks import SIZE_MAX
from jsp.transfer.errors import BadFrame
from jsp.transfer.names import check_name, check_target, display, is_temporary

MODE_MAX = 0o7777
TIME_MAX = (1 << 63) - 1

# In one frame, which the hub reads in one go; senders stay far below.
ENTRIES_MAX = 4096

_LEAVE, _ENTER, _FILE, _LINK = range(4)


class Leave(NamedTuple):
    """The directory that was entered last has no more entries."""


class Enter(NamedTuple):
    """A directory; the entries up to its `Leave` are in it."""

    name: bytes
    mode: int
    mtime: int


class File(NamedTuple):
    """A regular file."""

    name: bytes
    mode: int
    mtime: int
    size: int


class Link(NamedTuple):
    """A symbolic link, copied as it is and never followed."""

    name: bytes
    mtime: int
    target: bytes


Entry = Leave | Enter | File | Link


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """The body of an ENTRIES frame."""
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        if type(entry) is File:
            rows.append((_FILE, entry.name, entry.mode, nearest_time(entry.mtime), entry.size))
        elif type(entry) is Enter:
            rows.append((_ENTER, entry.name, entry.mode, nearest_time(entry.mtime)))
        elif type(entry) is Link:
            rows.append((_LINK, entry.name, nearest_time(entry.mtime), entry.target))
        else:
            rows.append((_LEAVE,))
    packed: bytes = msgpack.packb(rows)
    return packed


def parse_entries(body: bytes | bytearray) -> list[Entry]:
    """Read the body of an ENTRIES frame; BadFrame when anything in it is not as it must be."""
    try:
        rows = msgpack.unpackb(body, max_array_len=ENTRIES_MAX)
    except ValueError:
        raise BadFrame("a list of entries is damaged, or too long") from None
    if type(rows) is not list:
        raise BadFrame("a list of entries is no list")
    return [_parse_entry(row) for row in rows]


def _parse_entry(row: object) -> Entry:
    if type(row) is not list or not row:
        raise BadFrame("an entry is a list that begins with its kind")
    kind = row[0]
    parse = _PARSERS.get(kind) if type(kind) is int else None
    if parse is None:
        raise BadFrame("an entry of unknown kind")
    try:
        return parse(row)
    except IndexError:
        raise BadFrame("an entry is too short") from None


def _parse_file(row: list[Any]) -> Entry:
    return File(_new_name(row[1]), check_mode(row[2]), check_time(row[3]), check_size(row[4]))


def _parse_enter(row: list[Any]) -> Entry:
    return Enter(_new_name(row[1]), check_mode(row[2]), check_time(row[3]))


def _parse_link(row: list[Any]) -> Entry:
    return Link(_new_name(row[1]), check_time(row[2]), check_target(row[3]))


_PARSERS: dict[int, Callable[[list[Any]], Entry]] = {
    _LEAVE: lambda row: Leave(),
    _ENTER: _parse_enter,
    _FILE: _parse_file,
    _LINK: _parse_link,
}


def _new_name(value: object) -> bytes:
    name = check_name(value)
    if is_temporary(name):
        # The receiver's own unfinished files have such names, and nothing else may get between them.
        raise BadFrame(f"{display(name)!r} is the name of an unfinished file")
    return name


def check_mode(value: object) -> int:
    """`value` if it is permission bits; BadFrame otherwise."""
    if type(value) is not int or not 0 <= value <= MODE_MAX:
        raise BadFrame("a mode is 0 to 0o7777")
    return value


def check_time(value: object) -> int:
    """`value` if it is a time in nanoseconds; BadFrame otherwise."""
    if type(value) is not int or not -TIME_MAX <= value <= TIME_MAX:
        raise BadFrame("a time is 64 bits of nanoseconds")
    return value


def nearest_time(mtime: int) -> int:
    """The time nearest to `mtime` that can be sent: file systems know years after 2262."""
    return max(-TIME_MAX, min(mtime, TIME_MAX))


def check_size(value: object) -> int:
    """`value` if it can be the size of a file; BadFrame otherwise."""
    if type(value) is not int or not 0 <= value <= SIZE_MAX:
        raise BadFrame("a file has 0 to 2**46 bytes")
    return value
