"""Contestants really run: each that is installed does each of its tests, for a moment; failures are remarks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import rounds
from benchmarks.__main__ import main
from benchmarks.catalogue import CONTESTANTS, TESTS
from benchmarks.load import crowd
from benchmarks.noise import Snapshot, cpu_of, resident_of
from benchmarks.process import ContestantError, ServerProcess

# Processes are started by the dozen, which takes its time where others are at work.
pytestmark = pytest.mark.timeout(240)

OURS = ["jsp", "jsp-rpc", "limit", "bare"]


def check_samples(samples: rounds.Samples, names: list[str]) -> None:
    assert samples.left_out == {}
    for test, contestants in samples.tests.items():
        assert set(contestants) == {name for name in names if test in CONTESTANTS[name].tests}
        for values in contestants.values():
            assert values[0][TESTS[test].unit] > 0
            assert 0 <= values[0]["others"] <= 1 and 0 <= values[0]["steal"] <= 1


def test_ours_and_the_limits_run() -> None:
    check_samples(rounds.measure(OURS, ["bulk", "calls-64", "seal"], 1, 0.1), OURS)


@pytest.mark.slow
def test_all_that_are_installed_run() -> None:
    names = [name for name, contestant in CONTESTANTS.items() if contestant.missing() is None]
    check_samples(rounds.measure(names, list(TESTS), 1, 0.2), names)


def test_a_contestant_that_fails_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "JSP_BENCH_DATAGRAM", "7")
    samples = rounds.measure(["jsp", "bare"], ["handshakes"], 1, 0.1)
    assert "jsp" in samples.left_out and list(samples.tests["handshakes"]) == ["bare"]
    with pytest.raises(ContestantError, match="did not start"):
        samples.check_ours()


def test_a_peer_that_fails_is_only_left_out() -> None:
    samples = rounds.Samples(left_out={"zerorpc": "zerorpc is not installed"})
    samples.check_ours()


def test_a_server_that_says_nothing_is_an_error() -> None:
    with pytest.raises(ContestantError, match="did not start"):
        ServerProcess([sys.executable, "-c", "print('hello')"])


def test_a_server_is_gone_after_its_block() -> None:
    with ServerProcess([sys.executable, "-c", "import time; print('ready 1', flush=True); time.sleep(60)"]) as server:
        assert server.address == "1" and resident_of(server.pid) > 1 << 20
    with pytest.raises(OSError, match="No such"):
        os.kill(server.pid, 0)


def test_our_own_work_is_not_noise() -> None:
    before, cpu = Snapshot.take(), cpu_of(os.getpid())
    while cpu_of(os.getpid()) - cpu < 0.1:
        pass
    after = Snapshot.take()
    own = (cpu_of(os.getpid()) - cpu) / (after.total - before.total)
    assert 0 <= after.since(before)["others"] <= 1 - own + 0.1


def test_shares_add_up() -> None:
    assert crowd.shares(10, 3) == [4, 3, 3] and crowd.shares(1, 2) == [1, 0]


def check_load(idle: int, live: int) -> None:
    figures = crowd.measure(idle, live, 2.0)
    assert figures["connections"] == idle and figures["live"] == live
    assert 0 < figures["messages/s"] <= live * 1.5
    assert 0 < figures["p50 ms"] <= figures["p99 ms"]
    assert 1000 < figures["bytes/connection"] < 200_000


def test_few_connections() -> None:
    check_load(40, 10)


@pytest.mark.slow
def test_hundreds_of_connections() -> None:
    check_load(500, 200)


def test_a_client_of_the_load_test_that_fails_is_an_error() -> None:
    with crowd.Client("jsp1...nonsense", 1) as client, pytest.raises(ContestantError):
        client.read()


@pytest.mark.parametrize(
    "words", [["--rounds", "0"], ["--seconds", "0"], ["--idle", "5", "--live", "6"], ["--only", "x"]]
)
def test_bad_options_are_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    with pytest.raises(SystemExit) as refusal:
        main()
    assert refusal.value.code == 2


def test_the_command_writes_its_result(tmp_path: Path) -> None:
    output = tmp_path / "new" / "result.json"
    words = [sys.executable, "-m", "benchmarks", "--only", "seal", "--rounds", "1", "--seconds", "0.05"]
    done = subprocess.run([*words, "-o", str(output)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Sealing 1,400 bytes" in done.stdout and '"seal"' in output.read_text()
