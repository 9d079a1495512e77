"""``onescan worker``: one worker beside a Triton."""

from __future__ import annotations

import argparse

import uvloop

from gateway.commands.serve import require_database
from gateway.settings import Settings

NAME = "worker"
HELP = "run one worker, against DATABASE_URL and ONESCAN_TRITON__URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: settings say it all."""


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Work until SIGTERM, then finish what is in hand."""
    from gateway.worker import run_worker

    require_database(settings)
    uvloop.run(run_worker(settings))
    return 0
