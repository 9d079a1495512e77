"""Which pods and pools an operator has asked to take nothing more.

A worker reads it with each heartbeat. It outlives the worker: what starts again in the same pod, or
anew in the same pool, takes nothing either, until the drain is lifted.
"""

from __future__ import annotations

from typing import Any

import psycopg

from gateway.exceptions import NotFoundError
from gateway.store import audit
from gateway.store.database import Connection
from gateway.store.suspensions import EVERYBODY

POD, POOL = "pod", "pool"
"""Scopes of a drain."""

FORGOTTEN_DAYS = 7
"""A pod's drain goes after so long without a worker; names of pods do not come again."""

_OF_TARGET = """
    (%(scope)s = 'pool' AND pool = %(name)s)
    OR (%(scope)s = 'pod' AND (pod = %(name)s OR starts_with(worker, %(name)s || '-')))
"""
"""Workers of a pod or pool. One of an older release names its pod in its own name only."""


async def request(
    connection: Connection, scope: str, name: str, *, actor: str, replicas: int | None = None
) -> None:
    """Ask a pod or pool to take nothing more; again changes nothing.

    Parameters
    ----------
    replicas : int, optional
        How many pods a pool wanted before, for when it is resumed.
    """
    await connection.execute(
        "DELETE FROM drains WHERE scope = 'pod' AND at < now() - make_interval(days => %s)"
        " AND NOT EXISTS (SELECT 1 FROM workers WHERE pod = name)",
        (FORGOTTEN_DAYS,),
    )
    cursor = await connection.execute(
        "INSERT INTO drains (scope, name, actor, replicas) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (scope, name, actor, replicas),
    )
    if cursor.rowcount:
        await connection.execute(  # what it says comes from an earlier drain
            f"UPDATE workers SET drained = false WHERE {_OF_TARGET}", {"scope": scope, "name": name}
        )
        await audit.record(connection, EVERYBODY, actor, f"{scope}.drained", name)


async def lift(connection: Connection, scope: str, name: str, *, actor: str) -> int | None:
    """Let a pod or pool take screenings again; give how many pods the pool wanted before.

    Raises
    ------
    NotFoundError
        When it is not drained.
    """
    cursor = await connection.execute(
        "DELETE FROM drains WHERE scope = %s AND name = %s RETURNING replicas", (scope, name)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"The {scope} {name} is not drained.")
    await audit.record(connection, EVERYBODY, actor, f"{scope}.resumed", name)
    replicas: int | None = row["replicas"]
    return replicas


async def list_drains(connection: Connection) -> list[dict[str, Any]]:
    """List what is drained."""
    cursor = await connection.execute(
        "SELECT scope, name, actor, at, replicas FROM drains ORDER BY at, scope, name"
    )
    return await cursor.fetchall()


async def still_busy(
    connection: Connection, scope: str, name: str, seen_seconds: float
) -> list[dict[str, Any]]:
    """List the workers of a drained pod or pool that may still have something in hand.

    Parameters
    ----------
    seen_seconds : float
        A worker that was silent for longer holds nothing: the reaper has taken it away.
    """
    cursor = await connection.execute(
        f"SELECT worker, pod, in_flight FROM workers WHERE ({_OF_TARGET}) AND NOT drained"
        " AND seen_at > now() - make_interval(secs => %(seen)s) ORDER BY worker",
        {"scope": scope, "name": name, "seen": seen_seconds},
    )
    return await cursor.fetchall()


def is_drained(connection: psycopg.Connection[Any], pod: str, pool: str) -> bool:
    """Say whether a worker of this pod and pool is to take nothing; blocks, for the heart."""
    cursor = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM drains WHERE (scope = 'pod' AND name = %s)"
        " OR (scope = 'pool' AND name = %s))",
        (pod, pool),
    )
    row = cursor.fetchone()
    return row is not None and bool(row[0])
