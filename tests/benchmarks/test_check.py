"""The regression gate: what fails it, what does not, and that what fails is measured again."""

from __future__ import annotations

import json

import pytest

from benchmarks import check
from benchmarks.check import Ratios
from tests.benchmarks.made_up import samples


class Machine:
    """Gives the ratios of one run after another."""

    def __init__(self, *runs: Ratios) -> None:
        self.runs = list(runs)
        self.asked: list[list[str]] = []

    def measure(self, tests: list[str], rounds: int, seconds: float) -> Ratios:
        self.asked.append(tests)
        return self.runs.pop(0)


EXPECTED = {"bulk: jsp / limit": 0.5, "rtt: jsp / tls": 0.8, "packet: seal / tx us/packet": 0.4}


def test_what_is_as_expected_passes() -> None:
    machine = Machine(dict(EXPECTED))
    assert check.check(EXPECTED, machine.measure) == (EXPECTED, [])
    assert machine.asked == [list(check.TESTS)]


def test_a_little_less_and_any_more_pass() -> None:
    found = {"bulk: jsp / limit": 0.5 * (1 - check.TOLERANCE) + 1e-6, "rtt: jsp / tls": 8.0}
    assert check.too_low(EXPECTED, found) == []


def test_what_fails_is_measured_again_alone() -> None:
    machine = Machine({**EXPECTED, "rtt: jsp / tls": 0.1}, {"rtt: jsp / tls": 0.75, "rtt: jsp / aioquic": 3.0})
    found, low = check.check(EXPECTED, machine.measure)
    assert machine.asked[1] == ["rtt"]
    assert low == [] and found["rtt: jsp / tls"] == 0.75 and "rtt: jsp / aioquic" not in found


def test_what_fails_twice_fails() -> None:
    machine = Machine({**EXPECTED, "rtt: jsp / tls": 0.1}, {"rtt: jsp / tls": 0.2})
    assert check.check(EXPECTED, machine.measure)[1] == ["rtt: jsp / tls"]


def test_the_cost_of_a_packet_needs_two_tests() -> None:
    assert check.tests_of(["packet: seal / tx us/packet"]) == ["bulk", "seal"]


def test_what_cannot_be_measured_here_does_not_fail() -> None:
    assert check.too_low(EXPECTED, {}) == []


def test_ratios_are_higher_for_better() -> None:
    found = check.ratios_of(samples())
    assert found["packet: seal / tx us/packet"] == pytest.approx(1 / 3)
    assert found["bulk: jsp / limit"] == 0.5


def test_round_trips_are_compared_by_cpu_time() -> None:
    found = check.ratios_of(samples())
    assert found["rtt: jsp / tls, CPU time"] == 0.25 and "rtt: jsp / tls" not in found
    assert check.tests_of(["rtt: jsp / tls, CPU time"]) == ["rtt"]


def test_the_committed_ratios_can_be_measured() -> None:
    expected = json.loads(check.EXPECTED.read_text())
    assert expected and all(ratio > 0 for ratio in expected.values())
    assert set(check.tests_of(expected)) <= set(check.TESTS)
    assert {key.partition(":")[0] for key in expected} <= {*check.TESTS, "packet"}
