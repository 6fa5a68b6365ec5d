"""The link emulator (emulator.c, model.c): compiled when first used, started, given parameters, asked for figures."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
BUILD = FOLDER.parent.parent / "build" / "netlab"
SOURCES = ("emulator.c", "model.c", "model.h")


class EmulatorError(Exception):
    """The emulator could not be built or started, or did not understand."""


@dataclass(frozen=True)
class Direction:
    """What one direction of a link does to packets. 0 is "not at all" wherever nothing else is said.

    Attributes:
        delay, jitter: milliseconds; the delay of a packet is uniform between delay - jitter and delay + jitter.
        jitter_reorder: 1: jitter may change the order of packets; 0: it keeps it.
        rate: bit/s of IP packets; 0: no limit.
        trace: file of delivery opportunities in mahimahi's format (a line: milliseconds, for 1,504 bytes; repeated
            when it ends); takes the place of `rate`.
        queue_bytes, queue_packets: what waits for the link, at most, the packet being sent included; 0: no limit.
        ecn_threshold: bytes of queue above which ECN-capable packets get CE.
        loss: probability; `loss_run`: at most so many in a row, 0: any number.
        ge_enter, ge_leave, ge_loss, ge_loss_good: Gilbert-Elliott: for each packet the probability to go from the good
            state to the bad one and back, and that of loss in either.
        reorder, reorder_delay: share of packets that come `reorder_delay` milliseconds later than their time.
        duplicate: share of packets that come twice.
        corrupt: share of UDP packets with one bit of the payload flipped, the checksum put right.
        blackhole: 1: nothing passes.
        no_udp: 1: UDP does not pass, and nobody is told.
        mtu: bytes of the largest IP packet that passes; nobody is told of the others; 0: no limit.
        network: only what comes from 10.NETWORK.0.0/16 and fd4d:NETWORK::/32 passes; 0: anything.
        drop_first, drop_last: packets by their number, from 1, that are dropped.
        nat_host, nat_port: UDP from side a seems to come from another host and port, so much further. To be the same
            in both directions; what is sent to an older one is dropped.
    """

    delay: float = 0
    jitter: float = 0
    jitter_reorder: float = 0
    rate: float = 0
    trace: str = ""
    queue_bytes: float = 0
    queue_packets: float = 0
    ecn_threshold: float = 0
    loss: float = 0
    loss_run: float = 0
    ge_enter: float = 0
    ge_leave: float = 0
    ge_loss: float = 1
    ge_loss_good: float = 0
    reorder: float = 0
    reorder_delay: float = 0
    duplicate: float = 0
    corrupt: float = 0
    blackhole: float = 0
    no_udp: float = 0
    mtu: float = 0
    network: float = 0
    drop_first: float = 0
    drop_last: float = 0
    nat_host: float = 0
    nat_port: float = 0

    def words(self) -> list[str]:
        """Every parameter, as the emulator reads them."""
        return [f"{f.name}={getattr(self, f.name)}" for f in fields(self)]


@cache
def program() -> str:
    """Path of the emulator, compiled if it is not there; EmulatorError when it cannot be."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise EmulatorError("there is no C compiler (cc)")
    digest = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    path = BUILD / f"emulator-{digest}"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            made = Path(folder) / "emulator"
            sources = [str(FOLDER / name) for name in SOURCES if name.endswith(".c")]
            done = subprocess.run(
                [compiler, "-O2", "-Wall", "-Wextra", "-o", str(made), *sources, "-lm"], capture_output=True, text=True
            )
            if done.returncode:
                raise EmulatorError(done.stderr)
            made.rename(path)
    return str(path)


def replay(packets: list[tuple[int, int]], direction: Direction, seed: int = 1) -> list[tuple[int, int]]:
    """What becomes of `packets`, in virtual time.

    Parameters:
        packets: when each is sent (microseconds, ascending), and its bytes.
        seed: of all chance.

    Returns what is delivered, in that order: the packet's index in `packets`, and when (microseconds).
    """
    lines = "".join(f"{at} {length}\n" for at, length in packets)
    command = [program(), "replay", f"seed={seed}", *direction.words()]
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    if done.returncode:
        raise EmulatorError(done.stderr)
    pairs = [line.split() for line in done.stdout.splitlines()]
    return [(int(number) - 1, int(at)) for number, at in pairs]


class Emulator:
    """A running link.

    Args:
        seed: of all chance.
        log: gets a line for each thing that happens to a packet.
        name: of the devices at both ends.
        between: paths of the namespaces a and b, where the devices get no addresses; None: new ones, where they do.

    Attributes:
        pid: of its process.
        namespaces: "a" and "b" -> an open descriptor of the network namespace there.
    """

    def __init__(
        self, seed: int = 1, log: Path | None = None, name: str = "link", between: tuple[str, str] | None = None
    ) -> None:
        words = [program(), "link", f"seed={seed}", f"name={name}", *([f"log={log}"] if log else [])]
        if between is not None:
            words += [f"a={between[0]}", f"b={between[1]}"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        self.pid = self._process.pid
        self.namespaces: dict[str, int] = {}
        try:
            for side, number in self._answer().items():
                self.namespaces[side] = os.open(f"/proc/{self.pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None and self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            raise EmulatorError(self._process.stderr.read().strip() or "the emulator ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EmulatorError(answer["error"])
        return answer

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
        except BrokenPipeError:
            pass  # what it has to say about that comes next
        return self._answer()

    def set(self, side: str, *words: str) -> None:
        """Change parameters of a direction ("ab" or "ba"), each "name=value", while packets pass."""
        self._ask(" ".join(("set", side, *words)))

    def set_both(self, **parameters: float) -> None:
        """Change parameters of both directions."""
        words = [f"{name}={value}" for name, value in parameters.items()]
        self.set("ab", *words)
        self.set("ba", *words)

    def stats(self) -> dict[str, dict[str, float]]:
        """Of "ab" and "ba": counts since the last `reset`, percentiles (ms) of time in the queue and of lateness."""
        return self._ask("stats")

    def reset(self) -> None:
        """Count from here."""
        self._ask("reset")

    def close(self) -> None:
        """End it; the namespaces go when nobody is in them any more."""
        for namespace in self.namespaces.values():
            os.close(namespace)
        self.namespaces.clear()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass
