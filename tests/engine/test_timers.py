"""The timer table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jsp.engine import timers
from jsp.engine.timers import COUNT, NAMES, NEVER, TimerTable


def test_an_empty_table_never_fires() -> None:
    table = TimerTable()
    assert table.next() == NEVER
    assert table.take_expired(1e18) == []


def test_every_reason_has_a_name() -> None:
    assert len(NAMES) == COUNT
    assert [getattr(timers, name) for name in NAMES] == list(range(COUNT))


@given(st.lists(st.just(NEVER) | st.floats(0, 100), min_size=COUNT, max_size=COUNT), st.floats(0, 100))
def test_what_is_due_fires_once_and_the_rest_stays(deadlines: list[float], now: float) -> None:
    table = TimerTable()
    table.deadlines[:] = deadlines
    assert table.next() == min(deadlines)
    due = [reason for reason in range(COUNT) if deadlines[reason] <= now]
    assert table.take_expired(now) == due
    assert table.take_expired(now) == []
    assert table.deadlines == [NEVER if reason in due else at for reason, at in enumerate(deadlines)]
    assert table.next() > now


def test_a_timer_fires_at_its_very_moment() -> None:
    table = TimerTable()
    table.deadlines[timers.LOSS] = 1.5
    assert table.take_expired(1.4999999) == []
    assert table.take_expired(1.5) == [timers.LOSS]


def test_clear_forgets_all() -> None:
    table = TimerTable()
    table.deadlines[timers.IDLE] = 1.0
    table.clear()
    assert table.next() == NEVER
    assert len(table.deadlines) == COUNT
