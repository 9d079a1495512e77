"""``onescan audit verify``: tell whether the audit log is whole."""

from __future__ import annotations

import argparse
import sys

from gateway.commands.operator import on_database
from gateway.commands.output import as_json
from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "audit"
HELP = "verify the chain of the audit log"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb and what was noted before."""
    parser.add_argument("verb", choices=("verify",))
    parser.add_argument(
        "--head", metavar="LINE:SHA256", help="a head that was noted earlier; the log must hold it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Verify, print the head, and exit with 1 when a line was changed, removed or inserted."""
    from gateway.store.audit import Head, verify

    try:
        known = Head.parse(args.head) if args.head else None
    except ValueError:
        raise UsageError(f"--head {args.head!r} is not LINE:SHA256.") from None
    found = on_database(settings, lambda connection: verify(connection, known))
    if args.json:
        sys.stdout.write(
            as_json(
                {
                    "lines": found.head.line,
                    "head": str(found.head),
                    "whole": not found.problems,
                    "problems": found.problems,
                }
            )
        )
        return int(bool(found.problems))
    for problem in found.problems:
        print(f"onescan: {problem}", file=sys.stderr)
    if not found.problems:
        print(f"{found.head.line} lines, whole.")
    print(f"Head: {found.head}")
    return int(bool(found.problems))
