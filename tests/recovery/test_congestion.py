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
    acked(c, 1200)
    assert c.window > first
    grown = c.window
    c.on_congestion(1.0, 1.0)
    assert 2400 <= c.window < grown
    c.on_persistent_congestion()
    assert c.window == 2400
    c.on_datagram_size(1400)
    assert c.window == 2800
