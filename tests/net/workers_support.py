"""Servers with worker processes on loopback, and whether their processes are there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent

import jsp
from jsp.net import steering
from jsp.net.udp import AF_INET
from tests.net.support import IDENTITY, LOOPBACK

# For things that take a fraction of a second on a machine with nothing else to do.
PATIENCE = 20.0


class Who(jsp.Handler):
    """Answers each message and each line with the number of its process."""

    def handle_message(self, message: jsp.Message) -> None:
        self.conn.send(str(os.getpid()).encode())

    def handle_stream(self, stream: jsp.Stream) -> None:
        while data := stream.recv(65536):
            stream.sendall(data)


def kernel_steers() -> bool:
    """Whether the kernel takes the program that steers datagrams."""
    sockets = steering.bind_all(LOOPBACK, AF_INET, 2)
    try:
        return steering.attach(sockets[0], 2)
    finally:
        for socket in sockets:
            socket.close()


@contextmanager
def crew(handle: Any = Who, workers: int = 2, **options: Any) -> Iterator[jsp.Server]:
    """A started server with workers; afterwards none of them is left."""
    options.setdefault("identity", IDENTITY)
    server = jsp.Server(LOOPBACK, handle, workers=workers, **options)
    server.start()
    processes = [server._crew._pid]  # type: ignore[union-attr]
    try:
        yield server
        processes += descendants(processes[0])
    finally:
        server.stop(1.0)
    assert not [pid for pid in processes if is_there(pid)]


def who(conn: jsp.Connection) -> int:
    """The process that has this connection."""
    conn.send(b"who?")
    return int(conn.recv(timeout=PATIENCE).data)


def connections(url: str, number: int, **options: Any) -> tuple[list[jsp.Connection], Counter[int]]:
    """So many connections, and how many of them each process has."""
    made = [jsp.connect(url, timeout=PATIENCE, **options) for _ in range(number)]
    return made, Counter(who(conn) for conn in made)


def connections_to_both(url: str, **options: Any) -> tuple[list[jsp.Connection], Counter[int]]:
    """So many connections that both of two workers have some: chance decides whose each is."""
    made, spread = connections(url, 4, **options)
    while len(spread) < 2:
        assert len(made) < 100, "all connections are one worker's"
        more, its = connections(url, 1, **options)
        made += more
        spread += its
    return made, spread


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            child = int(path.parent.name)
            found += [child, *descendants(child)]
    return found


def is_there(pid: int) -> bool:
    """Whether a process is alive, or dead and not waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def has_ended(pid: int) -> bool:
    """The same for a process that somebody else has to wait for: in a container perhaps nobody does."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def eventually(condition: Any) -> None:
    """Wait until `condition()` holds, without asking all the time."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.02)
