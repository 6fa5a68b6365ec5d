"""What a transfer has done so far, and what went wrong with single files. The same object serves as progress.

Both ends keep one, each from what it sees, so both know the totals whichever of them sends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jsp.net import clock
from jsp.transfer.names import display

# Of the problems kept for the end; all are counted.
PROBLEMS_KEPT = 1000


class Problem(NamedTuple):
    """Something about one file.

    Attributes:
        path: from the root of the transfer.
        text: what is the matter, for people.
        error: whether the file is not as it should be; False for what is passed over on purpose.
    """

    path: bytes
    text: str
    error: bool = True

    def __str__(self) -> str:
        # The text may be the peer's.
        return f"{display(self.path)}: {display(self.text.encode('utf-8', 'surrogateescape'))}"


@dataclass(slots=True)
class Report:
    """Totals of one transfer. Sizes are bytes of file contents.

    While a transfer runs, totals of the tree are of what has been found so far; `scanned` says when that is all.
    """

    files: int = 0
    "Regular files in the tree."
    directories: int = 0
    links: int = 0
    "Symbolic links."
    files_done: int = 0
    "Files that are settled: in place, found to be so already, or given up."
    files_sent: int = 0
    "Files of which something was sent (in a dry run: would be)."
    bytes_total: int = 0
    "Size of all files."
    bytes_sent: int = 0
    "What went over the connection (in a dry run: would go), each time it did."
    bytes_skipped: int = 0
    "What did not have to: unchanged files, chunks that were there, holes."
    errors: int = 0
    "Files, directories and links that could not be copied."
    problems: list[Problem] = field(default_factory=list)
    "The first thousand of those, and of what was passed over."
    scanned: bool = False
    "Whether the sender has seen its whole tree."
    path: bytes = b""
    "What was handled last, from the root of the transfer."
    dry_run: bool = False
    "Whether this is only what would be done."
    begun: float = field(default_factory=clock.now)
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """Since the beginning, or how long it took."""
        return (clock.now() if self.ended is None else self.ended) - self.begun

    def add(self, problem: Problem) -> None:
        """Note a problem."""
        self.errors += problem.error
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(problem)

    def totals(self) -> dict[str, Any]:
        """The totals as plain numbers, for programs."""
        names = ("files", "directories", "links", "files_sent", "bytes_total", "bytes_sent", "bytes_skipped", "errors")
        return {**{name: getattr(self, name) for name in names}, "seconds": round(self.seconds, 6)}


Progress = Callable[[Report], None]


def no_progress(report: Report) -> None:
    """For those who do not want to know."""
