"""`python -m tests.sim SEEDS [FIRST]`: run that many seeds on all cores; print those that fail."""

from __future__ import annotations

import os
import sys
import time
import traceback
from multiprocessing import Pool

from tests.sim.carried import run_carried
from tests.sim.chaos import run_chaos
from tests.sim.dated import run_random
from tests.sim.moving import run_moving
from tests.sim.nonsense import run_nonsense
from tests.sim.scenario import run_seed


def _try(seed: int) -> tuple[int, str, float]:
    start = time.process_time()
    try:
        run_seed(seed)
        run_chaos(seed)
        run_nonsense(seed)
        run_moving(seed)
        run_random(seed)
        run_carried(seed)
    except BaseException:
        return seed, traceback.format_exc(), time.process_time() - start
    return seed, "", time.process_time() - start


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    failed: list[int] = []
    costs: list[float] = []
    with Pool(os.cpu_count()) as pool:
        for seed, error, cost in pool.imap_unordered(_try, range(first, first + count), chunksize=8):
            costs.append(cost)
            if error:
                failed.append(seed)
                print(f"seed {seed} failed\n{error}", flush=True)
    costs.sort()
    mean = sum(costs) / len(costs)
    print(
        f"{count - len(failed)} of {count} seeds passed; CPU seconds a seed: mean {mean:.3f}, "
        f"median {costs[len(costs) // 2]:.3f}, 99th percentile {costs[int(len(costs) * 0.99)]:.3f}"
    )
    if failed:
        print("failing seeds:", *sorted(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
