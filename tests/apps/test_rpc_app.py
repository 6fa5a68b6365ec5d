"""`jsp-rpc`: from the command line, in this process and in processes of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from hypothesis import given

import jsp
import jsp.rpc
from apps.rpc.main import main
from apps.rpc.serve import load_service
from apps.rpc.values import parse_arguments, printable, to_json
from jsp.cli.common import CommandError, UsageError
from tests.cli.support import Program, interrupts
from tests.rpc.support import Bench, Methods, serving
from tests.rpc.values import VALUES

KEY = bytes(range(16))
MODULE = '''
"""A service to be found by name."""

import gevent

import jsp.rpc

service = jsp.rpc.Service()


@service.method
def add(a: int, b: int = 1) -> int:
    """Adds two numbers.

    And says so.
    """
    return a + b


@service.method
def wait() -> None:
    """Waits until it is stopped."""
    print("waiting", flush=True)
    try:
        gevent.sleep(100)
    finally:
        print("stopped", flush=True)


class Counter:
    """One per server."""

    def __init__(self):
        self.value = 0

    @jsp.rpc.method
    def up(self):
        self.value += 1
        return self.value


class holder:
    counter = Counter()
'''


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the test's own in its working directory."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "served.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "raising.py").write_text("raise RuntimeError('not today')\n")
    sys.modules.pop("served", None)


@pytest.fixture
def server() -> Iterator[jsp.rpc.Server]:
    """A server with methods of every kind that wants an access key."""
    with serving(Methods(Bench()), trust=jsp.Trust.access_key(KEY)) as server:
        yield server


@pytest.fixture
def address(server: jsp.rpc.Server) -> str:
    """Its address, with the key."""
    return server.url


def without_key(address: str) -> str:
    return address.replace(":" + address.split(":")[1].split("@")[0], "", 1)


# --- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "args", "kwargs"),
    [
        (["2", "3.5", "null", "true"], (2, 3.5, None, True), {}),
        (["x", '"x"', "", "-"], ("x", "x", "", "-"), {}),
        (["[1, {\"a\": 2}]"], ([1, {"a": 2}],), {}),
        (["b=40", "a=x=y"], (), {"b": 40, "a": "x=y"}),
        (['"a=b"', "1=2", "=", "a-b=c"], ("a=b", "1=2", "=", "a-b=c"), {}),
        (["a=1", "a=2", "a="], (), {"a": ""}),
        (["[" * 100_000], ("[" * 100_000,), {}),
    ],
)  # fmt: skip
def test_arguments(words: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert parse_arguments(words) == (args, kwargs)


@given(VALUES)
def test_every_value_has_json(value: Any) -> None:
    line = to_json(value)
    json.loads(line)
    assert "\n" not in line


def test_what_json_has_not() -> None:
    import datetime

    value = {b"k": b"\xff", 1: float("nan"), None: datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC), "s": "ü"}
    assert to_json(value) == '{"aw==": {"base64": "/w=="}, "1": "nan", "null": "2027-01-01T00:00:00+00:00", "s": "ü"}'


def test_a_terminal_is_told_nothing() -> None:
    assert printable("a\tb\nc ü") == "a\tb\nc ü"
    assert printable("\x1b[31m\r\x07") == "\\x1b[31m\\r\\x07"


# --- call --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["add", "2", "3"], "5\n"),
        (["add", "2", "b=40"], "42\n"),
        (["add", "-5", "2"], "-3\n"),
        (["jsp.echo", "two words"], "two words\n"),
        (["jsp.echo", "two words", "--json"], '"two words"\n'),
        (["jsp.echo", '{"a": [1, null]}'], '{"a": [1, null]}\n'),
        (["note", "x"], ""),
        (["note", "x", "--json"], "null\n"),
        (["blob", "3"], "\0\0\0"),
        (["blob", "3", "--json"], '{"base64": "AAAA"}\n'),
        (["count", "3"], "0\n1\n2\n"),
        (["count", "0"], ""),
        (["jsp.echo", "--", "--json"], "--json\n"),
    ],
)
def test_results(address: str, words: list[str], printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", address, *words]) == 0
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["fail", "a\x1b[31m\nb"], "ValueError: a\\x1b[31m b"),
        (["nothing"], "there is no method 'nothing'"),
        (["add"], "missing a required argument: 'a'"),
        (["thing"], "the result: values of type object cannot be sent"),
        (["sleep", "10", "--timeout", "0.1"], "sleep: no result within 0.1 s"),
        (["drip", "10", "--timeout", "0.1"], "drip: no item within 0.1 s"),
    ],
)
def test_failures_are_one_line(
    address: str, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", address, *words]) == 1
    assert capsys.readouterr().err == f"jsp-rpc: {complaint}\n"


def test_debug_shows_both_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Methods(Bench()), debug=True) as server:
        assert main(["call", server.url, "fail", "x", "--debug"]) == 1
    errors = capsys.readouterr().err
    assert "raise ValueError(text)" in errors and "CommandError" in errors
    assert errors.endswith("jsp-rpc: ValueError: x\n")


def test_text_of_others_on_a_terminal(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["call", address, "jsp.echo", "\x1b[2J"]) == 0
    assert capsys.readouterr().out == "\\x1b[2J\n"


# --- connecting --------------------------------------------------------------------------------------------------


def test_the_key_from_elsewhere(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = without_key(address)
    assert main(["call", bare, "add", "1"]) == 1
    assert "access key" in capsys.readouterr().err
    key = address.split(":")[1].split("@")[0]
    (tmp_path / "key").write_text(key + "\n")
    assert main(["call", bare, "add", "1", "--key-file", "key"]) == 0
    monkeypatch.setenv("JSP_KEY", key)
    assert main(["list", bare]) == 0
    assert main(["bench", bare, "--time", "0.01"]) == 0


@pytest.mark.parametrize(
    "words",
    [
        [], ["call"], ["call", "jsp1nonsense@1:2", "m"], ["call", "host", "m"], ["bench", "h:1", "--callers", "0"],
        ["serve"], ["serve", "module"], ["serve", ":x"], ["serve", "m:x", "--listen", "x"], ["nonsense"],
        ["serve", "m:x", "--public", "--allow", "x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["call", "--help"], ["serve", "--help"]])
def test_help_and_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "jsp-rpc" in capsys.readouterr().out


def test_a_server_of_another_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with jsp.Server(("127.0.0.1", 0), lambda conn: None, identity=jsp.Identity.generate()) as server:
        assert main(["call", server.url, "add", "1"]) == 1
    assert "application protocol" in capsys.readouterr().err


# --- list and bench ----------------------------------------------------------------------------------------------


def test_list(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "add(a: 'int', b: 'int' = 1) -> 'int'  Adds."
    assert any(line.startswith("count(") and line.endswith(" [streams]") for line in lines)
    assert main(["list", address, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0] == {
        "name": "add", "signature": "(a: 'int', b: 'int' = 1) -> 'int'", "doc": "Adds.", "streams": False,
    }  # fmt: skip
    assert [m["name"] for m in listed] == [line.split("(")[0] for line in lines]


def test_bench(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", address, "--callers", "8", "--time", "0.1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["callers"] == 8 and result["calls"] >= 8
    assert result["calls_per_second"] == pytest.approx(result["calls"] / result["seconds"], rel=0.1)
    assert 0 < result["p50_us"] <= result["p99_us"] <= result["max_us"]
    assert main(["bench", address, "--time", "0.05"]) == 0
    assert "calls/s, p50" in capsys.readouterr().out


# --- serve -------------------------------------------------------------------------------------------------------


def test_services_by_name() -> None:
    assert isinstance(load_service("served:service"), jsp.rpc.Service)
    assert load_service("served:holder.counter").up() == 1


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("served", UsageError, "not MODULE:SERVICE"),
        ("nowhere:x", CommandError, "cannot import nowhere: No module named 'nowhere'"),
        ("broken:x", CommandError, "No module named 'nowhere_to_be_found'"),
        ("raising:x", CommandError, "cannot import raising: .*not today"),
        ("served:nothing", CommandError, "there is no nothing in served"),
    ],
)
def test_services_that_are_not_there(name: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        load_service(name)


def test_what_offers_nothing_is_not_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "json:dumps", "--listen", "127.0.0.1:0"]) == 1
    assert "offers no methods" in capsys.readouterr().err.splitlines()[-1]


def served(*arguments: str) -> Program:
    """`jsp-rpc serve` in a process of its own."""
    command = (sys.executable, "-m", "apps.rpc", "serve", "served:service", "--listen", "127.0.0.1:0", *arguments)
    return Program(command)


def test_serve_prints_an_address_with_a_fresh_key_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    with served() as first, served("--json") as second:
        address, other = first.line(), json.loads(second.line())["address"]
        assert address.split("@")[0] != other.split("@")[0]
        assert address.split(":")[0] == other.split(":")[0], "the identity is kept, the key is not"
        assert main(["call", address, "add", "2", "3"]) == 0
        assert capsys.readouterr().out == "5\n"
        assert main(["call", without_key(address), "add", "2"]) == 1
        assert first.stop() == 0
        assert second.stop() == 0


@interrupts
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_with_workers(number: signal.Signals, status: int) -> None:
    with served("--workers", "2") as program:
        address = program.line()
        for _ in range(3):
            assert main(["call", address, "add", "2", "3"]) == 0
        assert program.stop(number) == status
        assert "Traceback" not in program.errors()


@interrupts
def test_ctrl_c_stops_what_runs() -> None:
    with served() as program, jsp.rpc.connect(program.line()) as client:
        future = client.submit("wait")
        gevent.sleep(0)
        assert program.line() == "waiting"
        assert program.stop(signal.SIGINT) == 130
        assert program.line() == "stopped"
        with pytest.raises(jsp.ConnectionClosed, match="the server stops"):
            future.result(5)
        assert "Traceback" not in program.errors()


def test_allow_and_public(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = jsp.Identity.generate()
    mine.save(tmp_path / "me.key")
    with served("--allow", str(mine.peer_id)) as program:
        address = program.line()
        assert ":" not in address.split("@")[0]
        assert main(["call", address, "add", "1"]) == 1
        assert main(["call", address, "add", "1", "--identity", "me.key"]) == 0
    with served("--public") as program:
        assert main(["call", program.line(), "add", "1"]) == 0
    assert capsys.readouterr().out == "2\n2\n"
