"""Programs that serve with workers: signals, ends without a word, busy and patched ones."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from tests.cli.support import Program, interrupts
from tests.net.workers_support import PATIENCE, connections, connections_to_both, descendants, eventually, has_ended

PROGRAM = """
import os, sys
{first}
import gevent, jsp
from tests.net.support import IDENTITY, LOOPBACK
from tests.net.workers_support import Who
import logging
logging.basicConfig()

server = jsp.Server(LOOPBACK, Who, identity=IDENTITY, workers=2)
server.start()
print(server.url, flush=True)
{then}
"""


def program(then: str, first: str = "") -> Program:
    return Program((sys.executable, "-c", PROGRAM.format(first=first, then=then)))


def serve_and_leave(running: Program, ended: Any) -> None:
    """Connect to a program's workers, end it by `ended()`; its workers end in good order, and none is left."""
    made, spread = connections(running.line(), 6)
    processes = descendants(running.process.pid)
    assert set(spread) <= set(processes) and len(processes) == 3
    ended()
    eventually(lambda: all(conn.closed for conn in made))
    assert {conn.closed_error().reason for conn in made} == {"the server stops"}
    eventually(lambda: all(has_ended(pid) for pid in processes))


@interrupts
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_program_ended_by_a_signal(number: signal.Signals) -> None:
    with program("server.serve_forever()") as running:
        serve_and_leave(running, lambda: running.stop(number))
        assert running.process.returncode == -number


def test_program_that_ends_without_a_word() -> None:
    then = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ngevent.sleep(1000)"
    with program(then) as running:
        serve_and_leave(running, running.stop)
        assert running.process.returncode == 0


def test_workers_are_kept_while_the_program_is_busy() -> None:
    # It never lets its hub run, and is asked for nothing.
    with program("import time; time.sleep(1000)") as running:
        url = running.line()
        _, spread = connections(url, 6)
        for pid in spread:
            os.kill(pid, signal.SIGKILL)
        _, again = connections(url, 6)
        assert not set(spread) & set(again)
        processes = descendants(running.process.pid)
        running.stop(signal.SIGKILL)
        eventually(lambda: all(has_ended(pid) for pid in processes))


def test_patched_program() -> None:
    first = "from gevent import monkey; monkey.patch_all()"
    then = "import signal, subprocess; subprocess.run(['true'], check=True)\n"
    then += "gevent.signal_handler(signal.SIGTERM, server.stop)\nserver.serve_forever()\n"
    then += "print('stopped', os.waitpid.__module__)"
    with program(then, first) as running:
        url = running.line()
        _, spread = connections_to_both(url)
        victim = next(iter(spread))
        os.kill(victim, signal.SIGKILL)
        connections(url, 6)
        # The program's own way of ending is not its workers'.
        for pid in descendants(running.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert not any(conn.closed for conn in connections(url, 6)[0])
        running.process.terminate()
        assert running.line().startswith("stopped gevent")
        assert running.process.wait(PATIENCE) == 0
        assert "ended by signal 9" in running.errors() and "Traceback" not in running.errors()


def test_loop_that_does_not_outlive_a_fork_is_refused() -> None:
    with program("", "os.environ['GEVENT_LOOP'] = 'libuv'") as running:
        assert running.process.wait(PATIENCE) == 1
        assert "jsp.errors.LocalError: workers: not with gevent's libuv loop" in running.errors()
