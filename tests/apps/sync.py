"""`jsp-sync` in processes of its own, for the tests of the application."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cli.support import ROOT, Program

SYNC = (sys.executable, "-m", "apps.filesync")

# Whoever reads all files anyway cannot test what happens to those who may not. util-linux has it.
_POWERLESS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")


def program(*arguments: str | Path, wrapper: tuple[str, ...] = ()) -> Program:
    """A running `jsp-sync`."""
    return Program((*wrapper, *SYNC, *map(str, arguments)))


def serve(directory: Path, *arguments: str | Path, wrapper: tuple[str, ...] = ()) -> Program:
    """A running `jsp-sync serve` on a free port of loopback; its first line is its address."""
    return program("serve", directory, "--listen", "127.0.0.1:0", *arguments, wrapper=wrapper)


def run(*arguments: str | Path, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`jsp-sync` from start to end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = (*wrapper, *SYNC, *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def powerless() -> tuple[str, ...]:
    """What to run a program with so that modes of files hold for it, whoever we are."""
    return () if os.geteuid() else _POWERLESS


def is_one_line(errors: str) -> bool:
    """Whether a program has complained in one line that is fit for a terminal."""
    return errors.startswith("jsp-sync: ") and errors.endswith("\n") and errors[:-1].isprintable()


def without_key(address: str) -> str:
    """An address without its access key."""
    who, _, where = address.partition("@")
    return f"{who.partition(':')[0]}@{where}"


def changed_key(address: str, change: Callable[[str], str]) -> str:
    """An address with another access key."""
    who, _, where = address.partition("@")
    peer, _, key = who.partition(":")
    return f"{peer}:{change(key)}@{where}"
