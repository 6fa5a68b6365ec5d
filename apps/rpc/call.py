"""`jsp-rpc call`: one call from the command line."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import jsp.rpc
from jsp.cli.common import CommandError, add_common_arguments

from .client import add_address_arguments, open_client
from .values import parse_arguments, printable, show


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp-rpc`."""
    text = (
        "Call METHOD and print its result; a method that streams has its items printed as they come, a line each. "
        "Text is printed as it is, bytes are written as they are, None is nothing, and all else is JSON. "
        "--timeout limits the connecting and then, anew, the call or each item of a stream, which have no time limit "
        "of their own."
    )
    parser = commands.add_parser("call", help="call a method", description=text)
    add_common_arguments(parser, json_help='print JSON in any case, a line each; bytes are {"base64": ...}')
    add_address_arguments(parser)
    parser.add_argument("method", metavar="METHOD", help="as `jsp-rpc list` has it")
    parser.add_argument(
        "arguments",
        metavar="ARG",
        nargs="*",
        default=(),
        help="JSON where it is, else text; NAME=VALUE for an argument by its name. What looks like an option goes "
        "behind --",
    )
    parser.set_defaults(command=call, timeout=None)


def call(args: argparse.Namespace) -> None:
    """Call, and print what comes."""
    positional, named = parse_arguments(args.arguments)
    with open_client(args) as client:
        client.timeout = args.timeout
        try:
            try:
                show(client.call_with(args.method, positional, named, None), args.json)
            except jsp.rpc.WrongCall:
                # The server has not run it, so nothing is done twice.
                for item in client.stream(args.method, *positional, **named):
                    show(item, args.json)
                    sys.stdout.flush()
        except jsp.rpc.RemoteError as error:
            if error.traceback is not None and args.debug:
                print(printable(error.traceback), end="", file=sys.stderr)
            raise CommandError(printable(str(error))) from None
        except jsp.rpc.RpcError as error:
            raise CommandError(printable(str(error))) from error
