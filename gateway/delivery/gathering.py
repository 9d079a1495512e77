"""What the objects of a screening are made of, gathered from the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.exceptions import ConflictError, NotFoundError
from gateway.instance import Instance
from gateway.own_results import is_derived_class
from gateway.results.json import screening_result
from gateway.results.making import KeptMap, Recipe, Signature, Volume
from gateway.review.record import unseal
from gateway.screening.manifest import ANATOMY
from gateway.store import reviews, screenings
from gateway.store.database import Connection
from gateway.store.index import study_instances
from gateway.store.locate import StoredFile, stored_files
from gateway.store.masks import find_mask

ENDED = "done"
"""State of a screening whose results can be made."""


async def gather(
    connection: Connection,
    tenant: str,
    screening_id: UUID,
    kinds: Sequence[str],
    *,
    review_id: UUID | None = None,
) -> Recipe:
    """Gather what a tenant's screening is made into objects with.

    Parameters
    ----------
    review_id : UUID, optional
        A review that was signed as its final report, of which the report is made then.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening.
    ConflictError
        When it has not ended, or not with results.
    """
    row, released, _ = await screenings.find(connection, tenant, screening_id)
    if row["state"] != ENDED:
        raise ConflictError(f"The screening is {row['state']}; objects are made when it is done.")
    result, signature = screening_result(row, released), None
    if review_id is not None:
        result, signature = await _signed(connection, tenant, review_id)
    study = row["study_instance_uid"]
    instances = await study_instances(connection, tenant, study)
    files = {one.sop_instance_uid: one for one in await stored_files(connection, tenant, study)}
    volumes = _volumes(result, instances, files)
    maps = await _maps(connection, tenant, screening_id, result) if "seg" in kinds else ()
    return Recipe(
        tenant=tenant,
        kinds=tuple(kinds),
        result=result,
        volumes=tuple(volumes),
        maps=tuple(maps),
        signature=signature,
    )


async def _signed(
    connection: Connection, tenant: str, review_id: UUID
) -> tuple[dict[str, Any], Signature]:
    """Read the record of a review: the result as its readers left it, and who signed."""
    review = await reviews.find(connection, tenant, review_id)
    record = unseal(review["record"], bytes(review["digest"]))
    signature = Signature(
        review_id=str(review_id),
        name=record["reader"],
        organization=tenant,
        at=datetime.fromisoformat(record["signed_at"]),
        amends=record["predecessor"],
        comment=record["comment"] or "",
        decisions={check: said["decision"] for check, said in record["findings"].items()},
    )
    return record["result"], signature


def _volumes(
    result: Mapping[str, Any],
    instances: Sequence[Instance],
    files: Mapping[str, StoredFile],
) -> list[Volume]:
    """List the volumes that were screened; without one, the first series that is of images."""
    by_uid = {one.sop_instance_uid: one for one in instances if one.sop_instance_uid in files}
    found = []
    for key, inputs in ((result["provenance"] or {}).get("inputs") or {}).items():
        kept = [by_uid[uid] for uid in inputs["sop_instance_uids"] if uid in by_uid]
        if kept:
            first = files[kept[0].sop_instance_uid]
            found.append(Volume(key=key, instances=tuple(kept), first=first))
    if found:
        return found
    images = [one for one in by_uid.values() if not is_derived_class(one.sop_class_uid)]
    if not images:
        return []
    uid = min(one.series_instance_uid for one in images)
    kept = sorted(
        (one for one in images if one.series_instance_uid == uid),
        key=lambda one: one.sop_instance_uid,
    )
    return [Volume(key=uid, instances=tuple(kept), first=files[kept[0].sop_instance_uid])]


async def _maps(
    connection: Connection, tenant: str, screening_id: UUID, result: Mapping[str, Any]
) -> list[KeptMap]:
    inputs = (result["provenance"] or {}).get("inputs") or {}
    found = []
    for check in result["checks"]:
        key = _key_of(check["provenance"], inputs)
        if check["mask"] is not None and key is not None:
            pointer = await _pointer(connection, tenant, screening_id, check["check"])
            if pointer is not None:
                found.append(
                    KeptMap(check=check["check"], series_key=key, pointer=pointer, names={})
                )
    for key, seen in (result["anatomy"] or {}).items():
        kept = seen.get("mask")
        if kept is None:
            continue
        pointer = await _pointer(connection, tenant, screening_id, kept["name"])
        if pointer is not None:
            names = {value: name for value, name in enumerate(kept["labels"]) if value}
            found.append(KeptMap(check=ANATOMY, series_key=key, pointer=pointer, names=names))
    return found


async def _pointer(connection: Connection, tenant: str, screening_id: UUID, name: str) -> Any:
    try:
        return await find_mask(connection, tenant, screening_id, name)
    except NotFoundError:
        return None


def _key_of(made_by: Mapping[str, Any], inputs: Mapping[str, Any]) -> str | None:
    """Name the volume that a check saw: by series, and by instances where it holds several."""
    uid = made_by.get("series_instance_uid")
    keys = [key for key in inputs if key.split("#")[0] == uid]
    same = [k for k in keys if inputs[k]["digest"] == made_by.get("sop_instance_digest")]
    return next(iter(same or keys), None)
