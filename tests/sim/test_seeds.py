"""Random scenarios. `make sim SEEDS=100000` runs as many as you like; `JSP_SEED=n` starts elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.sim.carried import run_carried
from tests.sim.chaos import run_chaos
from tests.sim.dated import run_random
from tests.sim.moving import run_moving
from tests.sim.nonsense import run_nonsense
from tests.sim.scenario import run_seed

_BASE = int(os.environ.get("JSP_SEED", "0"))
_BLOCK = 15


def run_block(run: Callable[[int], object], block: int) -> None:
    """The block's fifteen seeds; a failure prints its own."""
    for seed in range(_BASE + block * _BLOCK, _BASE + (block + 1) * _BLOCK):
        try:
            run(seed)
        except BaseException:
            print(f"failing seed: {seed}")
            raise


@pytest.mark.parametrize("block", range(20))
def test_seeds(block: int) -> None:
    run_block(run_seed, block)


@pytest.mark.parametrize("block", range(4))
def test_chaos(block: int) -> None:
    run_block(run_chaos, block)


@pytest.mark.parametrize("block", range(4))
def test_nonsense(block: int) -> None:
    run_block(run_nonsense, block)


@pytest.mark.parametrize("block", range(4))
def test_deadlines(block: int) -> None:
    run_block(run_random, block)


@pytest.mark.parametrize("block", range(10))
def test_moving(block: int) -> None:
    run_block(run_moving, block)


@pytest.mark.parametrize("block", range(4))
def test_carried(block: int) -> None:
    run_block(run_carried, block)


@pytest.mark.parametrize("seed", [29, 99, 226, 1002, 3149, 3601, 6941, 1_002_175])
def test_moving_as_it_once_went_wrong(seed: int) -> None:
    run_moving(seed)
