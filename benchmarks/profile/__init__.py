"""Where the time goes: `make profile`. `sampling` asks perf, `tracing` cProfile; `__main__` makes tables of either."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a function takes by itself. Attributes: room: its module or library; share: of the process's CPU time."""

    room: str
    function: str
    share: float


@dataclass(frozen=True)
class Profile:
    """What was seen of one process, greatest cost first.

    Attributes:
        own: what functions take without what they call.
        answerable: the same time by the innermost compiled function of jsp that was running: with what it calls in
            the interpreter, in libraries and in the kernel. Empty when that is not known.
    """

    own: list[Cost]
    answerable: list[Cost]


# Process ("server", "client") -> what was seen of it.
Profiles = dict[str, Profile]
