"""``onescan archive``: ask an archive of the partners file."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING

from gateway.exceptions import NotFoundError, UsageError
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.dimse.scu import ArchiveClient

NAME = "archive"
HELP = "verify or query an archive of the partners file, or fetch a study from it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is asked, of whom."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    echo = commands.add_parser("echo", help="verify that it answers")
    find = commands.add_parser("find", help="query it; one JSON object a match")
    fetch = commands.add_parser("fetch", help="fetch a study into the store of this deployment")
    for sub in (echo, find, fetch):
        sub.add_argument("name", metavar="NAME", help="as in [archives.NAME]")
    find.add_argument("--level", choices=("STUDY", "SERIES", "IMAGE"), default="STUDY")
    find.add_argument(
        "keys", nargs="*", metavar="KEYWORD=VALUE", help="to match; without a value only asked for"
    )
    fetch.add_argument("study", metavar="STUDY_UID")
    fetch.add_argument("--tenant", help="whose study it becomes; the archive's only one by default")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Ask and print."""
    from gateway.dimse.archive import read_archive
    from gateway.dimse.scu import ArchiveClient
    from gateway.intake.partners_reader import load_partners

    archives = load_partners(settings).archives
    if args.name not in archives:
        known = ", ".join(sorted(archives)) or "none"
        raise NotFoundError(f"There is no archive {args.name!r}; known: {known}.")
    client = ArchiveClient(read_archive(archives[args.name]))
    if args.action == "echo":
        asyncio.run(client.echo())
        print(f"{args.name} answers.")
        return 0
    if args.action == "fetch":
        tenant = _tenant(args.tenant, client.profile.tenants)
        asyncio.run(_fetch(settings, client, tenant, args.study))
        print(f"{args.study} is stored for tenant {tenant}.")
        return 0
    for match in asyncio.run(client.find(args.level, _keys(args.keys))):
        print(json.dumps({e.keyword: str(e.value) for e in match if e.keyword}))
    return 0


async def _fetch(settings: Settings, client: ArchiveClient, tenant: str, study: str) -> None:
    """Fetch a study as a screening's source does."""
    from gateway.fetcher.dimse import fetch_dimse
    from gateway.fetcher.kit import FetchLimits
    from gateway.runtime.database import database_url
    from gateway.store.database import Database
    from gateway.store.open_objects import open_objects
    from gateway.store.tenants import find_quotas

    async with Database(await database_url(settings), size=2) as database:
        async with database.connection() as connection:
            await find_quotas(connection, tenant)  # or it is not there
        await fetch_dimse(
            client,
            tenant,
            study,
            database=database,
            objects=await asyncio.to_thread(open_objects, settings),
            limits=FetchLimits(max_instance_bytes=settings.api.max_instance_bytes),
        )


def _tenant(asked: str | None, tenants: tuple[str, ...]) -> str:
    tenant = tenants[0] if asked is None and len(tenants) == 1 else asked
    if tenant not in tenants:
        raise UsageError(f"--tenant is one of {', '.join(tenants)}.")
    return tenant


def _keys(texts: list[str]) -> dict[str, str]:
    from pydicom.datadict import tag_for_keyword

    keys: dict[str, str] = {}
    for text in texts:
        keyword, _, value = text.partition("=")
        if tag_for_keyword(keyword) is None:
            raise UsageError(f"{keyword!r} is no DICOM keyword.")
        keys[keyword] = value
    return keys
