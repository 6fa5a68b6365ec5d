"""`jsp-rpc list`: what a server offers."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from jsp.cli.common import add_common_arguments

from .client import add_address_arguments, open_client
from .values import printable


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp-rpc`."""
    text = "List the methods of a server: name, parameters, and the first line of what is said about them."
    parser = commands.add_parser("list", help="list a server's methods", description=text)
    add_common_arguments(
        parser, json_help='print [{"name": ..., "signature": ..., "doc": ..., "streams": true or false}, ...]'
    )
    add_address_arguments(parser)
    parser.set_defaults(command=list_methods)


def list_methods(args: argparse.Namespace) -> None:
    """Ask, and print."""
    with open_client(args) as client:
        client.timeout = args.timeout
        methods = client.methods()
    if args.json:
        print(json.dumps([asdict(method) for method in methods], ensure_ascii=False))
        return
    for method in methods:
        line = f"{method.name}{method.signature}{' [streams]' if method.streams else ''}"
        about = method.doc.split("\n", 1)[0]
        print(printable(f"{line}  {about}" if about else line).replace("\n", " "))
