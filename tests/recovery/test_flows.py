"""Controllers at work: how much of a link they get, alone and together."""

from __future__ import annotations

import pytest

from tests.recovery.flows import MBIT, Bottleneck, jain

WINDOWED = ("newreno", "cubic")


@pytest.mark.parametrize("name", WINDOWED)
def test_a_flow_alone_fills_the_link(name: str) -> None:
    link = Bottleneck(1, 100 * MBIT, 0.04, 500_000)
    link.add(name)
    (share,) = link.measure(10.0, since=4.0)
    assert share >= 0.95


@pytest.mark.parametrize("name", WINDOWED)
def test_three_flows_share_the_link(name: str) -> None:
    link = Bottleneck(2, 50 * MBIT, 0.02, 125_000)
    for start in (0.0, 1.0, 2.0):
        link.add(name, start)
    shares = link.measure(40.0, since=10.0)
    assert sum(shares) >= 0.95
    assert jain(shares) >= 0.9


def test_cubic_leaves_slow_start_before_a_deep_queue_overflows() -> None:
    losses = {}
    for name in WINDOWED:
        link = Bottleneck(3, 50 * MBIT, 0.04, 24 * 250_000)
        flow = link.add(name)
        link.world.run_for(6.0)
        losses[name] = flow.path.packets_lost
        assert flow.path.controller.slow_start is False or name == "newreno"
    assert losses["cubic"] == 0 < losses["newreno"]
