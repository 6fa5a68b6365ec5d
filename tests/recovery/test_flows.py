"""Controllers at work: how much of a link they get, alone and together."""

from __future__ import annotations

import pytest

from tests.recovery.flows import MBIT, MTU, Bottleneck, jain

WINDOWED = ("newreno", "cubic")
ALL = (*WINDOWED, "bbr")


@pytest.mark.parametrize("name", ALL)
def test_a_flow_alone_fills_the_link(name: str) -> None:
    link = Bottleneck(1, 100 * MBIT, 0.04, 500_000)
    link.add(name)
    (share,) = link.measure(10.0, since=4.0)
    assert share >= 0.95


@pytest.mark.parametrize("name", ALL)
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


def test_cubic_does_not_fill_a_very_deep_queue() -> None:
    link = Bottleneck(3, 18 * MBIT, 0.06, 3_000_000)
    flow = link.add("cubic")
    (share,) = link.measure(30.0, since=1.0)
    assert share >= 0.99
    # The queue holds 1.3 s. Slow start leaves one of a few round trips, and what follows hardly adds to it.
    assert sorted(flow.delays)[len(flow.delays) * 95 // 100] < 0.3
    assert not flow.path.packets_lost


def test_bbr_does_not_take_random_losses_for_congestion() -> None:
    shares = {}
    for name in ("cubic", "bbr"):
        link = Bottleneck(4, 50 * MBIT, 0.1, 625_000, loss=0.02)
        link.add(name)
        (shares[name],) = link.measure(12.0, since=0.0)
    assert shares["bbr"] >= 0.8
    assert shares["bbr"] > 10 * shares["cubic"]


def test_bbr_on_a_long_path_with_losses() -> None:
    link = Bottleneck(5, 20 * MBIT, 0.6, 1_500_000, loss=0.005)
    link.add("bbr")
    (share,) = link.measure(50.0, since=20.0)
    assert share >= 0.85


def test_bbr_on_a_short_path_that_loses_much() -> None:
    link = Bottleneck(4, 16 * MBIT, 0.04, 80_000, loss=0.05)
    link.add("bbr")
    (share,) = link.measure(8.0, since=1.0)
    assert share >= 0.8


def test_bbr_does_not_take_bursts_of_loss_for_congestion() -> None:
    link = Bottleneck(4, 100 * MBIT, 0.01, 250_000)
    link.there.spec.burst = (0.003, 0.25)
    link.add("bbr")
    (share,) = link.measure(8.0, since=1.0)
    assert share >= 0.9


@pytest.mark.parametrize("rate", [12, 60])
@pytest.mark.parametrize("rtt", [0.02, 0.1])
def test_bbr_lives_with_a_queue_of_a_single_datagram(rate: int, rtt: float) -> None:
    link = Bottleneck(4, rate * MBIT, rtt, MTU)
    flow = link.add("bbr")
    (share,) = link.measure(8.0, since=2.0)
    # A timer of half a millisecond is what bounds it on the faster one.
    assert share * rate >= 4
    assert flow.path.packets_lost < 0.15 * flow.space.next_number


def test_bbr_keeps_the_queue_short() -> None:
    delays = {}
    for name in ("newreno", "bbr"):
        link = Bottleneck(6, 20 * MBIT, 0.04, 1_000_000)
        flow = link.add(name)
        link.measure(15.0, since=5.0)
        delays[name] = sorted(flow.delays)[len(flow.delays) * 9 // 10]
    assert delays["bbr"] < 0.06 < 0.2 < delays["newreno"]


@pytest.mark.parametrize("queue", [30_000, 90_000])
def test_bbr_and_cubic_leave_each_other_a_share(queue: int) -> None:
    link = Bottleneck(7, 12 * MBIT, 0.06, queue)
    link.add("bbr")
    link.add("cubic")
    shares = link.measure(60.0, since=20.0)
    assert sum(shares) >= 0.95
    assert min(shares) >= 0.25


def test_ledbat_alone_uses_the_link() -> None:
    link = Bottleneck(8, 20 * MBIT, 0.04, 400_000)
    flow = link.add("ledbat")
    (share,) = link.measure(60.0, since=10.0)
    assert share >= 0.9
    assert sorted(flow.delays)[len(flow.delays) * 95 // 100] < 0.02 + 1.2 * 0.06


@pytest.mark.parametrize("queue", [50_000, 100_000, 400_000])
def test_ledbat_makes_way_for_cubic(queue: int) -> None:
    link = Bottleneck(9, 20 * MBIT, 0.04, queue)
    link.add("ledbat")
    link.add("cubic", 5.0)
    background, foreground = link.measure(60.0, since=15.0)
    # Where the queue holds less than LEDBAT's target, both of them lose, and it is only slower to come back.
    assert foreground >= (0.6 if queue < 0.06 * link.rate else 0.75)
    assert foreground > 2 * background
