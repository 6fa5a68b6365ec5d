"""`jsp keygen`: make an identity and say its peer id, which is what others are given."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jsp
from jsp.cli.common import CommandError, add_common_arguments, default_identity_path, make_config_directory, save_new


def add_parser(commands: Any) -> None:
    """Add the command to the sub-parsers of `jsp`."""
    text = "Make an identity (a key pair) and print its peer id. An identity that is there is never replaced."
    parser = commands.add_parser("keygen", help="make an identity, print its peer id", description=text)
    add_common_arguments(parser, json_help='print {"peer_id": ..., "file": ...}')
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="where (default: the user's own identity)")
    parser.set_defaults(command=keygen)


def keygen(args: argparse.Namespace) -> None:
    """Make the identity; CommandError when there is one already."""
    file = args.file
    if file is None:
        make_config_directory()
        file = default_identity_path()
    identity = jsp.Identity.generate()
    if not save_new(identity, file):
        raise CommandError(f"{file} exists and is not replaced: its peer id could not be had again")
    peer_id = str(identity.peer_id)
    print(json.dumps({"peer_id": peer_id, "file": str(file)}) if args.json else peer_id)
