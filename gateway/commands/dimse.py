"""``onescan dimse``: the DIMSE listener alone."""

from __future__ import annotations

import argparse
import dataclasses

import uvloop

from gateway.commands.serve import require_database
from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "dimse"
HELP = "run the DIMSE listener alone (C-STORE, C-ECHO), against DATABASE_URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the port."""
    parser.add_argument("--port", type=int, help="port instead of ONESCAN_DIMSE__PORT")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Listen until SIGTERM."""
    from gateway.dimse.server import serve

    require_database(settings)
    if args.port is not None:
        dimse = dataclasses.replace(settings.dimse, port=args.port)
        settings = dataclasses.replace(settings, dimse=dimse)
    if not settings.dimse.port:
        raise UsageError("ONESCAN_DIMSE__PORT is 0; the registered port is 11112.")
    uvloop.run(serve(settings))
    return 0
