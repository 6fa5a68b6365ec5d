"""Profiles: what perf prints is read, Cython's names are made readable, both ways give shares of one."""

from __future__ import annotations

import cProfile
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.profile import Cost, sampling, tracing
from benchmarks.profile.__main__ import rooms, show
from jsp.compiled import is_compiled

OUTBOUND = "__pyx_f_3jsp_6engine_8outbound_8Outbound__train (/x/jsp/engine/outbound.cpython-311-x86_64-linux-gnu.so)"
SCRIPT = f"""
     7f01 {OUTBOUND}
     7f00 main (/usr/bin/python3.11)

     7f02 {OUTBOUND}

     7f05 _PyObject_Malloc (inlined)
     7f05 PyDict_New (/usr/bin/python3.11)
     7f02 {OUTBOUND}
     7f00 main (/usr/bin/python3.11)

 ffffff81 _copy_from_iter ([kernel.kallsyms])
     7f03 [unknown] (/usr/lib/libc.so.6)

not a sample
"""


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("__pyx_f_3jsp_6engine_8outbound_8Outbound__train", "Outbound._train"),
        ("__pyx_pw_3jsp_6engine_8outbound_8Outbound_3write", "Outbound.write"),
        ("__pyx_f_3jsp_4wire_6memory_gather", "gather"),
        ("_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault"),
        ("__pyx_tp_dealloc", "__pyx_tp_dealloc"),
        ("memcpy+0x12", "memcpy"),
    ],
)
def test_names_of_functions(symbol: str, name: str) -> None:
    assert sampling.function_of(symbol) == name


@pytest.mark.parametrize(
    ("file", "room"),
    [
        ("/a/jsp/engine/outbound.cpython-311-x86_64-linux-gnu.so", "jsp.engine.outbound"),
        ("/jsp/jsp/wire/buffer.so", "jsp.wire.buffer"),
        ("/v/site-packages/cryptography/hazmat/bindings/_rust.abi3.so", "cryptography"),
        ("[kernel.kallsyms]", "kernel"),
        ("/usr/bin/python3.11", "interpreter"),
        ("/usr/lib/libpython3.11.so.1.0", "interpreter"),
        ("/usr/lib/libc.so.6", "libc"),
    ],
)
def test_names_of_rooms(file: str, room: str) -> None:
    assert sampling.room_of(file) == room


def test_samples_become_shares() -> None:
    own = sampling.profile_of(SCRIPT).own
    assert own[0] == Cost("jsp.engine.outbound", "Outbound._train", 0.5)
    assert rooms(own) == [("jsp.engine.outbound", 0.5), ("interpreter", 0.25), ("kernel", 0.25)]
    assert sampling.profile_of("").own == []


def test_what_others_do_is_put_down_to_who_called_them() -> None:
    answerable = sampling.profile_of(SCRIPT).answerable
    assert answerable[0] == Cost("jsp.engine.outbound", "Outbound._train", 0.75)
    assert answerable[1].room == "not compiled" and len(answerable) == 2


def test_a_trace_becomes_shares(tmp_path: Path) -> None:
    profiler = cProfile.Profile()
    profiler.runcall(sorted, range(1000), key=lambda x: -x)
    profiler.dump_stats(tmp_path / "trace")
    costs = tracing.profile_of(tmp_path / "trace").own
    assert sum(cost.share for cost in costs) == pytest.approx(1)
    assert {"C functions", "tests.benchmarks.test_profile"} >= {cost.room for cost in costs[:1]}


def test_tables_give_the_time_of_a_packet(capsys: pytest.CaptureFixture[str]) -> None:
    show("sender", sampling.profile_of(SCRIPT), 4.0, 1)
    out = capsys.readouterr().out
    assert "4.00 us of CPU time a packet" in out and "50.0%" in out and "2.00" in out
    assert out.count("Outbound._train") == 2 and "3.00" in out


@pytest.mark.timeout(240)
@pytest.mark.skipif(not is_compiled(), reason="slow as Python")
def test_a_profile_names_both_sides() -> None:
    words = [sys.executable, "-m", "benchmarks.profile", "--only", "rtt", "--seconds", "0.5", "--pure"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "who answers" in done.stdout and "who asks" in done.stdout and "jsp.engine.outbound" in done.stdout
