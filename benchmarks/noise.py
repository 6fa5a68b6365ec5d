"""How quiet the machine was during a sample: CPU time that the hypervisor kept, and that other programs used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")

# Columns of the first line of /proc/stat (proc(5)).
_STEAL = 7
_COLUMNS = 8


def _fields(path: Path) -> list[str]:
    """What /proc/PID/stat says from the process's state on: its name, in brackets, may contain anything."""
    return path.read_text().rpartition(")")[2].split()


def cpu_of(pid: int) -> float:
    """CPU seconds that process `pid` has used, all threads."""
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_of(pid: int) -> int:
    """Resident memory of process `pid`, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _cpu_of_others() -> float:
    """CPU seconds of all processes, ended children included, but this one and those that it started.

    The system's own sum in /proc/stat is sampled by its clock, which in programs that sleep and wake in step with it
    finds them running far more often than they are.
    """
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = _fields(path)
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(int(x) for x in fields[11:15])
    return sum(ticks for pid, ticks in used.items() if not _is_ours(pid, parents)) / _TICK


def _is_ours(pid: int, parents: dict[int, int]) -> bool:
    while pid:
        if pid == os.getpid():
            return True
        pid = parents.get(pid, 0)
    return False


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment, in seconds of one core.

    Attributes:
        total: what all cores together could have done.
        stolen: what the hypervisor gave to others.
        others: what programs used that are not ours.
    """

    total: float
    stolen: float
    others: float

    @classmethod
    def take(cls) -> Snapshot:
        """Now."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(x) for x in file.readline().split()[1 : 1 + _COLUMNS]]
        return cls(sum(ticks) / _TICK, ticks[_STEAL] / _TICK, _cpu_of_others())

    def since(self, before: Snapshot) -> dict[str, float]:
        """The noise between `before` and now, as shares of all CPU time: "steal" and "others"."""
        total = max(self.total - before.total, 1 / _TICK)
        others = (self.others - before.others) / total
        return {"steal": (self.stolen - before.stolen) / total, "others": min(1.0, max(0.0, others))}
