"""Whether the hot modules run compiled, and how to run them as Python all the same.

An install with a C compiler at hand compiles the modules that pyproject.toml lists (docs/architecture.md, "Compiled
modules"); the compiled file lies beside the source and is found first. With `JSP_PURE=1` in the environment the
sources run.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

_PACKAGE = Path(__file__).parent


def use_sources() -> None:
    """Let later imports of this package see no compiled modules."""
    for folder in (_PACKAGE, *_PACKAGE.iterdir()):
        if folder.is_dir():
            sys.path_importer_cache[str(folder)] = FileFinder(str(folder), (SourceFileLoader, SOURCE_SUFFIXES))


def is_compiled() -> bool:
    """Whether the modules in use are compiled ones; they all are, or none."""
    import jsp.wire.buffer

    return str(jsp.wire.buffer.__file__).endswith(tuple(EXTENSION_SUFFIXES))


def stale_modules() -> list[Path]:
    """Compiled files that are older than what they were made of."""
    found = []
    for suffix in EXTENSION_SUFFIXES:
        for binary in _PACKAGE.rglob(f"*{suffix}"):
            source = binary.with_name(binary.name.removesuffix(suffix) + ".py")
            sources = [source.with_suffix(kind) for kind in (".py", ".pyx", ".pxd")]
            newest = max((p.stat().st_mtime for p in sources if p.exists()), default=0.0)
            if newest > binary.stat().st_mtime:
                found.append(binary)
    return found


if os.environ.get("JSP_PURE", "0") not in ("", "0"):
    use_sources()
