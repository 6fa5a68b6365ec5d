"""Tests that need a lab are skipped, with the reason, where there can be none."""

from __future__ import annotations

import pytest

from tests.netlab.lab import why_not


@pytest.fixture(autouse=True)
def _needs_a_lab(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root") and (reason := why_not()):
        pytest.skip(reason)
