"""What every run says first: which modules run, and which seed."""

from __future__ import annotations

import os

import pytest

from jsp.compiled import is_compiled, stale_modules


def pytest_configure() -> None:
    stale = stale_modules()
    if stale and is_compiled():
        pytest.exit(f"{stale[0].name} is older than its source: `make ext`, or JSP_PURE=1", 2)


def pytest_report_header() -> str:
    kind = "compiled" if is_compiled() else "pure Python"
    return f"jsp: {kind}, JSP_SEED={os.environ.get('JSP_SEED', '0')}"
