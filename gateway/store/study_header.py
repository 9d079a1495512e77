"""What a result says of its study beside the findings: patient, accession, series, instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.exceptions import NotFoundError
from gateway.store import listing
from gateway.store.database import Connection
from gateway.store.index import study_day


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedInstance:
    """One instance that a result points at."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    instance_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyHeader:
    """A study as its own headers describe it."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    """DICOM keyword → value, of study and patient."""

    series: tuple[Mapping[str, Any], ...] = ()
    """Of each: ``series_instance_uid``, ``modality``, ``series_number``, ``description``,
    ``instance_count``."""

    instances: tuple[NamedInstance, ...] = ()
    """Those that were asked for and are there."""


async def study_header(
    connection: Connection,
    tenant: str,
    study_instance_uid: str | None,
    sop_instance_uids: Sequence[str] = (),
) -> StudyHeader | None:
    """Read a study's header; None where it has not come or its images were deleted.

    Parameters
    ----------
    sop_instance_uids : sequence of str
        Instances to be named.
    """
    if study_instance_uid is None:
        return None
    try:
        _, series = await listing.study(connection, tenant, study_instance_uid)
    except NotFoundError:
        return None
    cursor = await connection.execute(
        "SELECT attributes FROM studies WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    row = await cursor.fetchone()
    return StudyHeader(
        attributes=row["attributes"] if row else {},
        series=tuple(series),
        instances=await _instances(connection, tenant, study_instance_uid, sop_instance_uids),
    )


async def _instances(
    connection: Connection, tenant: str, study_instance_uid: str, wanted: Sequence[str]
) -> tuple[NamedInstance, ...]:
    day = await study_day(connection, tenant, study_instance_uid) if wanted else None
    if day is None:
        return ()
    cursor = await connection.execute(
        "SELECT series_instance_uid, sop_instance_uid, sop_class_uid,"
        " attributes -> 'InstanceNumber' AS instance_number FROM instances"
        " WHERE tenant = %s AND day = %s AND study_instance_uid = %s AND sop_instance_uid = ANY(%s)"
        " ORDER BY series_instance_uid, sop_instance_uid",
        (tenant, day, study_instance_uid, sorted(set(wanted))),
    )
    return tuple(
        NamedInstance(
            series_instance_uid=row["series_instance_uid"],
            sop_instance_uid=row["sop_instance_uid"],
            sop_class_uid=row["sop_class_uid"],
            instance_number=_whole(row["instance_number"]),
        )
        for row in await cursor.fetchall()
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
