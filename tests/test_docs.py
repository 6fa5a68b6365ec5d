"""The documentation is true: its examples run, its links lead somewhere, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


def test_the_guide_runs_from_top_to_bottom(tmp_path: Path) -> None:
    program = "\n".join(blocks(ROOT / "docs/guide.md", "python"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_page_on_networks_runs_from_top_to_bottom(tmp_path: Path) -> None:
    program = "\n".join(blocks(ROOT / "docs/mobility.md", "python"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("example", "more"), [("roaming", ["3"]), ("bonding", ["0.5", "127.0.0.1", "127.0.0.2"])])
def test_examples_start(example: str, more: list[str]) -> None:
    program = [sys.executable, str(ROOT / f"examples/{example}.py")]
    with subprocess.Popen([*program, "serve", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            done = subprocess.run([*program, address, *more], capture_output=True, text=True, timeout=50)
            assert done.returncode == 0, done.stderr
            assert "127.0.0.1" in done.stdout
        finally:
            server.terminate()
    assert subprocess.run(program, capture_output=True, text=True).returncode == 2


def test_the_controller_of_ones_own_runs_and_is_short(tmp_path: Path) -> None:
    (program,) = blocks(ROOT / "docs/congestion-control.md", "python")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(program.splitlines()) <= 60


def test_the_readme_runs(tmp_path: Path) -> None:
    import jsp

    server, client = blocks(ROOT / "README.md", "python")
    jsp.Identity.generate().save(tmp_path / "id.key")
    server = server.replace('("0.0.0.0", 4433)', '("127.0.0.1", 0)').replace("server.serve_forever()", "")
    client = client.replace('"jsp1...@203.0.113.5:4433"', "server.url")
    assert "server.url" in client
    program = server + client + "server.stop()\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["b'HELLO\\n'", "b'NOW OR NEVER'"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file) if file else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}
            assert anchor in slugs, target


def test_make_lists_its_verbs() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=20)
    for verb in (
        "setup",
        "demo",
        "test",
        "lint",
        "sim",
        "bench",
        "bench-peers",
        "bench-links",
        "bench-headers",
        "bench-check",
        "profile",
        "docs",
    ):
        assert f"make {verb} " in done.stdout


def test_version_is_said_once() -> None:
    import jsp

    assert f'version = "{jsp.__version__}"' in (ROOT / "pyproject.toml").read_text()
