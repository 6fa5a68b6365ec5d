"""Compiles `pipe` when jsp is compiled, so that jsp is measured against a limit made by the same means."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sysconfig
from pathlib import Path
from types import ModuleType

import jsp.compiled

_HERE = Path(__file__).parent
_CACHE = _HERE.parent / "build" / "benchmarks"
_NAME = "pipe"


def _target() -> Path:
    """Where the compiled module lies: another place for other sources or another Python."""
    digest = hashlib.sha256()
    for suffix in (".py", ".pxd"):
        digest.update((_HERE / _NAME).with_suffix(suffix).read_bytes())
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return _CACHE / digest.hexdigest()[:16] / f"{_NAME}{suffix}"


def build() -> str:
    """Compile `pipe` unless that is done, or jsp itself is not compiled. What it came to, in words."""
    if not jsp.compiled.is_compiled():
        return "pure Python, as jsp is"
    target = _target()
    if not target.exists():
        try:
            _compile(target)
        except (Exception, SystemExit) as error:  # Cython, setuptools and the compiler fail in as many ways
            return f"pure Python, for it could not be compiled ({type(error).__name__})"
    return "compiled by Cython"


def _compile(target: Path) -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution

    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".py", ".pxd"):
        shutil.copy((_HERE / _NAME).with_suffix(suffix), folder)
    extensions = cythonize([str(folder / f"{_NAME}.py")], quiet=True)
    distribution = Distribution({"name": _NAME, "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(folder)
    distribution.run_command("build_ext")
    built = next(p for p in folder.rglob(target.name))
    if built != target:
        built.rename(target)


def load() -> ModuleType:
    """`pipe`: compiled if `build` did so and jsp is compiled, else as it is."""
    target = _target()
    if jsp.compiled.is_compiled() and target.exists():
        spec = importlib.util.spec_from_file_location(_NAME, target)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    from benchmarks import pipe

    return pipe
