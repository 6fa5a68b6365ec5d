"""The link's model in virtual time: what becomes of each packet, exactly."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from tests.netlab import traces
from tests.netlab.emulator import Direction, EmulatorError, replay

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")

BURST = [(0, 1500)] * 10
MANY = [(i * 100, 1000) for i in range(20_000)]


def losses(direction: Direction, seed: int = 1) -> list[int]:
    """Indices of what is lost of `MANY`."""
    return sorted(set(range(len(MANY))) - {i for i, _ in replay(MANY, direction, seed)})


def runs(indices: list[int]) -> list[int]:
    """Lengths of the runs of consecutive `indices`."""
    groups = itertools.groupby(enumerate(indices), lambda pair: pair[1] - pair[0])
    return [len(list(group)) for _, group in groups]


def test_nothing_is_done_unless_asked() -> None:
    assert replay(BURST, Direction()) == [(i, 0) for i in range(10)]


def test_packets_are_sent_one_after_another() -> None:
    # 1,500 bytes at 12 Mbit/s take a millisecond.
    assert replay(BURST, Direction(rate=12e6, delay=5)) == [(i, 6000 + 1000 * i) for i in range(10)]
    assert replay([(0, 1500), (50_000, 1500)], Direction(rate=12e6)) == [(0, 1000), (1, 51_000)]


def test_what_does_not_fit_is_dropped() -> None:
    # The first is being sent, and counts.
    assert [i for i, _ in replay(BURST, Direction(rate=12e6, queue_packets=3))] == [0, 1, 2]
    assert [i for i, _ in replay(BURST, Direction(rate=12e6, queue_bytes=4500))] == [0, 1, 2]
    assert [i for i, _ in replay(BURST, Direction(rate=12e6, queue_bytes=4499))] == [0, 1]
    later = [*BURST, (1000, 1500)]
    assert [i for i, _ in replay(later, Direction(rate=12e6, queue_packets=3))] == [0, 1, 2, 10]


def test_a_packet_larger_than_the_queue_passes_an_empty_link() -> None:
    assert replay([(0, 1500)], Direction(rate=12e6, queue_bytes=100)) == [(0, 1000)]


def test_a_trace_carries_1504_bytes_an_opportunity(tmp_path: Path) -> None:
    trace = traces.written(tmp_path, "t", [2, 4, 4, 10])
    assert replay([(0, 1504)] * 6, Direction(trace=trace)) == [
        (0, 2000), (1, 4000), (2, 4000), (3, 10_000), (4, 12_000), (5, 14_000),
    ]  # fmt: skip
    # Small packets share one; a large one needs two.
    assert replay([(0, 500)] * 4, Direction(trace=trace)) == [(0, 2000), (1, 2000), (2, 2000), (3, 4000)]
    assert replay([(0, 1600), (0, 1408)], Direction(trace=trace)) == [(0, 4000), (1, 4000)]
    # Opportunities that nobody used are gone, also after whole rounds.
    assert replay([(5000, 100), (34_500, 100)], Direction(trace=trace)) == [(0, 10_000), (1, 40_000)]


def test_opportunities_at_one_time_only(tmp_path: Path) -> None:
    trace = traces.written(tmp_path, "t", traces.every(100, 2))
    assert [at for _, at in replay([(0, 1504)] * 5, Direction(trace=trace))] == [100_000] * 2 + [200_000] * 2 + [
        300_000
    ]


@pytest.mark.parametrize("lines", [[], [0], [5, 4]])
def test_a_trace_that_cannot_be(tmp_path: Path, lines: list[int]) -> None:
    with pytest.raises(EmulatorError, match="trace"):
        replay([], Direction(trace=traces.written(tmp_path, "t", lines)))
    with pytest.raises(EmulatorError, match="no such trace"):
        replay([], Direction(trace="/nowhere"))


def test_chance_is_the_seed() -> None:
    spec = Direction(delay=10, jitter=5, jitter_reorder=1, loss=0.1, duplicate=0.1, reorder=0.1, reorder_delay=3)
    assert replay(MANY, spec, 7) == replay(MANY, spec, 7)
    assert replay(MANY, spec, 7) != replay(MANY, spec, 8)


def test_one_impairment_does_not_move_another() -> None:
    assert losses(Direction(loss=0.1)) == losses(Direction(loss=0.1, jitter=5, delay=5, reorder=0.5, reorder_delay=9))


def test_random_loss() -> None:
    lost = losses(Direction(loss=0.02))
    assert 300 < len(lost) < 500
    assert 5 < max(runs(losses(Direction(loss=0.5)))) < 30
    assert max(runs(losses(Direction(loss=0.5, loss_run=3)))) == 3


def test_loss_in_bursts() -> None:
    # A burst for each 200 packets, ten long: a share of 1/21.
    lengths = runs(losses(Direction(ge_enter=0.005, ge_leave=0.1)))
    assert 8 < sum(lengths) / len(lengths) < 12
    assert 0.035 < sum(lengths) / len(MANY) < 0.06
    thinned = losses(Direction(ge_enter=0.005, ge_leave=0.1, ge_loss=0.5, ge_loss_good=0.01))
    assert 0.02 < len(thinned) / len(MANY) < 0.05


def test_a_lost_packet_has_used_the_link() -> None:
    delivered = dict(replay(BURST, Direction(rate=12e6, loss=0.5)))
    assert 0 < len(delivered) < 10
    assert all(at == 1000 * (i + 1) for i, at in delivered.items())


def test_jitter_keeps_the_order_unless_asked() -> None:
    kept = replay(MANY, Direction(delay=20, jitter=10))
    assert [i for i, _ in kept] == list(range(len(MANY)))
    waits = [at - MANY[i][0] for i, at in replay(MANY, Direction(delay=20, jitter=10, jitter_reorder=1))]
    assert min(waits) >= 10_000 and max(waits) <= 30_000
    assert abs(sum(waits) / len(waits) - 20_000) < 200
    assert [i for i, _ in replay(MANY, Direction(delay=20, jitter=10, jitter_reorder=1))] != list(range(len(MANY)))


def test_jitter_is_never_ahead_of_time() -> None:
    assert all(at >= MANY[i][0] for i, at in replay(MANY, Direction(delay=1, jitter=10, jitter_reorder=1)))


def test_reordering_delays_a_share() -> None:
    late = [
        i for i, at in replay(MANY, Direction(delay=20, reorder=0.03, reorder_delay=5)) if at - MANY[i][0] == 25_000
    ]
    assert 500 < len(late) < 700


def test_duplication() -> None:
    delivered = [i for i, _ in replay(MANY, Direction(duplicate=0.03))]
    assert 500 < len(delivered) - len(MANY) < 700
    assert sorted(set(delivered)) == list(range(len(MANY)))


def test_black_hole_and_drop_list() -> None:
    assert replay(BURST, Direction(blackhole=1)) == []

    assert [i for i, _ in replay(BURST, Direction(drop_first=2, drop_last=7))] == [0, 7, 8, 9]


def test_large_packets_vanish() -> None:
    assert replay([(0, 1279), (0, 1280), (0, 1281)], Direction(mtu=1280)) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("bad", [Direction(rate=-1), Direction(loss=float("nan"))])
def test_parameters_that_cannot_be(bad: Direction) -> None:
    with pytest.raises(EmulatorError, match="a number from 0"):
        replay([], bad)


def test_traces_have_the_rate_they_were_made_for() -> None:
    assert traces.steady(12e6) == list(range(1, 1001))
    assert len(traces.steady(100.42e6)) == pytest.approx(100.42e6 / 8 / 1500, rel=1e-3)
    assert len(traces.poisson(2.64e6, 1)) / 60 == pytest.approx(2.64e6 / 8 / 1500, rel=0.05)
    times = traces.cellular(18e6, 1e6, 45e6, seed=12)
    assert 5e6 < len(times) * 1504 * 8 / 60 < 45e6
    assert times == sorted(times) and times == traces.cellular(18e6, 1e6, 45e6, seed=12)
