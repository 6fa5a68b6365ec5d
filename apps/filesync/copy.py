"""`jsp-sync push` and `jsp-sync pull`: the two directions of one thing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import jsp
import jsp.transfer
from jsp.cli.common import add_common_arguments, add_connect_arguments, connect, describe, parse_target, say

from . import words
from .bar import Bar
from .settings import CONFIG

_AGAIN = (
    "What is there already is not sent again: an interrupted copy goes on where it was when the same command is "
    "given again. Modes, mtimes and symbolic links are kept. A slash at the end of SRC means its contents."
)
_JSON = "print one JSON object with the totals at the end"


def add_parser(commands: Any) -> None:
    """Add both commands to the sub-parsers of `jsp-sync`."""
    text = f"Copy SRC into DST below the directory that is served at ADDRESS (default: that directory). {_AGAIN}"
    parser = commands.add_parser("push", help="copy something there", description=text)
    add_common_arguments(parser, json_help=_JSON)
    parser.add_argument("src", metavar="SRC", help="a file or directory here")
    parser.add_argument("address", metavar="ADDRESS[/DST]", help="jsp1...@HOST:PORT as `jsp-sync serve` printed it")
    _add_options(parser)
    parser.set_defaults(command=push)

    text = f"Copy SRC below the directory that is served at ADDRESS (default: all of it) into DST. {_AGAIN}"
    parser = commands.add_parser("pull", help="copy something here", description=text)
    add_common_arguments(parser, json_help=_JSON)
    parser.add_argument("address", metavar="ADDRESS[/SRC]", help="jsp1...@HOST:PORT as `jsp-sync serve` printed it")
    parser.add_argument("dst", metavar="DST", help="a directory here, made when it is not there")
    _add_options(parser)
    parser.set_defaults(command=pull)


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("copying")
    group.add_argument("-c", "--checksum", action="store_true", help="compare contents even when size and mtime agree")
    group.add_argument("-n", "--dry-run", action="store_true", help="copy nothing, list the files that would be sent")
    group.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave out what matches: a name like '*.pyc', or with a slash in it a path from the root of what is "
        "copied like '/build' or 'docs/*.html'; a slash at the end: directories only; can be repeated",
    )
    add_connect_arguments(parser)


def push(args: argparse.Namespace) -> int:
    """Copy there."""
    return _copy(args, lambda conn, path, options: jsp.transfer.push(conn, args.src, path, **options))


def pull(args: argparse.Namespace) -> int:
    """Copy here."""
    return _copy(args, lambda conn, path, options: jsp.transfer.pull(conn, path, args.dst, **options))


def _copy(args: argparse.Namespace, transfer: Callable[[jsp.Connection, str, dict[str, Any]], object]) -> int:
    """Connect, copy, report. Returns 1 when something could not be copied."""
    address = parse_target(args.address, args)
    watcher = Watcher(args)
    options = {
        "progress": watcher.update,
        "checksum": args.checksum,
        "dry_run": args.dry_run,
        "exclude": args.exclude,
    }
    try:
        with connect(address, args, CONFIG) as conn:
            transfer(conn, address.path, options)
    except Exception as error:
        watcher.finish(describe(error))
        raise
    except BaseException:
        watcher.bar.clear()
        raise
    return watcher.finish(None)


class Watcher:
    """Tells the user what happens, while it does and at the end.

    Attributes:
        bar: the progress bar.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.bar = Bar(sys.stderr)
        self._json = args.json
        self._dry_run = args.dry_run
        self._report = jsp.transfer.Report(dry_run=args.dry_run)
        self._told = 0
        self._planned = 0
        self._plan: list[str] = []

    def update(self, report: jsp.transfer.Report) -> None:
        """The transfer went on."""
        self._report = report
        if len(report.problems) > self._told:
            self.bar.clear()
            for problem in report.problems[self._told :]:
                say(str(problem))
            self._told = len(report.problems)
        if self._dry_run and report.files_sent > self._planned:
            self._planned = report.files_sent
            self._list(jsp.transfer.display(report.path))
        self.bar.update(report)

    def _list(self, path: str) -> None:
        if self._json:
            self._plan.append(path)
        else:
            self.bar.clear()
            print(path)

    def finish(self, failure: str | None) -> int:
        """It is over; `failure` says why if it ended early. Returns the exit status."""
        report = self._report
        self.update(report)
        self.bar.clear()
        unsaid = report.errors - sum(problem.error for problem in report.problems)
        if unsaid > 0:
            say(f"and {words.plural(unsaid, 'more error')}")
        if self._json:
            totals = report.totals()
            if self._dry_run:
                totals["would_send"] = self._plan
            if failure is not None:
                totals["error"] = failure
            print(json.dumps(totals), flush=True)
        elif failure is None:
            print(words.summary(report), flush=True)
        return 1 if report.errors or failure is not None else 0
