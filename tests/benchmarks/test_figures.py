"""What samples come to: ratios are of the same round, and above 1 whoever comes first is better."""

from __future__ import annotations

import json

import pytest

from benchmarks import figures
from benchmarks.catalogue import CONTESTANTS, TESTS, choose, ours
from benchmarks.rounds import Samples
from tests.benchmarks.made_up import result, sample, samples


def test_ratios_are_of_the_same_round() -> None:
    # A round that was slow for all does not show.
    assert figures.advantage(samples(), "bulk", "jsp", "limit") == 0.5
    assert figures.advantage(samples(), "bulk", "jsp-65000", "tls") == 1


def test_less_is_better_for_times() -> None:
    assert figures.advantage(samples(), "rtt", "jsp", "tls") == 0.5


def test_a_ratio_is_the_median_of_rounds() -> None:
    rounds = Samples(
        {
            "bulk": {
                "jsp": [sample("MB/s", v) for v in (10, 10, 90)],
                "limit": [sample("MB/s", v) for v in (20, 40, 10)],
            }
        }
    )
    assert figures.advantage(rounds, "bulk", "jsp", "limit") == 0.5


def test_who_did_not_take_part_has_no_ratio() -> None:
    assert figures.advantage(samples(), "bulk", "jsp", "qh3") is None
    assert figures.advantage(samples(), "messages", "jsp", "tls") is None
    assert figures.ratios(Samples()) == {}


def test_a_packet_costs_so_many_seals_of_its_round() -> None:
    costs = figures.packet_costs(samples())
    assert costs == {
        "jsp": {"tx us/packet": 3, "rx us/packet": 4},
        "limit": {"tx us/packet": 1.5, "rx us/packet": 1.5},
    }


def test_without_seals_there_are_no_costs() -> None:
    rounds = samples()
    del rounds.tests["seal"]
    assert figures.packet_costs(rounds) == {}


def test_whoever_misses_a_round_is_left_out_of_all() -> None:
    rounds = samples()
    rounds.drop("tls", "it went away")
    assert rounds.left_out == {"tls": "it went away"}
    assert not any("tls" in contestants for contestants in rounds.tests.values())


def test_a_result_is_json_with_all_that_repeats_it() -> None:
    made = json.loads(json.dumps(result()))
    assert made["ratios"]["bulk: jsp / limit"] == 0.5
    assert made["medians"]["rtt"]["jsp"]["p50 us"] == 100
    assert made["spread"]["bulk"]["jsp"] == [50, 100]
    assert made["environment"]["versions"]["jsp"] and made["environment"]["command"].startswith("python ")
    assert len(made["samples"]["bulk"]["jsp"]) == 3


def test_the_catalogue_is_whole() -> None:
    for contestant in CONTESTANTS.values():
        assert contestant.tests and set(contestant.tests) <= set(TESTS)
    labels = [contestant.label for contestant in CONTESTANTS.values()]
    assert len(set(labels)) == len(labels)
    for test, first, second in figures.pairs():
        assert test in CONTESTANTS[first].tests and test in CONTESTANTS[second].tests
    assert ours("bulk") == "jsp" and ours("calls-64") == "jsp-rpc"


def test_peers_take_part_when_asked_for() -> None:
    names, left_out = choose(False, ["bulk"])
    assert names == ["jsp", "limit", "jsp-65000", "jsp-pure"] and left_out == {}
    assert "tls" in choose(True, ["bulk"])[0]


def test_what_is_not_installed_is_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    names, left_out = choose(True, ["bulk", "calls"])
    assert "aioquic" not in names and "tls" in names
    assert left_out["aioquic"] == "aioquic is not installed" and left_out["grpc"] == "grpc is not installed"
