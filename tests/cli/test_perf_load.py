"""Both ends of a running test, in one process: what is counted, and when it is over."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult

import jsp
from jsp.cli.common import CommandError
from jsp.cli.perf_load import Load, Result, Sample
from jsp.cli.perf_plan import Control, Plan
from tests.net.support import serving

Ends = tuple[Result, Result]


def run(plan: Plan, on_sample: Callable[[Sample, Sample], None] = lambda before, now: None) -> tuple[Ends, Ends]:
    """Both ends' pairs of results, the client's first."""
    ends: AsyncResult[Ends] = AsyncResult()

    def handle(connection: jsp.Connection) -> None:
        control = Control(connection.accept_stream(), 20.0)
        streams = [connection.accept_stream(5) for _ in range(plan.data_streams)]
        load = Load(connection, plan, sends=plan.server_sends, receives=plan.client_sends, streams=streams)
        ends.set(load.run(control))
        connection.wait_closed(5)

    with serving(handle) as server, jsp.connect(server.url) as connection:
        control = Control(connection.open_stream(), 20.0)
        streams = [connection.open_stream() for _ in range(plan.data_streams)]
        load = Load(
            connection, plan, sends=plan.client_sends, receives=plan.server_sends, streams=streams, interval=0.1,
            on_sample=on_sample,
        )  # fmt: skip
        here = load.run(control)
        there = ends.get(timeout=5)
        assert there is not None
        return here, there


@pytest.mark.parametrize(
    "plan",
    [
        Plan(time=0.3),
        Plan(time=0.3, reverse=True),
        Plan(time=0.3, bidir=True, streams=3),
        Plan(time=0.2, length=100, streams=2),
        Plan(time=0.2, messages=100),
        Plan(time=0.2, messages=100_000, bidir=True),
        Plan(time=0.2, messages=1000, reverse=True),
    ],
    ids=str,
)
def test_all_that_is_sent_is_received_and_both_ends_know(plan: Plan) -> None:
    (client, server_told), (server, client_told) = run(plan)
    assert (client_told, server_told) == (client, server)
    assert client.sent == server.received
    assert server.sent == client.received
    assert client.messages_sent == server.messages_received
    assert server.messages_sent == client.messages_received
    assert len(client.sent) == max(1, plan.data_streams)
    assert all(client.sent) is plan.client_sends
    assert all(server.sent) is plan.server_sends
    sender, receiver = (client, server) if plan.client_sends else (server, client)
    assert plan.time <= sender.seconds_sending < 10
    assert 0 < receiver.seconds_receiving < 10
    assert 0 < sender.rtt_min <= sender.rtt_mean <= sender.rtt_max
    assert sender.cwnd_max > 0
    assert sender.cpu_user + sender.cpu_system > 0


def test_best_effort_messages_may_be_fewer() -> None:
    (client, server), _ = run(Plan(time=0.2, messages=1000, mode="best-effort"))
    assert 0 < server.messages_received <= client.messages_sent
    assert server.received[0] == 1000 * server.messages_received


def test_samples_add_up() -> None:
    seen: list[tuple[Sample, Sample]] = []
    (client, _), _ = run(Plan(time=0.5, streams=2), lambda before, now: seen.append((before, now)))
    assert len(seen) >= 4
    assert seen[0][0].time == 0
    for (_, earlier), (before, now) in itertools.pairwise(seen):
        assert earlier is before
        assert now.time > before.time
        assert all(a <= b for a, b in zip(before.sent, now.sent, strict=True))
    assert sum(seen[-1][1].sent) == sum(client.sent)
    assert seen[-1][1].lost == client.retransmits


@pytest.mark.parametrize("sent", [10**9, None, "many"])
def test_what_the_other_end_claims_is_not_waited_for_in_vain(sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jsp.cli.perf_load.STALL", 0.2)

    def handle(connection: jsp.Connection) -> None:
        control = Control(connection.accept_stream(), 5.0)
        connection.send(b"one")
        control.write(sent=sent)
        connection.wait_closed()

    plan = Plan(time=0.1, messages=3, reverse=True)
    with serving(handle) as server, jsp.connect(server.url) as connection:
        control = Control(connection.open_stream(), 5.0)
        load = Load(connection, plan, sends=False, receives=True, streams=())
        with pytest.raises(CommandError, match=r"never came|how many"):
            load.run(control)


def test_stream_that_breaks_ends_the_test_at_once() -> None:
    def handle(connection: jsp.Connection) -> None:
        connection.accept_stream()
        connection.accept_stream().reset(9)
        connection.wait_closed()

    with serving(handle) as server, jsp.connect(server.url) as connection, gevent.Timeout(5):
        control = Control(connection.open_stream(), 5.0)
        streams = [connection.open_stream()]
        load = Load(connection, Plan(time=60), sends=True, receives=False, streams=streams)
        with pytest.raises(OSError, match=r"code \d"):
            load.run(control)


def damaged(**changes: Any) -> dict[str, Any]:
    return {**Result(sent=[1], received=[2]).to_json(), **changes}


def test_results_survive_the_way() -> None:
    assert Result.from_json(damaged()) == Result(sent=[1], received=[2])


@pytest.mark.parametrize(
    "value",
    [None, {}, damaged(extra=1), damaged(sent=None), damaged(sent=["x"]), damaged(cpu_user="much"), [damaged()]],
)
def test_damaged_results_are_refused(value: Any) -> None:
    with pytest.raises(CommandError):
        Result.from_json(value)
