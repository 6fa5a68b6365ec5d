"""The `jsp` command as a whole: what it knows, and that it says so."""

from __future__ import annotations

import pytest

import jsp as library
from jsp.compiled import is_compiled
from jsp.crypto.provider import chosen
from tests.cli.support import jsp, run_here


def test_module_and_function_are_the_same_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--version") == 0
    done = jsp("--version")
    kind = "compiled" if is_compiled() else "pure Python"
    text = f"jsp {library.__version__} ({kind}, {chosen().name})\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")
    assert capsys.readouterr().out == done.stdout


@pytest.mark.parametrize(
    "command",
    [(), ("keygen",), ("ping",), ("perf", "server"), ("perf", "client"), ("forward",), ("forward", "serve")],
    ids=" ".join,
)
def test_every_command_has_help_and_version(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(*command, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(" ".join(("usage: jsp", *command)))
    assert "--debug" in text
    assert run_here(*command, "--version") == 0
    assert library.__version__ in capsys.readouterr().out


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    run_here("--help")
    text = capsys.readouterr().out
    for name in ("keygen", "ping", "perf", "forward", "forward serve"):
        assert any(line.startswith(f"    {name}") for line in text.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("perf",),
        ("perf", "serve"),
        ("ping",),
        ("ping", "here"),
        ("ping", "jsp1abc@127.0.0.1:4433"),
        ("ping", "127.0.0.1:99999"),
        ("ping", "127.0.0.1:0"),
        ("ping", ":4433"),
        ("ping", "127.0.0.1:4433", "-c", "0"),
        ("ping", "127.0.0.1:4433", "-i", "-1"),
        ("ping", "127.0.0.1:4433", "--timeout", "soon"),
        ("keygen", "a", "b"),
        ("perf", "server", "--listen", "somewhere"),
        ("perf", "server", "--public", "--allow", "friends"),
        ("perf", "server", "--allow", "jsp1mistyped", "--listen", "127.0.0.1:0"),
        ("perf", "server", "--datagram-size", "100"),
        ("perf", "client", "127.0.0.1:4433", "--streams", "1000"),
        ("perf", "client", "127.0.0.1:4433", "--messages", "100", "--streams", "2"),
        ("perf", "client", "127.0.0.1:4433", "--mode", "partial"),
        ("perf", "client", "127.0.0.1:4433", "--reverse", "--bidir"),
        ("perf", "client", "127.0.0.1:4433", "--messages", "1G"),
        ("forward", "127.0.0.1:4433"),
        ("forward", "127.0.0.1:4433", "--tcp-listen", "8080"),
        ("forward", "serve"),
        ("forward", "serve", "--target", "8080"),
        ("forward", "serve", "--target", ":8080"),
        ("forward", "serve", "--target", "jsp.example:8080/path"),
    ],
    ids=" ".join,
)
def test_usage_errors_are_one_line_and_status_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("jsp: ")
    assert output.err.count("\n") == 1


def test_flags_count_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("--debug", "ping", "here"), ("ping", "here", "--debug")):
        assert run_here(*arguments) == 2
        assert "Traceback" in capsys.readouterr().err
