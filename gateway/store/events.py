"""Events of screenings, read in the order in which they were committed.

Rows are written without a position; `place` gives one to those that are committed. A reader that
goes on from the last position that it saw misses nothing (migration 0009 says why).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gateway.store.database import Connection

CHANNEL = "onescan"
"""Of LISTEN: ``written``, ``placed`` or ``delivery`` (a webhook is due)."""

REVIEW_KINDS = ("reviewed", "signed")
"""An independent review was signed; there is a final report, or an amendment."""

FINAL_KINDS = ("done", "failed", "cancelled")
"""After one of them a screening has no further event but those of its reviews."""

KINDS = (
    "accepted",
    "fetched",
    "running",
    "stage",
    "released",
    "retried",
    "handed_back",
    *FINAL_KINDS,
    *REVIEW_KINDS,
)
"""What an event tells."""

PLACED_AT_ONCE = 1000
"""Limit of the database function."""

BATCH = 500
"""Events that are read at once."""

LARGEST_POSITION = 2**63 - 1

Event = dict[str, Any]
"""``position``, ``screening_id``, ``tenant``, ``kind``, ``data``, ``at``."""


async def place(connection: Connection) -> int:
    """Give a position to what was committed since the last time; says to how many.

    The connection commits by itself, so that no stopped process can hold the others up.
    """
    total = 0
    while True:
        cursor = await connection.execute("SELECT place_screening_events() AS placed")
        row = await cursor.fetchone()
        assert row is not None
        placed = int(row["placed"])
        total += placed
        if placed < PLACED_AT_ONCE:
            return total


async def read(
    connection: Connection, tenant: str, *, after: int, screening_id: UUID | None = None
) -> list[Event]:
    """List a tenant's events after a position, of one screening or of all."""
    of_one = "" if screening_id is None else " AND screening_id = %(id)s"
    cursor = await connection.execute(
        "SELECT position, screening_id, tenant, kind, data, at FROM screening_events"
        f" WHERE tenant = %(tenant)s AND position > %(after)s{of_one}"
        f" ORDER BY position LIMIT {BATCH}",
        {"tenant": tenant, "after": after, "id": screening_id},
    )
    return await cursor.fetchall()


async def latest(connection: Connection, tenant: str) -> int:
    """Give the position of a tenant's newest event; 0 when there is none."""
    cursor = await connection.execute(
        "SELECT coalesce(max(position), 0) AS position FROM screening_events WHERE tenant = %s",
        (tenant,),
    )
    row = await cursor.fetchone()
    return int(row["position"]) if row else 0


async def moved(connection: Connection, after: int) -> tuple[set[tuple[str, UUID]], int]:
    """Name the screenings, with their tenants, that have events after a position; and the last."""
    cursor = await connection.execute(
        "SELECT tenant, screening_id, max(position) AS position FROM screening_events"
        " WHERE position > %s GROUP BY tenant, screening_id",
        (after,),
    )
    rows = await cursor.fetchall()
    return (
        {(row["tenant"], row["screening_id"]) for row in rows},
        max((row["position"] for row in rows), default=after),
    )


async def newest(connection: Connection) -> int:
    """Give the largest position of all; 0 when there is none."""
    cursor = await connection.execute(
        "SELECT coalesce(max(position), 0) AS position FROM screening_events"
    )
    row = await cursor.fetchone()
    return int(row["position"]) if row else 0
