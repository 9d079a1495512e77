"""Segments that were made durable and then never indexed, because the process died in between.

The sweep runs in the api beside the reaper; of several processes one at a time sweeps.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import psycopg

from gateway.exceptions import OneScanError
from gateway.log import get_logger
from gateway.metrics import LAST_RUN, ORPHANS
from gateway.store.database import Connection, Database
from gateway.store.hold import may_delete
from gateway.store.objects import ObjectStore

OLDER_THAN = timedelta(days=1)
"""Far longer than any request takes between its rename and its commit."""

KEYS_AT_ONCE = 1000
"""Looked up in one query."""

LOCK = 7_305_118_260_401_113
"""Advisory lock of who sweeps, one of the whole database."""

log = get_logger("onescan.orphans")


async def orphans(
    connection: Connection, objects: ObjectStore, older_than: timedelta = OLDER_THAN
) -> list[str]:
    """List the keys of objects that no row points at; nothing of them was ever acknowledged.

    Parameters
    ----------
    older_than : timedelta
        Younger objects are left out: their index may be about to be committed.
    """
    oldest = datetime.now(UTC) - older_than
    keys = await asyncio.to_thread(
        lambda: sorted(key for key, written in objects.list() if written < oldest)
    )
    found: list[str] = []
    for first in range(0, len(keys), KEYS_AT_ONCE):
        cursor = await connection.execute(
            "SELECT key FROM unnest(%s::text[]) AS key"
            " WHERE NOT EXISTS (SELECT FROM instances WHERE object_key = key)"
            " AND NOT EXISTS (SELECT FROM masks WHERE object_key = key)",
            (keys[first : first + KEYS_AT_ONCE],),
        )
        found += [row["key"] for row in await cursor.fetchall()]
    return found


async def delete_orphans(
    connection: Connection, objects: ObjectStore, older_than: timedelta = OLDER_THAN
) -> int:
    """Delete orphans; give how many. Those of a writer that lives stay, however old they are."""
    keys = await orphans(connection, objects, older_than)
    return await asyncio.to_thread(lambda: sum(_delete(objects, key) for key in keys))


def _delete(objects: ObjectStore, key: str) -> bool:
    if objects.is_being_written(key):
        return False
    objects.delete(key)
    return True


async def sweep_orphans(
    database: Database, objects: ObjectStore, older_than: timedelta = OLDER_THAN
) -> int | None:
    """Delete orphans, unless somebody else does or a backup is made now: None then."""
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS held", (LOCK,))
        row = await cursor.fetchone()
        if row is None or not row["held"] or not await may_delete(connection):
            return None
        deleted = await delete_orphans(connection, objects, older_than)
    ORPHANS.inc(deleted)
    if deleted:
        log.warning("onescan.orphans.deleted", segments=deleted)
    return deleted


async def run_orphans(database: Database, objects: ObjectStore, every_seconds: float) -> None:
    """Sweep every so often until cancelled; not at the start, when everything else begins too."""
    LAST_RUN.labels("orphans").set(time.time())
    while True:
        await asyncio.sleep(every_seconds)
        try:
            if await sweep_orphans(database, objects) is not None:
                LAST_RUN.labels("orphans").set(time.time())
        except (psycopg.Error, OneScanError, OSError) as error:
            log.warning("onescan.orphans.failed", error=type(error).__name__)
