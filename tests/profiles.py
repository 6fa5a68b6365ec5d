"""Hypothesis profiles: the same modest examples in every run; `JSP_DEEP=1` draws many and new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

DEEP = os.environ.get("JSP_DEEP", "0") != "0"
DEEP_EXAMPLES = 2000

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("jsp", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_QUIET)
settings.register_profile(
    "jsp-deep", deadline=None, max_examples=DEEP_EXAMPLES, print_blob=True, suppress_health_check=_QUIET
)
settings.load_profile("jsp-deep" if DEEP else "jsp")


def examples(count: int) -> settings:
    """Settings for a test that needs more examples than the profile's, or can afford fewer."""
    return settings(max_examples=DEEP_EXAMPLES if DEEP else count)
