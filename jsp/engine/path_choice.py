"""Which of several paths data takes (`Config.path_scheduler`; spec section 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsp.engine.mobility import candidates

if TYPE_CHECKING:
    from jsp.engine.connection import ConnectionCore
    from jsp.engine.path import Path

# What was sent by a path long ago shall not decide for ever: the sums are halved when the largest gets here.
_SHARE_BYTES = 1 << 20
# A path may be this much ahead of its share: trains are not cut for it.
_AHEAD_BYTES = 1 << 16


def choose(conn: ConnectionCore) -> list[Path]:
    """The paths for data, the one to be filled first at the front."""
    paths = candidates(conn)
    if len(paths) < 2:
        return paths
    return _CHOICES[conn.config.path_scheduler](conn, paths)


def _by_rtt(path: Path) -> float:
    return path.recovery.rtt.smoothed


def _lowest_rtt(conn: ConnectionCore, paths: list[Path]) -> list[Path]:
    """The quickest first; a slower one where that is earlier than to wait for the quickest (ECF, Lim et al. 2017)."""
    paths.sort(key=_by_rtt)
    quickest = paths[0].recovery
    window = max(quickest.controller.window, 1)
    waiting = conn.scheduler.unsent(_WAITING_MAX * window) + quickest.in_flight
    done = quickest.rtt.smoothed * (1 + waiting // window)
    return [path for path in paths if path is paths[0] or path.recovery.rtt.smoothed < done + quickest.rtt.variance]


# Round trips of the quickest path that it may take to send what waits: more than that, and every path is of use.
_WAITING_MAX = 64


def _weighted(conn: ConnectionCore, paths: list[Path]) -> list[Path]:
    """Those that have had least of what their weights give them; one that had more waits for them."""
    if max(path.carried for path in paths) > _SHARE_BYTES:
        for path in paths:
            path.carried /= 2
    behind = min(map(_share, paths))
    return sorted((path for path in paths if _share(path) <= behind + _AHEAD_BYTES / path.weight), key=_share)


def _share(path: Path) -> float:
    return path.carried / path.weight


_CHOICES = {"lowest-rtt": _lowest_rtt, "weighted": _weighted, "redundant": _lowest_rtt}
