"""`jsp-rpc serve`: offers the functions of a Python module."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

import jsp
import jsp.rpc
from jsp.cli.common import (
    CommandError,
    UsageError,
    add_common_arguments,
    add_listen_arguments,
    add_workers_argument,
    describe,
    load_identity,
    server_trust,
)
from jsp.cli.common import serve as serve_until_stopped


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp-rpc`."""
    text = (
        "Offer what SERVICE in MODULE offers: a jsp.rpc.Service, or an object or a class with @jsp.rpc.method in it. "
        "Prints the server's address as soon as it is ready, and serves until Ctrl-C or SIGTERM. Methods wait with "
        "gevent; a module whose methods block otherwise calls gevent.monkey.patch_all() at its beginning. With "
        "--debug, clients are sent the tracebacks of exceptions."
    )
    parser = commands.add_parser("serve", help="offer the functions of a module", description=text)
    add_common_arguments(parser, json_help='print {"address": ...} when ready')
    parser.add_argument("service", metavar="MODULE:SERVICE", help="found from the current directory on, as `python -m`")
    add_listen_arguments(parser)
    add_workers_argument(parser)
    parser.set_defaults(command=serve)


def serve(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    service = load_service(args.service)
    identity = load_identity(args.identity)
    trust = server_trust(args)
    options = {"identity": identity, "trust": trust, "debug": args.debug, "workers": args.workers}
    server = jsp.rpc.Server(args.listen, service, **options)
    return serve_until_stopped(server, args)


def load_service(name: str) -> Any:
    """What `MODULE:SERVICE` names. Raises UsageError or CommandError, which say what is wrong with it."""
    module_name, colon, path = name.partition(":")
    if not module_name or not colon or not path:
        raise UsageError(f"{name!r} is not MODULE:SERVICE")
    # The interpreter puts a script's own directory here, which for an installed command is nobody's.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        text = str(error) if isinstance(error, ImportError) else describe(error)
        raise CommandError(f"cannot import {module_name}: {text}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise CommandError(f"there is no {path} in {module_name}")
        found = getattr(found, part)
    return found
