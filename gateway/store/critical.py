"""Critical results: each asks a named person until somebody says that it has been seen.

The database writes the row with the result (migration ``critical``), so no release goes round it.
Whom to ask is said by the tenant's table in the partners file; the loop beside the api names the
first person, and the next one each time that nobody has answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from gateway.exceptions import NotFoundError
from gateway.log import get_logger
from gateway.metrics import CRITICAL_ESCALATED
from gateway.store import audit
from gateway.store.database import Connection, Database

Row = dict[str, Any]

ACTOR = "escalation"

LOOK_SECONDS = 1.0
"""How often the loop looks for what is due."""

LOOK_AGAIN_SECONDS = 15.0
"""Pause after the database went away."""

BATCH = 100
"""Rows of one look."""

LISTED = 200
"""Open ones that are listed; more are counted."""

log = get_logger("onescan.critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """Who is asked about a tenant's critical results, one after another."""

    ask: tuple[str, ...] = ("radiologist on duty",)
    minutes: float = 15.0
    """What each of them gets to answer."""


_SELECT = """
SELECT c.critical_id, c.screening_id, s.study_instance_uid, c.check_name, c.raised_at, c.asked,
    c.level, c.due_at, c.acknowledged_at, c.acknowledged_by
FROM critical_results c JOIN screenings s USING (screening_id)
"""


async def open_results(connection: Connection, tenant: str) -> list[Row]:
    """List a tenant's critical results that nobody has acknowledged, oldest first."""
    cursor = await connection.execute(
        f"{_SELECT} WHERE c.tenant = %s AND c.acknowledged_at IS NULL"
        " ORDER BY c.raised_at, c.critical_id LIMIT %s",
        (tenant, LISTED),
    )
    return await cursor.fetchall()


async def of_screening(connection: Connection, tenant: str, screening_id: UUID) -> list[Row]:
    """List those of one screening, acknowledged ones too."""
    cursor = await connection.execute(
        f"{_SELECT} WHERE c.tenant = %s AND c.screening_id = %s ORDER BY c.raised_at, c.check_name",
        (tenant, screening_id),
    )
    return await cursor.fetchall()


async def acknowledge(connection: Connection, tenant: str, critical_id: UUID, name: str) -> Row:
    """Note who has seen a critical result; the first one stands, repeating it is harmless.

    Raises
    ------
    NotFoundError
        When the tenant has no such critical result.
    """
    cursor = await connection.execute(
        "UPDATE critical_results SET acknowledged_at = now(), acknowledged_by = %(name)s,"
        " due_at = NULL WHERE tenant = %(tenant)s AND critical_id = %(id)s"
        " AND acknowledged_at IS NULL RETURNING screening_id, check_name",
        {"tenant": tenant, "id": critical_id, "name": name},
    )
    if row := await cursor.fetchone():
        detail = {"check": row["check_name"], "critical_id": str(critical_id)}
        await audit.record(
            connection, tenant, name, "critical.acknowledged", str(row["screening_id"]), detail
        )
    found = await connection.execute(
        f"{_SELECT} WHERE c.tenant = %s AND c.critical_id = %s", (tenant, critical_id)
    )
    standing = await found.fetchone()
    if standing is None:
        raise NotFoundError("There is no such critical result.")
    return standing


async def escalate(connection: Connection, cares: Mapping[str, Care]) -> int:
    """Ask the first or the next person about what is due, in the caller's transaction.

    After the last of them nobody else is asked, and the result stays open on top of the list.
    """
    due = await connection.execute(
        "SELECT critical_id, tenant, screening_id, check_name, asked, level FROM critical_results"
        " WHERE acknowledged_at IS NULL AND due_at <= now() ORDER BY due_at LIMIT %s"
        " FOR UPDATE SKIP LOCKED",
        (BATCH,),
    )
    rows = await due.fetchall()
    for row in rows:
        care = cares.get(row["tenant"], Care())
        level = row["level"] + 1 if row["asked"] else 0
        asked = care.ask[level] if level < len(care.ask) else row["asked"]
        await connection.execute(
            "UPDATE critical_results SET asked = %(asked)s, level = %(level)s, due_at ="
            " CASE WHEN %(last)s THEN NULL ELSE now() + make_interval(secs => %(seconds)s) END"
            " WHERE critical_id = %(id)s",
            {
                "asked": asked,
                "level": level,
                "last": level >= len(care.ask),
                "seconds": care.minutes * 60,
                "id": row["critical_id"],
            },
        )
        detail = {"check": row["check_name"], "asked": asked, "level": level}
        action = "critical.escalated" if level else "critical.asked"
        await audit.record(
            connection, row["tenant"], ACTOR, action, str(row["screening_id"]), detail
        )
        if level:
            CRITICAL_ESCALATED.inc()
            log.warning("onescan.critical.escalated", check=row["check_name"], level=level)
    return len(rows)


async def run_escalation(database: Database, cares: Mapping[str, Care]) -> None:
    """Look every `LOOK_SECONDS` until cancelled."""
    while True:
        try:
            async with database.connection() as connection:
                await escalate(connection, cares)
        except (psycopg.Error, TimeoutError) as error:
            log.warning("onescan.critical.database_away", error=type(error).__name__)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)
