"""What operators look up and put right: the queue, one screening's history, studies that wait."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.exceptions import ConflictError, NotFoundError
from gateway.store import audit, screenings
from gateway.store.database import Connection
from gateway.store.queue import LANES

QUEUE_SHOWN = 200
"""Screenings of one list of the queue."""

INPUTS_SHOWN = 50_000
"""SOP Instance UIDs of one run manifest; more than any study has."""


async def queue(
    connection: Connection, tenant: str | None, lane: str | None = None
) -> list[dict[str, Any]]:
    """List open screenings in the order in which they are taken.

    Parameters
    ----------
    tenant : str, optional
        None for those of everybody.
    lane : str, optional
        None for all lanes.
    """
    cursor = await connection.execute(
        """
        SELECT screening_id, tenant, study_instance_uid, lane, state, attempt, worker,
            created_at, started_at, checks,
            extract(epoch FROM now() - created_at)::float AS age_seconds
        FROM screenings
        WHERE state IN ('accepted', 'running')
            AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
            AND (%(lane)s::text IS NULL OR lane = %(lane)s)
        ORDER BY state DESC, array_position(%(lanes)s::text[], lane), created_at
        LIMIT %(limit)s
        """,
        {"tenant": tenant, "lane": lane, "lanes": list(LANES), "limit": QUEUE_SHOWN},
    )
    return await cursor.fetchall()


async def tenant_of(connection: Connection, screening_id: UUID) -> str:
    """Find whose screening it is; raises NotFoundError."""
    cursor = await connection.execute(
        "SELECT tenant FROM screenings WHERE screening_id = %s", (screening_id,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such screening.")
    return str(row["tenant"])


async def history(connection: Connection, tenant: str, screening_id: UUID) -> dict[str, Any]:
    """Give everything that is known of how a screening came about.

    Its order, its events, the audit lines that name it or its study, and the run manifest:
    software, models, thresholds and recipe of every check, and the instances that went in.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening.
    """
    row, released, _ = await screenings.find(connection, tenant, screening_id)
    study = row["study_instance_uid"]
    result = row["result"] or {}
    cursor = await connection.execute(
        "SELECT kind, data, at FROM screening_events WHERE screening_id = %s ORDER BY event_id",
        (screening_id,),
    )
    events = await cursor.fetchall()
    cursor = await connection.execute(
        "SELECT at, actor, action, subject, detail FROM audit WHERE tenant = %s"
        " AND (subject = %s OR (subject = %s AND %s <> '')) ORDER BY audit_id",
        (tenant, str(screening_id), study or "", study or ""),
    )
    lines = await cursor.fetchall()
    return {
        "screening_id": str(screening_id),
        "tenant": tenant,
        "state": row["state"],
        "attempt": row["attempt"],
        "worker": row["worker"],
        "order": {
            "study_instance_uid": study,
            "checks": list(row["checks"]),
            "lane": row["lane"],
            "exam_context": row["exam_context"] or "unknown",
            "clinical_inputs": sorted(row["clinical"]),
            "source": row["source"],
            "version": row["version"],
            "supersedes": str(row["supersedes"]) if row["supersedes"] else None,
        },
        "error": (
            {"code": row["error_code"], "message": row["error_message"]}
            if row["error_code"]
            else None
        ),
        "created_at": row["created_at"].isoformat(),
        "started_at": _time(row["started_at"]),
        "finished_at": _time(row["finished_at"]),
        "events": [
            {"event": e["kind"], "at": e["at"].isoformat(), "data": e["data"]} for e in events
        ],
        "audit": [
            {
                "at": line["at"].isoformat(),
                "actor": line["actor"],
                "action": line["action"],
                "subject": line["subject"],
                "detail": line["detail"],
            }
            for line in lines
        ],
        "manifest": {
            "provenance": result.get("provenance"),
            "series": result.get("series"),
            "timings": result.get("timings"),
            "checks": {
                item["check_name"]: {
                    "state": item["state"],
                    "reason": item["reason"],
                    "attempt": item["attempt"],
                    "released_at": item["released_at"].isoformat(),
                    "provenance": (item["result"] or {}).get("provenance"),
                }
                for item in released
            },
            "inputs": await _inputs(connection, tenant, study, row["finished_at"]),
        },
    }


async def restart(connection: Connection, tenant: str, screening_id: UUID, *, actor: str) -> Any:
    """Screen again what failed, with the inputs that it had; give the new screening's row.

    A screening that has ended is never changed, so the restart is its next version.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening, or its study is not kept any more.
    ConflictError
        When it has not failed.
    """
    row, _, _ = await screenings.find(connection, tenant, screening_id)
    if row["state"] != "failed":
        raise ConflictError(f"The screening is {row['state']}; only a failed one is restarted.")
    made, created = await screenings.create(
        connection,
        tenant,
        screenings.order_of(row),
        idempotency_key=f"restart/{screening_id}",
    )
    if created:
        detail = {"screening_id": str(made["screening_id"])}
        await audit.record(
            connection, tenant, actor, "screening.restarted", str(screening_id), detail
        )
    return made


async def force_complete(
    connection: Connection, tenant: str, study_instance_uid: str, *, actor: str
) -> None:
    """Take a study for complete: it is screened now, with its partner's order.

    Raises
    ------
    NotFoundError
        When the tenant has no such study.
    ConflictError
        When nothing has come since it was screened last.
    """
    cursor = await connection.execute(
        "SELECT a.waiting FROM studies s LEFT JOIN arrivals a USING (tenant, study_instance_uid)"
        " WHERE s.tenant = %s AND s.study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("No study of that UID has been received.")
    if not row["waiting"]:
        raise ConflictError("Nothing has come since the study was screened last.")
    await connection.execute(
        "UPDATE arrivals SET due_at = clock_timestamp()"
        " WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    await audit.record(connection, tenant, actor, "study.completed", study_instance_uid)


async def _inputs(
    connection: Connection, tenant: str, study: str | None, finished_at: datetime | None
) -> list[str]:
    """List the instances that were there when the screening ended; empty once they are gone."""
    cursor = await connection.execute(
        "SELECT i.sop_instance_uid FROM studies s JOIN instances i"
        " USING (tenant, study_instance_uid, day) WHERE s.tenant = %s"
        " AND s.study_instance_uid = %s AND i.received_at <= coalesce(%s, now())"
        " ORDER BY i.sop_instance_uid LIMIT %s",
        (tenant, study, finished_at, INPUTS_SHOWN),
    )
    return [row["sop_instance_uid"] for row in await cursor.fetchall()]


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
