"""Links by name: that Pantheon's settings are what they say, and that jsp gets along on each of them."""

from __future__ import annotations

import os
from pathlib import Path

import gevent
import pytest

import jsp
from tests.netlab.emulator import replay
from tests.netlab.lab import Lab
from tests.netlab.links import LINKS, PANTHEON, Link
from tests.netlab.support import connect, fetch, serving

SEED = int(os.environ.get("JSP_SEED", "0"))

# What each of two fetches, bytes: as many seconds of the link, at most so much, and less where bursts are lost.
WORTH_S = 1.5
MOST = 1_500_000
BEFORE_POLICERS = 150_000


def test_there_are_eighteen() -> None:
    assert list(PANTHEON) == list(range(1, 19))


@pytest.mark.parametrize("number", PANTHEON)
def test_a_setting_carries_its_rate(number: int, tmp_path: Path) -> None:
    ab, ba = PANTHEON[number].directions(tmp_path)
    # Always a packet there to send, and as few as even a policer takes.
    rate = PANTHEON[number].rate
    packets = [(round(i * 1500 * 8e6 / rate), 1500) for i in range(round(rate * 10 / 12000))]
    delivered = replay(packets, ab)
    share = len(delivered) / len(packets) / (1 - ab.loss)
    # A Poisson trace has its rate only in the long run.
    assert 0.75 < share <= 1.01
    assert all(at - packets[i][0] >= ab.delay * 1000 for i, at in delivered)
    assert ba.delay == ab.delay


@pytest.mark.root
@pytest.mark.links(seconds=8)
@pytest.mark.parametrize("number", PANTHEON)
def test_pantheon(number: int, tmp_path: Path) -> None:
    _two_flows(PANTHEON[number], tmp_path)


@pytest.mark.root
@pytest.mark.links(seconds=12)
@pytest.mark.parametrize("name", LINKS)
def test_link(name: str, tmp_path: Path) -> None:
    _two_flows(LINKS[name], tmp_path)


def _two_flows(link: Link, folder: Path) -> None:
    """Two connections at once."""
    ab, ba = link.directions(folder)
    size = BEFORE_POLICERS if ab.queue_packets == 1 else min(MOST, round(link.rate / 8 * WORTH_S))
    # This process stays on a host that has neither host's addresses.
    config = jsp.Config(max_datagram_size=1452, migrate=False)
    # What is fetched travels from b to a, so the link is turned around.
    with (
        Lab(ba, ab, seed=SEED) as lab,
        serving(lab, config) as server,
        connect(lab, server, config) as first,
        connect(lab, server, config) as second,
    ):
        jobs = [gevent.spawn(fetch, conn, size, i) for i, conn in enumerate((first, second))]
        for job in jobs:
            job.get()
