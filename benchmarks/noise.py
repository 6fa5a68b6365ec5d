"""How quiet the machine was during a sample: CPU time that the hypervisor kept, and that other programs used."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")

# Columns of the first line of /proc/stat (proc(5)).
_USER, _NICE, _SYSTEM, _STEAL = 0, 1, 2, 7
_COLUMNS = 8


def cpu_of(pid: int) -> float:
    """CPU seconds that process `pid` has used, all threads."""
    # The name, in brackets, may contain anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_of(pid: int) -> int:
    """Resident memory of process `pid`, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _own_cpu(pids: tuple[int, ...]) -> float:
    own = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        own += usage.ru_utime + usage.ru_stime
    return own + sum(cpu_of(pid) for pid in pids)


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment, in seconds of one core.

    Attributes:
        total: what all cores together could have done.
        busy: what programs used.
        stolen: what the hypervisor gave to others.
        own: what we used: this process, children that have ended, and those asked for.
    """

    total: float
    busy: float
    stolen: float
    own: float

    @classmethod
    def take(cls, *pids: int) -> Snapshot:
        """Now; `pids` are children that still run and count as ours."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(x) for x in file.readline().split()[1 : 1 + _COLUMNS]]
        busy = ticks[_USER] + ticks[_NICE] + ticks[_SYSTEM]
        return cls(sum(ticks) / _TICK, busy / _TICK, ticks[_STEAL] / _TICK, _own_cpu(pids))

    def since(self, before: Snapshot) -> dict[str, float]:
        """The noise between `before` and now, as shares of all CPU time: "steal" and "others"."""
        total = max(self.total - before.total, 1 / _TICK)
        others = (self.busy - before.busy) - (self.own - before.own)
        return {"steal": (self.stolen - before.stolen) / total, "others": min(1.0, max(0.0, others / total))}
