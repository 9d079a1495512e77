"""Which checks a study gets when nobody names any: what its modalities suggest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.own_results import DERIVED_CLASSES
from gateway.store.database import Connection

DefaultChecks = Callable[[Iterable[str]], tuple[str, ...]]
"""Modalities → checks; `gateway.screening.default_checks` with the installed manifests."""


async def checks_of_study(
    connection: Connection, tenant: str, study_instance_uid: str, default_checks: DefaultChecks
) -> tuple[str, ...]:
    """Give the default checks of a study that is indexed.

    Objects in which results are written say nothing of what was scanned and are not asked.
    """
    cursor = await connection.execute(
        """
        SELECT DISTINCT i.attributes ->> 'Modality' AS modality
        FROM studies s JOIN instances i USING (tenant, day, study_instance_uid)
        WHERE s.tenant = %s AND s.study_instance_uid = %s
            AND NOT i.sop_class_uid ~ %s
        """,
        (tenant, study_instance_uid, _DERIVED),
    )
    return default_checks([row["modality"] or "" for row in await cursor.fetchall()])


_DERIVED = "^(" + "|".join(family.replace(".", r"\.") for family in DERIVED_CLASSES) + r")(\.|$)"
