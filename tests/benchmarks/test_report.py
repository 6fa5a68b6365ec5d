"""Tables and charts out of results, and that the documentation has those of the committed one."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import chart, report, table
from benchmarks.__main__ import RESULTS
from benchmarks.chart import Bar
from tests.benchmarks.made_up import result

BASELINE = RESULTS / "baseline.json"


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_the_documentation_has_the_committed_figures() -> None:
    committed = json.loads(BASELINE.read_text())
    page = report.PAGE.read_text()
    assert report.filled(page, committed) == page, f"python -m benchmarks.report {BASELINE}"
    for name, svg in report.charts(committed).items():
        assert (report.PAGE.parent / report.IMAGES / name).read_text() == svg, name


def test_a_page_keeps_what_is_around_the_figures() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    filled = report.filled(page, result())
    assert filled.startswith("before\n") and filled.endswith("\nafter\n")
    assert "old" not in filled and "0.50 x" in filled
    assert report.filled(filled, result()) == filled


@pytest.mark.parametrize("page", ["", report.BEGIN, report.END, f"{report.END}{report.BEGIN}"])
def test_a_page_without_a_place_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="no place for the figures"):
        report.filled(page, result())


def test_each_compared_test_has_a_chart() -> None:
    charts = report.charts(result())
    assert set(charts) == {"bench-bulk.svg", "bench-rtt.svg", "bench-handshakes.svg"}
    assert all(f"img/{name}" in report.markdown(result()) for name in charts)


def test_charts_of_another_result_go(tmp_path: Path) -> None:
    for name in ("bench-old.svg", "else.svg"):
        (tmp_path / name).write_text("")
    report.write_charts(report.charts(result()), tmp_path, "bench")
    assert {p.name for p in tmp_path.iterdir()} == {*report.charts(result()), "else.svg"}


def test_the_best_stands_first() -> None:
    charts = report.charts(result())
    bulk, rtt = words(charts["bench-bulk.svg"]), words(charts["bench-rtt.svg"])
    assert bulk.index("limit: no protocol") < bulk.index("jsp")
    assert rtt.index("gevent TLS 1.3 over TCP") < rtt.index("jsp")
    assert "less is better" in rtt[1] and "more is better" in bulk[1]


def test_remarks_say_what_is_missing() -> None:
    text = report.markdown(result())
    assert "* zerorpc, no encryption: zerorpc is not installed" in text
    assert "* limit: no protocol: compiled by Cython" in text


def test_readers_are_warned_of_noise() -> None:
    made = result()
    assert "others took 25% of its CPU time" in report.markdown(made)
    for contestants in made["medians"].values():
        for figures in contestants.values():
            figures["others"] = 0.01
    assert "busy" not in report.markdown(made)


def test_labels_are_escaped_and_lie_inside() -> None:
    bars = [Bar("<a> & b", 1, "1", 0, 1), Bar("long", 100, "100", 90, 120, chart.OURS)]
    svg = chart.draw('A "title" < B', "unit", bars)
    assert "<a> & b" in words(svg)
    root = ElementTree.fromstring(svg)
    width = float(root.attrib["width"])
    for element in root.iter():
        if element.tag.endswith("rect"):
            assert float(element.attrib["x"]) + float(element.attrib["width"]) <= width


def test_a_chart_of_nothing_is_a_chart() -> None:
    ElementTree.fromstring(chart.draw("t", "u", []))
    ElementTree.fromstring(chart.draw("t", "u", [Bar("zero", 0, "0", 0, 0)]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (12.34, "12.3"), (1.234, "1.23"), (0, "0"), (0.5, "0.50"), (10_000, "10,000")],
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert table.number(value) == text


def test_rows_of_a_table_are_of_one_length() -> None:
    made = result()
    for test in made["medians"]:
        rows = table.comparison(made, test)
        assert len({len(row) for row in rows}) == 1
        assert len(table.as_text(rows).splitlines()) == len(rows)
        assert len(table.as_markdown(rows).splitlines()) == len(rows) + 1


def test_the_terminal_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    table.print_all(result())
    out = capsys.readouterr().out
    for part in ("Bulk transfer", "in seals", "12,346 bytes of server memory", "not installed", "compiled by Cython"):
        assert part in out
