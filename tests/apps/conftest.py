"""Each test of an application has a configuration directory and a working directory of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transfer.ends import nothing_left as nothing_left


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an application finds of its user: nothing."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("JSP_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
