"""`jsp keygen`: one file, for its owner's eyes only, never replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import jsp
from tests.cli.support import JSP, Program, run_here


def test_makes_an_identity_in_the_users_directory(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("keygen") == 0
    file = home / "identity.key"
    assert capsys.readouterr().out == f"{jsp.Identity.load(file).peer_id}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in home.iterdir()] == ["identity.key"]


def test_tells_programs_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "other.key"
    assert run_here("keygen", "--json", str(file)) == 0
    assert json.loads(capsys.readouterr().out) == {"peer_id": str(jsp.Identity.load(file).peer_id), "file": str(file)}


def test_never_replaces_an_identity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "id.key"
    assert run_here("keygen", str(file)) == 0
    before = file.read_bytes()
    capsys.readouterr()
    assert run_here("keygen", str(file)) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"jsp: {file} exists")
    assert output.err.count("\n") == 1
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "id.key"
    programs = [Program((*JSP, "keygen", str(file))) for _ in range(4)]
    results = []
    for program in programs:
        status = program.process.wait(30)
        assert program.process.stdout is not None
        results.append((status, program.process.stdout.read().strip()))
        program.__exit__(None, None, None)
    won = [peer_id for status, peer_id in results if status == 0]
    assert won == [str(jsp.Identity.load(file).peer_id)]


@pytest.mark.parametrize("place", ["missing/id.key", "a-file/id.key"])
def test_says_where_it_cannot_write(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a-file").write_text("in the way")
    assert run_here("keygen", str(tmp_path / place)) == 1
    assert capsys.readouterr().err.startswith(f"jsp: {tmp_path / place}: ")
