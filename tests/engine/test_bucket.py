"""The bucket of tokens: so many at once, so many in the long run."""

from __future__ import annotations

from jsp.engine.bucket import TokenBucket


def test_as_many_as_it_holds_may_come_at_once() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0)
    assert [bucket.take(100.0) for _ in range(5)] == [True] * 3 + [False] * 2


def test_it_fills_with_time_and_never_above_its_brim() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0)
    for _ in range(3):
        bucket.take(100.0)
    assert [bucket.take(t) for t in (100.25, 100.5, 100.75, 101.0)] == [False, True, False, True]
    assert [bucket.take(1000.0) for _ in range(4)] == [True] * 3 + [False]
