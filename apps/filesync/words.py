"""Sizes, rates and totals as people read them."""

from __future__ import annotations

import jsp.transfer

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Bytes with three digits that matter: 999 B, 1.02 kB, 64.0 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in _UNITS:
        count /= 1000
        # What rounds to 1000 of a unit is 1.00 of the next one.
        if count < 999.5 or unit == _UNITS[-1]:
            break
    digits = 2 if count < 9.995 else 1 if count < 99.95 else 0
    return f"{count:.{digits}f} {unit}"


def clock_time(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def plural(count: int, noun: str) -> str:
    """1 file, 2 files, 10,000 files."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def summary(report: jsp.transfer.Report) -> str:
    """One line that says what a transfer has done."""
    done = "would send" if report.dry_run else "sent"
    text = f"{plural(report.files, 'file')}, {size(report.bytes_total)}: {done} {size(report.bytes_sent)} "
    text += f"in {plural(report.files_sent, 'file')}"
    if not report.dry_run and report.seconds > 0:
        text += f", {report.seconds:.1f} s, {size(report.bytes_sent / report.seconds)}/s"
    if report.errors:
        text += f"; {plural(report.errors, 'error')}"
    return text
