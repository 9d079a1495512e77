"""The reaper: finds screenings that nobody works on and brings them back.

It runs in the api, since a pool of workers may be at zero. Several may run; rows that one
looks at are skipped by the others. All of its questions go to open screenings only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

import psycopg

from gateway.metrics import LAST_RUN, REAPED
from gateway.settings import WorkerSettings
from gateway.store.clock_steps import bring_back
from gateway.store.database import Connection, Database
from gateway.store.queue import enqueue
from gateway.store.screenings import give_up_attempt

BATCH = 100
"""Screenings taken up in one transaction."""

PURGE_EVERY_SECONDS = 60.0
"""Left-behind jobs and worker rows harm nobody, and a clock is seldom set; once a minute is
enough."""

FORGET_WORKER_SECONDS = 3600.0
"""A worker unseen for so long is not coming back."""

log = logging.getLogger("onescan.reaper")


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one look found."""

    retried: int = 0
    failed: int = 0
    enqueued: int = 0


async def reap(connection: Connection, settings: WorkerSettings) -> Reaped:
    """Look once, in the caller's transaction."""
    stalled = await connection.execute(
        """
        SELECT screening_id, tenant, attempt, worker, lane, checks, job_id FROM screenings
        WHERE state = 'running' AND heartbeat_at < now() - make_interval(secs => %s)
        ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
        """,
        (settings.stalled_seconds, BATCH),
    )
    retried = failed = 0
    for row in await stalled.fetchall():
        again = await give_up_attempt(
            connection,
            row,
            max_attempts=settings.max_attempts,
            code="crashed",
            message="The worker fell silent.",
            reason="crashed",
        )
        await connection.execute("DELETE FROM procrastinate_jobs WHERE id = %s", (row["job_id"],))
        retried, failed = retried + again, failed + (not again)
    # A job that was taken is claimed within milliseconds, so one that was taken long ago
    # and has not claimed its screening is dead.
    orphaned = await connection.execute(
        """
        SELECT s.screening_id, s.attempt, s.lane FROM screenings s
        WHERE s.state = 'accepted' AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs j WHERE j.id = s.job_id AND (j.status = 'todo'
                OR (j.status = 'doing' AND EXISTS (
                    SELECT 1 FROM procrastinate_events e WHERE e.job_id = j.id
                        AND e.type = 'started' AND e.at > now() - make_interval(secs => %s)))))
            AND NOT EXISTS (SELECT 1 FROM suspensions p
                WHERE p.what = s.lane AND p.tenant IN ('', s.tenant))
        ORDER BY s.created_at LIMIT %s FOR UPDATE OF s SKIP LOCKED
        """,
        (settings.stalled_seconds, BATCH),
    )
    rows = await orphaned.fetchall()
    for row in rows:
        await enqueue(connection, str(row["screening_id"]), row["attempt"], row["lane"])
    return Reaped(retried, failed, len(rows))


async def purge(connection: Connection) -> None:
    """Remove jobs of screenings that have ended or moved on, and workers long gone."""
    await connection.execute(
        """
        DELETE FROM procrastinate_jobs j USING screenings s
        WHERE j.status = 'doing' AND s.screening_id = (j.args ->> 'screening_id')::uuid
            AND (s.state IN ('done', 'failed', 'cancelled') OR s.job_id <> j.id)
            AND NOT EXISTS (SELECT 1 FROM procrastinate_events e WHERE e.job_id = j.id
                AND e.at > now() - interval '1 minute')
        """
    )
    await connection.execute(
        "DELETE FROM workers WHERE seen_at < now() - make_interval(secs => %s)",
        (FORGET_WORKER_SECONDS,),
    )


async def run_reaper(database: Database, settings: WorkerSettings) -> None:
    """Look every `reap_seconds` until cancelled.

    After a failure of the database it waits `stalled_seconds` first: while the database was
    away no worker could say that it is alive.
    """
    loop = asyncio.get_running_loop()
    purged_at = loop.time()
    LAST_RUN.labels("reaper").set(time.time())
    while True:
        try:
            async with database.connection() as connection:
                found = await reap(connection, settings)
            for outcome in ("retried", "failed", "enqueued"):
                REAPED.labels(outcome).inc(getattr(found, outcome))
            if found != Reaped():
                log.warning(
                    "onescan.reaper.reaped retried=%d failed=%d enqueued=%d",
                    found.retried,
                    found.failed,
                    found.enqueued,
                )
            if loop.time() - purged_at > PURGE_EVERY_SECONDS:
                async with database.connection() as connection:
                    await purge(connection)
                    if ahead := await bring_back(connection):
                        log.warning("onescan.reaper.clock_was_ahead brought_back=%s", ahead)
                purged_at = loop.time()
            LAST_RUN.labels("reaper").set(time.time())
        except psycopg.Error as error:
            log.warning("onescan.reaper.database_away error=%s", type(error).__name__)
            await asyncio.sleep(settings.stalled_seconds)
        await asyncio.sleep(settings.reap_seconds)
