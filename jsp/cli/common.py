"""What all command lines of the project share: arguments, identities, addresses, signals, errors, exit status.

A program builds a `Parser`, gives every command its function with `set_defaults(command=function)`, and returns
`run(parser, argv)` from its `main`. The function gets the parsed arguments, returns an exit status (None: 0), and
raises what goes wrong. `run` turns that into one line on stderr:

    0    success                         130  interrupted (Ctrl-C)
    1    failure: any `jsp.Error`, OSError or `CommandError`
    2    usage: wrong arguments, `UsageError`, `jsp.AddressError`
    143  ended by SIGTERM (serving commands: 0, as that is how they are meant to end)
    141  nobody reads stdout any more

A server calls `server_trust`, `load_identity` and `serve`; a client calls `parse_target` and then `connect`, which
adds who the user is and which peers the user knows.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Protocol

import gevent

import jsp
from jsp.compiled import is_compiled
from jsp.crypto.credentials import Presented
from jsp.crypto.provider import chosen
from jsp.errors import ProtocolViolation
from jsp.net.interrupts import orderly_interrupts
from jsp.wire.address import encode_peer_id, parse_access_key, parse_address

# All addresses, because servers are there for others; any free port, because the address they print has to be
# copied anyway (it holds the peer id and often a key) and two servers then never get into each other's way. Who
# needs the same address after a restart, or a hole in a firewall, names a port.
LISTEN_DEFAULT = ("0.0.0.0", 0)

# Every application protocol of this project, for a client that is content with any server.
KNOWN_PROTOCOLS = ("jsp/1", "jsp-perf/1", "jsp-forward/1", "jsp-sync/1", "jsp-rpc/1")

KEY_VARIABLE = "JSP_KEY"

# `default_identity_path()` as help texts put it.
_DEFAULT_IDENTITY = "~/.config/jsp/identity.key"

_STDOUT_GONE = 128 + signal.SIGPIPE
_INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM


class CommandError(Exception):
    """A command cannot do what it was asked to; the text is all its user gets to see. Exit status 1."""


class UsageError(CommandError):
    """A command was asked for something that makes no sense. Exit status 2."""


class Terminated(SystemExit):
    """SIGTERM arrived: raised in the greenlet that waits in `run`, so that `with` and `finally` have their turn."""


class Serving(Protocol):
    """What `serve` needs of a server; `jsp.Server` has it."""

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def serve_forever(self) -> None: ...

    def stop(self) -> None: ...


# --- arguments ---------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        program = self.prog.split()[0]
        self.exit(2, f"{program}: {message} (try '{self.prog} --help')\n")


def add_common_arguments(parser: argparse.ArgumentParser, *, json_help: str | None = None) -> None:
    """`--debug` and `--version`; `--json` too when `json_help` says what it prints."""
    # Suppressed defaults: given before or after the name of a command, they count.
    suppress = argparse.SUPPRESS
    parser.add_argument("--debug", action="store_true", default=suppress, help="show tracebacks and debug messages")
    kind = "compiled" if is_compiled() else "pure Python"
    version = f"%(prog)s {jsp.__version__} ({kind}, {chosen().name})"
    parser.add_argument("--version", action="version", version=version)
    if json_help is not None:
        parser.add_argument("--json", action="store_true", default=suppress, help=json_help)


def add_listen_arguments(parser: argparse.ArgumentParser) -> None:
    """`--listen`, `--identity`, and who is let in: `--allow` or `--public`."""
    group = parser.add_argument_group("serving")
    group.add_argument(
        "--listen",
        metavar="HOST:PORT",
        type=place,
        default=LISTEN_DEFAULT,
        help="where to listen, UDP; port 0: any free one (default: any free port on all IPv4 addresses; "
        "[::]:PORT listens on IPv6 too)",
    )
    group.add_argument(
        "--identity",
        metavar="FILE",
        help=f"the server's key pair, made on first use (default: {_DEFAULT_IDENTITY})",
    )
    welcome = group.add_mutually_exclusive_group()
    welcome.add_argument(
        "--allow",
        metavar="PEER_ID|FILE",
        action="append",
        help="let in this peer, or the peers listed in a file that is read again when it changes; can be repeated "
        "(default: whoever holds the access key that is part of the printed address)",
    )
    welcome.add_argument("--public", action="store_true", help="let in everybody")


def add_workers_argument(parser: argparse.ArgumentParser) -> None:
    """`--workers`, for servers whose connections have nothing to do with each other."""
    text = "processes that serve the port together, each with its own copy of everything (default: 1)"
    parser.add_argument("--workers", metavar="N", type=whole, default=1, help=text)


def add_connect_arguments(parser: argparse.ArgumentParser) -> None:
    """`--identity`, `--key-file`, `--timeout` for what takes an ADDRESS (the positional is the caller's)."""
    group = parser.add_argument_group("connecting")
    group.add_argument(
        "--identity",
        metavar="FILE",
        help=f"who to be (default: {_DEFAULT_IDENTITY} if it is there, else nobody in particular)",
    )
    group.add_argument(
        "--key-file",
        metavar="FILE",
        help=f"read the access key from a file rather than the address, which others see in the list of processes "
        f"(so does the variable {KEY_VARIABLE})",
    )
    group.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=10.0, help="give up connecting after this (default: 10)"
    )


def seconds(text: str) -> float:
    """An argument type: a time above 0."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a time in seconds above 0")
    return value


def whole(text: str) -> int:
    """An argument type: a whole number above 0."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def place(text: str) -> tuple[str, int]:
    """An argument type: HOST:PORT, with an IPv6 host in brackets; the host may be left out."""
    try:
        address = parse_address(text)
    except jsp.AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if address.peer_id is not None or address.path:
        raise argparse.ArgumentTypeError(f"{text!r} is more than HOST:PORT")
    return address.host, address.port


# --- identities --------------------------------------------------------------------------------------------------


def config_directory() -> Path:
    """Where the user's identity and known peers are kept: `jsp` in $XDG_CONFIG_HOME or ~/.config."""
    # The XDG specification: a value that is not absolute is to be ignored.
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "jsp"


def default_identity_path() -> Path:
    """The identity that is used when no other is named."""
    return config_directory() / "identity.key"


def make_config_directory() -> Path:
    """`config_directory()`, made with mode 0700 when it is not there."""
    path = config_directory()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def load_identity(path: str | os.PathLike[str] | None) -> jsp.Identity:
    """The identity in `path` (None: the default file), made on first use, which is said on stderr.

    Raises IdentityError when the file is damaged or others can read it, OSError when it cannot be read or made.
    """
    file = Path(path) if path is not None else default_identity_path()
    try:
        return jsp.Identity.load(file)
    except FileNotFoundError:
        if path is None:
            make_config_directory()
    identity = jsp.Identity.generate()
    if not save_new(identity, file):
        return jsp.Identity.load(file)
    say(f"made a new identity, {identity.peer_id}, in {file}")
    return identity


def save_new(identity: jsp.Identity, file: Path) -> bool:
    """Write `identity` to `file`, whole or not at all; False when there is one already."""
    # Saved under another name first: a program that starts at the same time must not find half a file.
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}.new")
    try:
        identity.save(new)
        try:
            os.link(new, file)
        finally:
            new.unlink()
    except FileExistsError:
        return False
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
    return True


def client_identity(args: argparse.Namespace) -> jsp.Identity | None:
    """Who a client is: `--identity`, or the default identity if there is one, or nobody in particular."""
    if args.identity is None and not default_identity_path().exists():
        return None
    return jsp.Identity.load(args.identity or default_identity_path())


# --- serving -----------------------------------------------------------------------------------------------------


def server_trust(args: argparse.Namespace) -> jsp.Trust | None:
    """Who is let in, by `--allow` or `--public`; without either, holders of an access key that is new each time."""
    if args.public:
        return None
    if not args.allow:
        return jsp.Trust.access_key(os.urandom(16))
    peers = [name for name in args.allow if name.lower().startswith("jsp1")]
    policies = [jsp.Trust.authorized(name) for name in args.allow if name not in peers]
    if peers:
        policies.insert(0, jsp.Trust.pinned(*peers))
    return policies[0] if len(policies) == 1 else _any_of(policies)


def _any_of(policies: list[jsp.Trust]) -> jsp.Trust:
    """Whoever one of `policies` welcomes."""

    def judge(presented: Presented, where: str) -> None:
        for policy in policies[:-1]:
            try:
                return policy.judge(presented, where)
            except ProtocolViolation:
                continue
        return policies[-1].judge(presented, where)

    return jsp.Trust(" or ".join(p.name for p in policies), judge, slow=any(p.slow for p in policies))


def print_address(server: Serving, as_json: bool) -> None:
    """The server's address as a line on stdout, at once, for whoever waits for it."""
    print(json.dumps({"address": server.url}) if as_json else server.url, flush=True)


def serve(server: Serving, args: argparse.Namespace) -> int:
    """Start `server`, print its address, serve until SIGTERM (exit status 0) or Ctrl-C, and stop in good order."""
    server.start()
    try:
        print_address(server, args.json)
        server.serve_forever()
    except Terminated:
        return 0
    finally:
        server.stop()
    return 0


# --- connecting --------------------------------------------------------------------------------------------------


def parse_target(text: str, args: argparse.Namespace) -> jsp.Address:
    """The address a user typed, with the access key of `--key-file`, of the address itself, or of $JSP_KEY.

    Raises AddressError for an address or key that cannot be right, OSError when the key file cannot be read.
    """
    address = parse_address(text)
    if not address.host or not address.port:
        raise jsp.AddressError(f"{text!r} does not say where: HOST:PORT is missing")
    key = address.access_key
    if args.key_file is not None:
        key = parse_access_key(Path(args.key_file).read_text("ascii", "replace"))
    elif key is None and os.environ.get(KEY_VARIABLE):
        key = parse_access_key(os.environ[KEY_VARIABLE])
    return replace(address, access_key=key)


def without_key(address: jsp.Address) -> str:
    """`address` as it may be shown to anybody."""
    return str(replace(address, access_key=None))


def connect(address: jsp.Address, args: argparse.Namespace, config: jsp.Config) -> jsp.Connection:
    """Connect as a command does: as the user's identity, to the peer the address pins.

    An address without a peer id is looked up in the user's file of known peers. A peer that is not in it yet is
    believed and remembered, which is said on stderr, as ssh does; one that has changed is refused.

    Raises what `jsp.connect` raises.
    """
    identity = client_identity(args)
    if address.peer_id is not None:
        return jsp.connect(address, identity=identity, config=config, timeout=args.timeout)
    file = make_config_directory() / "known_peers"
    where = f"{address.host}:{address.port}"
    known = file.exists() and f"at={where}" in file.read_text("utf-8", "replace").split()
    trust = jsp.Trust.known_peers(file)
    connection = jsp.connect(address, identity=identity, trust=trust, config=config, timeout=args.timeout)
    if not known and connection.peer is not None:
        peer = encode_peer_id(connection.peer.digest)
        say(f"met {peer} at {where} for the first time; remembered in {file}")
    return connection


# --- running -----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """A line on stderr, for the user, that is no error."""
    logging.getLogger("jsp.cli").warning("%s", text)


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse `argv` (None: the program's own), run the chosen command, and return the exit status (see above)."""
    program = parser.prog.split()[0]
    parser.set_defaults(debug=False, json=False)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    with _logging(program, args.debug), _signals():
        return _run(args.command, args, program)


def _run(command: Callable[[argparse.Namespace], int | None], args: argparse.Namespace, program: str) -> int:
    status = 1
    try:
        result = command(args)
        sys.stdout.flush()
        return result or 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Terminated:
        return _TERMINATED
    except (UsageError, jsp.AddressError) as error:
        failure: Exception = error
        status = 2
    except Exception as error:
        if type(error) is BrokenPipeError:
            _drop_stdout()
            return _STDOUT_GONE
        failure = error
    if args.debug:
        traceback.print_exception(failure, file=sys.stderr)
    print(f"{program}: {describe(failure)}", file=sys.stderr)
    return status


def describe(error: Exception) -> str:
    """`error` as one line for people."""
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, jsp.Error) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    elif not isinstance(error, (jsp.Error, OSError, CommandError)):
        text = f"unexpected {type(error).__name__}: {text} (--debug tells more)"
    # What the other end said may be part of it, and must not reach the terminal as control characters.
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line or type(error).__name__


def _drop_stdout() -> None:
    # What is still in the buffer would be complained about when the interpreter flushes it on its way out.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


@contextmanager
def _logging(program: str, debug: bool) -> Iterator[None]:
    """Log messages of the library as lines on stderr, with tracebacks when asked for."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"{program}: %(message)s", debug))
    log = logging.getLogger("jsp")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _OneLine(logging.Formatter):
    """Log records as one line, whose traceback is only its last line unless `debug`."""

    def __init__(self, form: str, debug: bool) -> None:
        super().__init__(form)
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        if self._debug or not record.exc_info:
            return super().format(record)
        error = record.exc_info[1]
        text = f"{record.getMessage()}: {describe(error)}" if isinstance(error, Exception) else record.getMessage()
        return self._style.format(logging.makeLogRecord({**record.__dict__, "message": text}))


@contextmanager
def _signals() -> Iterator[None]:
    """Raise `Terminated` here when SIGTERM comes, and KeyboardInterrupt, without gevent's traceback, for Ctrl-C."""
    here = gevent.getcurrent()

    def terminate() -> None:
        # A second one finds the system's own way, for those who are in a hurry.
        watcher.cancel()
        gevent.kill(here, Terminated(_TERMINATED))

    watcher = gevent.signal_handler(signal.SIGTERM, terminate)
    try:
        with orderly_interrupts():
            yield
    finally:
        watcher.cancel()
