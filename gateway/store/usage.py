"""What a tenant uses, counted in PostgreSQL, so that it holds for several api processes.

Requests are leased by the minute, bytes reserved by the UTC day before a body is read; studies
and screenings are counted where they lie. Counters are written without waiting for the disk: a
crash of the database may forget the last half second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.store.database import Connection, Database

NO_LIMIT = 2**62

MINUTE = "date_trunc('minute', now())"
DAY = "date_trunc('day', now(), 'UTC')"

REST_OF_MINUTE = f"extract(epoch FROM {MINUTE} + interval '1 minute' - now())::float"
REST_OF_DAY = f"extract(epoch FROM {DAY} + interval '1 day' - now())::float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a counter gave."""

    granted: int
    """0 when the limit is reached."""

    used: int
    """By all, this grant included."""

    period: datetime
    """Begin of the minute or the day that it counts for."""

    reset_seconds: float
    """Until the next one."""


@asynccontextmanager
async def counting(database: Database) -> AsyncIterator[Connection]:
    """Lend a connection whose commit does not wait for the disk."""
    async with database.connection() as connection:
        await connection.execute("SET LOCAL synchronous_commit = off")
        yield connection


async def lease_requests(connection: Connection, tenant: str, limit: int, wanted: int) -> Grant:
    """Take up to so many requests of this minute; what all processes took never exceeds it."""
    cursor = await connection.execute(
        f"""
        WITH past AS (DELETE FROM usage WHERE tenant = %(tenant)s AND kind = 'requests'
            AND period < {MINUTE} - interval '1 minute')
        INSERT INTO usage AS u (tenant, kind, period, used, granted)
        VALUES (%(tenant)s, 'requests', {MINUTE},
            least(%(wanted)s, %(limit)s), least(%(wanted)s, %(limit)s))
        ON CONFLICT (tenant, kind, period) DO UPDATE SET
            used = greatest(u.used, least(%(limit)s, u.used + excluded.used)),
            granted = greatest(0, least(%(limit)s, u.used + excluded.used) - u.used)
        RETURNING granted, used, period, {REST_OF_MINUTE} AS reset_seconds
        """,
        {"tenant": tenant, "limit": limit, "wanted": wanted},
    )
    row = await cursor.fetchone()
    assert row is not None
    return Grant(**row)


async def reserve_bytes(connection: Connection, tenant: str, limit: int | None, size: int) -> Grant:
    """Reserve a body of this size, 0 where it is not known, in this day's quota.

    A body of unknown size is let in while anything is left.
    """
    cursor = await connection.execute(
        f"""
        INSERT INTO usage AS u (tenant, kind, period, used, granted)
        SELECT %(tenant)s, 'bytes', {DAY}, %(size)s, %(size)s WHERE %(size)s <= %(limit)s
        ON CONFLICT (tenant, kind, period) DO UPDATE
            SET used = u.used + excluded.used, granted = excluded.used
            WHERE u.used < %(limit)s AND u.used + excluded.used <= %(limit)s
        RETURNING 1 AS granted, used, period, {REST_OF_DAY} AS reset_seconds
        """,
        {"tenant": tenant, "limit": NO_LIMIT if limit is None else limit, "size": size},
    )
    row = await cursor.fetchone()
    if row is None:
        cursor = await connection.execute(
            f"SELECT 0 AS granted, coalesce((SELECT used FROM usage WHERE tenant = %s"
            f" AND kind = 'bytes' AND period = {DAY}), 0) AS used,"
            f" {DAY} AS period, {REST_OF_DAY} AS reset_seconds",
            (tenant,),
        )
        row = await cursor.fetchone()
    assert row is not None
    return Grant(**row)


async def settle_bytes(
    connection: Connection, tenant: str, period: datetime, difference: int
) -> None:
    """Correct a reservation by what was read in truth."""
    await connection.execute(
        "UPDATE usage SET used = greatest(0, used + %s), granted = 0"
        " WHERE tenant = %s AND kind = 'bytes' AND period = %s",
        (difference, tenant, period),
    )


async def studies_today(connection: Connection, tenant: str, at_most: int) -> tuple[int, float]:
    """Count the studies that began to arrive this UTC day, and the seconds that are left of it."""
    cursor = await connection.execute(
        f"SELECT (SELECT count(*) FROM (SELECT 1 FROM studies WHERE tenant = %s"
        f" AND day = (now() AT TIME ZONE 'UTC')::date LIMIT %s) s) AS number,"
        f" {REST_OF_DAY} AS reset_seconds",
        (tenant, at_most),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row["number"], row["reset_seconds"]


async def is_known_study(connection: Connection, tenant: str, study_instance_uid: str) -> bool:
    """Tell whether a study has begun to arrive; the rest of it is always taken."""
    cursor = await connection.execute(
        "SELECT 1 FROM studies WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    return await cursor.fetchone() is not None


async def open_screenings(connection: Connection, tenant: str) -> int:
    """Count the screenings that are accepted or running."""
    cursor = await connection.execute(
        "SELECT count(*) AS number FROM screenings WHERE tenant = %s"
        " AND state IN ('accepted', 'running')",
        (tenant,),
    )
    row = await cursor.fetchone()
    assert row is not None
    number: int = row["number"]
    return number


async def use_of(connection: Connection, tenant: str) -> dict[str, Any]:
    """Give the counters of a tenant as they stand, by the names of its quotas."""
    cursor = await connection.execute(
        f"""
        SELECT
            coalesce((SELECT used FROM usage WHERE tenant = %(tenant)s AND kind = 'requests'
                AND period = {MINUTE}), 0) AS requests_per_minute,
            (SELECT count(*) FROM studies WHERE tenant = %(tenant)s
                AND day = (now() AT TIME ZONE 'UTC')::date) AS studies_per_day,
            coalesce((SELECT used FROM usage WHERE tenant = %(tenant)s AND kind = 'bytes'
                AND period = {DAY}), 0) AS bytes_per_day,
            (SELECT count(*) FROM screenings WHERE tenant = %(tenant)s
                AND state IN ('accepted', 'running')) AS screenings_in_flight,
            (now() AT TIME ZONE 'UTC')::date::text AS day,
            {REST_OF_MINUTE} AS minute_left, {REST_OF_DAY} AS day_left
        """,
        {"tenant": tenant},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row
