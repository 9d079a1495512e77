"""One moment of the database: dumped, counted, and asked for the objects that it points at.

First the database, then the objects: an object is durable before a row points at it and never
changes afterwards, so whatever the snapshot points at is there, unless it is deleted. That the
snapshot's holder forbids (`gateway.store.hold`) until everything is copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, LiteralString

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from gateway.exceptions import BackupError, NewerBackupError
from gateway.runtime import pgtools
from gateway.store import audit, hold, migrate
from gateway.store.database import Connection
from gateway.store.schema import head

POINTERS = ("instances", "masks")
"""Tables whose rows point at objects; frames point into those of their instances."""

VERSION_TABLE = "alembic_version"
"""Its row is not in the dump: a restore writes it last, so that no half counts as whole."""

Query = LiteralString | sql.Composed
"""A statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the snapshot says."""

    point: str
    revision: str
    server: str
    tools: str
    wal_lsn: str | None
    audit_head: str
    rows: Mapping[str, int]
    open_screenings: int
    objects: Mapping[str, int]
    """Key → bytes that rows point at, from the object's begin."""


class Holder:
    """The connection that forbids deletions while objects are copied."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def check(self) -> None:
        """Make sure that nothing could have been deleted until now.

        Raises
        ------
        BackupError
            When the hold was lost, as after a restart of PostgreSQL.
        psycopg.OperationalError
            When the database is away.
        """
        if not await hold.holds(self._connection):
            raise BackupError("The database let go of the backup's lock; make it again.")


@asynccontextmanager
async def holding(url: str) -> AsyncIterator[Holder]:
    """Forbid deletions around a block of code."""
    async with await _connect(url) as connection:
        await hold.hold(connection)
        yield Holder(connection)


async def take(url: str, file: Path) -> Snapshot:
    """Dump the database into a file, and look at the same moment of it; nothing may be deleted.

    Migrations wait for it, and it for them.

    Raises
    ------
    BackupError
        When the database is none of ours, or pg_dump fails.
    NewerBackupError
        When its schema is of a newer release.
    BackupToolsError
        When no pg_dump fits.
    """
    async with await _connect(url) as migrations, await _connect(url) as connection:
        await migrations.execute("SELECT pg_advisory_lock_shared(%s)", (migrate.LOCK,))
        point = await _value(connection, "SELECT clock_timestamp()::timestamptz(3)")
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        exported = await _value(connection, "SELECT pg_export_snapshot()")
        version = int(await _value(connection, "SELECT current_setting('server_version_num')"))
        tools = await asyncio.to_thread(pgtools.client_tools, version // 10_000)
        snapshot = Snapshot(
            point=point.astimezone(UTC).isoformat(),
            revision=await revision(connection),
            server=await _value(connection, "SELECT current_setting('server_version')"),
            tools=tools.version,
            wal_lsn=await _wal(connection),
            audit_head=await _audit_head(connection),
            rows=await count_rows(connection),
            open_screenings=await _value(
                connection,
                "SELECT count(*) FROM screenings WHERE state IN ('accepted', 'running')",
            ),
            objects=await pointed_at(connection),
        )
        options = [f"--snapshot={exported}", f"--exclude-table-data={VERSION_TABLE}"]
        await asyncio.to_thread(pgtools.dump, tools, url, file, options)
        await connection.execute("COMMIT")
    return snapshot


async def revision(connection: Connection) -> str:
    """Give the revision of a database.

    Raises
    ------
    BackupError
        When it has none.
    NewerBackupError
        When it is newer than what this release knows.
    """
    if not await exists(connection, VERSION_TABLE):
        raise BackupError("The database is empty; there is nothing to back up.")
    cursor = await connection.execute(f"SELECT version_num FROM {VERSION_TABLE}")
    row = await cursor.fetchone()
    if row is None:
        raise BackupError("The database has no revision: a restore of it was broken off.")
    found = str(row["version_num"])
    if found > head():
        raise NewerBackupError(
            f"The database has the schema {found} and this release knows {head()} at most."
        )
    return found


async def pointed_at(connection: Connection) -> dict[str, int]:
    """Give every object that a row points at, and how many of its bytes: key → bytes."""
    there = [name for name in POINTERS if await exists(connection, name)]
    union = " UNION ALL ".join(
        f"SELECT object_key, object_offset + object_length AS bytes FROM {name}" for name in there
    )
    found: dict[str, int] = {}
    async with connection.transaction(), connection.cursor("pointed_at") as cursor:
        await cursor.execute(f"SELECT object_key, max(bytes) AS bytes FROM ({union}) p GROUP BY 1")
        cursor.itersize = 10_000
        async for row in cursor:
            found[row["object_key"]] = row["bytes"]
    return found


async def count_rows(connection: Connection) -> dict[str, int]:
    """Count the rows of every table of ours: table → rows."""
    cursor = await connection.execute(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = current_schema()::regnamespace AND relname <> %s ORDER BY 1",
        (VERSION_TABLE,),
    )
    counted = {}
    for row in await cursor.fetchall():
        statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(row["relname"]))
        counted[row["relname"]] = await _value(connection, statement)
    return counted


async def exists(connection: Connection, table: str) -> bool:
    """Tell whether there is such a table."""
    return bool(await _value(connection, "SELECT to_regclass(%s) IS NOT NULL", table))


async def _audit_head(connection: Connection) -> str:
    if not await exists(connection, "audit_chain"):
        return ""
    return str(await audit.head(connection))


async def _wal(connection: Connection) -> str | None:
    """Give the place in the log, for who archives it too."""
    lsn: str | None = await _value(
        connection,
        "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn()::text END",
    )
    return lsn


async def _connect(url: str) -> Connection:
    return await AsyncConnection.connect(url, row_factory=dict_row, autocommit=True)


async def _value(connection: Connection, statement: Query, *values: str) -> Any:
    cursor = await connection.execute(statement, values)
    row = await cursor.fetchone()
    assert row is not None
    return next(iter(row.values()))
