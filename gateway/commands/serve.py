"""``onescan serve``: the api alone."""

from __future__ import annotations

import argparse

import uvloop

from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "serve"
HELP = "run the api alone, against DATABASE_URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: settings say it all."""


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Serve until SIGTERM."""
    from gateway.api.app import serve

    require_database(settings)
    uvloop.run(serve(settings))
    return 0


def require_database(settings: Settings) -> None:
    """Refuse to go on without a database; only ``onescan up`` brings its own."""
    if not settings.store.database_url:
        raise UsageError(
            "DATABASE_URL is not set; `onescan up` runs everything with an embedded PostgreSQL."
        )
