"""Totals, and problems that are safe to print whoever worded them."""

from __future__ import annotations

import json

import pytest

from jsp.net import clock
from jsp.transfer.report import PROBLEMS_KEPT, Problem, Report, no_progress


def test_a_problem_reads_as_path_and_text() -> None:
    assert str(Problem(b"a/b", "Permission denied")) == "a/b: Permission denied"
    assert str(Problem("日本語".encode(), "ü")) == "日本語: ü"


@pytest.mark.parametrize("evil", ["\x1b[2J", "two\nlines", "\r", "\x07", "\u202e", "\x9b31m", "\0"])
def test_neither_path_nor_text_moves_the_cursor_of_a_terminal(evil: str) -> None:
    shown = str(Problem(b"path" + evil.encode(), f"text{evil}"))
    assert shown.isprintable()
    assert shown.startswith("path") and ": text" in shown


def test_what_is_not_utf8_can_be_shown() -> None:
    assert str(Problem(b"\xff\xfe", "x")) == r"\xff\xfe: x"
    assert str(Problem(b"x", b"\xff".decode("utf-8", "surrogateescape"))) == r"x: \xff"


def test_what_is_passed_over_on_purpose_is_no_error() -> None:
    report = Report()
    report.add(Problem(b"pipe", "passed over", error=False))
    assert (report.errors, len(report.problems)) == (0, 1)
    report.add(Problem(b"file", "Permission denied"))
    assert (report.errors, len(report.problems)) == (1, 2)


def test_problems_are_counted_beyond_those_that_are_kept() -> None:
    report = Report()
    for number in range(PROBLEMS_KEPT + 500):
        report.add(Problem(b"%d" % number, "x"))
    assert report.errors == PROBLEMS_KEPT + 500
    assert [problem.path for problem in report.problems] == [b"%d" % number for number in range(PROBLEMS_KEPT)]


def test_two_reports_share_nothing() -> None:
    one, other = Report(), Report()
    one.add(Problem(b"x", "y"))
    assert (other.problems, other.errors) == ([], 0)


def test_seconds_go_on_until_the_end() -> None:
    report = Report(begun=clock.now() - 10)
    assert 10 <= report.seconds < 60
    report.ended = report.begun + 2.5
    assert report.seconds == 2.5


def test_totals_are_plain_numbers() -> None:
    report = Report(
        files=5, directories=4, links=3, files_done=5, files_sent=2, bytes_total=1 << 40, bytes_sent=7, bytes_skipped=6,
        errors=1, path=b"\xff", begun=1.0, ended=2.123456789,
    )  # fmt: skip
    report.problems.append(Problem(b"\xff", "x"))
    assert json.loads(json.dumps(report.totals())) == {
        "files": 5, "directories": 4, "links": 3, "files_sent": 2, "bytes_total": 1 << 40, "bytes_sent": 7,
        "bytes_skipped": 6, "errors": 1, "seconds": 1.123457,
    }  # fmt: skip


def test_no_progress_leaves_the_report_alone() -> None:
    report = Report(begun=1.0)
    no_progress(report)
    assert report == Report(begun=1.0)
