"""What pools have to do, and what they have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store.database import Connection


async def demand(
    connection: Connection, checks: Sequence[str], lanes: Sequence[str]
) -> dict[str, Any]:
    """Give what waits for a pool of these checks and lanes, as its autoscaler sees it.

    Parameters
    ----------
    checks, lanes : sequence of str
        Empty means all.

    Returns
    -------
    dict
        ``waiting`` (screenings that the pool may take whole, others may take them too),
        ``gpu_seconds`` (estimated, waiting and in hand), ``oldest_seconds`` (the one that waits
        longest).
    """
    cursor = await connection.execute(
        """
        SELECT onescan_pool_gpu_seconds(%(checks)s, %(lanes)s) AS gpu_seconds,
            onescan_pool_oldest_seconds(%(checks)s, %(lanes)s) AS oldest_seconds,
            (SELECT count(*) FROM screenings WHERE state = 'accepted'
                AND (source IS NULL OR fetched_at IS NOT NULL)
                AND (cardinality(%(checks)s::text[]) = 0 OR checks <@ %(checks)s)
                AND (cardinality(%(lanes)s::text[]) = 0 OR lane = ANY (%(lanes)s))) AS waiting
        """,
        {"checks": list(checks), "lanes": list(lanes)},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def spent(connection: Connection, hours: float) -> dict[str, dict[str, Any]]:
    """Give what pools finished within so many hours, by pool.

    GPU-seconds are estimates: anatomy and each check that was evaluated, by the manifests' costs,
    and a second for a check whose cost is not known. What failed or was retried is not among them.

    Returns
    -------
    dict
        Pool → ``screenings``, ``studies``, ``gpu_seconds``; an empty name stands for screenings
        whose worker had not said its pool.
    """
    cursor = await connection.execute(
        """
        WITH cost AS (
            SELECT s.screening_id, sum(coalesce(c.gpu_seconds, 1))
                + coalesce((SELECT gpu_seconds FROM check_costs WHERE name = 'anatomy'), 1)
                AS gpu_seconds
            FROM screenings s JOIN check_results r USING (screening_id)
            LEFT JOIN check_costs c ON c.name = r.check_name
            WHERE s.state = 'done' AND s.finished_at > now() - make_interval(secs => %(seconds)s)
                AND r.state <> 'not_evaluated'
            GROUP BY s.screening_id)
        SELECT coalesce(s.pool, '') AS pool, count(*) AS screenings,
            count(DISTINCT (s.tenant, s.study_instance_uid)) AS studies,
            coalesce(sum(cost.gpu_seconds), 0) AS gpu_seconds
        FROM screenings s LEFT JOIN cost USING (screening_id)
        WHERE s.state = 'done' AND s.finished_at > now() - make_interval(secs => %(seconds)s)
        GROUP BY 1
        """,
        {"seconds": hours * 3600},
    )
    return {row.pop("pool"): row for row in await cursor.fetchall()}
