"""Costs by `perf record`: both processes are sampled while they run at full speed, compiled code by function.

What is not compiled shows as the interpreter's own functions; `tracing` tells which Python functions those run.
Stacks are taken along, so that what the interpreter, libraries and the kernel do is put down to who made them do it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.process import Running, command
from benchmarks.profile import Cost, Profile, Profiles

_FREQUENCY = 997
# Bytes of the stack that are kept of each sample: the innermost compiled frame is not deep.
_STACK = 8192
# The client's imports are over by then.
_DELAY_MS = 2500
_INLINED = "inlined"
_NOBODY = ("not compiled", "Python modules, gevent's loop")
_LINE = re.compile(r"^\s*[0-9a-f]+ (?P<symbol>.*) \((?P<file>[^()]*)\)$")
_PREFIX = re.compile(r"^__pyx_[a-z]+(?:_isra)?_(?=\d)")
_SEGMENT = re.compile(r"(\d+)(.*)", re.S)


def available() -> bool:
    """Whether perf is here and may look at our processes."""
    if shutil.which("perf") is None:
        return False
    with tempfile.NamedTemporaryFile() as file:
        words = ["perf", "record", "-q", "-e", "cpu-clock", "-o", file.name, "--", "true"]
        return subprocess.run(words, capture_output=True).returncode == 0


def measure(test: str, seconds: float) -> tuple[Profiles, dict[str, float]]:
    """What the two sides of jsp do in `test`, and the figures of the run."""
    with tempfile.TemporaryDirectory() as folder, Running("jsp") as server:
        server_file, client_file = f"{folder}/server", f"{folder}/client"
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(_FREQUENCY), "-D", str(_DELAY_MS)]
        record += ["--call-graph", f"dwarf,{_STACK}"]
        length = seconds + _DELAY_MS / 1000
        words = [*record, "-p", str(server.pid), "-o", server_file, "--"]
        words += [*record, "-o", client_file, "--", *command("jsp_", test, server.address, str(length))]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        return {"server": _read(server_file), "client": _read(client_file)}, figures


def _read(file: str) -> Profile:
    words = ["perf", "script", "-i", file, "-F", "ip,sym,dso"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return profile_of(done.stdout)


def profile_of(script: str) -> Profile:
    """What the output of `perf script -F ip,sym,dso` comes to: stacks, innermost frame first, with blanks between."""
    own: Counter[tuple[str, str]] = Counter()
    answerable: Counter[tuple[str, str]] = Counter()
    for stack in script.split("\n\n"):
        frames = [match for line in stack.splitlines() if (match := _LINE.match(line)) and match["file"] != _INLINED]
        if not frames:
            continue
        places = [(room_of(frame["file"]), function_of(frame["symbol"])) for frame in frames]
        own[places[0]] += 1
        answerable[next((place for place in places if place[0].startswith("jsp.")), _NOBODY)] += 1
    return Profile(_costs(own), _costs(answerable))


def _costs(counts: Counter[tuple[str, str]]) -> list[Cost]:
    total = sum(counts.values())
    return [Cost(room, function, count / total) for (room, function), count in counts.most_common()]


def room_of(file: str) -> str:
    """What a reader calls the code in the binary `file`."""
    if file.startswith("[") and "kernel" in file:
        return "kernel"
    path = Path(file)
    name = path.name.partition(".")[0]
    if "jsp" in path.parts:
        start = len(path.parts) - path.parts[::-1].index("jsp") - 1
        return ".".join([*path.parts[start:-1], name])
    for package in ("cryptography", "gevent", "greenlet", "msgpack", "zstandard"):
        if package in path.parts:
            return package
    return "interpreter" if name.startswith(("python", "libpython")) else name


def function_of(symbol: str) -> str:
    """A C symbol of Cython's as class and function; any other as it is."""
    symbol = symbol.partition("+0x")[0]
    rest, count = _PREFIX.subn("", symbol)
    if not count:
        return symbol
    segments = []
    while match := _SEGMENT.fullmatch(rest):
        size, text = int(match[1]), match[2]
        # A number is the length of a name, or else, before the last name, counts functions.
        if text[size : size + 1] != "_":
            rest = text
            break
        segments.append(text[:size])
        rest = text[size + 1 :]
    return ".".join([s for s in segments if s[:1].isupper()] + [rest])
