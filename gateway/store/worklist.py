"""The reading list: a row a study, those with the most urgent findings first, then the oldest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.exceptions import NotFoundError
from gateway.store.database import Connection

Row = dict[str, Any]

URGENCIES = ("critical", "urgent", "follow_up", "note", "none")
"""By the number in ``screenings.urgency``; the last one shows nothing."""

PAGE_ROWS = 50

_ROWS = """
SELECT s.screening_id, s.study_instance_uid, s.version, s.state, s.lane, s.urgency, s.created_at,
    s.finished_at, s.checks, s.error_code, st.attributes, st.modalities,
    EXISTS (SELECT FROM reviews r WHERE r.screening_id = s.screening_id AND r.final) AS signed,
    (SELECT n.state FROM screenings n WHERE n.tenant = s.tenant
        AND n.study_instance_uid = s.study_instance_uid AND n.version > s.version
        AND n.state <> 'cancelled' ORDER BY n.version DESC LIMIT 1) AS newer_state,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('check', r.check_name, 'state', r.state,
            'reason', r.reason, 'urgency', r.result ->> 'urgency', 'grade', r.result ->> 'grade',
            'text', r.result -> 'text',
            'marked', r.result #> '{thresholds,marked_by,0}' IS NOT NULL)), '[]')
        FROM check_results r WHERE r.screening_id = s.screening_id) AS results
FROM screenings s
LEFT JOIN studies st ON st.tenant = s.tenant AND st.study_instance_uid = s.study_instance_uid
WHERE s.tenant = %(tenant)s AND s.state <> 'cancelled' AND s.study_instance_uid IS NOT NULL
    AND NOT EXISTS (SELECT FROM screenings n WHERE n.tenant = s.tenant
        AND n.study_instance_uid = s.study_instance_uid AND n.state <> 'cancelled'
        AND CASE WHEN (n.state = 'done') = (s.state = 'done') THEN n.version > s.version
            ELSE n.state = 'done' END)
"""
"""Of a study's versions the newest that is done, or else the newest."""

_FILTERS = {
    "state": "s.state = %(state)s",
    "lane": "s.lane = %(lane)s",
    "urgency": "s.urgency = %(urgency)s",
    "check": "%(check)s = ANY(s.checks)",
    "date_from": "s.created_at >= %(date_from)s",
    "date_to": "s.created_at < %(date_to)s",
    "signed": "%(signed)s = EXISTS"
    " (SELECT FROM reviews r WHERE r.screening_id = s.screening_id AND r.final)",
    "patient": "strpos(upper(st.attributes ->> 'PatientID'), upper(%(patient)s)) > 0",
}
"""With ``check`` and ``check_state`` the check has that result; see `rows`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which rows are asked for."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    """Names of `_FILTERS`, and ``check_state``; those that are not asked for are missing."""

    page: int = 1


async def rows(connection: Connection, tenant: str, asked: Asked) -> list[Row]:
    """List one page of a tenant's studies, and one row more where there is a next page."""
    given = dict(asked.filters)
    parts = [_FILTERS[name] for name in given if name in _FILTERS]
    if "check_state" in given:
        named = " AND r.check_name = %(check)s" if "check" in given else ""
        parts.append(
            "EXISTS (SELECT FROM check_results r WHERE r.screening_id = s.screening_id"
            f" AND r.state = %(check_state)s{named})"
        )
    where = "".join(f" AND {part}" for part in parts)
    cursor = await connection.execute(
        f"{_ROWS}{where} ORDER BY s.urgency, s.created_at, s.screening_id"
        " LIMIT %(limit)s OFFSET %(offset)s",
        {
            **given,
            "tenant": tenant,
            "limit": PAGE_ROWS + 1,
            "offset": (asked.page - 1) * PAGE_ROWS,
        },
    )
    return await cursor.fetchall()


async def newest(connection: Connection, tenant: str, study_instance_uid: str) -> Row:
    """Find the screening of a study that is shown: the newest that is done, else the newest.

    Raises
    ------
    NotFoundError
        When the tenant has no screening of it.
    """
    cursor = await connection.execute(
        "SELECT screening_id FROM screenings WHERE tenant = %s AND study_instance_uid = %s"
        " ORDER BY state <> 'done', version DESC LIMIT 1",
        (tenant, study_instance_uid),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("No screening of that study is here.")
    return row


async def patient(connection: Connection, tenant: str, study_instance_uid: str) -> Row | None:
    """Give what the study's row says of study and patient; None where it is not here any more."""
    cursor = await connection.execute(
        "SELECT attributes, modalities, instance_count, updated_at FROM studies"
        " WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    return await cursor.fetchone()
