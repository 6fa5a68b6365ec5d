"""Frames about whole paths (spec section 4.8). Rare, and all of them with a length, so that peers may not know them."""

from __future__ import annotations

from jsp.errors import BadPacket
from jsp.wire.buffer import Reader, Writer
from jsp.wire.frames import pull_numbers, push_numbers

PATH_ABANDON = 0x58
PATH_STATUS = 0x59

AVAILABLE, BACKUP = 0, 1


# PATH_ABANDON: length, path id, error code
def parse_path_abandon(r: Reader) -> tuple[int, int]:
    """The path's id and the code."""
    path_id, code = pull_numbers(r, 2)
    return path_id, code


def push_path_abandon(w: Writer, path_id: int, code: int) -> bool:
    """False when it does not fit."""
    return push_numbers(w, PATH_ABANDON, (path_id, code))


# PATH_STATUS: length, path id, sequence number, AVAILABLE or BACKUP
def parse_path_status(r: Reader) -> tuple[int, int, bool]:
    """The path's id, the sequence number, and whether it is for need only."""
    path_id, sequence, status = pull_numbers(r, 3)
    if status not in (AVAILABLE, BACKUP):
        raise BadPacket("bad PATH_STATUS")
    return path_id, sequence, status == BACKUP


def push_path_status(w: Writer, path_id: int, sequence: int, backup: bool) -> bool:
    """False when it does not fit."""
    return push_numbers(w, PATH_STATUS, (path_id, sequence, BACKUP if backup else AVAILABLE))
