"""A line on the terminal that says how far a transfer is."""

from __future__ import annotations

import os
from typing import TextIO

import jsp.transfer

from . import words

# Drawn no more often than this: people cannot read faster, and a terminal is slow. Seconds.
_INTERVAL = 0.1

# The rate is that of the last few seconds, so that a stall shows and a resumed start does not.
_RATE_OVER = 3.0

# Columns, of a terminal that does not know how many it has.
_WIDTH_DEFAULT = 80

_CLEAR_TO_END = "\x1b[K"


class Bar:
    """Draws the line.

    Args:
        out: the terminal; nothing is drawn when it is something else.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._active = out.isatty()
        self._drawn_at = -_INTERVAL
        self._drawn = False
        # (seconds, bytes sent) of the last few seconds, oldest first.
        self._marks: list[tuple[float, int]] = []

    def update(self, report: jsp.transfer.Report) -> None:
        """Show where `report` is, if it is time to."""
        now = report.seconds
        if not self._active or now - self._drawn_at < _INTERVAL:
            return
        self._drawn_at = now
        self._marks.append((now, report.bytes_sent))
        while len(self._marks) > 2 and now - self._marks[0][0] > _RATE_OVER:
            self._marks.pop(0)
        self._out.write("\r" + self._line(report, self._width()) + _CLEAR_TO_END)
        self._out.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the line away, so that something else can be said."""
        if self._drawn:
            self._out.write("\r" + _CLEAR_TO_END)
            self._out.flush()
            self._drawn = False

    def _width(self) -> int:
        # Of this terminal: stdout, which shutil.get_terminal_size looks at, may go elsewhere.
        return os.get_terminal_size(self._out.fileno()).columns or _WIDTH_DEFAULT

    def _line(self, report: jsp.transfer.Report, width: int) -> str:
        done = report.bytes_sent + report.bytes_skipped
        total = report.bytes_total
        rate = self._rate()
        # Until the walk is over, nobody knows how much there will be.
        share = f"{min(100 * done // total, 100):3}%" if report.scanned and total else "    "
        parts = [share, f"{words.size(done)} of {words.size(total)}{'' if report.scanned else ' and more'}"]
        parts.append(f"{report.files_done:,}/{words.plural(report.files, 'file')}")
        parts.append(f"{words.size(rate)}/s")
        if report.scanned and rate > 0 and total > done:
            parts.append(f"{words.clock_time((total - done) / rate)} left")
        line = "  ".join(parts)
        room = width - 1 - len(line) - 2
        path = jsp.transfer.display(report.path)
        if room >= 12 and path:
            line += "  " + (path if len(path) <= room else "..." + path[len(path) - room + 3 :])
        return line[: width - 1]

    def _rate(self) -> float:
        (begin, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - begin) if end > begin else 0.0
