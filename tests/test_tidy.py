"""The house rules as a test: what formatters cannot hold (docs/architecture.md, "House rules")."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for folder in ("jsp", "apps") for p in (ROOT / folder).rglob("*.py"))
# Modules that there is no Python of, because only C can do what they do.
C_ONLY = sorted((ROOT / "jsp").rglob("*.pyx"))
ALL = SOURCES + sorted(p for folder in ("tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

# Modules whose behaviour shows only in a larger part: where it is tested.
COVERED_BY = {
    "jsp/crypto/credentials.py": "tests/crypto/test_secrets.py",
    "jsp/crypto/steps.py": "tests/crypto/test_handshake.py",
    "jsp/wire/messages.py": "tests/wire/test_hello.py",
    "jsp/engine/builder.py": "tests/engine/test_outbound.py",
    "jsp/engine/connection.py": "tests/engine/test_lifecycle.py",
    "jsp/engine/control.py": "tests/engine/test_lifecycle.py",
    "jsp/engine/deadlines.py": "tests/engine/test_lifecycle.py",
    "jsp/engine/events.py": "tests/engine/test_lifecycle.py",
    "jsp/engine/host.py": "tests/engine/test_endpoint.py",
    "jsp/engine/keying.py": "tests/engine/test_establish.py",
    "jsp/engine/message.py": "tests/engine/test_messages.py",
    "jsp/engine/modes.py": "tests/engine/test_messages.py",
    "jsp/engine/out_message.py": "tests/engine/test_messages.py",
    "jsp/engine/recv_messages.py": "tests/engine/test_messages.py",
    "jsp/engine/recv_stream.py": "tests/engine/test_streams.py",
    "jsp/engine/send_messages.py": "tests/engine/test_messages.py",
    "jsp/engine/send_stream.py": "tests/engine/test_streams.py",
    "jsp/engine/stats.py": "tests/engine/test_outbound.py",
    "jsp/engine/traffic.py": "tests/engine/test_lifecycle.py",
    "jsp/net/arrival.py": "tests/net/test_udp.py",
    "jsp/net/clock.py": "tests/net/test_connection.py",
    "jsp/net/datagrams.py": "tests/net/test_udp.py",
    "jsp/net/dispatching.py": "tests/net/test_connection.py",
    "jsp/net/here.py": "tests/net/test_connection.py",
    "jsp/net/stream_file.py": "tests/net/test_connection.py",
    "jsp/net/endpoint.py": "tests/net/test_connection.py",
    "jsp/net/interrupts.py": "tests/net/test_server.py",
    "jsp/net/judging.py": "tests/net/test_trust.py",
    "jsp/net/outcome.py": "tests/net/test_client.py",
    "jsp/net/pings.py": "tests/net/test_connection.py",
    "jsp/net/report.py": "tests/net/test_connection.py",
    "jsp/net/stream.py": "tests/net/test_socket_manners.py",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_file_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= FILE_LINES_MAX, "a part is missing"
    if not text.strip():
        return
    tree = ast.parse(text)
    doc = ast.get_docstring(tree)
    assert doc, "no docstring"
    assert doc.splitlines()[0].rstrip(), "the first line must be a sentence"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", C_ONLY, ids=name_of)
def test_module_of_c_is_short_and_says_what_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= FILE_LINES_MAX, "a part is missing"
    assert lines[0].startswith("# cython:")
    assert re.match(r'"""\w.+', lines[1]), "no docstring"
    assert path.with_suffix(".pyi").exists(), "no types for mypy"
    assert not path.with_suffix(".py").exists(), "which of the two would be used?"
    assert not path.with_suffix(".pxd").exists(), "a module that may be missing is none that others can use as C"


@pytest.mark.parametrize("path", C_ONLY + [p for p in SOURCES if p.is_relative_to(ROOT / "jsp")], ids=name_of)
def test_module_has_its_test_file(path: Path) -> None:
    name = name_of(path)
    if path.name in ("__init__.py", "__main__.py"):
        return
    parts = path.relative_to(ROOT / "jsp").parts
    mirrored = ROOT / "tests" / Path(*parts[:-1]) / f"test_{path.stem}.py"
    covered = ROOT / COVERED_BY[name] if name in COVERED_BY else mirrored
    assert covered.exists(), f"no {name_of(covered)}"
    assert not (mirrored.exists() and name in COVERED_BY), f"{name} has its own test file now: shorten the table"


def test_cited_sections_exist() -> None:
    spec = (ROOT / "docs/spec.md").read_text()
    sections = set(re.findall(r"^#{2,3} ([0-9.]+) ", spec, re.M))
    missing = set()
    for path in ALL:
        text = path.read_text()
        for group in re.findall(r"(?:SPEC|spec sections?|spec\.md section) ([0-9.]+(?: and [0-9.]+)?)", text):
            for number in group.split(" and "):
                if number.rstrip(".") not in sections:
                    missing.add((name_of(path), number))
    assert not missing


def test_public_names_have_docstrings() -> None:
    import jsp

    missing = [name for name in jsp.__all__ if isinstance(getattr(jsp, name), type) and not getattr(jsp, name).__doc__]
    assert not missing


@pytest.mark.timeout(300)
def test_each_module_imports_alone() -> None:
    # A circular import shows only when the wrong module comes first.
    modules = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for p in SOURCES
        if p.is_relative_to(ROOT / "jsp") and p.name != "__main__.py"
    ]
    program = (
        # What is not ours is loaded once for all.
        "import sys, importlib, os, ssl, ctypes, gevent.socket, gevent.event, cryptography.x509, msgpack, zstandard\n"
        "for name in sys.argv[1:]:\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        try: importlib.import_module(name)\n"
        "        except BaseException as e: print(name, repr(e), flush=True); os._exit(1)\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True, cwd=ROOT)
    assert not done.stdout, done.stdout


def test_hot_modules_are_marked_and_slotted() -> None:
    # The header marks a module that may be compiled; its classes have __slots__, as C attributes need them.
    for path in SOURCES:
        text = path.read_text()
        if not text.startswith("# cython:"):
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not any("Protocol" in ast.unparse(b) for b in node.bases):
                slots = [s for s in node.body if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == "__slots__"]
                assert slots, f"{name_of(path)}: class {node.name} has no __slots__"


def test_c_types_and_sources_agree() -> None:
    """The list of compiled modules, the headers that mark them, their .pxd, and attributes against `__slots__`."""
    listed = re.findall(r'name = "(jsp\.[\w.]+)", sources = \["([\w/.]+)"\]', (ROOT / "pyproject.toml").read_text())
    marked = {p for p in SOURCES if p.read_text().startswith("# cython:")}
    compiled = marked | set(C_ONLY)
    assert {(".".join(p.relative_to(ROOT).with_suffix("").parts), name_of(p)) for p in compiled} == set(listed)
    for path in marked:
        types = path.with_suffix(".pxd").read_text()
        declared = {
            name: set(re.findall(r"^    cdef [^(\n]*?(\w+)$", body, re.M))
            for name, body in re.findall(r"^cdef class (\w+)[^\n]*:\n(.*?)(?=^\S|\Z)", types, re.M | re.S)
        }
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name in declared:
                slots = [s for s in node.body if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == "__slots__"]
                assert set(ast.literal_eval(slots[0].value)) == declared[node.name], f"{name_of(path)}: {node.name}"


def test_documents_are_there() -> None:
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "docs/spec.md", "docs/architecture.md", ".ci/run"):
        assert (ROOT / name).exists(), name
