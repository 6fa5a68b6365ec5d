"""The `jsp-sync` command: its sub-commands and nothing else; each lives in a file of its name."""

from __future__ import annotations

from collections.abc import Sequence

from jsp.cli.common import Parser, add_common_arguments, run

from . import copy, serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jsp-sync` with `argv` (None: the program's own arguments) and return its exit status."""
    parser = Parser(prog="jsp-sync", description="Copy files and directories over JetStreamProto, both ways.")
    add_common_arguments(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (serve, copy):
        command.add_parser(commands)
    return run(parser, argv)
