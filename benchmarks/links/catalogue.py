"""The links, and who is sent over them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from jsp.config import CONGESTION
from tests.netlab import links as netlab_links

PANTHEON = {f"pantheon-{number}": link for number, link in netlab_links.PANTHEON.items()}
LINKS = netlab_links.LINKS | PANTHEON

SECONDS = {"satellite": 30.0, "lte": 20.0}
"The shortest runs that show something, where that is long."

FAST = ("wan", "wifi", "lte", "pantheon-4", "pantheon-5", "pantheon-6")
"What fills them takes so much CPU time that contestants take turns; elsewhere all are measured at the same time."

SHARED = ("interop", "pantheon-15", "pantheon-16", "pantheon-17", "pantheon-18")
"Where three flows of a kind are measured, and one beside kernel CUBIC, too."


@dataclass(frozen=True)
class Contestant:
    """Somebody who sends. Attributes: label: for tables; module: of this package; congestion: what it is to use."""

    label: str
    module: str
    congestion: str


CUBIC = "tcp-cubic"

CONTESTANTS = {
    "jsp-cubic": Contestant("jsp cubic", "jsp_", "cubic"),
    "jsp-newreno": Contestant("jsp newreno", "jsp_", "newreno"),
    "jsp-bbr": Contestant("jsp bbr", "jsp_", "bbr"),
    CUBIC: Contestant("kernel TCP cubic", "tcp", "cubic"),
    "tcp-bbr": Contestant("kernel TCP bbr", "tcp", "bbr"),
    "aioquic": Contestant("aioquic cubic", "aioquic_", "cubic"),
}

_KERNEL = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


def missing(contestant: Contestant) -> str | None:
    """Why it cannot take part here; None when it can."""
    if contestant.module == "jsp_" and contestant.congestion not in CONGESTION:
        return "jsp does not have it yet"
    if contestant.module == "tcp" and contestant.congestion not in _KERNEL.read_text().split():
        return "this kernel does not have it"
    if contestant.module == "aioquic_" and importlib.util.find_spec("aioquic") is None:
        return "it is not installed"
    return None
