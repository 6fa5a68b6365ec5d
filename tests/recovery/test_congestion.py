"""The choice of a congestion controller."""

from __future__ import annotations

import pytest

from jsp.config import CONGESTION
from jsp.recovery.congestion import CONTROLLERS, make_controller
from jsp.recovery.controller import Controller
from jsp.recovery.newreno import NewReno
from tests.recovery.acking import acked


def test_controllers_are_those_of_the_configuration() -> None:
    assert set(CONTROLLERS) == set(CONGESTION)
    with pytest.raises(KeyError):
        make_controller("cubic but better", 1200)


def test_a_class_of_ones_own_does_as_well() -> None:
    assert type(make_controller(NewReno, 1300)) is NewReno
    assert make_controller(NewReno, 1300).window == 13_000


@pytest.mark.parametrize("name", CONGESTION)
def test_every_controller_reacts_as_a_path_expects(name: str) -> None:
    c: Controller = make_controller(name, 1200)
    first = c.window
    assert first == 12_000
    assert c.slow_start
    assert c.pacing_rate(0.1) >= first / 0.1
    acked(c, 1200, rtt=0.1)
    assert c.window > first
    c.on_congestion(1.0, 1.0)
    assert c.window >= c.minimum_window() >= 2400
    c.on_persistent_congestion()
    assert c.window == c.minimum_window()
    c.on_datagram_size(1400)
    assert c.window == c.minimum_window() >= 2800
    assert isinstance(c.window, int)


@pytest.mark.parametrize("name", [name for name in CONGESTION if name != "bbr"])
def test_a_loss_makes_the_window_smaller_once_a_round_trip(name: str) -> None:
    c = make_controller(name, 1200)
    c.window = 1_000_000
    c.on_congestion(1.0, 2.0)
    smaller = c.window
    assert smaller <= 700_000
    c.on_congestion(1.5, 2.0)
    assert c.window == smaller
