"""Tests that need a lab are skipped, with the reason, where there can be none. Of the long ones a sample is slow."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.netlab import lab as labs
from tests.netlab import mobile

# What the sample may take together, by what its tests say they take.
SAMPLE_S = 100.0


@pytest.fixture(autouse=True)
def _needs_a_lab(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root") and (reason := labs.why_not()):
        pytest.skip(reason)


@pytest.fixture
def lab() -> Iterator[mobile.Mobile]:
    """A client with Wi-Fi and LTE, until a test module asks for something else."""
    if reason := mobile.why_not():
        pytest.skip(reason)
    with mobile.Mobile(mobile.WIFI, mobile.LTE) as made:
        yield made


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what of `links(seconds=...)` fits into the sample, in an order that JSP_SEED chooses."""
    marked = [(item, mark) for item in items if (mark := item.get_closest_marker("links"))]
    random.Random(int(os.environ.get("JSP_SEED", "0"))).shuffle(marked)
    left = SAMPLE_S
    for item, mark in marked:
        if mark.kwargs["seconds"] <= left:
            left -= mark.kwargs["seconds"]
            item.add_marker(pytest.mark.slow)
