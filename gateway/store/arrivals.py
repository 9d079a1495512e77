"""When a study was last added to: what tells that it is complete.

Noted in the transaction that indexes the instances, by the database's clock, so that neither a
process that dies nor one whose clock is wrong can make a study look complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.intake.partners import Partner
from gateway.own_results import is_own_result
from gateway.store.database import Connection
from gateway.store.index import Outcome, Status

NOTE = """
INSERT INTO arrivals AS a
    (tenant, study_instance_uid, partner, last_at, waiting, stat, quiet_seconds, due_at)
SELECT %(tenant)s, %(study)s, %(partner)s, at, %(count)s, %(stat)s, %(quiet)s::float8,
    CASE WHEN %(quiet)s > 0 THEN at + make_interval(secs => %(quiet)s) END
FROM clock_timestamp() at
ON CONFLICT (tenant, study_instance_uid) DO UPDATE SET
    -- who wants nothing by itself does not take away what another sender has begun
    partner = CASE WHEN %(quiet)s > 0 OR a.due_at IS NULL THEN EXCLUDED.partner
        ELSE a.partner END,
    quiet_seconds = CASE WHEN %(quiet)s > 0 OR a.due_at IS NULL THEN EXCLUDED.quiet_seconds
        ELSE a.quiet_seconds END,
    due_at = CASE WHEN %(quiet)s > 0 THEN EXCLUDED.due_at
        WHEN a.due_at IS NOT NULL
        THEN EXCLUDED.last_at + make_interval(secs => a.quiet_seconds) END,
    last_at = EXCLUDED.last_at,
    waiting = a.waiting + EXCLUDED.waiting,
    stat = a.stat OR EXCLUDED.stat
"""
"""The clock is read here and not at the transaction's begin, which may have waited for a lock."""

HOLD_BACK_SECONDS = 5.0
"""Between two calls of `put_off`; a quarter of the quiet time where that is less."""


async def note_arrivals(
    connection: Connection, partner: Partner, outcomes: Sequence[Outcome]
) -> None:
    """Note what has come of each study; call it in the transaction that indexed it.

    Only instances that are new count: a copy that changes nothing, a revision of attributes and
    our own results neither start a screening nor put one off.

    Parameters
    ----------
    connection : Connection
        In the transaction of `gateway.store.index.add_instances`, which commits by itself
        unless its caller has begun one: ``async with connection.transaction()`` around both.
    partner : Partner
        The sender's profile.
    outcomes : sequence of Outcome
        Of one call of `add_instances`.
    """
    new = [
        outcome.instance
        for outcome in outcomes
        if outcome.status == Status.STORED and not is_own_result(outcome.instance)
    ]
    urgent = {i.study_instance_uid for i in new if partner.is_stat(i.attributes)}
    counts = Counter(instance.study_instance_uid for instance in new)
    for study in sorted(counts):  # in one order, so that no two requests wait for each other
        await connection.execute(
            NOTE,
            {
                "tenant": partner.tenant,
                "study": study,
                "partner": partner.name,
                "count": counts[study],
                "stat": study in urgent,
                "quiet": partner.quiet_seconds,
            },
        )


def hold_back_seconds(quiet_seconds: float) -> float:
    """Give how often to `put_off` while a sender with this quiet time sends."""
    return min(HOLD_BACK_SECONDS, quiet_seconds / 4) or HOLD_BACK_SECONDS


async def put_off(connection: Connection, tenant: str, studies: Sequence[str]) -> None:
    """Begin the quiet time of studies anew: more of them is on the wire and not yet indexed."""
    await connection.execute(
        "UPDATE arrivals SET due_at = clock_timestamp() + make_interval(secs => quiet_seconds)"
        " WHERE tenant = %s AND study_instance_uid = ANY(%s) AND due_at IS NOT NULL",
        (tenant, list(studies)),
    )


async def settle(connection: Connection, tenant: str, study_instance_uid: str) -> None:
    """Note that a screening of all that is there was made; in its transaction."""
    await connection.execute(
        "UPDATE arrivals SET due_at = NULL, waiting = 0"
        " WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )


async def try_lock_study(connection: Connection, tenant: str, study_instance_uid: str) -> bool:
    """Hold a study against being added to until the transaction ends; never waits.

    The lock is that of `gateway.store.index`; False means that something is being added.
    """
    cursor = await connection.execute(
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%s || '/' || %s, 0)) AS held",
        (tenant, study_instance_uid),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["held"])
