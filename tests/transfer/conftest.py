"""What tests of single parts ask for: that they close what they open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.net.support import leftovers, until
from tests.transfer.ends import nothing_left as nothing_left
from tests.transfer.ends import nothing_open


@pytest.fixture
def all_closed() -> Iterator[None]:
    """Fails when files outlive the test."""
    with nothing_open():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """Descriptor of the test's directory."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture(scope="module")
def no_greenlets_left() -> Iterator[None]:
    """Fails when greenlets or sockets outlive the tests of a module."""
    before = leftovers()
    yield
    until(lambda: leftovers() <= before)
