"""A first look: serve a directory, copy it over jsp with a progress bar, compare the copy. `make demo` runs it.

Both ends are the real `jsp-sync` in processes of their own, on loopback, with identities made for the occasion.
Prints one line that says how it went; exit status 0 when the copy is the same in hashes, modes, mtimes and links.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

# Of Python's own library: some hundreds of files, text and bytecode, in several levels.
_PACKAGES = ("asyncio", "collections", "concurrent", "email", "encodings", "html", "http", "importlib", "json", "xml")
_RANDOM_MIB = 64

_MIB = 1 << 20


def main() -> int:
    """Run the demonstration; its exit status."""
    with tempfile.TemporaryDirectory(prefix="jsp-demo-") as name:
        folder = Path(name)
        source, copy = folder / "source", folder / "copy"
        _make_tree(source)
        # Not the user's own identity and known peers.
        environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config")}
        # Its lines would come in between those of the progress bar.
        log = folder / "server.log"
        with open(log, "w") as errors, _server(source, environment, errors) as address:
            pull = (*_jsp_sync("pull"), "--json", address, str(copy))
            done = subprocess.run(pull, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"jsp demo: FAILED: the copy did not work; the server says:\n{log.read_text()}", file=sys.stderr)
            return 1
        wrong = _compare(source, copy)
        if wrong is not None:
            print(f"jsp demo: FAILED: {wrong} is not the same in the copy", file=sys.stderr)
            return 1
        totals = json.loads(done.stdout)
        files, size, time = totals["files"], totals["bytes_total"], totals["seconds"]
        print(
            f"jsp demo: ok: {files} files, {size / 1e6:.0f} MB, encrypted over loopback UDP in {time:.1f} s "
            f"({size / 1e6 / time:.0f} MB/s); hashes, modes, mtimes and links are the same"
        )
    return 0


def _jsp_sync(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", __package__ or "jsp.apps.filesync", *arguments)


@contextmanager
def _server(directory: Path, environment: dict[str, str], errors: TextIO) -> Iterator[str]:
    """`jsp-sync serve` in a process of its own; the address it prints."""
    command = (*_jsp_sync("serve"), str(directory), "--listen", "127.0.0.1:0")
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert server.stdout is not None
        with server.stdout as output:
            yield output.readline().strip()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


# --- the tree ----------------------------------------------------------------------------------------------------


def _make_tree(root: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    root.mkdir()
    for package in _PACKAGES:
        shutil.copytree(library / package, root / "library" / package, symlinks=True)
    with open(root / "random.bin", "wb") as file:
        for _ in range(_RANDOM_MIB):
            file.write(os.urandom(_MIB))
    (root / "read-only.txt").write_text("This file is for reading.\n")
    (root / "read-only.txt").chmod(0o444)
    (root / "run-me").write_text("#!/bin/sh\necho hello\n")
    (root / "run-me").chmod(0o755)
    (root / "empty").touch()
    (root / "old").write_text("from another century\n")
    os.utime(root / "old", ns=(0, 915148799_123456789))
    (root / "link").symlink_to("library/json/decoder.py")
    (root / "dangling").symlink_to("/nowhere/at/all")


def _describe(path: Path) -> tuple[object, ...]:
    """All that a copy has to have in common with `path`."""
    status = path.lstat()
    what: object = None
    if path.is_symlink():
        what = os.readlink(path)
    elif path.is_file():
        with open(path, "rb") as file:
            what = hashlib.file_digest(file, "sha256").hexdigest()
    return stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_mtime_ns, what


def _compare(one: Path, other: Path) -> str | None:
    """The first path that differs between two trees; None when they are the same."""
    names = [{str(path.relative_to(root)) for path in root.rglob("*")} for root in (one, other)]
    for name in sorted(names[0] | names[1]):
        if name not in names[0] or name not in names[1] or _describe(one / name) != _describe(other / name):
            return name
    return None


if __name__ == "__main__":
    sys.exit(main())
