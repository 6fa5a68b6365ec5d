"""The choice of a congestion controller."""

from __future__ import annotations

import pytest

from jsp.config import CONGESTION
from jsp.recovery.congestion import CONTROLLERS, Controller, make_controller


def test_controllers_are_those_of_the_configuration() -> None:
    assert set(CONTROLLERS) == set(CONGESTION)
    with pytest.raises(KeyError):
        make_controller("cubic but better", 1200)


@pytest.mark.parametrize("name", CONGESTION)
def test_every_controller_reacts_as_a_path_expects(name: str) -> None:
    c: Controller = make_controller(name, 1200)
    first = c.window
    assert first == 12_000
    assert c.slow_start
    c.on_acked(1200, 0.0, first)
    assert c.window > first
    grown = c.window
    c.on_congestion(1.0, 1.0)
    assert 2400 <= c.window < grown
    c.on_persistent_congestion()
    assert c.window == 2400
    c.on_datagram_size(1400)
    assert c.window == 2800
