"""What is hidden from readers who have yet to mark findings of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from gateway.own_results import DERIVED_CLASSES, MAKER
from gateway.store.database import Connection


async def hidden_studies(
    connection: Connection,
    tenant: str,
    reader: str,
    studies: Sequence[str],
    *,
    teaching: bool,
    report: bool = False,
) -> set[str]:
    """Give those studies whose findings a reader must not see yet.

    Whoever reads in a reader study sees nothing of a case that he has yet to read, but for the
    reading with findings that he has in hand.

    Parameters
    ----------
    teaching : bool
        Whether he learns: everything is hidden until he has signed his own marks.
    report : bool
        Whether final reports are meant, the truth of reader studies: hidden until a case is read
        for the last time.
    """
    cursor = await connection.execute(
        """
        SELECT study FROM unnest(%(studies)s::text[]) study WHERE
            (%(teaching)s AND NOT EXISTS (
                SELECT FROM screenings s JOIN reviews r USING (screening_id)
                WHERE s.tenant = %(tenant)s AND s.study_instance_uid = study
                    AND r.reader = %(reader)s AND r.purpose = 'teaching' AND r.state = 'signed'))
            OR (SELECT coalesce(bool_or(true), false)
                    AND (%(report)s OR NOT bool_or(g.opened_at IS NOT NULL AND g.with_findings))
                FROM screenings s JOIN readings g USING (screening_id)
                WHERE s.tenant = %(tenant)s AND s.study_instance_uid = study
                    AND g.reader = %(reader)s AND g.closed_at IS NULL)
        """,
        {
            "tenant": tenant,
            "reader": reader,
            "studies": list(studies),
            "teaching": teaching,
            "report": report,
        },
    )
    return {row["study"] for row in await cursor.fetchall()}


async def unread_studies(connection: Connection, tenant: str, reader: str) -> list[str]:
    """List the cases of reader studies that a reader has yet to read once more."""
    cursor = await connection.execute(
        "SELECT DISTINCT s.study_instance_uid FROM readings g JOIN screenings s"
        " USING (screening_id) WHERE s.tenant = %s AND g.reader = %s AND g.closed_at IS NULL",
        (tenant, reader),
    )
    return [row["study_instance_uid"] for row in await cursor.fetchall()]


async def studies_of(
    connection: Connection, tenant: str, screenings: Sequence[UUID]
) -> dict[UUID, str]:
    """Give the study of each of a tenant's screenings that has one."""
    cursor = await connection.execute(
        "SELECT screening_id, study_instance_uid FROM screenings WHERE tenant = %s"
        " AND screening_id = ANY(%s) AND study_instance_uid IS NOT NULL",
        (tenant, list(screenings)),
    )
    return {row["screening_id"]: row["study_instance_uid"] for row in await cursor.fetchall()}


async def holds_own_results(
    connection: Connection,
    tenant: str,
    study_instance_uid: str,
    *,
    series: str | None = None,
    instance: str | None = None,
) -> bool:
    """Tell whether a study, a series or an instance is or holds what we made ourselves."""
    cursor = await connection.execute(
        """
        SELECT EXISTS (SELECT FROM studies s
            JOIN instances i USING (tenant, day, study_instance_uid)
            WHERE s.tenant = %(tenant)s AND s.study_instance_uid = %(study)s
                AND (%(series)s::text IS NULL OR i.series_instance_uid = %(series)s)
                AND (%(instance)s::text IS NULL OR i.sop_instance_uid = %(instance)s)
                AND (i.sop_class_uid = ANY(%(classes)s) OR i.sop_class_uid LIKE ANY(%(below)s))
                AND (i.attributes ->> 'Manufacturer' ILIKE %(maker)s
                    OR i.attributes ->> 'ManufacturerModelName' ILIKE %(maker)s)) AS held
        """,
        {
            "tenant": tenant,
            "study": study_instance_uid,
            "series": series,
            "instance": instance,
            "classes": list(DERIVED_CLASSES),
            "below": [f"{family}.%" for family in DERIVED_CLASSES],
            "maker": f"{MAKER}%",
        },
    )
    row = await cursor.fetchone()
    return bool(row and row["held"])


async def to_mark(
    connection: Connection, tenant: str, reader: str, *, limit: int
) -> list[dict[str, Any]]:
    """List the studies that a reader who learns has yet to mark, those that came last first.

    Returns
    -------
    list of dict
        ``screening_id``, ``created_at``, ``attributes``, ``modalities``, and whether it is
        ``begun``; nothing that tells or hints at findings.
    """
    cursor = await connection.execute(
        """
        SELECT s.screening_id, s.created_at, st.attributes, st.modalities,
            EXISTS (SELECT FROM reviews r WHERE r.screening_id = s.screening_id
                AND r.reader = %(reader)s AND r.purpose = 'teaching') AS begun
        FROM screenings s JOIN studies st USING (tenant, study_instance_uid)
        WHERE s.tenant = %(tenant)s AND s.state = 'done'
            AND NOT EXISTS (SELECT FROM screenings n WHERE n.tenant = s.tenant
                AND n.study_instance_uid = s.study_instance_uid AND n.state = 'done'
                AND n.version > s.version)
            AND NOT EXISTS (SELECT FROM screenings o JOIN reviews r USING (screening_id)
                WHERE o.tenant = s.tenant AND o.study_instance_uid = s.study_instance_uid
                    AND r.reader = %(reader)s AND r.purpose = 'teaching' AND r.state = 'signed')
        ORDER BY s.created_at DESC, s.screening_id LIMIT %(limit)s
        """,
        {"tenant": tenant, "reader": reader, "limit": limit},
    )
    return await cursor.fetchall()
