"""The database that a backup is restored into: nobody sees it before it is whole.

An embedded server gets a second database, which takes the first one's name at the end. An
external one is restored in place, since its name, grants and settings are the deployer's; the
row that names the schema's revision comes last, and after a failure everything is dropped again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from gateway.backup.snapshot import VERSION_TABLE
from gateway.exceptions import TargetNotEmptyError
from gateway.runtime.home import Home
from gateway.runtime.postgres import DATABASE, EmbeddedPostgres
from gateway.settings import Settings
from gateway.store import migrate
from gateway.store.database import Connection

RESTORING = f"{DATABASE}_restoring"
"""Name of an embedded server's second database."""

OURS = """
    n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e')
"""
"""Neither the server's own nor an extension's."""


@dataclass(slots=True)
class Target:
    """An empty database to restore into."""

    url: str
    whole: bool = False
    """Set once everything is in it; what is not whole in the end is dropped."""

    holder: Connection | None = None
    """Keeps migrations out until the revision is named."""

    async def name_revision(self, revision: str) -> None:
        """Write which schema it has, after everything else."""
        async with await connect(self.url) as connection:
            await connection.execute(
                f"INSERT INTO {VERSION_TABLE} (version_num) VALUES (%s)", (revision,)
            )
        if self.holder is not None:
            await self.holder.execute("SELECT pg_advisory_unlock(%s)", (migrate.LOCK,))


@asynccontextmanager
async def empty_target(settings: Settings) -> AsyncIterator[Target]:
    """Give the database of a deployment, which must be empty; no server may run on it.

    Raises
    ------
    TargetNotEmptyError
        When it is not.
    RuntimeFailure
        When an embedded server runs on the home, or cannot be started.
    """
    if settings.store.database_url:
        async with _external(settings.store.database_url) as target:
            yield target
        return
    home = Home(settings.home)
    with home.lock():
        server = EmbeddedPostgres(home)
        try:
            url = await server.start()
            async with _second(url) as target:
                yield target
        finally:
            await server.stop()


async def connect(url: str) -> Connection:
    """Connect, each statement a transaction of its own."""
    return await AsyncConnection.connect(url, row_factory=dict_row, autocommit=True)


@asynccontextmanager
async def _second(url: str) -> AsyncIterator[Target]:
    async with await connect(url) as connection:
        await _refuse_filled(connection)
    admin = make_conninfo(url, dbname="postgres")
    drop = f"DROP DATABASE IF EXISTS {RESTORING} WITH (FORCE)"
    async with await connect(admin) as connection:
        await connection.execute(drop)
        await connection.execute(f"CREATE DATABASE {RESTORING}")
    target = Target(make_conninfo(url, dbname=RESTORING))
    try:
        yield target
    finally:
        async with await connect(admin) as connection:
            if target.whole:
                await connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
                await connection.execute(f"ALTER DATABASE {RESTORING} RENAME TO {DATABASE}")
            else:
                await connection.execute(drop)


@asynccontextmanager
async def _external(url: str) -> AsyncIterator[Target]:
    async with await connect(url) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (migrate.LOCK,))
        await _refuse_filled(connection)
        target = Target(url, holder=connection)
        try:
            yield target
        finally:
            if not target.whole:
                await _drop_all(connection)


async def _refuse_filled(connection: Connection) -> None:
    cursor = await connection.execute(
        "SELECT count(*) AS number FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
        f" WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {OURS}"
    )
    row = await cursor.fetchone()
    if row is not None and row["number"]:
        raise TargetNotEmptyError(
            f"The database has {row['number']} tables, views or sequences already; give an empty"
            " one, or another home."
        )


async def _drop_all(connection: Connection) -> None:
    """Drop what a restore has made, one by one: all at once would take too many locks."""
    cursor = await connection.execute(
        "SELECT n.nspname, o.relname FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace"
        f" WHERE o.relkind IN ('r', 'p') AND {OURS} ORDER BY o.relispartition DESC"
    )
    for row in await cursor.fetchall():
        table = sql.Identifier(row["nspname"], row["relname"])
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(table))
    for kind, catalog, what in (
        ("ROUTINE", "pg_proc", "o.oid::regprocedure::text"),
        ("TYPE", "pg_type", "o.oid::regtype::text"),
    ):
        namespace = "pronamespace" if kind == "ROUTINE" else "typnamespace"
        only = "" if kind == "ROUTINE" else " AND o.typtype IN ('e', 'c') AND o.typelem = 0"
        cursor = await connection.execute(
            f"SELECT {what} AS name FROM {catalog} o JOIN pg_namespace n ON n.oid = o.{namespace}"
            f" WHERE {OURS}{only}"
        )
        for row in await cursor.fetchall():
            await connection.execute(f"DROP {kind} IF EXISTS {row['name']} CASCADE")
