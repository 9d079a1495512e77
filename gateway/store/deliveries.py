"""Webhook deliveries: written with what they tell, sent later by whoever takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.exceptions import NotFoundError
from gateway.store.database import Connection

Delivery = dict[str, Any]
"""A row of ``webhook_deliveries``."""

EVENTS = {
    "done": "screening.done",
    "failed": "screening.failed",
    "cancelled": "screening.cancelled",
    "released": "screening.released",
    "signed": "screening.signed",
}
"""Kind of a screening's event → what a receiver is told."""

BODIES = ("reference", "result")
"""Identifiers and states only, or the whole result."""

STATES = ("pending", "delivered", "failed")

LEASE_SECONDS = 60.0
"""A delivery that was taken is anybody's again then; longer than any attempt takes."""


async def add(
    connection: Connection, screening_id: UUID, kind: str, data: Mapping[str, Any]
) -> None:
    """Owe a delivery of an event, in the transaction that writes the event.

    Nothing is owed where neither the screening nor its tenant names an address. Of released
    results only critical ones are told at once; the others come with the end. Signatures are told
    to tenants that asked for it.
    """
    if kind not in EVENTS or (kind == "released" and data.get("urgency") != "critical"):
        return
    await connection.execute(
        """
        INSERT INTO webhook_deliveries (tenant, screening_id, event, check_name, url, body)
        SELECT s.tenant, s.screening_id, %(event)s, %(check)s,
            coalesce(s.callback_url, w.callback_url), coalesce(w.body, 'reference')
        FROM screenings s LEFT JOIN webhooks w USING (tenant)
        WHERE s.screening_id = %(id)s AND coalesce(s.callback_url, w.callback_url) IS NOT NULL
            AND (%(kind)s <> 'signed' OR w.signed)
        """,
        {"event": EVENTS[kind], "kind": kind, "check": data.get("check"), "id": screening_id},
    )


async def take_due(
    connection: Connection, *, limit: int, per_tenant: int, busy: Sequence[str] = ()
) -> list[Delivery]:
    """Take deliveries whose time has come; each counts as an attempt from now on.

    Parameters
    ----------
    limit, per_tenant : int
        At most so many, and of one tenant: a dead receiver holds up nobody else.
    busy : sequence of str
        Tenants to leave alone.
    """
    cursor = await connection.execute(
        """
        UPDATE webhook_deliveries SET attempts = attempts + 1, last_attempt_at = now(),
            next_at = now() + make_interval(secs => %(lease)s)
        WHERE delivery_id IN (
            SELECT due.delivery_id FROM (
                SELECT tenant FROM tenants WHERE NOT tenant = ANY(%(busy)s)
                ORDER BY random()) every
            CROSS JOIN LATERAL (
                SELECT delivery_id FROM webhook_deliveries
                WHERE tenant = every.tenant AND state = 'pending' AND next_at <= now()
                ORDER BY next_at LIMIT %(per_tenant)s FOR UPDATE SKIP LOCKED) due
            LIMIT %(limit)s)
        RETURNING *
        """,
        {"lease": LEASE_SECONDS, "busy": list(busy), "per_tenant": per_tenant, "limit": limit},
    )
    return await cursor.fetchall()


async def record(
    connection: Connection,
    taken: Delivery,
    *,
    state: str,
    delay_seconds: float = 0.0,
    status: int | None = None,
    error: str | None = None,
) -> bool:
    """Write how an attempt ended; False when another one has begun since.

    Parameters
    ----------
    state : str
        ``pending`` to try again after the delay.
    """
    cursor = await connection.execute(
        """
        UPDATE webhook_deliveries SET state = %(state)s, last_status = %(status)s,
            last_error = %(error)s, next_at = now() + make_interval(secs => %(delay)s),
            ended_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE now() END
        WHERE delivery_id = %(id)s AND attempts = %(attempts)s AND state = 'pending'
        """,
        {
            "state": state,
            "status": status,
            "error": error,
            "delay": delay_seconds,
            "id": taken["delivery_id"],
            "attempts": taken["attempts"],
        },
    )
    return cursor.rowcount == 1


async def page(
    connection: Connection,
    tenant: str,
    *,
    states: Sequence[str] | None = None,
    screening_id: UUID | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[Delivery]:
    """List a tenant's deliveries, newest first."""
    conditions = ["tenant = %(tenant)s"]
    if states is not None:
        conditions.append("state = ANY(%(states)s)")
    if screening_id is not None:
        conditions.append("screening_id = %(screening)s")
    if before is not None:
        conditions.append("(created_at, delivery_id) < (%(at)s, %(id)s)")
    at, identifier = before or (None, None)
    cursor = await connection.execute(
        f"SELECT * FROM webhook_deliveries WHERE {' AND '.join(conditions)}"
        " ORDER BY created_at DESC, delivery_id DESC LIMIT %(limit)s",
        {
            "tenant": tenant,
            "states": list(states or ()),
            "screening": screening_id,
            "at": at,
            "id": identifier,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def replay(connection: Connection, tenant: str, delivery_id: UUID) -> Delivery:
    """Owe a delivery again, however it ended, under the same identifier and for another day.

    Raises
    ------
    NotFoundError
        When the tenant has no such delivery.
    """
    cursor = await connection.execute(
        """
        UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_at = now(),
            due_since = now(), ended_at = NULL
        WHERE tenant = %s AND delivery_id = %s RETURNING *
        """,
        (tenant, delivery_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such delivery.")
    await connection.execute("SELECT pg_notify('onescan', 'delivery')")
    return row


async def owed(connection: Connection) -> tuple[int, float]:
    """Count what is owed, and give the age of the oldest, in seconds."""
    cursor = await connection.execute(
        "SELECT count(*) AS number,"
        " coalesce(extract(epoch FROM now() - min(due_since))::float, 0) AS oldest"
        " FROM webhook_deliveries WHERE state = 'pending'"
    )
    row = await cursor.fetchone()
    return (row["number"], row["oldest"]) if row else (0, 0.0)
