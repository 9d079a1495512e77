"""Workers, as they report themselves with every heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from gateway.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker says of itself."""

    worker: str
    version: str
    pool: str
    checks: tuple[str, ...]
    lanes: tuple[str, ...]
    slots: int
    in_flight: int
    triton_ready: bool
    draining: bool
    pod: str
    """Its pod, or else its machine."""

    drained: bool
    """Whether an operator has it drained and nothing is in hand."""


async def seen_lately(connection: Connection, seconds: float) -> list[dict[str, Any]]:
    """List the workers that spoke within so many seconds."""
    cursor = await connection.execute(
        "SELECT * FROM workers WHERE seen_at > now() - make_interval(secs => %s)", (seconds,)
    )
    return await cursor.fetchall()


def beat(connection: psycopg.Connection[Any], report: Report, claims: Sequence[str]) -> set[UUID]:
    """Say that a worker and its screenings are alive; blocks, for a thread of its own.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode.
    report : Report
        What is shown of the worker.
    claims : sequence of str
        Claim names of the screenings in hand.

    Returns
    -------
    set of UUID
        The screenings that are still this worker's.
    """
    connection.execute(
        """
        INSERT INTO workers
            (worker, version, pool, checks, lanes, slots, in_flight, triton_ready, draining,
            pod, drained)
        VALUES (%(worker)s, %(version)s, %(pool)s, %(checks)s, %(lanes)s, %(slots)s,
            %(in_flight)s, %(triton_ready)s, %(draining)s, %(pod)s, %(drained)s)
        ON CONFLICT (worker) DO UPDATE SET seen_at = now(), in_flight = excluded.in_flight,
            triton_ready = excluded.triton_ready, draining = excluded.draining,
            drained = excluded.drained
        """,
        {
            "worker": report.worker,
            "version": report.version,
            "pool": report.pool,
            "checks": list(report.checks),
            "lanes": list(report.lanes),
            "slots": report.slots,
            "in_flight": report.in_flight,
            "triton_ready": report.triton_ready,
            "draining": report.draining,
            "pod": report.pod,
            "drained": report.drained,
        },
    )
    if not claims:
        return set()
    cursor = connection.execute(
        "UPDATE screenings SET heartbeat_at = now()"
        " WHERE state = 'running' AND worker = ANY(%s) RETURNING screening_id",
        (list(claims),),
    )
    return {row[0] for row in cursor.fetchall()}


def leave(connection: psycopg.Connection[Any], worker: str) -> None:
    """Say that a worker is gone."""
    connection.execute("DELETE FROM workers WHERE worker = %s", (worker,))
