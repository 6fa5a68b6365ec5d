"""Programs in processes of their own: `jsp`, and those that nobody here wrote."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest

from jsp.cli.main import main

ROOT = Path(__file__).parents[2]
JSP = (sys.executable, "-m", "jsp")

# A shell that starts something in the background may let it ignore Ctrl-C, and its children inherit that.
interrupts = pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="SIGINT is ignored here")

# For things that take a fraction of a second on a machine with nothing else to do.
PATIENCE = 20.0


class Program:
    """A running program; leaving the `with` block ends it.

    Attributes:
        process: the process.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by __exit__
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._errors.close()

    def line(self) -> str:
        """The next line it prints, without its end."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, "it printed nothing"
        return self.process.stdout.readline().rstrip("\n")

    def errors(self) -> str:
        """What it has written to stderr so far."""
        self._errors.seek(0)
        return self._errors.read()

    def wait_for_error(self, text: str) -> None:
        """Wait until it has complained about `text`."""
        eventually(lambda: text in self.errors())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def jsp_program(*arguments: str) -> Program:
    """A running `jsp`."""
    return Program((*JSP, *arguments))


def jsp(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`jsp` from start to end, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run((*JSP, *arguments), capture_output=True, text=True, env=environment, timeout=50)


def run_here(*arguments: str) -> int:
    """`jsp` in this process, for servers that run in it too; the exit status."""
    return main(arguments)


def eventually(condition: object, timeout: float = PATIENCE) -> None:
    """Wait, blocking this process, until `condition()` holds."""
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of this machine that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connects(port: int) -> bool:
    """Whether somebody listens on this TCP port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A Redis server that keeps nothing; its port."""
    port = free_port()
    command = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    with Program(command):
        eventually(lambda: connects(port))
        yield port


@contextmanager
def web_server(folder: Path) -> Iterator[int]:
    """Python's own web server over `folder`; its port."""
    command = (sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder))
    with Program(command) as server:
        # Serving HTTP on 127.0.0.1 port 40001 (http://...) ...
        yield int(server.line().split(" port ")[1].split()[0])
