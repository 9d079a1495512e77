"""Queries for studies, series and instances, whoever asks: QIDO-RS and C-FIND alike.

Everything is read from ``studies``, ``series`` and ``instances``; frames are never touched.
A page is found first, by what its order and conditions need; then studies and series of that
page are described, each once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.exceptions import InvalidQueryError
from gateway.intake.attributes import ATTRIBUTES
from gateway.store.database import Connection
from gateway.store.index import study_day
from gateway.store.matching import KEYS, LEVELS, Condition, Level, condition_of

MAX_OFFSET = 1_000_000
"""Deeper pages would read and drop as many rows; narrow the query instead."""

KEPT = frozenset(ATTRIBUTES.values())
"""Keywords of an instance that the index keeps; the only ones that are written into SQL."""

UIDS = frozenset(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))

_JOINS = {
    Level.SERIES: "series e",
    Level.IMAGE: (
        "series e JOIN instances i ON i.tenant = e.tenant AND i.day = s.day"
        " AND i.study_instance_uid = e.study_instance_uid"
        " AND i.series_instance_uid = e.series_instance_uid"
    ),
}
"""What is below a study ``s``."""

_OF_STUDY = "e.tenant = s.tenant AND e.study_instance_uid = s.study_instance_uid"

_NUMBER = (
    'CASE WHEN jsonb_typeof(x."InstanceNumber") = \'number\' THEN x."InstanceNumber"::numeric END'
)

_ORDER = {
    Level.STUDY: "s.study_date DESC, s.study_time DESC, s.study_instance_uid",
    Level.SERIES: "x.series_number, x.series_instance_uid",
    Level.IMAGE: f"{_NUMBER}, x.sop_instance_uid",
}
"""Newest study first; the UIDs make it the same on every page."""

_DESCRIBE_STUDIES = (
    "SELECT study_instance_uid, attributes, modalities, series_count, instance_count FROM studies"
    " WHERE tenant = %s AND study_instance_uid = ANY(%s)"
)

_DESCRIBE_SERIES = (
    "SELECT study_instance_uid, series_instance_uid, attributes, instance_count FROM series"
    " WHERE tenant = %s AND study_instance_uid = ANY(%s) AND series_instance_uid = ANY(%s)"
)


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

    fields: Collection[str] | None = None
    """Keywords of an instance that are answered; None is all that are kept. Those of study and
    series always are."""


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
        conditions.append((Level.IMAGE, day))  # so that one partition is planned and read
    names = sorted(KEPT if query.fields is None else KEPT.intersection(query.fields))
    sql, values = statement(tenant, query, conditions, names)
    # A plan for these values: a general one could not use an index for a prefix.
    cursor = await connection.execute(sql, values, prepare=False)
    rows = await cursor.fetchall()
    studies = await _studies(connection, tenant, rows)
    if query.level is Level.STUDY:
        return [
            Match(study_instance_uid=uid, attributes=studies[uid])
            for uid in (row["study_instance_uid"] for row in rows)
            if uid in studies  # not dropped in between
        ]
    series = await _series(connection, tenant, rows)
    return [
        _match(row, studies, series, names)
        for row in rows
        if (row["study_instance_uid"], row["series_instance_uid"]) in series
        and row["study_instance_uid"] in studies
    ]


def conditions_of(query: Query) -> list[tuple[Level, Condition]]:
    """Make the conditions of a query, errors as `find`."""
    conditions = []
    depth = LEVELS.index(query.level)
    for keyword, value in query.keys.items():
        condition = condition_of(keyword, value)
        if condition is None:
            continue
        level = KEYS[keyword].level
        if LEVELS.index(level) > depth:
            raise InvalidQueryError(f"{keyword} is no attribute of the level {query.level}.")
        conditions.append((level, condition))
    if not 0 <= query.offset <= MAX_OFFSET:
        raise InvalidQueryError(f"The offset is not between 0 and {MAX_OFFSET}.")
    return conditions


def statement(
    tenant: str,
    query: Query,
    conditions: Iterable[tuple[Level, Condition]],
    names: Sequence[str] = (),
) -> tuple[str, tuple[Any, ...]]:
    """Write the SELECT and its parameters; the tenant is always one of them.

    Series and instances are read study by study in the order of the answer, so that a page ends
    the reading; unless a UID is given, which is quicker to look up (``OFFSET 0`` keeps the
    planner from turning the one into the other).

    Parameters
    ----------
    names : sequence of str
        Keywords of the instance to read, of `KEPT`.
    """
    own = [Condition("s.tenant = %s", (tenant,))]
    below: list[Condition] = []
    for level, condition in conditions:
        (own if level is Level.STUDY else below).append(condition)
    tables, columns = "studies s", "s.study_instance_uid"
    if query.level is not Level.STUDY:
        fence = "" if UIDS & query.keys.keys() else " OFFSET 0"
        where = " AND ".join([_OF_STUDY, *(part.sql for part in below)])
        inner, source = "e.series_number, e.series_instance_uid", _JOINS[query.level]
        if query.level is Level.IMAGE:
            inner += ", i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, a.*"
            record = ", ".join(f'"{name}" jsonb' for name in {*names, "InstanceNumber"})
            source += f" CROSS JOIN LATERAL jsonb_to_record(i.attributes) AS a({record})"
        tables += f" CROSS JOIN LATERAL (SELECT {inner} FROM {source} WHERE {where}{fence}) AS x"
        columns += ", x.*"
    levels = LEVELS[: LEVELS.index(query.level) + 1]
    sql = (
        f"SELECT {columns} FROM {tables} WHERE {' AND '.join(part.sql for part in own)}"
        f" ORDER BY {', '.join(_ORDER[level] for level in levels)} LIMIT %s OFFSET %s"
    )
    values = [value for part in (*below, *own) for value in part.values]
    return sql, (*values, query.limit, query.offset)


async def _day(connection: Connection, tenant: str, query: Query) -> Condition | None:
    """Find the partition, where one study is asked about."""
    uid = query.keys.get("StudyInstanceUID", "").strip(" \0")
    if not uid:
        return None
    day = await study_day(connection, tenant, uid)
    return None if day is None else Condition("i.day = %s", (day,))


async def _studies(
    connection: Connection, tenant: str, rows: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Describe the studies of a page by their UIDs."""
    uids = list({row["study_instance_uid"] for row in rows})
    if not uids:
        return {}
    cursor = await connection.execute(_DESCRIBE_STUDIES, (tenant, uids))
    return {
        row["study_instance_uid"]: {
            **row["attributes"],
            "StudyInstanceUID": row["study_instance_uid"],
            "ModalitiesInStudy": row["modalities"],
            "NumberOfStudyRelatedSeries": row["series_count"],
            "NumberOfStudyRelatedInstances": row["instance_count"],
        }
        for row in await cursor.fetchall()
    }


async def _series(
    connection: Connection, tenant: str, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Describe the series of a page by study and series UID."""
    pairs = {(row["study_instance_uid"], row["series_instance_uid"]) for row in rows}
    if not pairs:
        return {}
    studies, series = list({pair[0] for pair in pairs}), list({pair[1] for pair in pairs})
    cursor = await connection.execute(_DESCRIBE_SERIES, (tenant, studies, series))
    return {
        (row["study_instance_uid"], row["series_instance_uid"]): {
            **row["attributes"],
            "SeriesInstanceUID": row["series_instance_uid"],
            "NumberOfSeriesRelatedInstances": row["instance_count"],
        }
        for row in await cursor.fetchall()
    }


def _match(
    row: Mapping[str, Any],
    studies: Mapping[str, dict[str, Any]],
    series: Mapping[tuple[str, str], dict[str, Any]],
    names: Sequence[str],
) -> Match:
    study_uid, series_uid = row["study_instance_uid"], row["series_instance_uid"]
    above = studies[study_uid] | series[study_uid, series_uid]
    if "sop_instance_uid" not in row:
        return Match(study_instance_uid=study_uid, series_instance_uid=series_uid, attributes=above)
    own = {name: row[name] for name in names if row[name] is not None}
    own |= {
        "SOPInstanceUID": row["sop_instance_uid"],
        "SOPClassUID": row["sop_class_uid"],
        "AvailableTransferSyntaxUID": row["transfer_syntax_uid"],
    }
    return Match(
        study_instance_uid=study_uid,
        series_instance_uid=series_uid,
        sop_instance_uid=row["sop_instance_uid"],
        attributes=own | above,
    )
