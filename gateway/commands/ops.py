"""``onescan ops``: suspend, resume, look up, put right; for the whole deployment or one tenant."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from gateway.commands.operator import actor, on_database
from gateway.commands.output import as_json
from gateway.exceptions import UsageError
from gateway.settings import Settings
from gateway.store.database import Connection
from gateway.store.queue import LANES
from gateway.store.suspensions import EVERYBODY, SUSPENDABLE

NAME = "ops"
HELP = "suspend, resume, show the queue or a screening, restart, complete, retain"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    suspend = verbs.add_parser("suspend", help="take no instance, or begin nothing of a lane")
    resume = verbs.add_parser("resume", help="undo it")
    for verb in (suspend, resume):
        verb.add_argument("what", choices=SUSPENDABLE)
        verb.add_argument("--tenant", default=EVERYBODY, help="of one tenant; without it, of all")
    suspend.add_argument("--reason", default="", help="told to whoever asks")
    queue = verbs.add_parser("queue", help="open screenings in their order, and suspensions")
    queue.add_argument("--lane", choices=tuple(LANES))
    queue.add_argument("--tenant")
    show = verbs.add_parser("show", help="audit trail and run manifest of a screening, as JSON")
    restart = verbs.add_parser("restart", help="screen again what failed, with its inputs")
    for verb in (show, restart):
        verb.add_argument("screening", metavar="SCREENING_ID")
    complete = verbs.add_parser("complete", help="take a study for complete: it is screened now")
    complete.add_argument("study", metavar="STUDY_INSTANCE_UID")
    complete.add_argument("--tenant", default="default")
    retain = verbs.add_parser("retain", help="run retention once")
    retain.add_argument("--dry-run", action="store_true", help="count what would go, and leave it")
    for verb in (queue, restart, retain):
        verb.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    return {
        "suspend": _suspend,
        "resume": _resume,
        "queue": _queue,
        "show": _show,
        "restart": _restart,
        "complete": _complete,
        "retain": _retain,
    }[args.verb](args, settings)


def _suspend(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.store.suspensions import suspend

    async def work(connection: Connection) -> None:
        await suspend(connection, args.tenant, args.what, reason=args.reason, actor=actor())

    on_database(settings, work)
    return 0


def _resume(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.store.suspensions import resume

    on_database(settings, lambda c: resume(c, args.tenant, args.what, actor=actor()))
    return 0


def _queue(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.api.operate import show_queued
    from gateway.store.operation import queue
    from gateway.store.suspensions import list_suspensions

    async def work(connection: Connection) -> tuple[list[Any], list[Any]]:
        return await queue(connection, args.tenant, args.lane), await list_suspensions(connection)

    rows, suspended = on_database(settings, work)
    stopped = [
        {"what": row["what"], "tenant": row["tenant"] or None, "reason": row["reason"]}
        for row in suspended
    ]
    if args.json:
        shown = [{"tenant": row["tenant"], **show_queued(row)} for row in rows]
        sys.stdout.write(as_json({"screenings": shown, "suspensions": stopped}))
        return 0
    for item in stopped:
        print(f"suspended: {item['what']} of {item['tenant'] or 'everybody'} {item['reason']}")
    table = Table()
    for heading in ("screening", "tenant", "lane", "state", "attempt", "age s"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            str(row["screening_id"]),
            row["tenant"],
            row["lane"],
            row["state"],
            str(row["attempt"]),
            f"{row['age_seconds']:.0f}",
        )
    Console().print(table)
    return 0


def _show(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.store.operation import history, tenant_of

    screening_id = _identifier(args.screening)

    async def work(connection: Connection) -> dict[str, Any]:
        return await history(connection, await tenant_of(connection, screening_id), screening_id)

    sys.stdout.write(as_json(on_database(settings, work)))
    return 0


def _restart(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.store.operation import restart, tenant_of

    screening_id = _identifier(args.screening)

    async def work(connection: Connection) -> str:
        tenant = await tenant_of(connection, screening_id)
        row = await restart(connection, tenant, screening_id, actor=actor())
        return str(row["screening_id"])

    made = on_database(settings, work)
    sys.stdout.write(as_json({"screening_id": made}) if args.json else f"{made}\n")
    return 0


def _complete(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.store.operation import force_complete

    on_database(settings, lambda c: force_complete(c, args.tenant, args.study, actor=actor()))
    return 0


def _retain(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.runtime.database import reached_url

    async def work() -> dict[str, Any]:
        async with reached_url(settings) as url:
            return await _retain_on(url, settings, dry_run=args.dry_run)

    told = asyncio.run(work())
    if args.json:
        sys.stdout.write(as_json(told))
        return 0
    verb = "Would delete" if args.dry_run else "Deleted"
    for tenant, gone in told["tenants"].items():
        print(
            f"{verb} of {tenant}: {gone['studies']} studies, {gone['instances']} instances,"
            f" {gone['bytes'] / 1e6:.1f} MB."
        )
    if not told["tenants"]:
        print("No study's images are due.")
    if not args.dry_run:
        print(
            f"Dropped {told['partitions']} days of the index, {told['events']} events and"
            f" {told['deliveries']} deliveries."
        )
    return 0


async def _retain_on(url: str, settings: Settings, *, dry_run: bool) -> dict[str, Any]:
    from gateway.intake.partners_reader import load_partners
    from gateway.store.database import Database
    from gateway.store.deletion import delete_doomed
    from gateway.store.open_objects import open_objects
    from gateway.store.retention import retain

    async with Database(url, size=3) as database:
        ran = await retain(database, load_partners(settings), settings.retention, dry_run=dry_run)
        if ran is None:
            raise UsageError("Another process runs retention at this moment.")
        if not dry_run:
            objects = await asyncio.to_thread(open_objects, settings)
            async with database.connection() as connection:
                await delete_doomed(connection, objects)
    return {
        "dry_run": dry_run,
        "tenants": {tenant: asdict(gone) for tenant, gone in sorted(ran.tenants.items())},
        "partitions": ran.partitions,
        "events": ran.events,
        "deliveries": ran.deliveries,
    }


def _identifier(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no screening's ID.") from None
