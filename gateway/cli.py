"""The command line: ``onescan <command>``.

Exit codes: 0 done, 1 a screening failed, 2 bad usage or bad input, 130 interrupted.
An error is one sentence on stderr; with ``--json`` stdout carries one object and nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gateway import __version__
from gateway.commands import COMMANDS
from gateway.exceptions import InstanceError, OneScanError, RequestError, UsageError
from gateway.settings import Settings

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def make_parser() -> argparse.ArgumentParser:
    """Build the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="onescan",
        description="One native CT scan, screened for many diseases at once.",
        epilog="The reference networks are trained on synthetic phantoms and are "
        "not for clinical use.",
    )
    parser.add_argument("--version", action="version", version=f"onescan {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.NAME, help=command.HELP, description=command.HELP)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    args = make_parser().parse_args(argv)
    try:
        settings = Settings.from_environ(os.environ)
        return int(args.run(args, settings))
    except (UsageError, RequestError, InstanceError) as error:
        return _complain(error, EXIT_BAD_INPUT)
    except OneScanError as error:
        return _complain(error, EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


def _complain(error: OneScanError, exit_code: int) -> int:
    message = " ".join(str(error).split())
    print(f"onescan: {message} [{error.code}]", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
