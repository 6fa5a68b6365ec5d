"""What tests of single parts ask for: that they close what they open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transfer.ends import nothing_open


@pytest.fixture
def all_closed() -> Iterator[None]:
    """Fails when files outlive the test."""
    with nothing_open():
        yield
