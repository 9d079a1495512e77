"""The job queue: procrastinate on the same database, a job deferred in its screening's transaction.

The screening row is the truth, a job only says that somebody should look at it. So a job may be
lost, doubled or left behind; the reaper and the fencing of `gateway.store.screenings` see to it.

A job goes whole to a worker that runs all its checks. So the queue's name is the lane and a class,
which stands for a set of checks; a worker looks into the queues of those classes that it can run.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
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
"""Lane → priority; each lane has queues of its own."""

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

CLASS_SQL = (
    "INSERT INTO job_classes (class, checks) VALUES (%(class)s, %(class_checks)s)"
    " ON CONFLICT DO NOTHING"
)
"""Makes the job's class known to workers; the same parameters."""


def job_class(checks: Iterable[str]) -> str:
    """Name a set of checks in sixteen characters.

    Short, since procrastinate notifies on a channel by the queue's name, and PostgreSQL's
    channels have 63 bytes.
    """
    names = ",".join(sorted(set(checks)))
    return hashlib.blake2s(names.encode(), digest_size=8).hexdigest()


def queue_name(lane: str, job_class: str) -> str:
    """Name the queue of a lane's jobs of one class."""
    return f"{lane}:{job_class}"


def job_parameters(
    screening_id: str,
    attempt: int,
    lane: str,
    checks: Collection[str],
    *,
    fetch: bool = False,
    after_seconds: float = 0.0,
) -> dict[str, Any]:
    """Give the parameters of `DEFER_SQL` and `CLASS_SQL`, and the lane."""
    needs = job_class(checks)
    return {
        "lane": lane,
        "queue": FETCH if fetch else queue_name(lane, needs),
        "task": FETCH if fetch else TASK,
        "priority": LANES[lane],
        "arguments": Jsonb({"screening_id": screening_id, "attempt": attempt}),
        "after": after_seconds,
        "class": needs,
        "class_checks": sorted(set(checks)),
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
    cursor = await connection.execute(
        "SELECT checks, source IS NOT NULL AND fetched_at IS NULL AS unfetched FROM screenings"
        " WHERE screening_id = %s",
        (screening_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return
    job = job_parameters(
        screening_id,
        attempt,
        lane,
        row["checks"],
        fetch=row["unfetched"],
        after_seconds=after_seconds,
    )
    await connection.execute(
        f"WITH class AS ({CLASS_SQL}), job AS ({DEFER_SQL})"
        " UPDATE screenings SET job_id = job.job_id FROM job"
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


Gate = Callable[[Callable[[], Awaitable[jobs.Job | None]]], Awaitable[jobs.Job | None]]
"""Stands before the queue; see `gateway.worker.cordon`."""


class PoolJobManager(ForgivingJobManager):
    """Gives a worker the jobs of its lanes that it can run whole.

    Parameters
    ----------
    connector : procrastinate.connector.BaseConnector
        Of an application that is open.
    lanes : tuple of str
        From which jobs are taken.
    checks : frozenset of str, optional
        Jobs that ask for no other; None takes every job, whatever it asks for.
    gate : callable, optional
        Fetches by the function that it is given, or gives None.
    """

    def __init__(
        self,
        connector: procrastinate.connector.BaseConnector,
        lanes: tuple[str, ...],
        checks: frozenset[str] | None,
        gate: Gate | None = None,
    ) -> None:
        super().__init__(connector)
        self._lanes = lanes
        self._checks = checks
        self._gate = gate

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> jobs.Job | None:
        """Fetch from the queues of our lanes and classes, whatever the worker listens to."""
        if self._gate is None:
            return await self._fetch(worker_id)
        return await self._gate(lambda: self._fetch(worker_id))

    async def _fetch(self, worker_id: int) -> jobs.Job | None:
        rows = await self.connector.execute_query_all_async(
            "SELECT class FROM job_classes WHERE %(checks)s::text[] IS NULL"
            " OR checks <@ %(checks)s::text[]",
            checks=None if self._checks is None else sorted(self._checks),
        )
        names = [queue_name(lane, row["class"]) for lane in self._lanes for row in rows]
        if self._checks is None:
            names += self._lanes  # jobs from before there were classes
        return await super().fetch_job(names, worker_id)


def make_queue(url: str) -> procrastinate.App:
    """Make the procrastinate application of a worker; open it before use."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=6)
    )
    app.job_manager = ForgivingJobManager(app.connector)
    return app


def make_pool_queues(
    url: str,
    lanes: Iterable[tuple[str, ...]],
    checks: frozenset[str] | None,
    gate: Gate | None = None,
) -> list[procrastinate.App]:
    """Make an application for each group of lanes, on one connector; open the first before use."""
    first = make_queue(url)
    apps: list[procrastinate.App] = []
    for group in lanes:
        app = procrastinate.App(connector=first.connector) if apps else first
        app.job_manager = PoolJobManager(first.connector, group, checks, gate)
        apps.append(app)
    return apps
