"""The `jsp` command: its sub-commands and nothing else; each lives in a file of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jsp.cli import forward, keygen, perf, ping
from jsp.cli.common import Parser, add_common_arguments, run

# In the order of the help.
_COMMANDS = (keygen, ping, perf, forward)

# Commands of two words whose first word is a command with arguments of its own.
_TWO_WORDS = (("forward", "serve"),)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jsp` with `argv` (None: the program's own arguments) and return its exit status."""
    parser = Parser(prog="jsp", description="Tools of JetStreamProto, a secure UDP transport.")
    add_common_arguments(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return run(parser, _join(list(sys.argv[1:] if argv is None else argv)))


def _join(words: list[str]) -> list[str]:
    """`words` with a command of two words as one, which is how argparse knows it."""
    first = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
    pair = tuple(words[first : first + 2])
    return [*words[:first], " ".join(pair), *words[first + 2 :]] if pair in _TWO_WORDS else words
