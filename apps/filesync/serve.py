"""`jsp-sync serve`: lets others push to and pull from a directory."""

from __future__ import annotations

import argparse
import os
from typing import Any

import jsp
import jsp.transfer
from jsp.cli.common import (
    add_common_arguments,
    add_listen_arguments,
    add_workers_argument,
    load_identity,
    say,
    server_trust,
)
from jsp.cli.common import serve as serve_until_stopped

from . import words
from .settings import CONFIG


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp-sync`."""
    text = (
        "Let others push to and pull from DIR. Prints the server's address as soon as it is ready, and serves until "
        "Ctrl-C or SIGTERM. Nothing outside DIR is ever read or written: paths that climb are refused, and symbolic "
        "links are copied but never followed."
    )
    parser = commands.add_parser("serve", help="let others copy to and from a directory", description=text)
    add_common_arguments(parser, json_help='print {"address": ...} when ready')
    parser.add_argument("directory", metavar="DIR", help="what is served")
    parser.add_argument("--read-only", action="store_true", help="refuse to have anything pushed")
    add_listen_arguments(parser)
    add_workers_argument(parser)
    parser.set_defaults(command=serve)


def serve(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    directory = os.fsencode(args.directory)
    handler = jsp.transfer.handler(directory, read_only=args.read_only, on_done=tell)
    trust = server_trust(args)
    identity = load_identity(args.identity)
    server = jsp.Server(args.listen, handler, identity=identity, trust=trust, config=CONFIG, workers=args.workers)
    return serve_until_stopped(server, args)


def tell(served: jsp.transfer.Served) -> None:
    """Say what a client did. What failed has been said by the library's log."""
    if served.error is None:
        what = "push to" if served.push else "pull of"
        path = jsp.transfer.display(served.path)
        say(f"{what} /{path} by {served.peer or 'somebody'}: {words.summary(served.report)}")
