"""Frames about whole paths (spec section 4.8). Rare, and all of them with a length, so that peers may not know them."""

from __future__ import annotations

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer, varint_size

PATH_ABANDON = 0x58
PATH_STATUS = 0x59

AVAILABLE, BACKUP = 0, 1


def _pull(r: Reader, count: int) -> list[int]:
    """A length, and exactly `count` numbers in it."""
    stop = r.pull_varint()
    stop += r.pos
    values = [r.pull_varint() for _ in range(count)]
    if r.pos != stop:
        raise BadPacket("a frame about a path of the wrong length")
    return values


def _push(w: Writer, kind: int, *values: int) -> bool:
    body = sum(map(varint_size, values))
    if w.room() < varint_size(kind) + 1 + body:
        return False
    w.push_varint(kind)
    w.push_u8(body)
    for value in values:
        w.push_varint(value)
    return True


# PATH_ABANDON: length, path id, error code
def parse_path_abandon(r: Reader) -> tuple[int, int]:
    """The path's id and the code."""
    path_id, code = _pull(r, 2)
    return path_id, code


def push_path_abandon(w: Writer, path_id: int, code: int) -> bool:
    """False when it does not fit."""
    return _push(w, PATH_ABANDON, path_id, code)


# PATH_STATUS: length, path id, sequence number, AVAILABLE or BACKUP
def parse_path_status(r: Reader) -> tuple[int, int, bool]:
    """The path's id, the sequence number, and whether it is for need only."""
    path_id, sequence, status = _pull(r, 3)
    if status not in (AVAILABLE, BACKUP):
        raise BadPacket("bad PATH_STATUS")
    return path_id, sequence, status == BACKUP


def push_path_status(w: Writer, path_id: int, sequence: int, backup: bool) -> bool:
    """False when it does not fit."""
    return _push(w, PATH_STATUS, path_id, sequence, BACKUP if backup else AVAILABLE)
