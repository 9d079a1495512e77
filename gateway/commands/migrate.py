"""``onescan migrate``: bring the database to this version's schema."""

from __future__ import annotations

import argparse

from gateway.commands.serve import require_database
from gateway.settings import Settings

NAME = "migrate"
HELP = "bring the database to this version's schema; safe to repeat"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: settings say it all."""


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Migrate and say so."""
    from gateway.store.migrate import migrate

    require_database(settings)
    migrate(settings.store.database_url)
    print("The database has this version's schema.")
    return 0
