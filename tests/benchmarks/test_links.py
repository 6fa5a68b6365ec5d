"""The bench over emulated links: its arithmetic, its report, and that the documentation has the committed figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.links import figures, pantheon, report
from benchmarks.links.catalogue import CONTESTANTS, FAST, LINKS, SECONDS, SHARED, Contestant, missing
from benchmarks.links.running import Run
from benchmarks.process import ContestantError
from benchmarks.report import BEGIN, END, insert
from tests.benchmarks.made_up import result as of_other_bench
from tests.netlab.lab import why_not

LINK = {"steady_bytes": 1_250_000, "queueing_p50": 3.0, "queueing_p95": 12.0, "lateness_p99": 0.05}
NOISE = {"steal": 0.0, "others": 0.1}


def made_run(*arrivals: dict[int, int]) -> Run:
    """Two seconds, from 100 s on."""
    return Run(100.0, 102.0, list(arrivals), [{"sent": 100, "retransmitted": 5}] * len(arrivals), LINK, NOISE)


def made_result() -> dict[str, Any]:
    """Of one link, with two rounds of two contestants."""
    sample = figures.alone(made_run({1000 + i: 125_000 for i in range(20)}))
    half = sample | {"goodput": sample["goodput"] / 2}
    shared = figures.together(made_run({1010: 100}, {1011: 300}), 1)
    return {
        "environment": of_other_bench()["environment"],
        "rounds": 2,
        "seconds": 2,
        "seed": 1,
        "samples": {
            "interop": {
                "jsp-cubic": [{"alone": half, "three": shared, "beside cubic": shared}] * 2,
                "tcp-cubic": [{"alone": sample}, {"alone": sample}],
                "aioquic": [],
            }
        },
        "left out": {"jsp bbr": "jsp does not have it yet"},
    }


def test_goodput_counts_whole_periods() -> None:
    arrivals = {999: 10**9, 1000: 125_000, 1019: 125_000, 1020: 10**9}
    assert figures.goodput(arrivals, 100.0, 102.0) == pytest.approx(1.0)
    assert figures.goodput({}, 100.0, 102.0) == 0


@pytest.mark.parametrize(("rates", "index"), [([1, 1, 1], 1), ([5, 0, 0], 1 / 3), ([0, 0], 0), ([4, 2], 0.9), ([7], 1)])
def test_jain(rates: list[float], index: float) -> None:
    assert figures.jain(rates) == pytest.approx(index)


def test_a_flow_alone() -> None:
    sample = figures.alone(made_run({1000: 1_000_000, 1015: 250_000}))
    assert sample["goodput"] == pytest.approx(5)
    assert sample["steady"] == pytest.approx(2)
    assert sample["link"] == pytest.approx(10)
    assert sample["retransmitted"] == pytest.approx(0.05)


def test_flows_together_count_from_when_all_are_there() -> None:
    sample = figures.together(made_run({1005: 10**9, 1010: 100}, {1011: 300}), 1)
    assert sample["share"] == pytest.approx(0.25)
    assert sample["jain"] == pytest.approx(0.8)


def test_tables_compare_within_rounds() -> None:
    text = report.markdown(made_result())
    assert "| jsp cubic | 5 | 0.50 x | 10 | 3 | 12 | 5 % |" in text
    assert "| jsp cubic | 0.80 | 0.00 | 25 % |" in text
    assert "aioquic cubic" not in text
    assert "* jsp bbr: jsp does not have it yet" in text


def test_a_machine_that_was_late_is_told() -> None:
    made = made_result()
    assert "take the figures again" not in report.markdown(made)
    made["samples"]["interop"]["jsp-cubic"][0]["alone"]["lateness"] = 5.0
    assert "take the figures again" in report.markdown(made)


def test_each_link_has_its_plot() -> None:
    drawn = report.plots(made_result())
    assert list(drawn) == ["link-interop.svg"]
    assert "img/link-interop.svg" in report.markdown(made_result())
    assert "jsp cubic" in drawn["link-interop.svg"] and "aioquic" not in drawn["link-interop.svg"]


def test_the_terminal_gets_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    report.print_all(made_result())
    out = capsys.readouterr().out
    assert LINKS["interop"].title in out and "Jain" in out


def test_the_documentation_has_the_committed_figures() -> None:
    result = json.loads(report.RESULTS.read_text())
    page = report.PAGE.read_text()
    assert insert(page, report.markdown(result)) == page, "python -m benchmarks.links.report"
    for name, svg in report.plots(result).items():
        assert (report.PAGE.parent / report.IMAGES / name).read_text() == svg, name


def test_pantheon_is_one_table() -> None:
    def at(rate: float, delay: float) -> list[figures.Samples]:
        return [{"alone": {"goodput": rate, "queueing p95": delay}}]

    # One way are 28 and 88 ms.
    samples: dict[str, dict[str, list[figures.Samples]]] = {
        "pantheon-1": {"jsp-cubic": at(0.5, 30), "tcp-cubic": at(0.4, 20), "tcp-bbr": at(0.504, 20)},
        "pantheon-2": {"jsp-cubic": at(1, 20), "tcp-cubic": at(1.1, 21), "tcp-bbr": [{}]},
    }
    rows = pantheon.rows(samples)
    assert rows[1] == ["1. Nepal to India", "0.50 at 30", "0.40 at 20", "0.50 at 20"]
    assert rows[2][1:] == ["1 at 20", "1.10 at 21", ""]
    # A hundredth more goodput is not counted, nor is a hundredth more delay.
    assert rows[-1] == ["not dominated on", "1 of 2", "1 of 2", "1 of 1"]
    assert pantheon.rows({"wan": samples["pantheon-1"]}) == []
    assert {point.label for point in pantheon.points(samples)} == {"jsp cubic", "kernel TCP cubic", "kernel TCP bbr"}


def test_fairness_where_it_was_measured() -> None:
    three: figures.Samples = {"three": {"jain": 0.9}, "beside cubic": {"share": 0.4}}
    rows = pantheon.shared({"pantheon-15": {"jsp-cubic": [three], "tcp-cubic": [{}]}, "pantheon-1": {"tcp-bbr": [{}]}})
    # In the order of the settings: "tcp-bbr" is seen first.
    assert rows[1:] == [["Queue of BDP/10", "", "0.90; 40%", ""]]


def test_the_page_has_a_place() -> None:
    assert BEGIN in report.PAGE.read_text() and END in report.PAGE.read_text()
    assert set(SECONDS) | set(SHARED) | set(FAST) <= set(LINKS)


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("name", CONTESTANTS)
def test_each_contestant_fills_a_small_link(name: str) -> None:
    from benchmarks.links.running import run

    who = CONTESTANTS[name]
    if reason := why_not() or missing(who):
        pytest.skip(reason)
    (made,) = run(LINKS["interop"], [[(who, 0), (who, 0.5)]], 3, seed=1)
    assert isinstance(made, Run)
    assert all(figures.goodput(arrivals, made.begin, made.end) > 0.5 for arrivals in made.arrivals)
    assert all(counts["sent"] > counts["retransmitted"] for counts in made.counts)
    assert made.link["steady_bytes"] > 500_000


@pytest.mark.slow
@pytest.mark.root
def test_who_fails_does_so_alone() -> None:
    from benchmarks.links.running import run

    if reason := why_not():
        pytest.skip(reason)
    broken = Contestant("broken", "no_such_module", "cubic")
    who = CONTESTANTS["tcp-cubic"]
    failed, made = run(LINKS["interop"], [[(broken, 0)], [(who, 0)]], 2, seed=1)
    assert isinstance(failed, ContestantError)
    assert isinstance(made, Run) and made.link["steady_bytes"] > 500_000
