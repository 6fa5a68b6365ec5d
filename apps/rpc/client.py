"""What the commands that connect share: their arguments, and a client."""

from __future__ import annotations

import argparse

import jsp
import jsp.rpc
from jsp.cli.common import add_connect_arguments, connect, parse_target


def add_address_arguments(parser: argparse.ArgumentParser) -> None:
    """ADDRESS, and how to connect to it."""
    parser.add_argument("address", metavar="ADDRESS", help="jsp1...@HOST:PORT as `jsp-rpc serve` printed it")
    add_connect_arguments(parser)


def open_client(args: argparse.Namespace) -> jsp.rpc.Client:
    """A client of the server that the arguments name. Raises what `jsp.connect` raises."""
    address = parse_target(args.address, args)
    return jsp.rpc.Client(connect(address, args, jsp.rpc.rpc_config()))
