"""Credit and inbox of a stream: both ends count the same, nobody waits for ever, nobody sends too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsp.rpc.errors import BadFrame, CloseCode
from jsp.rpc.windows import ITEM_COST, ITEM_MAX, WINDOW, Credit, Inbox


@given(st.lists(st.integers(0, ITEM_MAX), max_size=40), st.integers(0, 5))
def test_every_item_gets_through_and_what_waits_is_bounded(sizes: list[int], keep: int) -> None:
    """The consumer leaves up to `keep` items lying; that may slow the sender down but not stop it."""
    credit, inbox = Credit(), Inbox()
    held = taken = 0
    for size in sizes:
        while not credit.take(size):
            assert inbox.payloads, "the sender waits and nothing is there to take"
            held -= len(inbox.take()) + ITEM_COST
            taken += 1
            if granted := inbox.poll_credit():
                credit.grant(granted)
        inbox.push(bytes(size))
        held += size + ITEM_COST
        assert held <= WINDOW
        while len(inbox.payloads) > keep:
            held -= len(inbox.take()) + ITEM_COST
            taken += 1
            if granted := inbox.poll_credit():
                credit.grant(granted)
    assert taken + len(inbox.payloads) == len(sizes)


def test_items_beyond_the_credit_are_an_error() -> None:
    inbox = Inbox()
    inbox.push(bytes(ITEM_MAX))
    inbox.push(bytes(ITEM_MAX))
    with pytest.raises(BadFrame) as caught:
        inbox.push(b"")
    assert caught.value.code is CloseCode.LIMIT


def test_empty_items_are_not_free() -> None:
    inbox = Inbox()
    for _ in range(WINDOW // ITEM_COST):
        inbox.push(b"")
    with pytest.raises(BadFrame):
        inbox.push(b"")


def test_items_passed_over_count_as_far_too_large() -> None:
    with pytest.raises(BadFrame):
        Inbox().push(None)


def test_more_credit_than_was_spent_is_an_error() -> None:
    credit = Credit()
    assert credit.take(100)
    credit.grant(100)
    with pytest.raises(BadFrame):
        credit.grant(ITEM_COST + 1)


def test_a_closed_inbox_keeps_nothing_and_still_counts() -> None:
    inbox = Inbox()
    inbox.push(b"x")
    inbox.close()
    assert inbox.ended and not inbox.payloads
    inbox.push(bytes(ITEM_MAX))
    assert not inbox.payloads
    with pytest.raises(BadFrame):
        inbox.push(bytes(ITEM_MAX))
