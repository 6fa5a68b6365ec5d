"""Names and paths as they go over the wire: bytes, one component at a time, checked before anything is opened.

A file name on POSIX is any bytes but "/" and NUL, so nothing here decodes except `display`, which is for people.
Trees travel as single names between "enter" and "leave" (see `entries`); a path with slashes exists only in the
request that opens a session, and `split_path` takes it apart. Neither can climb: "..", "." and empty components are
refused, and what opens files never follows a symbolic link (see `tree`).
"""

from __future__ import annotations

import hashlib

from jsp.errors import escaped
from jsp.transfer.errors import BadFrame

# What Linux file systems take for one component, and for the target of a symbolic link (limits.h).
NAME_MAX = 255
TARGET_MAX = 4095

# Deeper trees cannot be named by any path (PATH_MAX is 4096, a level takes two bytes).
DEPTH_MAX = 2048

_TEMPORARY_PREFIX = b"."
_TEMPORARY_SUFFIX = b".jsp-part"


def check_name(name: object) -> bytes:
    """`name` if it can be one component of a path below a directory; BadFrame otherwise."""
    if type(name) is not bytes or not name or len(name) > NAME_MAX:
        raise BadFrame(f"a file name has 1 to {NAME_MAX} bytes")
    if b"/" in name or b"\0" in name or name in (b".", b".."):
        raise BadFrame(f"{display(name)!r} is not a file name")
    return name


def check_target(target: object) -> bytes:
    """`target` if a symbolic link can hold it; BadFrame otherwise. Where it leads is not our affair."""
    if type(target) is not bytes or not target or len(target) > TARGET_MAX or b"\0" in target:
        raise BadFrame("a link target cannot be what it claims to be")
    return target


def split_path(path: bytes) -> tuple[tuple[bytes, ...], bool]:
    """The components of a relative path, and whether a slash ends it. BadFrame for a path that is not one.

    The empty path has no components and counts as ended by a slash: it means what is in the directory itself.
    """
    if not path:
        return (), True
    if path.startswith(b"/"):
        raise BadFrame(f"{display(path)}: paths here are relative to the directory that is served")
    slash = path.endswith(b"/")
    names = (path[:-1] if slash else path).split(b"/")
    if len(names) > DEPTH_MAX:
        raise BadFrame(f"a path has at most {DEPTH_MAX} components")
    for name in names:
        if name in (b"", b".", b".."):
            raise BadFrame(f"{display(path)}: a path must not contain {display(name)!r}")
    return tuple(check_name(name) for name in names), slash


def temporary_name(name: bytes) -> bytes:
    """Where the file `name` is put together, in the same directory. The same name each time, so that it is found."""
    temporary = _TEMPORARY_PREFIX + name + _TEMPORARY_SUFFIX
    if len(temporary) <= NAME_MAX:
        return temporary
    digest = hashlib.sha256(name).hexdigest()[:32].encode()
    return _TEMPORARY_PREFIX + digest + _TEMPORARY_SUFFIX


def is_temporary(name: bytes) -> bool:
    """Whether `name` is one that `temporary_name` makes: an unfinished file, which is nobody's to copy."""
    longer = len(name) > len(_TEMPORARY_PREFIX + _TEMPORARY_SUFFIX)
    return longer and name.startswith(_TEMPORARY_PREFIX) and name.endswith(_TEMPORARY_SUFFIX)


def display(path: bytes) -> str:
    """`path` for people: what is not UTF-8, or would move the cursor of a terminal, is escaped."""
    return escaped(path.decode("utf-8", "backslashreplace"))
