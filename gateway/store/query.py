"""Queries for studies, series and instances, whoever asks: QIDO-RS and C-FIND alike.

Everything is read from ``studies``, ``series`` and ``instances``; frames are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.exceptions import InvalidQueryError
from gateway.store.database import Connection
from gateway.store.matching import KEYS, LEVELS, Condition, Level, condition_of

MAX_OFFSET = 1_000_000
"""Deeper pages would read and drop as many rows; narrow the query instead."""

_INSTANCE_NUMBER = KEYS["InstanceNumber"].columns[0]

_COLUMNS = {
    Level.STUDY: (
        "s.study_instance_uid, s.attributes AS study, s.modalities,"
        " s.series_count AS study_series, s.instance_count AS study_instances"
    ),
    Level.SERIES: (
        "e.series_instance_uid, e.attributes AS series, e.instance_count AS series_instances"
    ),
    Level.IMAGE: (
        "i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.attributes AS instance"
    ),
}

_TABLES = {
    Level.STUDY: "studies s",
    Level.SERIES: (
        "JOIN series e ON e.tenant = s.tenant AND e.study_instance_uid = s.study_instance_uid"
    ),
    Level.IMAGE: (
        "JOIN instances i ON i.tenant = s.tenant AND i.day = s.day"
        " AND i.study_instance_uid = s.study_instance_uid"
        " AND i.series_instance_uid = e.series_instance_uid"
    ),
}

_ORDER = {
    Level.STUDY: "s.study_date DESC, s.study_time DESC, s.study_instance_uid",
    Level.SERIES: "e.series_number, e.series_instance_uid",
    Level.IMAGE: f"{_INSTANCE_NUMBER}, i.sop_instance_uid",
}
"""Newest study first; the UIDs make it the same on every page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for."""

    level: Level
    keys: Mapping[str, str]
    """DICOM keyword → value, as `gateway.store.matching.condition_of` takes it. Keys of the level
    and of those above it."""

    limit: int
    """Matches at most."""

    offset: int = 0
    """Matches that are skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One study, series or instance."""

    study_instance_uid: str
    series_instance_uid: str = ""
    """Empty for a study."""

    sop_instance_uid: str = ""
    """Empty for a study or a series."""

    attributes: Mapping[str, Any]
    """DICOM keyword → value: of its own level and those above; counts, modalities and UIDs among
    them. The study's and the series' newest description goes before that of the instance."""


async def find(connection: Connection, tenant: str, query: Query) -> list[Match]:
    """Find what matches, in a stable order: newest study first, then by number and UID.

    Raises
    ------
    UnknownQueryKeyError
        For an attribute that is not matched here.
    InvalidQueryError
        For a value that is not one of its kind, or a key below the level.
    """
    conditions = conditions_of(query)
    if query.level is Level.IMAGE and (day := await _day(connection, tenant, query)):
        conditions.append(day)  # so that one partition is planned and read
    sql, values = statement(tenant, query, conditions)
    # A plan for these values: a general one could not use an index for a prefix.
    cursor = await connection.execute(sql, values, prepare=False)
    return [_match(query.level, row) for row in await cursor.fetchall()]


def conditions_of(query: Query) -> list[Condition]:
    """Make the conditions of a query, errors as `find`."""
    conditions = []
    depth = LEVELS.index(query.level)
    for keyword, value in query.keys.items():
        condition = condition_of(keyword, value)
        if condition is not None and LEVELS.index(KEYS[keyword].level) > depth:
            raise InvalidQueryError(f"{keyword} is no attribute of the level {query.level}.")
        if condition is not None:
            conditions.append(condition)
    if not 0 <= query.offset <= MAX_OFFSET:
        raise InvalidQueryError(f"The offset is not between 0 and {MAX_OFFSET}.")
    return conditions


def statement(
    tenant: str, query: Query, conditions: list[Condition]
) -> tuple[str, tuple[Any, ...]]:
    """Write the SELECT and its parameters; the tenant is always one of them."""
    levels = LEVELS[: LEVELS.index(query.level) + 1]
    parts = [Condition("s.tenant = %s", (tenant,)), *conditions]
    sql = (
        f"SELECT {', '.join(_COLUMNS[level] for level in levels)}"
        f" FROM {' '.join(_TABLES[level] for level in levels)}"
        f" WHERE {' AND '.join(part.sql for part in parts)}"
        f" ORDER BY {', '.join(_ORDER[level] for level in levels)} LIMIT %s OFFSET %s"
    )
    values = [value for part in parts for value in part.values]
    return sql, (*values, query.limit, query.offset)


async def _day(connection: Connection, tenant: str, query: Query) -> Condition | None:
    """Find the partition, where one study is asked about."""
    cursor = await connection.execute(
        "SELECT day FROM studies WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, query.keys.get("StudyInstanceUID", "").strip(" \0")),
    )
    row = await cursor.fetchone()
    return Condition("i.day = %s", (row["day"],)) if row else None


def _match(level: Level, row: Mapping[str, Any]) -> Match:
    study = {
        **row["study"],
        "StudyInstanceUID": row["study_instance_uid"],
        "ModalitiesInStudy": row["modalities"],
        "NumberOfStudyRelatedSeries": row["study_series"],
        "NumberOfStudyRelatedInstances": row["study_instances"],
    }
    if level is Level.STUDY:
        return Match(study_instance_uid=row["study_instance_uid"], attributes=study)
    series = {
        **row["series"],
        "SeriesInstanceUID": row["series_instance_uid"],
        "NumberOfSeriesRelatedInstances": row["series_instances"],
    }
    if level is Level.SERIES:
        return Match(
            study_instance_uid=row["study_instance_uid"],
            series_instance_uid=row["series_instance_uid"],
            attributes=study | series,
        )
    instance = {
        **row["instance"],
        "SOPInstanceUID": row["sop_instance_uid"],
        "SOPClassUID": row["sop_class_uid"],
        "AvailableTransferSyntaxUID": row["transfer_syntax_uid"],
    }
    return Match(
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        attributes=instance | study | series,
    )
