"""Nothing lies about unused: whoever uses `jsp` reaches every module, every function, and every field of `Config`."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import jsp
import jsp.rpc
import jsp.transfer
from tests.net.support import IDENTITY, Echo, serving

ROOT = Path(__file__).parent.parent
# Where programs begin: what is imported, the commands, and what is run with -m.
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].values()
ENTRANCES = {
    "jsp", "jsp.rpc", "jsp.transfer", "jsp.__main__", "jsp.apps.filesync.__main__", "jsp.apps.rpc.__main__",
    "jsp.apps.filesync.demo",
    *(script.partition(":")[0] for script in SCRIPTS),
}  # fmt: skip
# Not for programs, and why they are here all the same.
APART = {
    "stale_modules": "the tests refuse to run beside old compiled files",
}


def file_of(module: str) -> Path | None:
    """The source of `module`, if it is one of ours."""
    parts = module.split(".")
    base = ROOT.joinpath("apps", *parts[2:]) if parts[:2] == ["jsp", "apps"] else ROOT.joinpath(*parts)
    places = (base / "__init__.py", base.with_suffix(".py"), base.with_suffix(".pyx"))
    return next((place for place in places if place.exists()), None)


def modules() -> dict[str, Path]:
    """All of `jsp` and of its applications, by name."""
    found = {}
    for folder, package in ((ROOT / "jsp", "jsp"), (ROOT / "apps", "jsp.apps")):
        for path in (*folder.rglob("*.py"), *folder.rglob("*.pyx")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


def imports(path: Path, package: str) -> Iterator[str]:
    """The modules that the module in `path`, of `package`, imports; not those that only type checkers see."""
    text = path.read_text()
    if path.suffix == ".pyx":
        yield from (line.split()[1] for line in text.splitlines() if line.startswith(("from ", "import ")))
        return
    tree = ast.parse(text)
    unseen: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            unseen.update(inner for statement in node.body for inner in ast.walk(statement))
        elif node in unseen:
            continue
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, (package if node.level else "", node.module)))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def test_every_module_is_imported_by_a_program() -> None:
    reached: set[str] = set()
    waiting = list(ENTRANCES)
    while waiting:
        module = waiting.pop()
        path = file_of(module)
        if module in reached or path is None:
            continue
        reached.add(module)
        # A module brings its packages with it.
        waiting += imports(path, module if path.name == "__init__.py" else module.rpartition(".")[0])
        waiting += [module.rpartition(".")[0]] if "." in module else []
    assert set(modules()) - reached == set()


def test_entrances_exist() -> None:
    assert all(file_of(module) is not None for module in ENTRANCES)


def names_used() -> Counter[str]:
    """How often the code of `jsp` and its applications names something, definitions not counted."""
    used: Counter[str] = Counter()
    for path in modules().values():
        if path.suffix == ".pyx":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
            elif isinstance(node, ast.keyword) and node.arg:
                used[node.arg] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                used[node.value] += 1
    return used


def definitions(path: Path) -> Iterator[str]:
    """Functions, methods and classes. (Numbers have names for tests, too.)"""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def public_names() -> set[str]:
    """What users may name, with the methods of what they get that some test calls."""
    tested = {word for path in (ROOT / "tests").rglob("test_*.py") for word in re.findall(r"\w+", path.read_text())}
    names: set[str] = set()
    for package in (jsp, jsp.rpc, jsp.transfer):
        for name in package.__all__:
            thing = getattr(package, name)
            names.add(name)
            names.update(tested & set(vars(thing)) if isinstance(thing, type) else ())
    return names


def test_every_function_is_called_by_a_program_or_public() -> None:
    used = names_used()
    public = public_names()
    for name, path in modules().items():
        if path.suffix == ".pyx":
            continue
        for defined in definitions(path):
            if defined.startswith("__") or defined in APART or used[defined] or defined in public:
                continue
            raise AssertionError(f"{name}: nothing uses {defined}")


class Watched(jsp.Config):
    """Remembers which of its fields were asked for."""

    __slots__ = ()
    asked: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> object:
        Watched.asked.add(name)
        return super().__getattribute__(name)


def test_every_field_of_config_reaches_a_connection() -> None:
    config = Watched(compression=jsp.Compression(), keep_alive=5.0, tcp_fallback="tcp")
    Watched.asked.clear()
    with serving(Echo, config=config) as server, jsp.connect(server.url, config=config, identity=IDENTITY) as conn:
        stream = conn.open_stream()
        stream.compress = True
        stream.sendall(b"to and fro")
        assert stream.recv(100) == b"to and fro"
        conn.add_path("127.0.0.2")
        conn.send(b"a message", mode=jsp.BEST_EFFORT)
    # The one that is left out is for `Config` itself, which refuses what it forbids.
    assert {field.name for field in fields(jsp.Config)} - Watched.asked == {"require_pq"}
