"""Plans and the control stream of `jsp perf`: what is agreed on, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest

import jsp
from jsp.cli.common import CommandError
from jsp.cli.perf_plan import BLOCK_MAX, MODES, STREAMS_MAX, Control, Plan
from tests.net.support import serving


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(time=1, streams=STREAMS_MAX, length=1, reverse=True),
        Plan(time=0.5, messages=BLOCK_MAX, mode="best-effort", bidir=True),
    ],
)
def test_plans_survive_the_way(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "plan",
        {"colour": "red"},
        {"time": 0},
        {"time": -1},
        {"time": 1e9},
        {"time": float("nan")},
        {"time": float("inf")},
        {"time": "10"},
        {"time": True},
        {"streams": 0},
        {"streams": STREAMS_MAX + 1},
        {"streams": 1.5},
        {"streams": True},
        {"length": 0},
        {"length": BLOCK_MAX + 1},
        {"messages": -1},
        {"messages": BLOCK_MAX + 1},
        {"mode": "eventually"},
        {"mode": 1},
        {"reverse": 1},
        {"reverse": True, "bidir": True},
    ],
    ids=repr,
)
def test_nonsense_is_refused(value: Any) -> None:
    with pytest.raises(CommandError):
        Plan.from_json(value)


def test_who_sends() -> None:
    sends = {
        (plan.client_sends, plan.server_sends)
        for plan in (Plan(), Plan(reverse=True), Plan(bidir=True), Plan(messages=1))
    }
    assert sends == {(True, False), (False, True), (True, True)}
    assert Plan(streams=3).data_streams == 3
    assert Plan(streams=3, messages=100).data_streams == 0


def test_every_mode_is_one_of_the_library() -> None:
    assert all(
        isinstance(mode, type(jsp.RELIABLE) | type(jsp.BEST_EFFORT) | jsp.PartiallyReliable) for mode in MODES.values()
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak"),
        (b'{"unready": true}\n', "did not send 'ready'"),
        (b"[1, 2]\n", "did not send 'ready'"),
        (b'{"error": "not today"}\n', "not today"),
        (b"9" * 70_000 + b"\n", "did not send|does not speak"),
        (b"\xff\xfe\n", "does not speak"),
        (b"[" * 60_000 + b"\n", "does not speak"),
    ],
)
def test_lines_that_are_none(line: bytes, complaint: str) -> None:
    def handle(connection: jsp.Connection) -> None:
        connection.accept_stream().sendall(line)
        connection.wait_closed()

    with serving(handle) as server, jsp.connect(server.url) as connection:
        control = Control(connection.open_stream(), 5.0)
        with pytest.raises(CommandError, match=complaint):
            control.read("ready")
        control.close()


def test_lines_in_both_directions_then_the_end() -> None:
    def handle(connection: jsp.Connection) -> None:
        control = Control(connection.accept_stream(), 5.0)
        control.write(answer=control.read("question") + 1)
        control.close()

    with serving(handle) as server, jsp.connect(server.url) as connection:
        control = Control(connection.open_stream(), 5.0)
        control.write(question=41)
        assert control.read("answer") == 42
        with pytest.raises(OSError, match=r"broke the test off|closed by the peer"):
            control.read("answer")
        control.close()


def test_silence_has_an_end() -> None:
    with serving(lambda connection: connection.wait_closed()) as server, jsp.connect(server.url) as connection:
        control = Control(connection.open_stream(), 5.0)
        control.allow(0.05)
        with pytest.raises(TimeoutError):
            control.read("ready")
        control.close()
