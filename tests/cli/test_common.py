"""What all commands share: identities, who is let in, addresses, known peers, errors and exit status, signals."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import jsp
from jsp.cli import common
from jsp.cli.common import CommandError, Parser, Terminated, UsageError
from jsp.crypto.credentials import Presented
from jsp.errors import ProtocolViolation
from jsp.wire.address import encode_access_key
from tests.cli.support import JSP, Program, interrupts, jsp_program, run_here
from tests.net.support import IDENTITY, OTHER, serving

KEY = bytes(range(16))
KEY_TEXT = encode_access_key(KEY)
ID = str(IDENTITY.peer_id)


def arguments(**values: Any) -> argparse.Namespace:
    """What a parser would make of a command line."""
    given = {"identity": None, "key_file": None, "timeout": 5.0, "allow": None, "public": False, **values}
    return argparse.Namespace(**given)


def parser_of(function: Any) -> Parser:
    parser = Parser(prog="jsp")
    common.add_common_arguments(parser, json_help="numbers")
    parser.add_argument("--fine", action="store_true")
    parser.set_defaults(command=function)
    return parser


# --- identities --------------------------------------------------------------------------------------------------


def test_default_identity_is_made_once(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = common.load_identity(None)
    assert (home / "identity.key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert str(first.peer_id) in caplog.text
    caplog.clear()
    assert common.load_identity(None).peer_id == first.peer_id
    assert caplog.text == ""


def test_named_identity_is_made_too_but_not_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "server.key"
    assert common.load_identity(file).peer_id == common.load_identity(str(file)).peer_id
    with pytest.raises(FileNotFoundError) as caught:
        common.load_identity(tmp_path / "missing" / "server.key")
    assert caught.value.filename == str(tmp_path / "missing" / "server.key")


def test_clients_are_nobody_until_there_is_an_identity(tmp_path: Path, home: Path) -> None:
    assert common.client_identity(arguments()) is None
    assert not home.exists()
    made = common.load_identity(None)
    here = common.client_identity(arguments())
    assert here is not None
    assert here.peer_id == made.peer_id
    with pytest.raises(FileNotFoundError):
        common.client_identity(arguments(identity=str(tmp_path / "mistyped")))


def test_relative_xdg_directory_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert common.config_directory() == Path("/home/somebody/.config/jsp")


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [(b"not a key\n", 0o600, "damaged"), (b"ed25519 AAAA\n", 0o600, "damaged"), (None, 0o644, "chmod 600")],
)
def test_unusable_identity_is_one_line(
    content: bytes | None, mode: int, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "id.key"
    IDENTITY.save(file)
    if content is not None:
        file.write_bytes(content)
    file.chmod(mode)
    for command in (("perf", "server", "--listen", "127.0.0.1:0"), ("ping", "127.0.0.1:1")):
        assert run_here(*command, "--identity", str(file)) == 1
        output = capsys.readouterr()
        assert complaint in output.err
        assert output.err.startswith("jsp: ")
        assert output.err.count("\n") == 1


# --- who is let in -----------------------------------------------------------------------------------------------


def welcomes(trust: jsp.Trust, peer: jsp.PeerId | None) -> bool:
    try:
        trust.judge(Presented(peer, "x25519mlkem768", "ed25519"), "host:1")
    except ProtocolViolation:
        return False
    return True


def test_without_a_word_it_takes_the_access_key_of_this_start() -> None:
    first, second = common.server_trust(arguments()), common.server_trust(arguments())
    assert first is not None and second is not None
    assert first.key != second.key
    assert not welcomes(first, IDENTITY.peer_id)
    assert common.server_trust(arguments(public=True)) is None


def test_allow_takes_peer_ids_and_files_together(tmp_path: Path) -> None:
    third, stranger = (jsp.Identity.generate().peer_id for _ in range(2))
    file = tmp_path / "friends"
    file.write_text(f"{OTHER.peer_id} comment=laptop\n")
    cases = [([ID], 1), ([str(file)], 1), ([ID, str(file)], 2), ([str(third), str(file), ID], 3)]
    for allow, count in cases:
        trust = common.server_trust(arguments(allow=allow))
        assert trust is not None
        assert trust.needs_identity
        assert sum(welcomes(trust, p) for p in (IDENTITY.peer_id, OTHER.peer_id, third)) == count
        assert not welcomes(trust, stranger)
        assert not welcomes(trust, None)
    both = common.server_trust(arguments(allow=[ID, str(file)]))
    assert both is not None
    file.write_text(f"{third}\n")
    assert welcomes(both, third)
    assert not welcomes(both, OTHER.peer_id)


def test_allow_refuses_what_is_neither(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("perf", "server", "--allow", str(tmp_path / "missing")) == 1
    assert run_here("perf", "server", "--allow", ID[:-1]) == 2
    assert capsys.readouterr().err.count("\n") == 2


# --- addresses ---------------------------------------------------------------------------------------------------


def test_access_key_comes_from_file_address_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY_TEXT}\n")
    other = encode_access_key(bytes(16))
    plain, keyed = f"{ID}@host:1", f"{ID}:{other}@host:1"
    assert common.parse_target(plain, arguments()).access_key is None
    assert common.parse_target(keyed, arguments()).access_key == bytes(16)
    assert common.parse_target(keyed, arguments(key_file=str(file))).access_key == KEY
    monkeypatch.setenv("JSP_KEY", KEY_TEXT)
    assert common.parse_target(plain, arguments()).access_key == KEY
    assert common.parse_target("host:1/some/path", arguments()).path == "some/path"
    assert common.parse_target(keyed, arguments()).access_key == bytes(16)


def test_access_key_is_not_shown() -> None:
    shown = common.without_key(common.parse_target(f"{ID}:{KEY_TEXT}@[::1]:1/path", arguments()))
    assert shown == f"{ID}@[::1]:1/path"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("host:1", ("host", 1)), (":0", ("", 0)), ("[::1]:65535", ("::1", 65535)), ("::1:5", None), ("host", None),
     ("host:1/x", None), (f"{ID}@host:1", None), ("host:65536", None)],
)  # fmt: skip
def test_places(text: str, expected: tuple[str, int] | None) -> None:
    if expected is None:
        with pytest.raises(argparse.ArgumentTypeError):
            common.place(text)
    else:
        assert common.place(text) == expected


def test_bare_address_is_believed_once_and_then_held_to_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        port = server.address[1]
        place = f"127.0.0.1:{port}"
        assert run_here("ping", "-c", "1", place) == 0
        told = capsys.readouterr().err
        assert f"met {ID} at {place} for the first time" in told
        assert (home / "known_peers").read_text().startswith(f"{ID} at={place} ")
        assert run_here("ping", "-c", "1", place) == 0
        assert capsys.readouterr().err == ""
    server = jsp.Server(("127.0.0.1", port), lambda conn: conn.wait_closed(), identity=OTHER)
    with server:
        assert run_here("ping", "-c", "1", place) == 1
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        for word in (ID, str(OTHER.peer_id), "known_peers"):
            assert word in told


def test_server_learns_who_comes(capsys: pytest.CaptureFixture[str]) -> None:
    me = common.load_identity(None)
    capsys.readouterr()
    for trust, status in ((jsp.Trust.pinned(me.peer_id), 0), (jsp.Trust.pinned(OTHER.peer_id), 1)):
        with serving(trust=trust) as server:
            assert run_here("ping", "-c", "1", server.url) == status
    assert capsys.readouterr().err.count("\n") == 1


# --- errors and exit status --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, 0, ""),
        (CommandError("no luck"), 1, "jsp: no luck\n"),
        (UsageError("make up your mind"), 2, "jsp: make up your mind\n"),
        (jsp.AddressError("that is nowhere"), 2, "jsp: that is nowhere\n"),
        (jsp.ConnectTimeout("nobody\nanswered"), 1, "jsp: nobody answered\n"),
        (jsp.StreamStopped("the peer reads no more"), 1, "jsp: the peer reads no more\n"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a/b"), 1, "jsp: a/b: No such file\n"),
        (OSError("odd"), 1, "jsp: odd\n"),
        (CommandError("\x1b[2J f\u00fcr dich"), 1, "jsp: ?[2J f\u00fcr dich\n"),
        (TimeoutError(), 1, "jsp: TimeoutError\n"),
        (KeyError("x"), 1, "jsp: unexpected KeyError: 'x' (--debug tells more)\n"),
        (KeyboardInterrupt(), 130, ""),
        (Terminated(143), 143, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_a_line_and_a_status(
    error: BaseException | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(args: argparse.Namespace) -> None:
        if error is not None:
            raise error

    assert common.run(parser_of(command), []) == status
    assert capsys.readouterr().err == line


def test_debug_shows_the_traceback_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    def command(args: argparse.Namespace) -> None:
        raise CommandError("no luck")

    assert common.run(parser_of(command), ["--debug"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("Traceback")
    assert text.endswith("jsp: no luck\n")


def test_status_and_arguments_reach_and_leave_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def command(args: argparse.Namespace) -> int:
        seen.append((args.json, args.debug, args.fine))
        return 7

    assert common.run(parser_of(command), ["--json", "--fine"]) == 7
    assert seen == [(True, False, True)]
    assert common.run(parser_of(command), ["--coarse"]) == 2
    assert capsys.readouterr().err == "jsp: unrecognized arguments: --coarse (try 'jsp --help')\n"


def test_log_messages_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    def command(args: argparse.Namespace) -> None:
        try:
            raise ValueError("inner")
        except ValueError:
            logging.getLogger("jsp").exception("handler failed")
        logging.getLogger("jsp").info("nobody needs to know")

    assert common.run(parser_of(command), []) == 0
    assert capsys.readouterr().err == "jsp: handler failed: unexpected ValueError: inner (--debug tells more)\n"
    assert common.run(parser_of(command), ["--debug"]) == 0
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "nobody needs to know" in text


# --- servers and signals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=interrupts)]
)
def test_server_prints_its_address_first_and_ends_well(number: signal.Signals, status: int) -> None:
    with jsp_program("perf", "server", "--listen", "127.0.0.1:0") as program:
        address = program.line()
        assert address.startswith("jsp1")
        assert common.parse_target(address, arguments()).access_key is not None
        assert program.stop(number) == status
        assert "Traceback" not in program.errors()


def test_server_prints_its_address_as_json() -> None:
    with jsp_program("perf", "server", "--listen", "127.0.0.1:0", "--public", "--json") as program:
        address = json.loads(program.line())["address"]
        assert common.parse_target(address, arguments()).access_key is None


def test_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    common.load_identity(None)
    capsys.readouterr()
    with serving() as server:
        assert run_here("perf", "server", "--listen", f"127.0.0.1:{server.address[1]}") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"jsp: cannot listen on 127.0.0.1:{server.address[1]}: Address already in use\n"


def test_client_ends_on_sigterm() -> None:
    with (
        jsp_program("perf", "server", "--listen", "127.0.0.1:0") as server,
        jsp_program("ping", server.line(), "-i", "0.05") as client,
    ):
        client.line()
        assert client.stop() == 143


@interrupts
def test_ctrl_c_ends_what_never_waits_and_what_does_nothing_else() -> None:
    for work in ("while True: pass", "gevent.sleep(100)", "gevent.spawn(gevent.sleep, 100).join()"):
        program = (
            "import sys, gevent\n"
            "from jsp.cli.common import Parser, run\n"
            "def command(args):\n"
            "    print('ready', flush=True)\n"
            f"    {work}\n"
            "parser = Parser(prog='test')\n"
            "parser.set_defaults(command=command)\n"
            "sys.exit(run(parser))\n"
        )
        with Program((sys.executable, "-c", program)) as running:
            assert running.line() == "ready"
            assert running.stop(signal.SIGINT) == 130
            assert running.errors() == ""


def test_nobody_reading_is_no_news() -> None:
    with jsp_program("perf", "server", "--listen", "127.0.0.1:0") as server:
        address = server.line()
        script = '{ "$@"; echo "status $?" >&2; } | head -1'
        with Program(("sh", "-c", script, "sh", *JSP, "ping", address, "-i", "0.01")) as shell:
            assert shell.line().startswith("PING")
            shell.wait_for_error("status 141")
            assert shell.errors() == "status 141\n"


def test_identity_of_a_server_outlives_it() -> None:
    places = []
    for _ in range(2):
        with jsp_program("perf", "server", "--listen", "127.0.0.1:0", "--public") as program:
            places.append(program.line().split("@")[0])
    assert places[0] == places[1]
