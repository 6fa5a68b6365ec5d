"""The `jsp-rpc` command: its sub-commands and nothing else; each lives in a file of its name."""

from __future__ import annotations

from collections.abc import Sequence

from jsp.cli.common import Parser, add_common_arguments, run

from . import bench, call, list_, serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jsp-rpc` with `argv` (None: the program's own arguments) and return its exit status."""
    parser = Parser(prog="jsp-rpc", description="Serve Python functions over JetStreamProto, and call them.")
    add_common_arguments(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (serve, call, list_, bench):
        command.add_parser(commands)
    return run(parser, argv)
