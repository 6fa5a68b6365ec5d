"""Compiled modules and their sources: one of the two is in use, and which is one's own choice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from jsp import compiled

PROGRAM = "import jsp.compiled, jsp.engine.connection as c; print(jsp.compiled.is_compiled(), c.__file__)"


def run(pure: str) -> list[str]:
    environment = {**os.environ, "JSP_PURE": pure}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, cwd=root)
    return done.stdout.split()


@pytest.mark.parametrize("pure", ["1", "yes"])
def test_the_environment_asks_for_the_sources(pure: str) -> None:
    is_compiled, file = run(pure)
    assert is_compiled == "False"
    assert file.endswith(".py")


@pytest.mark.parametrize("pure", ["", "0"])
def test_without_a_word_what_is_compiled_is_used(pure: str) -> None:
    is_compiled, file = run(pure)
    assert (is_compiled == "True") == file.endswith(tuple(EXTENSION_SUFFIXES))


def test_a_module_of_c_without_python_has_a_source_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crypto").mkdir()
    source, binary = tmp_path / "crypto" / "only.pyx", tmp_path / "crypto" / f"only{EXTENSION_SUFFIXES[0]}"
    source.touch()
    binary.touch()
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)
    now = binary.stat().st_mtime
    os.utime(source, (now - 10, now - 10))
    assert compiled.stale_modules() == []
    os.utime(source, (now + 10, now + 10))
    assert compiled.stale_modules() == [binary]


def test_a_compiled_file_older_than_its_source_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(compiled.__file__).parent
    (tmp_path / "wire").mkdir()
    for name in ("buffer.py", "buffer.pxd"):
        shutil.copy(package / "wire" / name, tmp_path / "wire" / name)
    binary = tmp_path / "wire" / f"buffer{EXTENSION_SUFFIXES[0]}"
    binary.touch()
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)
    now = binary.stat().st_mtime
    os.utime(tmp_path / "wire" / "buffer.py", (now - 10, now - 10))
    os.utime(tmp_path / "wire" / "buffer.pxd", (now - 10, now - 10))
    assert compiled.stale_modules() == []
    os.utime(tmp_path / "wire" / "buffer.pxd", (now + 10, now + 10))
    assert compiled.stale_modules() == [binary]
