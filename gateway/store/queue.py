"""The job queue: procrastinate on the same database, a job deferred in its screening's transaction.

The screening row is the truth, a job only says that somebody should look at it. So a job may be
lost, doubled or left behind; the reaper and the fencing of `gateway.store.screenings` see to it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import procrastinate
from procrastinate import exceptions as queue_errors
from procrastinate import jobs, manager
from psycopg.types.json import Jsonb

from gateway.store.database import Connection

TASK = "screen"
"""Name of the workers' one task; its arguments are ``screening_id`` and ``attempt``."""

FETCH = "fetch"
"""Queue and task of screenings whose study has yet to be fetched; the api's fetcher takes them."""

LANES: dict[str, int] = {"stat": 10, "routine": 0, "backfill": -10}
"""Lane → priority; each lane is a queue."""

FINISH_TRIES = 5
"""Attempts at writing that a job ended; after them the reaper removes it."""

log = logging.getLogger("onescan.queue")

DEFER_SQL = (
    "SELECT unnest(procrastinate_defer_jobs_v1(ARRAY["
    " ROW(%(queue)s, %(task)s, %(priority)s, NULL, NULL, %(arguments)s,"
    " CASE WHEN %(after)s::float8 > 0 THEN now() + make_interval(secs => %(after)s::float8) END)"
    "::procrastinate_job_to_defer_v1])) AS job_id"
)
"""Defers one job in the caller's transaction; see `job_parameters`."""


def job_parameters(
    screening_id: str,
    attempt: int,
    lane: str,
    *,
    fetch: bool = False,
    after_seconds: float = 0.0,
) -> dict[str, Any]:
    """Give the parameters of `DEFER_SQL`, and the lane."""
    return {
        "lane": lane,
        "queue": FETCH if fetch else lane,
        "task": FETCH if fetch else TASK,
        "priority": LANES[lane],
        "arguments": Jsonb({"screening_id": screening_id, "attempt": attempt}),
        "after": after_seconds,
    }


async def enqueue(
    connection: Connection,
    screening_id: str,
    attempt: int,
    lane: str,
    *,
    after_seconds: float = 0.0,
) -> None:
    """Defer a job for a screening that exists and make it the screening's job.

    A study that has yet to be fetched is fetched first, whoever brings the screening back.
    Nobody takes the job before `after_seconds` are over.
    """
    unfetched = await connection.execute(
        "SELECT 1 FROM screenings WHERE screening_id = %s"
        " AND source IS NOT NULL AND fetched_at IS NULL",
        (screening_id,),
    )
    fetch = await unfetched.fetchone() is not None
    job = job_parameters(screening_id, attempt, lane, fetch=fetch, after_seconds=after_seconds)
    await connection.execute(
        f"WITH job AS ({DEFER_SQL}) UPDATE screenings SET job_id = job.job_id FROM job"
        " WHERE screening_id = %(screening_id)s",
        {"screening_id": screening_id, **job},
    )


class ForgivingJobManager(manager.JobManager):
    """Ends jobs without complaint when somebody else has already removed them.

    A reaped attempt's job is gone when its late worker comes back to finish it.
    """

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:
        """Finish a job; give up quietly after `FINISH_TRIES`."""
        for delay in range(FINISH_TRIES):
            try:
                await super().finish_job(job, status, delete_job)
            except queue_errors.ConnectorException as error:
                if "not found" in str(error.__cause__ or error):
                    log.info("onescan.queue.job_was_gone job=%s", job.id)
                    return
                await asyncio.sleep(delay)
            else:
                return
        log.warning("onescan.queue.job_left_behind job=%s", job.id)


def make_queue(url: str) -> procrastinate.App:
    """Make the procrastinate application of a worker; open it before use."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=6)
    )
    app.job_manager = ForgivingJobManager(app.connector)
    return app
