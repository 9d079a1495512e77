"""Retention: images go N days after the last result, empty days of the index, old events.

One process of the deployment runs it at a time, beside the reaper. Results are kept until
somebody deletes them. A run that removed something of a tenant leaves one line in its audit log.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import psycopg
from psycopg import sql

from gateway.exceptions import OneScanError
from gateway.intake.partners import Partners
from gateway.log import get_logger
from gateway.metrics import LAST_RUN, RETAINED
from gateway.settings import RetentionSettings
from gateway.store import audit
from gateway.store.arrivals import try_lock_study
from gateway.store.database import Connection, Database
from gateway.store.deletion import Deleted, delete_doomed, remove_images
from gateway.store.hold import may_delete
from gateway.store.objects import ObjectStore
from gateway.store.partitions import PARTITIONED, partition_name

ACTOR = "retention"

LOCK = 0x7265_7461_696E
"""Advisory lock of the one that runs ("retain")."""

BATCH = 50
"""Studies of one transaction."""

DOOMED_SECONDS = 60.0
"""How often doomed objects are deleted."""

LOCK_TIMEOUT = "2s"
"""A partition that somebody reads for longer is dropped by a later run."""

PURGES: Mapping[str, str] = {
    "events": """
        DELETE FROM screening_events e USING screenings s
        WHERE e.screening_id = s.screening_id AND s.state IN ('done', 'failed', 'cancelled')
            AND s.finished_at < now() - make_interval(days => %s)
        """,
    "deliveries": """
        DELETE FROM webhook_deliveries WHERE state <> 'pending'
            AND coalesce(ended_at, created_at) < now() - make_interval(days => %s)
        """,
}

log = get_logger("onescan.retention")


@dataclass(slots=True)
class Run:
    """What one run removed, or would."""

    tenants: dict[str, Deleted] = field(default_factory=lambda: defaultdict(Deleted))
    partitions: int = 0
    events: int = 0
    deliveries: int = 0

    @property
    def studies(self) -> int:
        """Of all tenants."""
        return sum(deleted.studies for deleted in self.tenants.values())


async def retain(
    database: Database, partners: Partners, settings: RetentionSettings, *, dry_run: bool = False
) -> Run | None:
    """Run once; None when another process is at it.

    Parameters
    ----------
    partners : Partners
        Their ``retain_days`` stand before the settings' `pixel_days`.
    dry_run : bool
        Count what would go, and leave it.
    """
    async with database.connection() as holder:
        cursor = await holder.execute("SELECT pg_try_advisory_xact_lock(%s) AS held", (LOCK,))
        row = await cursor.fetchone()
        if row is None or not row["held"]:
            return None
        run = Run()
        await _images(database, partners, settings, run, dry_run=dry_run)
        if not dry_run:
            run.partitions = await _partitions(database)
            await _purge(database, settings, run)
            await _account(database, run)
        return run


async def run_retention(
    database: Database, objects: ObjectStore, partners: Partners, settings: RetentionSettings
) -> None:
    """Run every `every_seconds` until cancelled; doomed objects go every minute."""
    loop = asyncio.get_running_loop()
    ran_at = loop.time()
    if settings.every_seconds:
        LAST_RUN.labels("retention").set(time.time())
    while True:
        await asyncio.sleep(DOOMED_SECONDS)
        try:
            async with database.connection() as connection:
                await delete_doomed(connection, objects)
            if settings.every_seconds and loop.time() - ran_at >= settings.every_seconds:
                ran_at = loop.time()
                if await retain(database, partners, settings) is not None:
                    LAST_RUN.labels("retention").set(time.time())
        except (psycopg.Error, OneScanError, OSError) as error:
            log.warning("onescan.retention.failed", error=type(error).__name__)


async def due_studies(
    connection: Connection,
    partners: Partners,
    settings: RetentionSettings,
    *,
    skipped: frozenset[tuple[str, str]] = frozenset(),
    limit: int = BATCH,
) -> list[tuple[str, str]]:
    """List studies whose images have been kept for long enough, by tenant and UID.

    Days count from the last result and from the last change of the study, whichever came later;
    what was never screened counts from its last change. Neither a study with an open screening
    nor one that is still to be screened is due.
    """
    days = {(p.tenant, p.name): p.retain_days for p in partners.partners.values()}
    named = [(*key, number) for key, number in days.items() if number is not None]
    cursor = await connection.execute(
        """
        WITH days AS (
            SELECT * FROM unnest(%(tenants)s::text[], %(partners)s::text[], %(numbers)s::int[])
                AS t (tenant, partner, number))
        SELECT s.tenant, s.study_instance_uid FROM studies s
        LEFT JOIN arrivals a USING (tenant, study_instance_uid)
        LEFT JOIN days d ON d.tenant = s.tenant AND d.partner = a.partner
        WHERE coalesce(d.number, %(default)s) > 0
            AND s.updated_at < now() - make_interval(days => coalesce(d.number, %(default)s))
            AND a.due_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM screenings x
                WHERE x.tenant = s.tenant AND x.study_instance_uid = s.study_instance_uid
                    AND (x.finished_at IS NULL OR x.finished_at
                        >= now() - make_interval(days => coalesce(d.number, %(default)s))))
            AND NOT EXISTS (SELECT 1 FROM unnest(%(not_t)s::text[], %(not_s)s::text[]) n (t, u)
                WHERE n.t = s.tenant AND n.u = s.study_instance_uid)
        ORDER BY s.day, s.tenant, s.study_instance_uid LIMIT %(limit)s
        """,
        {
            "tenants": [item[0] for item in named],
            "partners": [item[1] for item in named],
            "numbers": [item[2] for item in named],
            "default": settings.pixel_days,
            "not_t": [item[0] for item in skipped],
            "not_s": [item[1] for item in skipped],
            "limit": limit,
        },
    )
    return [(row["tenant"], row["study_instance_uid"]) for row in await cursor.fetchall()]


async def _images(
    database: Database,
    partners: Partners,
    settings: RetentionSettings,
    run: Run,
    *,
    dry_run: bool,
) -> None:
    busy: frozenset[tuple[str, str]] = frozenset()
    while True:
        async with database.connection() as connection:
            due = await due_studies(connection, partners, settings, skipped=busy)
            if not due:
                return
            for tenant, study in due:
                if dry_run:
                    run.tenants[tenant] += await _size(connection, tenant, study)
                    busy |= {(tenant, study)}
                elif await try_lock_study(connection, tenant, study):
                    run.tenants[tenant] += await remove_images(connection, tenant, study)
                else:
                    busy |= {(tenant, study)}  # something of it arrives: it is not due any more


async def _size(connection: Connection, tenant: str, study: str) -> Deleted:
    cursor = await connection.execute(
        "SELECT count(*) AS number, coalesce(sum(object_length), 0)::bigint AS bytes"
        " FROM studies s JOIN instances i USING (tenant, day, study_instance_uid)"
        " WHERE s.tenant = %s AND s.study_instance_uid = %s",
        (tenant, study),
    )
    row = await cursor.fetchone()
    assert row is not None
    return Deleted(1, row["number"], row["bytes"])


async def _partitions(database: Database) -> int:
    """Drop partitions of days before yesterday that no study has any more; none during a backup."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT right(c.relname, 8) AS day FROM pg_inherits h"
            " JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_class p ON p.oid = h.inhparent"
            " WHERE p.relname = %s AND p.relnamespace = current_schema()::regnamespace"
            " AND to_date(right(c.relname, 8), 'YYYYMMDD')"
            " < (now() AT TIME ZONE 'utc')::date - 1"
            " AND NOT EXISTS (SELECT 1 FROM studies"
            " WHERE day = to_date(right(c.relname, 8), 'YYYYMMDD')) ORDER BY 1",
            (PARTITIONED[-1],),
        )
        days = [row["day"] for row in await cursor.fetchall()]
    dropped = 0
    for day in days:
        try:
            async with database.connection() as connection:
                if not await may_delete(connection):  # pg_dump has yet to lock what it saw
                    return dropped
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                for table in PARTITIONED:
                    await _drop_if_empty(connection, partition_name(table, day))
            dropped += 1
        except psycopg.errors.LockNotAvailable:
            log.info("onescan.retention.partition_in_use", day=day)
    return dropped


async def _drop_if_empty(connection: Connection, name: str) -> None:
    """Never drop a row, whatever the day's studies say."""
    table = sql.Identifier(name)
    await connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
    cursor = await connection.execute(
        sql.SQL("SELECT EXISTS (SELECT 1 FROM {}) AS filled").format(table)
    )
    row = await cursor.fetchone()
    if row is not None and not row["filled"]:
        await connection.execute(sql.SQL("DROP TABLE {}").format(table))


async def _purge(database: Database, settings: RetentionSettings, run: Run) -> None:
    if not settings.event_days:
        return
    for what, statement in PURGES.items():
        async with database.connection() as connection:
            cursor = await connection.execute(statement, (settings.event_days,))
            setattr(run, what, cursor.rowcount)


async def _account(database: Database, run: Run) -> None:
    """Tell audit log, metrics and log what is gone."""
    async with database.connection() as connection:
        for tenant, deleted in sorted(run.tenants.items()):
            if deleted.studies:
                await audit.record(
                    connection, tenant, ACTOR, "retention.ran", tenant, asdict(deleted)
                )
        if run.partitions or run.events or run.deliveries:
            detail = {
                "partitions": run.partitions,
                "events": run.events,
                "deliveries": run.deliveries,
            }
            await audit.record(connection, "", ACTOR, "retention.purged", "deployment", detail)
    RETAINED.labels("studies").inc(run.studies)
    RETAINED.labels("events").inc(run.events)
    log.info(
        "onescan.retention.ran",
        studies=run.studies,
        partitions=run.partitions,
        events=run.events,
        deliveries=run.deliveries,
    )
