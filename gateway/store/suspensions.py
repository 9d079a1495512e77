"""What an operator has suspended: intake, or a lane, of one tenant or of everybody.

A suspended intake takes no instance. A suspended lane takes screenings and lets none of them
begin; what a worker has in hand goes on. A job of a suspended lane is dropped by
`gateway.store.screenings.claim`, and the reaper makes another once the lane is resumed.
"""

from __future__ import annotations

from typing import Any

from gateway.exceptions import NotFoundError
from gateway.store import audit
from gateway.store.database import Connection
from gateway.store.queue import LANES

EVERYBODY = ""
"""Stands for the whole deployment where a tenant's name would stand."""

INTAKE = "intake"

SUSPENDABLE = (INTAKE, *LANES)

MAX_REASON_CHARACTERS = 200


async def suspend(
    connection: Connection, tenant: str, what: str, *, reason: str, actor: str
) -> None:
    """Suspend in the caller's transaction; again only changes the reason."""
    await connection.execute(
        "INSERT INTO suspensions (tenant, what, reason, actor) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (tenant, what) DO UPDATE SET reason = excluded.reason,"
        " actor = excluded.actor, at = now()",
        (tenant, what, reason, actor),
    )
    await audit.record(connection, tenant, actor, f"{what}.suspended", what, {"reason": reason})


async def resume(connection: Connection, tenant: str, what: str, *, actor: str) -> None:
    """Resume in the caller's transaction.

    Raises
    ------
    NotFoundError
        When it is not suspended for this tenant.
    """
    cursor = await connection.execute(
        "DELETE FROM suspensions WHERE tenant = %s AND what = %s", (tenant, what)
    )
    if cursor.rowcount == 0:
        raise NotFoundError(f"{what} is not suspended.")
    await audit.record(connection, tenant, actor, f"{what}.resumed", what)


async def list_suspensions(
    connection: Connection, tenant: str | None = None
) -> list[dict[str, Any]]:
    """List suspensions: all, or those that hold for a tenant."""
    cursor = await connection.execute(
        "SELECT tenant, what, reason, actor, at FROM suspensions"
        " WHERE %(tenant)s::text IS NULL OR tenant IN ('', %(tenant)s) ORDER BY at, tenant, what",
        {"tenant": tenant},
    )
    return await cursor.fetchall()
