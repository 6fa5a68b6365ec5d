"""Noise: what others use is told from what we and those we started use."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks import noise

BURN = "import time, sys\nwhile time.process_time() < 0.4: pass\nprint('burnt', flush=True)\nsys.stdin.read()"


def test_who_is_nobody_of_ours_is_noise() -> None:
    before = noise.Snapshot.take()
    # A shell that does not wait leaves its child to the system.
    script = ("sh", "-c", 'exec 3<&0; "$@" <&3 & exit', "sh", sys.executable, "-c", BURN)
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        after = noise.Snapshot.take()
    assert after.others - before.others >= 0.35
    assert 0 < after.since(before)["others"] <= 1


def test_those_we_started_and_theirs_are_ours() -> None:
    me = os.getpid()
    parents = {me: 1, 1: 0, me + 1: me, me + 2: me + 1, me + 3: 1, me + 4: me + 9}
    assert [pid - me for pid in parents if noise._is_ours(pid, parents)] == [0, 1, 2]
