"""A lab: two hosts, `a` and `b`, each in a network namespace of its own, with an emulated link between them.

Nothing of it has a name or a file, so nothing stays behind: the kernel removes namespaces and devices with the last
process in them, and the emulator and all programs started here are killed when their parent ends, however it ends.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

from tests.netlab.emulator import Direction, Emulator, EmulatorError, program

HOSTS = {"a": "10.77.0.1", "b": "10.77.0.2"}
HOSTS6 = {"a": "fd4d::1", "b": "fd4d::2"}

_NEW_NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "the namespace cannot be entered")


@contextmanager
def enter(namespace: int) -> Iterator[None]:
    """This thread is in `namespace` in the block: its sockets are made there, and stay there."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def new_namespace() -> int:
    """A descriptor of a network namespace with nobody in it."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "a network namespace cannot be made")
        made = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _libc.setns(home, _NEW_NETWORK)
        return made
    finally:
        os.close(home)


@cache
def why_not() -> str | None:
    """Why there can be no lab here; None when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun"
    try:
        Emulator().close()
    except EmulatorError as error:
        return str(error)
    return None


class Hosts:
    """Hosts that programs run on and that sockets are made on. Use it in a `with` block.

    Attributes:
        namespaces: name of a host -> an open descriptor of its network namespace.
    """

    namespaces: dict[str, int]

    def __init__(self) -> None:
        self._programs: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Sockets that this thread makes in the block are on `host`, and stay there."""
        with enter(self.namespaces[host]):
            yield

    def path(self, host: str) -> str:
        """Path of the host's namespace, for programs that this process starts."""
        return f"/proc/{os.getpid()}/fd/{self.namespaces[host]}"

    def start(self, host: str, words: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a program on `host`, its standard input and output pipes. It is killed with the lab."""
        running = subprocess.Popen(
            [program(), "enter", self.path(host), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._programs.append(running)
        return running

    def ip(self, host: str, *words: str) -> str:
        """Run `ip` on `host`; what it says."""
        done = subprocess.run(
            [program(), "enter", self.path(host), "ip", *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """End all programs."""
        for running in self._programs:
            running.kill()
            running.wait()
            for pipe in (running.stdin, running.stdout):
                assert pipe is not None
                pipe.close()
        self._programs.clear()


class Lab(Hosts):
    """Two hosts. `link` is the emulator between them; a direction that is not given passes everything at once."""

    def __init__(
        self,
        ab: Direction | None = None,
        ba: Direction | None = None,
        *,
        seed: int = 1,
        log: Path | None = None,
    ) -> None:
        super().__init__()
        self.link = Emulator(seed, log)
        self.namespaces = self.link.namespaces
        try:
            self.link.set("ab", *(ab or Direction()).words())
            self.link.set("ba", *(ba or Direction()).words())
        except BaseException:
            self.link.close()
            raise

    def set(self, **parameters: float) -> None:
        """Change parameters of both directions."""
        self.link.set_both(**parameters)

    def close(self) -> None:
        """End all programs and the link."""
        super().close()
        self.link.close()
