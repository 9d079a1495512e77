"""Made objects in the store, beside the images that they are about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.store.database import Database
from gateway.store.index import Status, add_instances
from gateway.store.locate import stored_files
from gateway.store.objects import ObjectReader, ObjectStore
from gateway.store.retry import persist

if TYPE_CHECKING:
    from gateway.results.dicom_file import Made


async def keep(
    database: Database, objects: ObjectStore, tenant: str, made: Sequence[Made]
) -> list[dict[str, Any]]:
    """Make objects durable and index them; what is there already stays as it is.

    Nothing is noted as an arrival, so they begin no screening and put none off.

    Returns
    -------
    list of dict
        How each is named, in order.

    Raises
    ------
    StorageFullError
        When there is no room.
    """
    instances = await asyncio.to_thread(_write, objects, made)
    outcomes = await persist(
        database,
        lambda c: add_instances(c, tenant, instances, same_pixels=lambda old, new: True),
    )
    if not any(outcome.status == Status.STORED for outcome in outcomes):
        await asyncio.to_thread(objects.delete, instances[0].object_key)
    return [
        {
            "kind": one.kind,
            "sop_class_uid": one.sop_class_uid,
            "series_instance_uid": one.series_instance_uid,
            "sop_instance_uid": one.sop_instance_uid,
        }
        for one in made
    ]


def _write(objects: ObjectStore, made: Sequence[Made]) -> list[Instance]:
    writer = objects.begin(expected_bytes=sum(len(one.data) for one in made))
    try:
        offsets = []
        for one in made:
            offsets.append(writer.offset)
            writer.write([one.data])
        writer.commit()
    except BaseException:
        writer.abort()
        raise
    return [
        read_header(one.data, object_key=writer.key, object_offset=offset)
        for one, offset in zip(made, offsets, strict=True)
    ]


async def read_kept(
    database: Database,
    objects: ObjectReader,
    tenant: str,
    study_instance_uid: str,
    named: Sequence[dict[str, Any]],
) -> list[bytes]:
    """Read kept objects; those that were deleted since are left out."""
    async with database.connection() as connection:
        files = {
            one.sop_instance_uid: one
            for one in await stored_files(connection, tenant, study_instance_uid)
        }
    wanted = [files[one["sop_instance_uid"]] for one in named if one["sop_instance_uid"] in files]

    def read() -> list[bytes]:
        return [
            objects.read(one.object_key, one.object_offset, one.object_length) for one in wanted
        ]

    return await asyncio.to_thread(read)
