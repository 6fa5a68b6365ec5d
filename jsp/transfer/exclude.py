"""Which names of a tree the sender leaves out.

A pattern without a slash is held against names, at any depth: `*.pyc`, `.git`. One with a slash in it is held
against the whole path from the root of the transfer: `/build`, `docs/*.html`; a slash at its beginning only says that.
A slash at the end makes it match directories only. `*`, `?` and `[...]` are the shell's, but `*` matches slashes too.
What is left out of a directory is left out with all that is in it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import cached_property


class Exclude:
    """Patterns.

    Args:
        patterns: as above. They may come from a peer; `fnmatch` turns them into expressions that do not backtrack.
    """

    def __init__(self, patterns: Iterable[bytes] = ()) -> None:
        self._names = _Patterns()
        self._paths = _Patterns()
        for pattern in patterns:
            body = pattern[:-1] if pattern.endswith(b"/") else pattern
            kind = self._paths if b"/" in body else self._names
            kind.add(body.lstrip(b"/"), directories_only=body != pattern)

    def __bool__(self) -> bool:
        return bool(self._names) or bool(self._paths)

    def matches(self, name: bytes, path: bytes, directory: bool) -> bool:
        """Whether to leave out `name`, which is at `path`."""
        return self._names.match(name, directory) or self._paths.match(path, directory)


class _Patterns:
    def __init__(self) -> None:
        self._any: list[bytes] = []
        self._directories: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self._any) or bool(self._directories)

    def add(self, pattern: bytes, directories_only: bool) -> None:
        (self._directories if directories_only else self._any).append(pattern)

    def match(self, text: bytes, directory: bool) -> bool:
        any_, directories = self._compiled
        return any(p.match(text) for p in any_) or (directory and any(p.match(text) for p in directories))

    @cached_property
    def _compiled(self) -> tuple[list[re.Pattern[bytes]], list[re.Pattern[bytes]]]:
        # Not before it is needed, which is in the thread of the walk: a peer can choose patterns that take long.
        return [_compile(p) for p in self._any], [_compile(p) for p in self._directories]


def _compile(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(fnmatch.translate(pattern.decode("latin-1")).encode("latin-1"))
