"""``onescan migrate``: bring the database to this version's schema."""

from __future__ import annotations

import argparse

import psycopg

from gateway.commands.serve import require_database
from gateway.exceptions import MigrationError, StoreUnavailableError
from gateway.settings import Settings

NAME = "migrate"
HELP = "bring the database to this version's schema; safe to repeat"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the autoscaler's role."""
    parser.add_argument(
        "--scaler-role",
        metavar="ROLE",
        help="let this role, which exists, read the demand of pools and nothing else (for KEDA)",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Migrate and say so."""
    from gateway.store.costs import grant_scaler
    from gateway.store.migrate import migrate

    require_database(settings)
    url = settings.store.database_url
    try:
        migrate(url)
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(f"The database: {error}") from None
    except psycopg.Error as error:
        said = str(error).splitlines()[0]
        raise MigrationError(
            f"The database cannot be brought to this version's schema: {said}; nothing of it was"
            " changed. If a restore into it was broken off, make it empty and restore again."
        ) from None
    print("The database has this version's schema.")
    if args.scaler_role:
        grant_scaler(url, args.scaler_role)
        print(f"The role {args.scaler_role} may read the demand of pools.")
    return 0
