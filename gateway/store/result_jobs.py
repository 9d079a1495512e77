"""Objects that are owed: of each screening that ends, and of each report that is signed.

A job is written with what it follows from, so none is forgotten; it makes the objects, keeps them
in their study and, where the order says so, sends them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from gateway.exceptions import NotFoundError
from gateway.store.database import Connection

Job = dict[str, Any]
"""A row of ``result_jobs``."""

KINDS = ("sr", "seg", "sc")
"""Structured report, Segmentation, Secondary Capture."""

STATES = ("pending", "made", "done", "failed")
"""To be made, to be sent, made and sent, given up."""

LEASE_SECONDS = 600.0
"""A job that was taken is anybody's again then; longer than making and sending take."""


async def add(connection: Connection, screening_id: UUID) -> None:
    """Owe the objects of a screening that ends, in the transaction that ends it."""
    await connection.execute(
        "INSERT INTO result_jobs (tenant, screening_id, kinds, send_to)"
        " SELECT tenant, screening_id, results, send_results_to FROM screenings"
        " WHERE screening_id = %s AND cardinality(results) > 0 ON CONFLICT DO NOTHING",
        (screening_id,),
    )


async def add_signed(connection: Connection, screening_id: UUID, review_id: UUID) -> None:
    """Owe the signed report, in the transaction that signs; nothing where no report is wanted."""
    await connection.execute(
        "INSERT INTO result_jobs (tenant, screening_id, review_id, kinds, send_to)"
        " SELECT tenant, screening_id, %s, '{sr}', send_results_to FROM screenings"
        " WHERE screening_id = %s AND 'sr' = ANY(results) ON CONFLICT DO NOTHING",
        (review_id, screening_id),
    )


async def take_due(connection: Connection, limit: int) -> list[Job]:
    """Take jobs whose time has come; each counts as an attempt from now on."""
    cursor = await connection.execute(
        """
        UPDATE result_jobs SET attempts = attempts + 1, last_attempt_at = now(),
            next_at = now() + make_interval(secs => %(lease)s)
        WHERE job_id IN (
            SELECT job_id FROM result_jobs WHERE state IN ('pending', 'made') AND next_at <= now()
            ORDER BY next_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
        RETURNING *
        """,
        {"lease": LEASE_SECONDS, "limit": limit},
    )
    return await cursor.fetchall()


async def made(connection: Connection, job: Job, objects: Sequence[Mapping[str, Any]]) -> bool:
    """Note what was made; False when somebody else has the job now."""
    cursor = await connection.execute(
        """
        UPDATE result_jobs SET objects = %(objects)s, made_at = now(), last_error = NULL,
            state = CASE WHEN send_to IS NULL THEN 'done' ELSE 'made' END,
            ended_at = CASE WHEN send_to IS NULL THEN now() END,
            attempts = 0, due_since = now(), next_at = now()
        WHERE job_id = %(id)s AND attempts = %(attempts)s AND state = 'pending'
        """,
        {"objects": Jsonb(list(objects)), "id": job["job_id"], "attempts": job["attempts"]},
    )
    return cursor.rowcount == 1


async def sent(connection: Connection, job: Job) -> bool:
    """Note that everything was sent; False when somebody else has the job now."""
    cursor = await connection.execute(
        "UPDATE result_jobs SET state = 'done', ended_at = now(), last_error = NULL"
        " WHERE job_id = %s AND attempts = %s AND state = 'made'",
        (job["job_id"], job["attempts"]),
    )
    return cursor.rowcount == 1


async def failed(
    connection: Connection, job: Job, *, code: str, delay_seconds: float | None
) -> None:
    """Note why an attempt failed, and when the next is; None gives the job up."""
    await connection.execute(
        """
        UPDATE result_jobs SET last_error = %(code)s,
            state = CASE WHEN %(delay)s::float IS NULL THEN 'failed' ELSE state END,
            ended_at = CASE WHEN %(delay)s::float IS NULL THEN now() END,
            next_at = now() + make_interval(secs => coalesce(%(delay)s::float, 0))
        WHERE job_id = %(id)s AND attempts = %(attempts)s AND state IN ('pending', 'made')
        """,
        {
            "code": code,
            "delay": delay_seconds,
            "id": job["job_id"],
            "attempts": job["attempts"],
        },
    )


async def of_screening(connection: Connection, tenant: str, screening_id: UUID) -> list[Job]:
    """List the jobs of a tenant's screening, oldest first."""
    cursor = await connection.execute(
        "SELECT * FROM result_jobs WHERE tenant = %s AND screening_id = %s"
        " ORDER BY created_at, job_id",
        (tenant, screening_id),
    )
    return await cursor.fetchall()


async def replay(connection: Connection, tenant: str, screening_id: UUID, job_id: UUID) -> Job:
    """Owe a job again, however it ended: what is made is sent, what is not is made.

    Raises
    ------
    NotFoundError
        When the tenant's screening has no such job.
    """
    cursor = await connection.execute(
        """
        UPDATE result_jobs SET state = CASE WHEN made_at IS NULL THEN 'pending'
                WHEN send_to IS NULL THEN 'done' ELSE 'made' END,
            attempts = 0, next_at = now(), due_since = now(), ended_at = CASE
                WHEN made_at IS NOT NULL AND send_to IS NULL THEN ended_at END
        WHERE tenant = %s AND screening_id = %s AND job_id = %s RETURNING *
        """,
        (tenant, screening_id, job_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such result.")
    return row


async def owed(connection: Connection) -> int:
    """Count the jobs that are owed."""
    cursor = await connection.execute(
        "SELECT count(*) AS number FROM result_jobs WHERE state IN ('pending', 'made')"
    )
    row = await cursor.fetchone()
    return int(row["number"]) if row else 0
