"""Forward error correction on a real link: messages that must arrive in 50 ms, and 20 % of all datagrams lost."""

from __future__ import annotations

import os

import pytest

import jsp
from tests.netlab.dated import run_dated
from tests.netlab.emulator import Direction

SEED = int(os.environ.get("JSP_SEED", "0"))
COUNT = 2500


@pytest.mark.root
@pytest.mark.links(seconds=12)
def test_repairs_bring_messages_back() -> None:
    config = jsp.Config(congestion="bbr", max_datagram_size=1452)
    plain = run_dated(Direction(delay=10), config, count=COUNT, seed=SEED)
    lossy = run_dated(Direction(delay=10, loss=0.2), config, count=COUNT, seed=SEED)
    assert len(plain.delays) == COUNT
    assert not plain.repair_bytes
    # How many are in time depends on how busy this machine is; that they arrive at all, hardly. See tests/engine.
    assert len(lossy.delays) >= 0.98 * COUNT
    assert lossy.recovered > 0.05 * COUNT
    assert lossy.sent_bytes <= 1.6 * plain.sent_bytes
