"""The lifecycle tables, every state by every event."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from jsp.engine.states import (
    CONNECTION,
    RECEIVING,
    SENDING,
    Moved,
    ReceiveMoved,
    Receiving,
    Sending,
    SendMoved,
    State,
    can_move,
    move,
)

# Spec sections 4 and 8.2, drawn once more: rows are states, columns events; a dot is a move that does not exist.
DRAWN: dict[str, tuple[dict[Any, dict[Any, Any]], type[Enum], type[Enum], str]] = {
    "connection": (
        CONNECTION,
        State,
        Moved,
        """
                    CONFIRMED  LINGER     CLOSE    PEER_CLOSED  VANISHED  DRAINED
        HANDSHAKE   OPEN       .          CLOSING  DRAINING     CLOSED    .
        OPEN        .          LINGERING  CLOSING  DRAINING     CLOSED    .
        LINGERING   .          .          CLOSING  DRAINING     CLOSED    .
        CLOSING     .          .          .        DRAINING     .         CLOSED
        DRAINING    .          .          .        .            .         CLOSED
        CLOSED      .          .          .        .            .         .
        """,
    ),
    "sending": (
        SENDING,
        Sending,
        SendMoved,
        """
                    FINISH     RESET      ALL_ACKED
        OPEN        FINISHING  RESETTING  .
        FINISHING   .          RESETTING  DONE
        RESETTING   .          .          DONE
        DONE        .          .          .
        """,
    ),
    "receiving": (
        RECEIVING,
        Receiving,
        ReceiveMoved,
        """
                    FIN         RESET   STOP     CONSUMED
        OPEN        SIZE_KNOWN  RESET   STOPPED  .
        SIZE_KNOWN  .           RESET   STOPPED  DONE
        STOPPED     .           .       .        DONE
        RESET       .           .       DONE     DONE
        DONE        .           .       .        .
        """,
    ),
}

CELLS = []
for name, (table, states, events, drawing) in DRAWN.items():
    head, *rows = [line.split() for line in drawing.strip().splitlines()]
    for state_name, *cells in rows:
        for event_name, target in zip(head, cells, strict=True):
            CELLS.append((name, table, states, events, state_name, event_name, target))


@pytest.mark.parametrize(
    ("name", "table", "states", "events", "state", "event", "target"),
    CELLS,
    ids=[f"{cell[0]} {cell[4]} {cell[5]}" for cell in CELLS],
)
def test_cell(
    name: str,
    table: dict[Any, dict[Any, Any]],
    states: type[Enum],
    events: type[Enum],
    state: str,
    event: str,
    target: str,
) -> None:
    if target == ".":
        assert not can_move(table, states[state], events[event])
        with pytest.raises(AssertionError, match="no move"):
            move(table, states[state], events[event])
    else:
        assert can_move(table, states[state], events[event])
        assert move(table, states[state], events[event]) is states[target]


@pytest.mark.parametrize("name", DRAWN)
def test_the_drawing_is_complete(name: str) -> None:
    table, states, events, _ = DRAWN[name]
    assert set(table) == set(states)
    drawn = {(state, event) for cell_name, _, _, _, state, event, _ in CELLS if cell_name == name}
    assert drawn == {(s.name, e.name) for s in states for e in events}


@pytest.mark.parametrize(
    ("name", "end"), [("connection", State.CLOSED), ("sending", Sending.DONE), ("receiving", Receiving.DONE)]
)
def test_every_state_can_be_reached_and_leads_to_the_end(name: str, end: Enum) -> None:
    table, states, _, _ = DRAWN[name]
    start = next(iter(states))
    assert _reachable(table, start) == set(states)
    for state in states:
        assert end in _reachable(table, state)
    assert not table[end]


def _reachable(table: dict[Any, dict[Any, Any]], start: Any) -> set[Any]:
    found, todo = {start}, [start]
    while todo:
        for target in table[todo.pop()].values():
            if target not in found:
                found.add(target)
                todo.append(target)
    return found
