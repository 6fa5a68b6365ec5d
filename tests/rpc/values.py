"""Values that RPC carries, for property tests."""

from __future__ import annotations

from datetime import UTC

from hypothesis import strategies as st

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=50)
    | st.binary(max_size=50)
    | st.datetimes(timezones=st.just(UTC))
)
_KEYS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=10) | st.binary(max_size=10)

VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)
