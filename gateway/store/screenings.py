"""Screenings: created with their job, claimed by one attempt, finished once.

Every write of a worker is fenced: it holds only while the row still says *running* by that
attempt and that claim. Whoever was given up meets `StaleAttemptError` and drops its work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from gateway import traces
from gateway.exceptions import ConflictError, NotFoundError, StaleAttemptError
from gateway.store import deliveries, result_jobs
from gateway.store.arrivals import settle
from gateway.store.database import Connection
from gateway.store.masks import Pointer, add_mask
from gateway.store.queue import CLASS_SQL, DEFER_SQL, enqueue, job_parameters

Row = dict[str, Any]
"""A row of ``screenings``."""

EXAM_CONTEXTS = ("screening", "incidental", "oncology", "unknown")
"""Why the scan was made; which lung rule applies follows it."""

FINAL_STATES = ("done", "failed", "cancelled")
"""Of a screening that nothing changes any more."""

KEY_WAS_USED = "The idempotency key was used before, with another body."

_FENCE = "screening_id = %(id)s AND attempt = %(attempt)s AND worker = %(worker)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a partner asks for."""

    study_instance_uid: str
    """Empty while a study of a bucket has not been fetched."""

    checks: tuple[str, ...]
    lane: str = "routine"
    exam_context: str = "unknown"
    clinical: Mapping[str, Any]
    callback_url: str | None = None
    """Where its webhooks go; None means the tenant's own address, where it has one."""

    source: Mapping[str, Any] | None = None
    """Where the study is fetched from first; None means that it is here."""

    results: tuple[str, ...] = ()
    """DICOM objects that are made when it is done; see `gateway.store.result_jobs.KINDS`."""

    send_results_to: str | None = None
    """Archive or DICOMweb source of the partners file; None sends them nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One worker's hold on one attempt at a screening."""

    screening_id: UUID
    attempt: int
    worker: str
    """Unique for each claim, so that two claims of one attempt cannot both write."""

    tenant: str
    lane: str
    order: Order
    traceparent: str | None = None
    """Span of the request that asked for it, where there was one and it had one."""

    @property
    def fence(self) -> dict[str, Any]:
        """Parameters of the fencing condition."""
        return {"id": self.screening_id, "attempt": self.attempt, "worker": self.worker}

    @property
    def row(self) -> Row:
        """What `give_up_attempt` asks of the screening's row."""
        return {
            "screening_id": self.screening_id,
            "tenant": self.tenant,
            "attempt": self.attempt,
            "worker": self.worker,
            "lane": self.lane,
            "checks": self.order.checks,
        }


async def create(
    connection: Connection,
    tenant: str,
    order: Order,
    *,
    idempotency_key: str | None = None,
    request_digest: bytes | None = None,
) -> tuple[Row, bool]:
    """Make a screening and its job in the caller's transaction.

    Parameters
    ----------
    idempotency_key : str, optional
        Makes the screening once, however often it is asked for.
    request_digest : bytes, optional
        SHA-256 of the request that brought the key; without it the orders are compared.

    Returns
    -------
    row : dict
        The screening.
    created : bool
        False when the idempotency key had already made it.

    Raises
    ------
    NotFoundError
        When the tenant has no such study.
    ConflictError
        When the idempotency key was used with another body.
    """
    await lock_versions(connection, tenant, order.study_instance_uid)
    if order.source is None:
        study = await connection.execute(
            "SELECT 1 FROM studies WHERE tenant = %s AND study_instance_uid = %s FOR NO KEY UPDATE",
            (tenant, order.study_instance_uid),
        )
        if await study.fetchone() is None:
            raise NotFoundError("No study of that UID has been received.")
    if idempotency_key is not None:
        known = await _by_key(connection, tenant, idempotency_key)
        if known is not None:
            _same_body(known, order, request_digest)
            return known, False
    screening_id = uuid4()
    try:
        cursor = await connection.execute(
            *_insert(tenant, order, screening_id, idempotency_key, request_digest)
        )
    except psycopg.errors.UniqueViolation:
        # The same key for another study, at the same moment.
        raise ConflictError(KEY_WAS_USED) from None
    row = await cursor.fetchone()
    assert row is not None
    if order.source is None:
        await settle(connection, tenant, order.study_instance_uid)
    await _event(connection, screening_id, tenant, "accepted", {"lane": order.lane})
    return row, True


def _insert(
    tenant: str,
    order: Order,
    screening_id: UUID,
    idempotency_key: str | None,
    request_digest: bytes | None,
) -> tuple[str, dict[str, Any]]:
    """Give the statement that makes screening and job, and its parameters."""
    return (
        f"""
        WITH class AS ({CLASS_SQL}), job AS ({DEFER_SQL}), latest AS (
            SELECT screening_id, version FROM screenings
            WHERE tenant = %(tenant)s AND study_instance_uid = %(study)s
            ORDER BY version DESC LIMIT 1)
        INSERT INTO screenings (screening_id, tenant, study_instance_uid, version, supersedes,
            checks, lane, exam_context, clinical, job_id, idempotency_key, request_digest,
            callback_url, source, traceparent, results, send_results_to)
        SELECT %(id)s, %(tenant)s, nullif(%(study)s, ''),
            coalesce((SELECT version FROM latest), 0) + 1, (SELECT screening_id FROM latest),
            %(checks)s, %(lane)s, %(exam_context)s,
            %(clinical)s, job.job_id, %(key)s, %(digest)s, %(callback)s, %(source)s,
            %(traceparent)s, %(results)s, %(send_to)s
        FROM job RETURNING *
        """,
        {
            **job_parameters(
                str(screening_id), 1, order.lane, order.checks, fetch=order.source is not None
            ),
            "id": screening_id,
            "tenant": tenant,
            "study": order.study_instance_uid,
            "checks": list(order.checks),
            "exam_context": order.exam_context,
            "clinical": Jsonb(dict(order.clinical)),
            "key": idempotency_key,
            "digest": request_digest,
            "callback": order.callback_url,
            "results": list(order.results),
            "send_to": order.send_results_to,
            "traceparent": traces.traceparent(),
            "source": None if order.source is None else Jsonb(dict(order.source)),
        },
    )


async def find(
    connection: Connection, tenant: str, screening_id: UUID
) -> tuple[Row, list[Row], str | None]:
    """Give a tenant's screening, its released check results and its latest stage.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening.
    """
    cursor = await connection.execute(
        "SELECT * FROM screenings WHERE tenant = %s AND screening_id = %s", (tenant, screening_id)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such screening.")
    stage = await connection.execute(
        "SELECT data ->> 'stage' AS stage FROM screening_events"
        " WHERE screening_id = %s AND kind = 'stage' ORDER BY event_id DESC LIMIT 1",
        (screening_id,),
    )
    latest = await stage.fetchone()
    return row, await results(connection, screening_id), latest["stage"] if latest else None


async def results(connection: Connection, screening_id: UUID) -> list[Row]:
    """List the released check results of a screening."""
    cursor = await connection.execute(
        "SELECT check_name, attempt, state, reason, result, released_at FROM check_results"
        " WHERE screening_id = %s ORDER BY released_at, check_name",
        (screening_id,),
    )
    return await cursor.fetchall()


async def claim(
    connection: Connection, screening_id: UUID, attempt: int, worker: str
) -> Claim | None:
    """Take an attempt; None when it is no longer to be had, or its lane is suspended.

    Repeating it with the same worker is harmless, for when an answer was lost.
    """
    cursor = await connection.execute(
        """
        UPDATE screenings SET state = 'running', worker = %(worker)s, heartbeat_at = now(),
            started_at = coalesce(started_at, now())
        WHERE screening_id = %(id)s AND attempt = %(attempt)s
            AND (state = 'accepted' OR (state = 'running' AND worker = %(worker)s))
            AND NOT EXISTS (SELECT 1 FROM suspensions p  -- the reaper makes another job later
                WHERE p.what = screenings.lane AND p.tenant IN ('', screenings.tenant))
        RETURNING *
        """,
        {"id": screening_id, "attempt": attempt, "worker": worker},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    await _event(connection, screening_id, row["tenant"], "running", {"attempt": attempt})
    return Claim(
        screening_id=screening_id,
        attempt=attempt,
        worker=worker,
        tenant=row["tenant"],
        lane=row["lane"],
        order=order_of(row),
        traceparent=row["traceparent"],
    )


def order_of(row: Mapping[str, Any]) -> Order:
    """Give what a screening was asked with."""
    return Order(
        study_instance_uid=row["study_instance_uid"] or "",
        checks=tuple(row["checks"]),
        lane=row["lane"],
        exam_context=row["exam_context"] or "unknown",
        clinical=row["clinical"],
        callback_url=row["callback_url"],
        source=None if row["fetched_at"] else row["source"],
        results=tuple(row["results"]),
        send_results_to=row["send_results_to"],
    )


def as_accepted(row: Mapping[str, Any]) -> Row:
    """Show a screening as it was when it was made, which is what its order was answered with."""
    later = ("started_at", "finished_at", "plan", "result", "error_code", "error_message")
    return {**row, "state": "accepted", "attempt": 1, **dict.fromkeys(later)}


async def lock_versions(connection: Connection, tenant: str, study_instance_uid: str) -> None:
    """Hold back others who count a version of the study, which need not be here yet."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('version/' || %s || '/' || %s, 0))",
        (tenant, study_instance_uid),
    )


async def fetched(
    connection: Connection, held: Claim, study_instance_uid: str, checks: tuple[str, ...]
) -> None:
    """Note that the study is here and pass the screening on to its lane.

    A study whose UID was not known before gets its version now. A lost answer's repetition finds
    the claim gone and is stale, which changes nothing.

    Raises
    ------
    StaleAttemptError
        When the attempt was given up.
    """
    await lock_versions(connection, held.tenant, study_instance_uid)
    cursor = await connection.execute(
        f"""
        WITH latest AS (
            SELECT screening_id, version FROM screenings WHERE tenant = %(tenant)s
                AND study_instance_uid = %(study)s ORDER BY version DESC LIMIT 1)
        UPDATE screenings SET state = 'accepted', worker = NULL, fetched_at = now(),
            version = CASE WHEN study_instance_uid IS NULL
                THEN coalesce((SELECT version FROM latest), 0) + 1 ELSE version END,
            supersedes = CASE WHEN study_instance_uid IS NULL
                THEN (SELECT screening_id FROM latest) ELSE supersedes END,
            study_instance_uid = %(study)s, checks = %(checks)s
        WHERE {_FENCE} AND state = 'running'
        """,
        {
            **held.fence,
            "tenant": held.tenant,
            "study": study_instance_uid,
            "checks": list(checks),
        },
    )
    if cursor.rowcount == 0:
        raise StaleAttemptError()
    await settle(connection, held.tenant, study_instance_uid)
    await enqueue(connection, str(held.screening_id), held.attempt, held.lane)
    await _event(connection, held.screening_id, held.tenant, "fetched", {})


async def beat(connection: Connection, held: Claim) -> bool:
    """Say that the attempt is alive; False when it was given up."""
    cursor = await connection.execute(
        f"UPDATE screenings SET heartbeat_at = now() WHERE {_FENCE} AND state = 'running'",
        held.fence,
    )
    return cursor.rowcount == 1


async def enter_stage(connection: Connection, held: Claim, stage: str) -> None:
    """Tell how far the screening has come."""
    await _hold(connection, held)
    await _event(connection, held.screening_id, held.tenant, "stage", {"stage": stage})


async def save_plan(connection: Connection, held: Claim, plan: Mapping[str, Any]) -> None:
    """Store what will be done, and what will not and why."""
    cursor = await connection.execute(
        f"UPDATE screenings SET plan = %(plan)s WHERE {_FENCE} AND state = 'running'",
        {**held.fence, "plan": Jsonb(plan)},
    )
    if cursor.rowcount == 0:
        raise StaleAttemptError()


async def release(
    connection: Connection,
    held: Claim,
    *,
    check: str,
    state: str,
    reason: str | None,
    result: Mapping[str, Any],
    mask: Pointer | None = None,
) -> Row:
    """Release one check's result at once, with the mask that it speaks of.

    The first release of a check stands; a later attempt's is dropped.

    Returns
    -------
    dict
        The row that stands: ``check_name``, ``attempt``, ``state``, ``reason``, ``result``.
    """
    await _hold(connection, held)
    given = {"check": check, "state": state, "reason": reason}
    cursor = await connection.execute(
        """
        INSERT INTO check_results (screening_id, check_name, attempt, state, reason, result)
        VALUES (%(id)s, %(check)s, %(attempt)s, %(state)s, %(reason)s, %(result)s)
        ON CONFLICT (screening_id, check_name) DO NOTHING
        """,
        {**held.fence, **given, "result": Jsonb(dict(result))},
    )
    if cursor.rowcount == 1:
        if mask is not None:
            await add_mask(connection, held.screening_id, check, mask)
        told = {**given, "urgency": result.get("urgency", "note")}
        await _event(connection, held.screening_id, held.tenant, "released", told)
    standing = await connection.execute(
        "SELECT * FROM check_results WHERE screening_id = %(id)s AND check_name = %(check)s",
        {"id": held.screening_id, "check": check},
    )
    row = await standing.fetchone()
    assert row is not None
    return row


async def finish(
    connection: Connection,
    held: Claim,
    result: Mapping[str, Any],
    *,
    masks: Mapping[str, Pointer] | None = None,
) -> None:
    """End the screening with its study-level result; repeating it is harmless.

    Parameters
    ----------
    masks : mapping, optional
        Name → mask of organs, of which the result speaks.
    """
    cursor = await connection.execute(
        f"""
        UPDATE screenings SET state = 'done', finished_at = now(), result = %(result)s,
            pool = (SELECT pool FROM workers WHERE worker = split_part(%(worker)s, '/', 1))
        WHERE {_FENCE} AND state = 'running'
        """,
        {**held.fence, "result": Jsonb(result)},
    )
    if cursor.rowcount == 1:
        for name, mask in (masks or {}).items():
            await add_mask(connection, held.screening_id, name, mask)
        await _event(connection, held.screening_id, held.tenant, "done", {})
        await result_jobs.add(connection, held.screening_id)
        return
    again = await connection.execute(
        f"SELECT 1 FROM screenings WHERE {_FENCE} AND state = 'done'", held.fence
    )
    if await again.fetchone() is None:
        raise StaleAttemptError()


async def cancel(connection: Connection, tenant: str, screening_id: UUID) -> Row:
    """End a screening that is not wanted any more; repeating it is harmless.

    Results that are out stand; the other checks become ``not_evaluated: cancelled``. A worker
    that has it in hand is refused its next write, and stops at the latest when two of its
    heartbeats find nothing.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening.
    ConflictError
        When it has already ended in another way.
    """
    cursor = await connection.execute(
        "SELECT * FROM screenings WHERE tenant = %s AND screening_id = %s FOR NO KEY UPDATE",
        (tenant, screening_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such screening.")
    if row["state"] == "cancelled":
        return row
    if row["state"] in FINAL_STATES:
        raise ConflictError(f"The screening is {row['state']} already.")
    if row["state"] == "accepted":
        await connection.execute(
            "DELETE FROM procrastinate_jobs WHERE id = %s AND status = 'todo'", (row["job_id"],)
        )
    changed = await connection.execute(
        "UPDATE screenings SET state = 'cancelled', finished_at = now(), error_code = NULL,"
        " error_message = NULL WHERE screening_id = %s RETURNING *",
        (screening_id,),
    )
    await _without_result(connection, row, "not_evaluated", "cancelled")
    await _event(connection, screening_id, tenant, "cancelled", {"attempt": row["attempt"]})
    ended = await changed.fetchone()
    assert ended is not None
    return ended


async def hand_back(connection: Connection, held: Claim) -> None:
    """Give an unfinished screening back to the queue; the attempt does not count."""
    cursor = await connection.execute(
        f"UPDATE screenings SET state = 'accepted', worker = NULL WHERE {_FENCE}"
        " AND state = 'running'",
        held.fence,
    )
    if cursor.rowcount == 0:
        raise StaleAttemptError()
    await enqueue(connection, str(held.screening_id), held.attempt, held.lane)
    await _event(connection, held.screening_id, held.tenant, "handed_back", {})


async def put_back(
    connection: Connection, held: Claim, *, after_seconds: float, code: str, message: str
) -> None:
    """Give a screening back to the queue for later; the attempt does not count.

    Parameters
    ----------
    after_seconds : float
        Until it is taken up again.
    code, message : str
        Why it waits; kept with the screening.

    Raises
    ------
    StaleAttemptError
        When the attempt was given up.
    """
    cursor = await connection.execute(
        "UPDATE screenings SET state = 'accepted', worker = NULL, error_code = %(code)s,"
        f" error_message = %(message)s WHERE {_FENCE} AND state = 'running'",
        {**held.fence, "code": code, "message": message},
    )
    if cursor.rowcount == 0:
        raise StaleAttemptError()
    await enqueue(
        connection,
        str(held.screening_id),
        held.attempt,
        held.lane,
        after_seconds=after_seconds,
    )
    await _event(connection, held.screening_id, held.tenant, "handed_back", {"code": code})


async def give_up_attempt(
    connection: Connection,
    row: Mapping[str, Any],
    *,
    max_attempts: int,
    code: str,
    message: str,
    reason: str,
    after_seconds: float = 0.0,
) -> bool:
    """Count a running attempt as lost: try again, or fail the screening visibly.

    Parameters
    ----------
    row : mapping
        ``screening_id``, ``tenant``, ``attempt``, ``worker``, ``lane``, ``checks``.
    code, message : str
        What is kept with a screening that failed.
    reason : str
        Reason code of every check that has no result then.
    after_seconds : float
        Until the next attempt is taken up.

    Returns
    -------
    bool
        Whether it will be tried again.

    Raises
    ------
    StaleAttemptError
        When the attempt had already been given up.
    """
    fence = {"id": row["screening_id"], "attempt": row["attempt"], "worker": row["worker"]}
    again = row["attempt"] < max_attempts
    change = (
        "state = 'accepted', attempt = attempt + 1, worker = NULL"
        if again
        else "state = 'failed', finished_at = now()"
    )
    cursor = await connection.execute(
        f"UPDATE screenings SET {change}, error_code = %(code)s, error_message = %(message)s"
        f" WHERE {_FENCE} AND state = 'running'",
        {**fence, "code": code, "message": message},
    )
    if cursor.rowcount == 0:
        raise StaleAttemptError()
    screening_id, tenant = row["screening_id"], row["tenant"]
    data = {"attempt": row["attempt"], "code": code}
    if again:
        await enqueue(
            connection,
            str(screening_id),
            row["attempt"] + 1,
            row["lane"],
            after_seconds=after_seconds,
        )
        await _event(connection, screening_id, tenant, "retried", data)
        return True
    await _without_result(connection, row, "failed", reason)
    await _event(connection, screening_id, tenant, "failed", data)
    return False


async def _hold(connection: Connection, held: Claim) -> None:
    """Check the fence and keep it closed until the transaction ends."""
    cursor = await connection.execute(
        f"SELECT 1 FROM screenings WHERE {_FENCE} AND state = 'running' FOR SHARE", held.fence
    )
    if await cursor.fetchone() is None:
        raise StaleAttemptError()


async def _without_result(
    connection: Connection, row: Mapping[str, Any], state: str, reason: str
) -> None:
    """Say of every check that has no result why it has none."""
    await connection.execute(
        "INSERT INTO check_results (screening_id, check_name, attempt, state, reason)"
        " SELECT %s, unnest(%s::text[]), %s, %s, %s ON CONFLICT DO NOTHING",
        (row["screening_id"], list(row["checks"]), row["attempt"], state, reason),
    )


async def _event(
    connection: Connection, screening_id: UUID, tenant: str, kind: str, data: Mapping[str, Any]
) -> None:
    """Write what happened, and owe the webhook that tells it."""
    await connection.execute(
        "INSERT INTO screening_events (screening_id, tenant, kind, data) VALUES (%s, %s, %s, %s)",
        (screening_id, tenant, kind, Jsonb(data)),
    )
    await deliveries.add(connection, screening_id, kind, data)


async def _by_key(connection: Connection, tenant: str, key: str) -> Row | None:
    cursor = await connection.execute(
        "SELECT * FROM screenings WHERE tenant = %s AND idempotency_key = %s", (tenant, key)
    )
    return await cursor.fetchone()


def _same_body(row: Row, order: Order, request_digest: bytes | None) -> None:
    if request_digest is not None and row["request_digest"] is not None:
        if row["request_digest"] != request_digest:
            raise ConflictError(KEY_WAS_USED)
        return
    same = (
        row["study_instance_uid"] == order.study_instance_uid
        and sorted(row["checks"]) == sorted(order.checks)
        and row["lane"] == order.lane
        and (row["exam_context"] or "unknown") == order.exam_context
        and row["clinical"] == dict(order.clinical)
    )
    if not same:
        raise ConflictError(KEY_WAS_USED)
