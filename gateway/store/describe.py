"""Studies and series described and counted as their instances come, for queries and lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from gateway.instance import Instance
from gateway.store.database import Connection
from gateway.store.folding import name_groups

STUDY_KEYWORDS = frozenset(
    (
        "AccessionNumber",
        "InstitutionName",
        "IssuerOfPatientID",
        "PatientAge",
        "PatientBirthDate",
        "PatientID",
        "PatientName",
        "PatientSex",
        "PatientSize",
        "PatientWeight",
        "ReferringPhysicianName",
        "StudyDate",
        "StudyDescription",
        "StudyID",
        "StudyTime",
        "TimezoneOffsetFromUTC",
    )
)
"""Attributes of the study and its patient; the newest instance's are kept on the study."""

SERIES_KEYWORDS = frozenset(
    (
        "BodyPartExamined",
        "FrameOfReferenceUID",
        "Laterality",
        "Manufacturer",
        "ManufacturerModelName",
        "Modality",
        "PatientPosition",
        "PerformedProcedureStepDescription",
        "ProtocolName",
        "SeriesDate",
        "SeriesDescription",
        "SeriesNumber",
        "SeriesTime",
        "StationName",
    )
)
"""Attributes of the series; likewise."""

_SERIES = """
INSERT INTO series (tenant, study_instance_uid, series_instance_uid, day, attributes,
    instance_count)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::date[], %s::jsonb[], %s::integer[])
ON CONFLICT (tenant, study_instance_uid, series_instance_uid) DO UPDATE SET
    attributes = series.attributes || excluded.attributes,
    instance_count = series.instance_count + excluded.instance_count,
    updated_at = now()
"""

_STUDIES = """
UPDATE studies SET
    attributes = studies.attributes || x.attributes,
    patient_name = coalesce(x.patient_name, studies.patient_name),
    patient_name_ideographic =
        coalesce(x.patient_name_ideographic, studies.patient_name_ideographic),
    patient_name_phonetic = coalesce(x.patient_name_phonetic, studies.patient_name_phonetic),
    referring_physician_name =
        coalesce(x.referring_physician_name, studies.referring_physician_name),
    modalities = counts.modalities,
    series_count = counts.series,
    instance_count = counts.instances,
    updated_at = now()
FROM unnest(%(uids)s::text[], %(attributes)s::jsonb[], %(alphabetic)s::text[],
        %(ideographic)s::text[], %(phonetic)s::text[], %(physician)s::text[])
    AS x(study_instance_uid, attributes, patient_name, patient_name_ideographic,
        patient_name_phonetic, referring_physician_name),
    LATERAL (SELECT count(*) AS series, coalesce(sum(instance_count), 0) AS instances,
        coalesce(array_agg(DISTINCT modality::text ORDER BY modality::text)
            FILTER (WHERE modality <> ''), '{}') AS modalities
        FROM series WHERE tenant = %(tenant)s AND study_instance_uid = x.study_instance_uid)
    AS counts
WHERE studies.tenant = %(tenant)s AND studies.study_instance_uid = x.study_instance_uid
"""


async def describe(
    connection: Connection,
    tenant: str,
    days: Mapping[str, date],
    *,
    new: Sequence[Instance],
    changed: Sequence[Instance],
) -> None:
    """Bring series and studies up to date with instances that were just written.

    Two statements, however many instances there are.

    Parameters
    ----------
    connection : Connection
        Inside the transaction that holds the locks of the studies.
    days : mapping of str to date
        Of the studies, by their UIDs.
    new : sequence of Instance
        Counted.
    changed : sequence of Instance
        Those whose attributes are the newest of their series and study; `new` among them.
    """
    if not changed:
        return
    counts = Counter((i.study_instance_uid, i.series_instance_uid) for i in new)
    series: dict[tuple[str, str], dict[str, Any]] = {}
    studies: dict[str, dict[str, Any]] = {}
    for item in changed:
        key = (item.study_instance_uid, item.series_instance_uid)
        series.setdefault(key, {}).update(_taken(item.attributes, SERIES_KEYWORDS))
        studies.setdefault(key[0], {}).update(_taken(item.attributes, STUDY_KEYWORDS))
    keys = sorted(series)
    await connection.execute(
        _SERIES,
        (
            tenant,
            [study for study, _ in keys],
            [uid for _, uid in keys],
            [days[study] for study, _ in keys],
            [Jsonb(series[key]) for key in keys],
            [counts[key] for key in keys],
        ),
    )
    uids = sorted(studies)
    patients = [_groups(studies[uid], "PatientName") for uid in uids]
    physicians = [_groups(studies[uid], "ReferringPhysicianName") for uid in uids]
    await connection.execute(
        _STUDIES,
        {
            "tenant": tenant,
            "uids": uids,
            "attributes": [Jsonb(studies[uid]) for uid in uids],
            "alphabetic": [groups[0] for groups in patients],
            "ideographic": [groups[1] for groups in patients],
            "phonetic": [groups[2] for groups in patients],
            "physician": [groups[0] for groups in physicians],
        },
    )


def _taken(attributes: Mapping[str, Any], keywords: Iterable[str]) -> dict[str, Any]:
    return {key: attributes[key] for key in keywords if key in attributes}


def _groups(attributes: Mapping[str, Any], keyword: str) -> Sequence[str | None]:
    """Fold a name; None where the newest instances do not tell one, so that the old one stays."""
    return name_groups(attributes[keyword]) if keyword in attributes else (None, None, None)
