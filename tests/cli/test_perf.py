"""`jsp perf` as people run it: a server, clients, and clients that misbehave."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import gevent
import pytest

import jsp
from jsp.cli.perf import PerfServer, size
from jsp.cli.perf_plan import PROTOCOL, Control
from tests.cli.support import jsp as run_apart
from tests.cli.support import jsp_program, run_here
from tests.net.support import serving

CONFIG = jsp.Config(protocols=(PROTOCOL,), max_streams=129)


@pytest.fixture
def address() -> Iterator[str]:
    """Of a perf server in this process."""
    with serving(PerfServer(False).handle, config=CONFIG) as server:
        yield server.url


def test_text_between_two_processes() -> None:
    with jsp_program("perf", "server", "--listen", "127.0.0.1:0") as server:
        done = run_apart("perf", "client", server.line(), "--time", "1", "--interval", "0.25")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"127\.0\.0\.1:\d+: received [\d.]+ .?Bytes in [\d.]+ s, [\d.]+ .bits/sec", server.line())
    lines = done.stdout.splitlines()
    assert lines[0].startswith("connected to jsp1")
    assert lines[2].split() == ["[", "ID]", "Interval", "Transfer", "Bitrate", "Retr", "RTT", "Cwnd"]
    intervals = [line for line in lines if re.match(r"\[  1\] .* ms .*Bytes$", line)]
    assert len(intervals) >= 4
    assert sum(line.endswith(("sender", "receiver")) for line in lines) == 2
    assert sum(line.startswith("CPU") for line in lines) == 2


def test_json_between_two_processes() -> None:
    with jsp_program("perf", "server", "--listen", "127.0.0.1:0", "--json") as server:
        address = json.loads(server.line())["address"]
        done = run_apart(
            "perf", "client", address, "--json", "-t", "0.5", "-i", "0.2", "-P", "2", "--datagram-size", "1400"
        )
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(server.line())
    document = json.loads(done.stdout)
    assert set(document) == {"start", "intervals", "end"}
    start = document["start"]["test_start"]
    assert (start["num_streams"], start["duration"], start["reverse"], start["blksize"]) == (2, 0.5, 0, 128 << 10)
    assert document["intervals"][0]["sum"]["pmtu"] == 1400
    end = document["end"]
    assert end["sum_sent"]["bytes"] == end["sum_received"]["bytes"] == sum(told["result"]["received"]) > 100_000
    assert end["sum_sent"]["bits_per_second"] == 8 * end["sum_sent"]["bytes"] / end["sum_sent"]["seconds"]
    assert len(end["streams"]) == 2
    assert end["cpu_utilization_percent"]["host_total"] > 0
    assert end["cpu_utilization_percent"]["remote_total"] > 0


@pytest.mark.parametrize(
    "options",
    [("--reverse",), ("--bidir",), ("--streams", "4"), ("--length", "1K"), ("--messages", "64"),
     ("--messages", "1M", "--reverse"), ("--messages", "1000", "--mode", "best-effort")],
    ids=" ".join,
)  # fmt: skip
def test_kinds_of_tests(options: tuple[str, ...], address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("perf", "client", address, "--json", "-t", "0.2", *options) == 0
    # The server in this process prints its line, too.
    document = json.loads(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("{")))
    end = document["end"]
    sent, received = end["sum_sent"], end["sum_received"]
    assert sent["bytes"] > 0
    if "best-effort" in options:
        assert 0 < received["messages"] <= sent["messages"]
    else:
        assert received["bytes"] == sent["bytes"]
    if "--messages" in options:
        assert received["messages_per_second"] > 0
        assert document["start"]["test_start"]["messages"] == size(options[1])
    if "--bidir" in options:
        assert end["sum_received_bidir_reverse"]["bytes"] == end["sum_sent_bidir_reverse"]["bytes"] > 0
    assert document["intervals"][0]["sum"]["sender"] is ("--reverse" not in options)


def test_one_test_at_a_time(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = gevent.spawn(run_here, "perf", "client", address, "--json", "-t", "0.5")
    gevent.sleep(0.2)
    assert run_here("perf", "client", address, "-t", "1") == 1
    assert "another test is running" in capsys.readouterr().err
    assert first.get() == 0
    assert run_here("perf", "client", address, "-t", "0.1") == 0


def test_server_outlives_its_clients(address: str, caplog: pytest.LogCaptureFixture) -> None:
    config = jsp.Config(protocols=(PROTOCOL,))
    with jsp.connect(address, config=config) as connection:
        control = Control(connection.open_stream(), 5.0)
        control.write(plan={"time": "long"})
        with pytest.raises(Exception, match="time: wrong type"):
            control.read("ready")
        control.close()
    connection = jsp.connect(address, config=config)
    control = Control(connection.open_stream(), 5.0)
    control.write(plan={"time": 60.0})
    control.read("ready")
    connection.open_stream().sendall(b"something, and then")
    connection.abort(7, "had enough")
    gevent.sleep(0.05)
    assert "had enough" in caplog.text
    with jsp.connect(address, config=config) as connection:
        assert connection.ping() > 0
    assert run_here("perf", "client", address, "-t", "0.1") == 0


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("64k", 65536), ("2M", 2 << 20), ("0", None), ("K", None)])
def test_sizes(text: str, value: int | None) -> None:
    if value is None:
        with pytest.raises(Exception, match=r"above 0|invalid literal"):
            size(text)
    else:
        assert size(text) == value
