"""Where the files of a study, a series or an instance lie; frames are not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.store.database import Connection
from gateway.store.index import study_day


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One instance's Part 10 file as it was received."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    object_key: str
    object_offset: int
    object_length: int

    corrections: dict[str, Any]
    """DICOM keyword → newest value (None where there is none any more) of what copies that came
    later have changed; the file itself stays as it came."""


async def stored_files(
    connection: Connection,
    tenant: str,
    study_instance_uid: str,
    *,
    series_instance_uid: str = "",
    sop_instance_uid: str = "",
) -> list[StoredFile]:
    """List the files of a study, or of one series or instance of it, in the order of storage.

    Returns
    -------
    list of StoredFile
        Empty when there is no such thing in this tenant.
    """
    day = await study_day(connection, tenant, study_instance_uid)
    if day is None:
        return []
    where = "i.tenant = %s AND i.day = %s AND i.study_instance_uid = %s"
    values: list[Any] = [tenant, day, study_instance_uid]
    if series_instance_uid:
        where += " AND i.series_instance_uid = %s"
        values.append(series_instance_uid)
    if sop_instance_uid:
        where += " AND i.sop_instance_uid = %s"
        values.append(sop_instance_uid)
    cursor = await connection.execute(
        "SELECT i.series_instance_uid, i.sop_instance_uid, i.sop_class_uid,"
        " i.transfer_syntax_uid, i.object_key, i.object_offset, i.object_length,"
        " CASE WHEN i.revision > 1 THEN i.attributes END AS attributes,"
        " CASE WHEN i.revision > 1 THEN (SELECT array_agg(DISTINCT changed.keyword)"
        "  FROM instance_revisions r, jsonb_object_keys(r.changed) AS changed(keyword)"
        "  WHERE r.tenant = i.tenant AND r.day = i.day"
        "  AND r.study_instance_uid = i.study_instance_uid"
        "  AND r.sop_instance_uid = i.sop_instance_uid) END AS changed"
        f" FROM instances i WHERE {where}"
        " ORDER BY i.object_key, i.object_offset, i.sop_instance_uid",
        values,
    )
    return [
        StoredFile(
            study_instance_uid=study_instance_uid,
            series_instance_uid=found["series_instance_uid"],
            sop_instance_uid=found["sop_instance_uid"],
            sop_class_uid=found["sop_class_uid"],
            transfer_syntax_uid=found["transfer_syntax_uid"],
            object_key=found["object_key"],
            object_offset=found["object_offset"],
            object_length=found["object_length"],
            corrections={key: found["attributes"].get(key) for key in found["changed"] or ()},
        )
        for found in await cursor.fetchall()
    ]
