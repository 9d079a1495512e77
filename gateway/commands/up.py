"""``onescan up``: PostgreSQL, Triton, api and worker in one process tree."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys

from gateway.settings import Settings

NAME = "up"
HELP = "run the whole server on this machine until Ctrl-C"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the port."""
    parser.add_argument("--port", type=int, help="HTTP port on loopback (0 takes a free one)")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT."""
    from gateway.runtime.stack import run_stack

    if args.port is not None:
        settings = dataclasses.replace(
            settings, api=dataclasses.replace(settings.api, port=args.port)
        )

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    asyncio.run(run_stack(settings, say=say))
    return 0
