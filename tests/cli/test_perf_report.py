"""What `jsp perf` prints, from numbers made up for the purpose."""

from __future__ import annotations

import json
import re

import pytest

from jsp.cli.perf_load import Result, Sample
from jsp.cli.perf_plan import Plan
from jsp.cli.perf_report import JsonReport, TextReport, flows, scaled

NOTHING = Sample(0.0, (0, 0), (0, 0), 0, 0, 0, 0.0, 0.0, 0, 0)
FIRST = Sample(1.0, (1 << 20, 3 << 20), (5 << 20, 0), 700, 30, 5, 0.0125, 0.001, 48 << 10, 1452)
SECOND = Sample(2.0, (2 << 20, 3 << 20), (6 << 20, 0), 900, 40, 5, 0.025, 0.002, 96 << 10, 1452)
HERE = Result([2 << 20, 3 << 20], [6 << 20, 0], 900, 40, 2.0, 2.1, 5, 0.01, 0.02, 0.03, 96 << 10, 50.0, 10.0)
THERE = Result([6 << 20, 0], [2 << 20, 3 << 20], 40, 890, 2.0, 2.5, 7, 0.01, 0.02, 0.03, 64 << 10, 25.0, 5.0)


@pytest.mark.parametrize(
    ("value", "base", "text"),
    [
        (0, 1000, "0.00 "),
        (999, 1000, "999 "),
        (1000, 1000, "1.00 K"),
        (1024, 1024, "1.00 K"),
        (12_345, 1000, "12.3 K"),
        (99_950, 1000, "100 K"),
        (941e6, 1000, "941 M"),
        (999.6e6, 1000, "1.00 G"),
        (1.21 * 2**30, 1024, "1.21 G"),
        (5e15, 1000, "5000 T"),
    ],
)
def test_three_digits_and_a_prefix(value: float, base: int, text: str) -> None:
    assert scaled(value, base) == text


def test_each_direction_has_its_sender_and_receiver() -> None:
    assert [(f.sender, f.receiver) for f in flows(Plan(), HERE, THERE)] == [(HERE, THERE)]
    assert [(f.sender, f.receiver) for f in flows(Plan(reverse=True), HERE, THERE)] == [(THERE, HERE)]
    assert [f.name for f in flows(Plan(bidir=True), HERE, THERE)] == ["TX", "RX"]


def lines(plan: Plan, capsys: pytest.CaptureFixture[str]) -> list[str]:
    report = TextReport(plan)
    report.interval(NOTHING, FIRST)
    report.interval(FIRST, SECOND)
    report.end(HERE, THERE)
    return [re.sub(" +", " ", line) for line in capsys.readouterr().out.splitlines()]


def test_lines_of_two_streams(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(Plan(streams=2), capsys)
    assert found[:3] == [
        "[ 1] 0.00-1.00 sec 1.00 MBytes 8.39 Mbits/sec",
        "[ 2] 0.00-1.00 sec 3.00 MBytes 25.2 Mbits/sec",
        "[SUM] 0.00-1.00 sec 4.00 MBytes 33.6 Mbits/sec 5 12.50 ms 48.0 KBytes",
    ]
    assert found[5] == "[SUM] 1.00-2.00 sec 1.00 MBytes 8.39 Mbits/sec 0 25.00 ms 96.0 KBytes"
    assert found[7:] == [
        "[SUM] 0.00-2.00 sec 5.00 MBytes 21.0 Mbits/sec 5 sender",
        "[SUM] 0.00-2.50 sec 5.00 MBytes 16.8 Mbits/sec receiver",
        "CPU here: 60.0% (user 50.0%, system 10.0%)",
        "CPU there: 30.0% (user 25.0%, system 5.0%)",
    ]


def test_lines_of_both_directions(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(Plan(bidir=True, streams=2), capsys)
    assert found[5] == "[ RX] 0.00-1.00 sec 5.00 MBytes 41.9 Mbits/sec"
    assert [line[:5] for line in found[13:17]] == ["[ TX]", "[ TX]", "[ RX]", "[ RX]"]
    assert "7 sender" in found[15]


def test_lines_of_messages(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(Plan(messages=100), capsys)
    assert "[MSG] 0.00-1.00 sec 700 700 /s 4.00 MBytes 33.6 Mbits/sec 5 12.50 ms 48.0 KBytes" in found
    assert "[MSG] 890 of 900 delivered (98.89%)" in found


def test_json_has_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    report = JsonReport(Plan(bidir=True, messages=100))
    report.interval(NOTHING, FIRST)
    report.interval(FIRST, SECOND)
    report.end(HERE, THERE)
    document = json.loads(capsys.readouterr().out)
    assert [(i["sum"]["start"], i["sum"]["end"]) for i in document["intervals"]] == [(0, 1), (1, 2)]
    first = document["intervals"][0]
    assert (first["sum"]["bytes"], first["sum"]["bits_per_second"]) == (4 << 20, 8 * (4 << 20))
    assert (first["sum"]["retransmits"], first["sum"]["rtt"], first["sum"]["snd_cwnd"]) == (5, 12_500, 48 << 10)
    assert (first["sum"]["messages"], first["sum_bidir_reverse"]["messages"]) == (700, 30)
    assert first["sum_bidir_reverse"]["sender"] is False
    assert [row["bytes"] for row in first["streams"]] == [1 << 20, 3 << 20, 5 << 20, 0]
    end = document["end"]
    assert end["sum_sent"]["bytes"] == end["sum_received"]["bytes"] == 5 << 20
    assert (end["sum_sent"]["seconds"], end["sum_received"]["seconds"]) == (2.0, 2.5)
    assert end["sum_received"]["messages_per_second"] == 890 / 2.5
    assert (end["sum_sent_bidir_reverse"]["retransmits"], end["sum_received_bidir_reverse"]["bytes"]) == (7, 6 << 20)
    assert (end["sum_sent"]["min_rtt"], end["sum_sent"]["mean_rtt"], end["sum_sent"]["max_rtt"]) == (
        10_000, 20_000, 30_000,
    )  # fmt: skip
    assert end["cpu_utilization_percent"] == {
        "host_total": 60.0, "host_user": 50.0, "host_system": 10.0,
        "remote_total": 30.0, "remote_user": 25.0, "remote_system": 5.0,
    }  # fmt: skip
