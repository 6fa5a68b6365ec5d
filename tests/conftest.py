"""Shared fixtures: which seed, and that no test leaves greenlets or sockets behind."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from jsp.compiled import is_compiled, stale_modules


def pytest_configure() -> None:
    stale = stale_modules()
    if stale and is_compiled():
        pytest.exit(f"{stale[0].name} is older than its source: `make ext`, or JSP_PURE=1", 2)


def pytest_report_header() -> str:
    kind = "compiled" if is_compiled() else "pure Python"
    return f"jsp: {kind}, JSP_SEED={os.environ.get('JSP_SEED', '0')}"


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fails when greenlets or UDP sockets of the library outlive the test."""
    from gevent import Greenlet

    def alive() -> tuple[int, int]:
        gc.collect()
        objects = gc.get_objects()
        greenlets = sum(1 for o in objects if isinstance(o, Greenlet) and not o.dead and o.started)
        return greenlets, len(_open_udp())

    before = alive()
    yield
    after = alive()
    assert after <= before, f"left behind: {after[0] - before[0]} greenlets, {after[1] - before[1]} sockets"


def _open_udp() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(fd)
        except OSError:
            continue
    return found
