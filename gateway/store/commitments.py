"""Storage commitment requests: kept until their result has been taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg.types.json import Jsonb

from gateway.store.database import Connection

MAX_DELAY = timedelta(hours=1)
"""Between two attempts at telling a result; the first comes after some seconds and doubles."""

FIRST_DELAY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """One request for commitment, whose result was not yet taken."""

    commitment_id: int
    tenant: str
    transaction_uid: str
    calling: str
    """AE title that asked."""

    called: str
    references: Mapping[str, str]
    """SOP Instance UID → SOP Class UID."""

    attempts: int


async def add_commitment(
    connection: Connection,
    *,
    tenant: str,
    transaction_uid: str,
    calling: str,
    called: str,
    references: Mapping[str, str],
) -> int:
    """Keep a request; the same one again is the same, and its result will be told anew."""
    cursor = await connection.execute(
        'INSERT INTO commitments (tenant, transaction_uid, calling, called, "references")'
        " VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (tenant, calling, transaction_uid) DO UPDATE"
        ' SET "references" = EXCLUDED."references", called = EXCLUDED.called, told_at = NULL,'
        " attempts = 0, next_at = EXCLUDED.next_at"
        " RETURNING commitment_id",
        (tenant, transaction_uid, calling, called, Jsonb(dict(references))),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row["commitment_id"])


async def untold(
    connection: Connection, *, tenant: str, calling: str, limit: int = 20
) -> list[Commitment]:
    """List the requests of an AE whose results it has not taken, oldest first."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM commitments"
        " WHERE tenant = %s AND calling = %s AND told_at IS NULL"
        " ORDER BY commitment_id LIMIT %s",
        (tenant, calling, limit),
    )
    return [Commitment(**row) for row in await cursor.fetchall()]


async def take_due(
    connection: Connection, callings: Sequence[str], *, keep: timedelta, limit: int = 10
) -> list[Commitment]:
    """Take requests whose results should be told now, to AEs that can be called.

    Each is put off at once, so that two processes do not tell the same one; a telling that fails
    is made good by the next one. What nobody took within `keep` is no longer tried.
    """
    cursor = await connection.execute(
        "UPDATE commitments SET attempts = attempts + 1,"
        " next_at = now() + least(%s * power(2, least(attempts, 20)), %s)"
        " WHERE commitment_id IN (SELECT commitment_id FROM commitments"
        "  WHERE told_at IS NULL AND next_at <= now() AND calling = ANY(%s)"
        "  AND created_at > now() - %s"
        "  ORDER BY next_at LIMIT %s FOR UPDATE SKIP LOCKED)"
        f" RETURNING {_COLUMNS}",
        (FIRST_DELAY, MAX_DELAY, list(callings), keep, limit),
    )
    return [Commitment(**row) for row in await cursor.fetchall()]


async def mark_told(connection: Connection, commitment_id: int) -> None:
    """Note that the result was taken."""
    await connection.execute(
        "UPDATE commitments SET told_at = now() WHERE commitment_id = %s", (commitment_id,)
    )


async def delete_old(connection: Connection, keep: timedelta) -> int:
    """Delete requests older than that, taken or not; give how many."""
    cursor = await connection.execute(
        "DELETE FROM commitments WHERE created_at < now() - %s", (keep,)
    )
    return cursor.rowcount


async def held(
    connection: Connection, tenant: str, sop_instance_uids: Sequence[str]
) -> dict[str, set[str]]:
    """Tell which instances are held for good: SOP Instance UID → its SOP Class UIDs."""
    found: dict[str, set[str]] = {}
    cursor = await connection.execute(
        "SELECT DISTINCT sop_instance_uid, sop_class_uid FROM instances"
        " WHERE tenant = %s AND sop_instance_uid = ANY(%s)",
        (tenant, list(sop_instance_uids)),
    )
    for row in await cursor.fetchall():
        found.setdefault(row["sop_instance_uid"], set()).add(row["sop_class_uid"])
    return found


_COLUMNS = 'commitment_id, tenant, transaction_uid, calling, called, "references", attempts'
