"""What `jsp-sync` shows: the progress bar, on a terminal only, and sizes and times as people read them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import jsp.transfer
from apps.filesync import words
from apps.filesync.bar import Bar
from apps.filesync.main import main
from apps.filesync.settings import CONFIG
from jsp.transfer import Problem, Report, handler
from jsp.transfer.chunks import CHUNK
from tests.net.support import serving
from tests.transfer.trees import write

END = "\0"
CONTROL = re.compile(r"\x1b\[K|\r")


class Terminal:
    """A terminal that something is shown on.

    Attributes:
        file: to write to.
    """

    def __init__(self, columns: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.file = os.fdopen(slave, "w")

    def shown(self) -> str:
        """All that was written since the last call."""
        # A terminal hands on what is written piece by piece.
        self.file.write(END)
        self.file.flush()
        text = b""
        while not text.endswith(END.encode()):
            text += os.read(self._master, 65536)
        return text.decode().removesuffix(END)

    def close(self) -> None:
        self.file.close()
        os.close(self._master)


@contextmanager
def terminal(columns: int = 80) -> Iterator[Terminal]:
    """A terminal of so many columns."""
    made = Terminal(columns)
    try:
        yield made
    finally:
        made.close()


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with a file of some chunks in a directory with a long name."""
    monkeypatch.delenv("COLUMNS", raising=False)
    write(tmp_path / "served" / ("long " * 20) / "file", os.urandom(3 * CHUNK))
    with serving(handler(tmp_path / "served"), config=CONFIG) as server:
        yield server.url


def report(**values: object) -> Report:
    """A report in the middle of a transfer that began at 0."""
    made = Report(begun=0.0)
    for name, value in values.items():
        setattr(made, name, value)
    return made


# --- where it is shown -------------------------------------------------------------------------------------------


def test_a_terminal_sees_the_bar_and_then_only_the_totals(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal() as screen:
        monkeypatch.setattr(sys, "stderr", screen.file)
        assert main(["pull", address, "copy"]) == 0
        shown = screen.shown()
    assert shown.startswith("\r  0%  0 B of 786 kB  0/1 file  0 B/s")
    assert shown.endswith("\r\x1b[K"), "the bar is taken away at the end"
    assert capsys.readouterr().out.startswith("1 file, 786 kB: sent 786 kB in 1 file, ")


def test_json_goes_with_a_bar(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal() as screen:
        monkeypatch.setattr(sys, "stderr", screen.file)
        assert main(["pull", "--json", address, "copy"]) == 0
        assert "\r  0%" in screen.shown()
    assert json.loads(capsys.readouterr().out)["files"] == 1


def test_what_is_no_terminal_sees_no_bar(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", address, "copy"]) == 0
    out, errors = capsys.readouterr()
    assert errors == "" and "\r" not in out and "\x1b" not in out


def drawn_then(then: Callable[[Report], None]) -> Callable[..., Report]:
    """A transfer that draws the bar and goes on with `then`."""

    def transfer(conn: object, src: object, dst: object, *, progress: Callable[[Report], None], **_: object) -> Report:
        made = report(files=1, path=b"first", ended=0.0)
        progress(made)
        then(made)
        progress(made)
        return made

    return transfer


def test_problems_stand_on_lines_of_their_own(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem(b"a\nb", "a directory is in its way")
    monkeypatch.setattr(jsp.transfer, "pull", drawn_then(lambda made: made.add(problem)))
    with terminal() as screen:
        monkeypatch.setattr(sys, "stderr", screen.file)
        assert main(["pull", address, "copy"]) == 1
        shown = screen.shown()
    assert shown.endswith("first\x1b[K\r\x1b[Kjsp-sync: a\\nb: a directory is in its way\r\n")


def test_an_error_and_ctrl_c_take_the_bar_away(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(made: Report) -> None:
        raise jsp.transfer.TransferError("no more")

    def interrupt(made: Report) -> None:
        raise KeyboardInterrupt

    for then, status, said in ((fail, 1, "jsp-sync: no more\r\n"), (interrupt, 130, "")):
        monkeypatch.setattr(jsp.transfer, "pull", drawn_then(then))
        with terminal() as screen:
            monkeypatch.setattr(sys, "stderr", screen.file)
            assert main(["pull", address, "copy"]) == status
            assert screen.shown().endswith(f"first\x1b[K\r\x1b[K{said}")


# --- what it says ------------------------------------------------------------------------------------------------


def line(made: Report, columns: int = 80) -> str:
    """The bar for `made`."""
    with terminal(columns) as screen:
        Bar(screen.file).update(made)
        shown = screen.shown()
    assert shown.startswith("\r") and shown.endswith("\x1b[K")
    return CONTROL.sub("", shown)


def test_before_the_walk_is_over_nobody_knows_the_share() -> None:
    made = report(bytes_total=2_000_000, bytes_sent=500_000, files=3, files_done=1, path=b"a/b", ended=2.0)
    assert line(made) == "      500 kB of 2.00 MB and more  1/3 files  0 B/s  a/b"
    made.scanned = True
    assert line(made) == " 25%  500 kB of 2.00 MB  1/3 files  0 B/s  a/b"


def test_what_was_there_counts_as_done_but_not_for_the_rate() -> None:
    made = report(scanned=True, bytes_total=100_000_000, bytes_skipped=90_000_000, files=1, ended=1.0)
    with terminal() as screen:
        bar = Bar(screen.file)
        bar.update(made)
        made.bytes_sent, made.ended = 2_000_000, 3.0
        bar.update(made)
        shown = CONTROL.split(screen.shown())
    assert shown[-2] == " 92%  92.0 MB of 100 MB  0/1 file  1.00 MB/s  0:08 left"


def test_it_is_drawn_ten_times_a_second_at_most() -> None:
    made = report(bytes_total=1)
    with terminal() as screen:
        bar = Bar(screen.file)
        for step in range(1000):
            made.ended = step / 1000
            bar.update(made)
        assert 9 <= screen.shown().count("\r") <= 10


def test_a_long_path_keeps_its_end_and_its_control_characters_to_itself() -> None:
    made = report(scanned=True, files=1, path=b"x" * 100 + b"\x1b[2J\n/end", ended=0.0)
    shown = line(made)
    assert len(shown) == 79 and shown.endswith("\\x1b[2J\\n/end") and "..." in shown


@pytest.mark.parametrize("columns", [20, 50, 80, 200])
def test_it_is_as_wide_as_its_own_terminal_wherever_stdout_goes(columns: int) -> None:
    made = report(scanned=True, files=1, path=b"x" * 500, ended=0.0)
    assert len(line(made, columns)) == columns - 1


def test_a_terminal_that_does_not_say_how_wide_it_is() -> None:
    assert len(line(report(scanned=True, files=1, path=b"x" * 500, ended=0.0), 0)) == 79


def test_a_bar_that_was_not_drawn_is_not_taken_away() -> None:
    with terminal() as screen:
        Bar(screen.file).clear()
        assert screen.shown() == ""


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9_994, "9.99 kB"), (9_996, "10.0 kB"), (99_960, "100 kB"),
        (999_499, "999 kB"), (999_500, "1.00 MB"), (64e6, "64.0 MB"), (5e9, "5.00 GB"), (7e12, "7.00 TB"),
        (2e15, "2.00 PB"), (5e18, "5000 PB"),
    ],
)  # fmt: skip
def test_sizes(count: float, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (754, "12:34"), (3723, "1:02:03"), (360_000, "100:00:00")]
)
def test_times(seconds: float, text: str) -> None:
    assert words.clock_time(seconds) == text


def test_summaries() -> None:
    made = report(files=10_000, bytes_total=5_000_000, bytes_sent=2_000_000, files_sent=1, ended=2.0)
    assert words.summary(made) == "10,000 files, 5.00 MB: sent 2.00 MB in 1 file, 2.0 s, 1.00 MB/s"
    made.dry_run, made.errors = True, 1
    assert words.summary(made) == "10,000 files, 5.00 MB: would send 2.00 MB in 1 file; 1 error"
