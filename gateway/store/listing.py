"""Lists of screenings and studies, newest first, page by page.

A page is continued from the time and the identifier of its last row, so rows that come in
meanwhile shift nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.exceptions import NotFoundError
from gateway.store.database import Connection

Row = dict[str, Any]

MAX_LIMIT = 200
"""Rows of one page."""

_SCREENING = """
SELECT s.screening_id, s.study_instance_uid, s.state, s.version, s.supersedes, s.attempt, s.lane,
    s.exam_context, s.checks, s.error_code, s.error_message, s.created_at, s.started_at,
    s.finished_at,
    (SELECT coalesce(jsonb_object_agg(r.check_name, r.state), '{}') FROM check_results r
        WHERE r.screening_id = s.screening_id) AS check_states
FROM screenings s
"""

_SCREENING_FILTERS = {
    "state": "s.state = ANY(%(state)s)",
    "lane": "s.lane = ANY(%(lane)s)",
    "study_instance_uid": "s.study_instance_uid = %(study_instance_uid)s",
    "created_from": "s.created_at >= %(created_from)s",
    "created_to": "s.created_at < %(created_to)s",
    "without": "NOT s.study_instance_uid = ANY(%(without)s::text[])",
}

_STUDY = """
SELECT s.study_instance_uid, s.accession_number, s.study_date, s.modalities, s.series_count,
    s.instance_count, s.attributes ->> 'StudyDescription' AS description, s.created_at,
    s.updated_at
FROM studies s
"""

_STUDY_FILTERS = {
    "accession_number": "s.accession_number = %(accession_number)s",
    "modality": "%(modality)s = ANY(s.modalities)",
    "created_from": "s.created_at >= %(created_from)s",
    "created_to": "s.created_at < %(created_to)s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows are asked for."""

    filters: Mapping[str, Any]
    """Name → value; those that are not asked for are missing."""

    before: tuple[datetime, str] | None = None
    """Time and identifier of the last row of the page before."""

    limit: int = 50


async def screenings(connection: Connection, tenant: str, page: Page) -> list[Row]:
    """List a tenant's screenings.

    The filters ``check`` and ``check_state`` go together: with a state, one of these checks
    (any without names) has been released with it; without, one of them was asked for.
    """
    given = page.filters
    conditions = [_SCREENING_FILTERS[name] for name in given if name in _SCREENING_FILTERS]
    if "check_state" in given:
        named = " AND r.check_name = ANY(%(check)s)" if "check" in given else ""
        conditions.append(
            "EXISTS (SELECT FROM check_results r WHERE r.screening_id = s.screening_id"
            f" AND r.state = ANY(%(check_state)s){named})"
        )
    elif "check" in given:
        conditions.append("s.checks && %(check)s::text[]")
    return await _page(connection, tenant, page, _SCREENING, conditions, "s.screening_id", "uuid")


async def studies(connection: Connection, tenant: str, page: Page) -> list[Row]:
    """List a tenant's studies by the time of their first instance."""
    conditions = [_STUDY_FILTERS[name] for name in page.filters]
    uid = 's.study_instance_uid COLLATE "C"'
    return await _page(connection, tenant, page, _STUDY, conditions, uid, "text")


async def study(connection: Connection, tenant: str, uid: str) -> tuple[Row, list[Row]]:
    """Give a tenant's study and its series.

    Raises
    ------
    NotFoundError
        When the tenant has no such study.
    """
    key = (tenant, uid)
    found = await connection.execute(
        f"{_STUDY} WHERE s.tenant = %s AND s.study_instance_uid = %s", key
    )
    row = await found.fetchone()
    if row is None:
        raise NotFoundError("No study of that UID has been received.")
    series = await connection.execute(
        "SELECT series_instance_uid, modality, series_number, instance_count,"
        " attributes ->> 'SeriesDescription' AS description, updated_at FROM series"
        " WHERE tenant = %s AND study_instance_uid = %s"
        " ORDER BY series_number, series_instance_uid",
        key,
    )
    return row, await series.fetchall()


async def _page(
    connection: Connection,
    tenant: str,
    page: Page,
    select: str,
    conditions: list[str],
    identifier: str,
    kind: str,
) -> list[Row]:
    at, last = page.before or (None, None)
    parts = ["s.tenant = %(tenant)s", *conditions]
    if page.before is not None:
        parts.append(f"(s.created_at, {identifier}) < (%(before_at)s, %(before_id)s::{kind})")
    cursor = await connection.execute(
        f"{select} WHERE {' AND '.join(parts)}"
        f" ORDER BY s.created_at DESC, {identifier} DESC LIMIT %(limit)s",
        {
            **page.filters,
            "tenant": tenant,
            "before_at": at,
            "before_id": last,
            "limit": page.limit,
        },
    )
    return await cursor.fetchall()
