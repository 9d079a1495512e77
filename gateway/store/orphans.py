"""Segments that were made durable and then never indexed, because the process died in between."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from gateway.store.database import Connection
from gateway.store.objects import ObjectStore

OLDER_THAN = timedelta(days=1)
"""Far longer than any request takes between its rename and its commit."""

KEYS_AT_ONCE = 1000
"""Looked up in one query."""


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
    """Delete orphans; give how many."""
    keys = await orphans(connection, objects, older_than)
    for key in keys:
        await asyncio.to_thread(objects.delete, key)
    return len(keys)
