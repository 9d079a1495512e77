"""Daily partitions of what is indexed, made on demand, dropped whole by retention."""

from __future__ import annotations

from datetime import date, timedelta

from psycopg import sql

from gateway.store.database import Connection

PARTITIONED = ("instances", "frames", "instance_revisions")
"""Tables that are partitioned by ``day``."""

LOCK = 0x7061_7274_6974
"""Advisory lock held while a partition is made ("partit")."""


async def ensure_partition(connection: Connection, day: date) -> None:
    """Make the partitions of a day unless they exist.

    A table is made apart and then attached: unlike ``CREATE TABLE … PARTITION OF``, which locks
    out every reader and writer of the parent, attaching goes on beside them.
    """
    if await _exist(connection, day):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if await _exist(connection, day):  # another process was quicker
            return
        for table in PARTITIONED:
            names = {
                "parent": sql.Identifier(table),
                "partition": sql.Identifier(partition_name(table, day)),
                "first": sql.Literal(day),
                "next": sql.Literal(day + timedelta(days=1)),
            }
            await connection.execute(
                sql.SQL("CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL)").format(**names)
            )
            await connection.execute(
                sql.SQL(
                    "ALTER TABLE {parent} ATTACH PARTITION {partition}"
                    " FOR VALUES FROM ({first}) TO ({next})"
                ).format(**names)
            )


def partition_name(table: str, day: date | str) -> str:
    """Name a table's partition of a day, given as a date or as YYYYMMDD."""
    return f"{table}_{day}" if isinstance(day, str) else f"{table}_{day:%Y%m%d}"


async def _exist(connection: Connection, day: date) -> bool:
    # Not to_regclass: it answers from a cache that may not yet know what was just committed.
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = %s"
        " AND relnamespace = current_schema()::regnamespace) AS there",
        (partition_name(PARTITIONED[-1], day),),
    )
    row = await cursor.fetchone()
    return bool(row and row["there"])
