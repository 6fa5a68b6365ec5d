"""NewReno: the window of RFC 9002 section 7, number by number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jsp.recovery.newreno import NewReno
from tests.profiles import examples
from tests.recovery.acking import acked

MTU = 1200


def full(controller: NewReno, size: int, sent: float) -> None:
    """An acknowledgement while the window is in use."""
    acked(controller, size, sent=sent)


def test_slow_start_doubles_the_window_each_round_trip() -> None:
    c = NewReno(MTU)
    for expected in (24_000, 48_000, 96_000):
        for _ in range(c.window // MTU):
            full(c, MTU, 0.0)
        assert c.window == expected
    assert c.slow_start


def test_a_loss_halves_the_window_and_ends_slow_start() -> None:
    c = NewReno(MTU)
    c.on_congestion(1.0, 2.0)
    assert c.window == 6000
    assert not c.slow_start


def test_one_halving_for_all_losses_of_a_round_trip() -> None:
    c = NewReno(MTU)
    for sent in (1.0, 1.2, 1.9, 2.0):
        c.on_congestion(sent, 2.0)
    assert c.window == 6000
    c.on_congestion(2.1, 3.0)
    assert c.window == 3000


def test_packets_from_before_the_loss_do_not_open_the_window() -> None:
    c = NewReno(MTU)
    c.on_congestion(1.0, 2.0)
    for _ in range(100):
        full(c, MTU, 2.0)
    assert c.window == 6000
    for _ in range(5):
        full(c, MTU, 2.1)
    assert c.window == 6000 + MTU


def test_congestion_avoidance_adds_one_datagram_a_window() -> None:
    c = NewReno(MTU)
    c.on_congestion(1.0, 2.0)
    grown = []
    for _ in range(40):
        full(c, MTU, 3.0)
        grown.append(c.window)
    # 5 datagrams a window, then 6, then 7 ...
    assert [grown.index(6000 + i * MTU) + 1 for i in range(1, 5)] == [5, 11, 18, 26]


def test_the_window_never_falls_below_two_datagrams() -> None:
    c = NewReno(MTU)
    for i in range(20):
        c.on_congestion(float(i), i + 0.5)
    assert c.window == 2 * MTU


def test_persistent_congestion_starts_again_from_the_bottom() -> None:
    c = NewReno(MTU)
    c.on_congestion(1.0, 2.0)
    c.on_persistent_congestion()
    assert c.window == 2 * MTU
    # Slow start, up to half of what there was.
    assert c.slow_start
    full(c, MTU, 0.0)
    assert c.window == 3 * MTU
    full(c, 2 * MTU, 0.0)
    assert not c.slow_start


def test_rfc_9002_7_8_a_window_that_is_not_used_does_not_grow() -> None:
    c = NewReno(MTU)
    acked(c, MTU, peak=c.window // 2 - 1)
    assert c.window == 12_000
    acked(c, MTU, peak=c.window // 2)
    assert c.window == 12_000 + MTU
    c.on_congestion(1.0, 2.0)
    window = c.window
    for _ in range(1000):
        acked(c, MTU, sent=3.0, peak=window // 2 - 1)
    assert c.window == window


def test_larger_datagrams_lift_the_minimum() -> None:
    c = NewReno(MTU)
    c.on_persistent_congestion()
    c.on_datagram_size(5000)
    assert c.window == 10_000
    c.on_datagram_size(1200)
    assert c.window == 10_000


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ack", "ack", "ack", "loss", "collapse"]), st.integers(1, 9000), st.floats(0, 1)),
    max_size=60,
)


@examples(100)
@given(EVENTS)
def test_the_window_keeps_its_bounds_whatever_happens(events: list[tuple[str, int, float]]) -> None:
    c = NewReno(MTU)
    now = 0.0
    for event, size, ago in events:
        now += 0.1
        before = c.window
        if event == "ack":
            acked(c, size, sent=now - ago)
            assert before <= c.window <= before + max(size, MTU)
        elif event == "loss":
            c.on_congestion(now - ago, now)
            assert c.window in (before, max(before // 2, 2 * MTU))
        else:
            c.on_persistent_congestion()
        assert c.window >= 2 * MTU
        assert isinstance(c.window, int)
