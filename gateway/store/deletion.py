"""Studies are deleted: their rows in one transaction, their objects when nobody points at them.

A segment holds many instances, of one study or of several that came in one request. Its key is
noted as doomed in the transaction that removes rows, and its bytes go when no row points at it
any more, later than anybody could still be writing to it; so nothing is lost when a process dies
in between, and nothing is deleted that was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.exceptions import ConflictError, NotFoundError
from gateway.metrics import RETAINED
from gateway.store import audit
from gateway.store.arrivals import try_lock_study
from gateway.store.database import Connection
from gateway.store.hold import may_delete
from gateway.store.objects import ObjectStore

GROWING_SECONDS = 1800
"""A segment of a DIMSE association grows for ten minutes at most; later nothing joins it."""

KEYS_AT_ONCE = 500
"""Objects of one round of `delete_doomed`."""

INDEXED = ("frames", "instance_revisions", "instances")
"""Partitioned tables that hold a study's rows by tenant, day and UID."""

IN_USE = (
    "EXISTS (SELECT 1 FROM instances i WHERE i.object_key = d.object_key)"
    " OR EXISTS (SELECT 1 FROM masks m WHERE m.object_key = d.object_key)"
)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was removed of the index; its bytes go with their segments."""

    studies: int = 0
    instances: int = 0
    bytes: int = 0
    screenings: int = 0

    def __add__(self, other: Deleted) -> Deleted:
        return Deleted(
            self.studies + other.studies,
            self.instances + other.instances,
            self.bytes + other.bytes,
            self.screenings + other.screenings,
        )


async def delete_study(
    connection: Connection,
    tenant: str,
    study_instance_uid: str,
    *,
    results: bool,
    actor: str,
) -> Deleted:
    """Delete a study on request, in the caller's transaction.

    Parameters
    ----------
    results : bool
        Whether its screenings go too, with results, masks, events and webhook deliveries.

    Raises
    ------
    NotFoundError
        When the tenant has neither the study nor, where results go too, a screening of it.
    ConflictError
        When something of it arrives at this moment, or a screening of it is open.
    """
    if not await try_lock_study(connection, tenant, study_instance_uid):
        raise ConflictError("Something of the study is arriving; try again.")
    if await _is_open(connection, tenant, study_instance_uid):
        raise ConflictError("A screening of the study is open; cancel it first.")
    gone = await remove_images(connection, tenant, study_instance_uid)
    if results:
        gone += Deleted(screenings=await _remove_screenings(connection, tenant, study_instance_uid))
    if not gone.studies and not gone.screenings:
        raise NotFoundError("No study of that UID has been received.")
    detail = {
        "instances": gone.instances,
        "bytes": gone.bytes,
        "results": "deleted" if results else "kept",
        "screenings": gone.screenings,
    }
    await audit.record(connection, tenant, actor, "study.deleted", study_instance_uid, detail)
    return gone


async def remove_images(connection: Connection, tenant: str, study_instance_uid: str) -> Deleted:
    """Remove a study's rows from the index and doom its objects.

    The caller holds the study's lock (`try_lock_study`), so nothing is being added to it; what
    comes later is a new study.
    """
    cursor = await connection.execute(
        "DELETE FROM studies WHERE tenant = %s AND study_instance_uid = %s RETURNING day",
        (tenant, study_instance_uid),
    )
    row = await cursor.fetchone()
    if row is None:
        return Deleted()
    where = "tenant = %s AND day = %s AND study_instance_uid = %s"
    values = (tenant, row["day"], study_instance_uid)
    cursor = await connection.execute(
        f"SELECT count(*) AS number, coalesce(sum(object_length), 0)::bigint AS bytes"
        f" FROM instances WHERE {where}",
        values,
    )
    counted = await cursor.fetchone()
    assert counted is not None
    await connection.execute(
        f"""
        INSERT INTO doomed_objects (object_key, due_at)
        SELECT object_key,
            greatest(now(), max(received_at) + make_interval(secs => {GROWING_SECONDS}))
        FROM instances WHERE {where} GROUP BY object_key
        ON CONFLICT (object_key) DO UPDATE
            SET due_at = greatest(doomed_objects.due_at, excluded.due_at)
        """,
        values,
    )
    for table in INDEXED:
        await connection.execute(f"DELETE FROM {table} WHERE {where}", values)
    return Deleted(1, counted["number"], counted["bytes"])


async def delete_doomed(connection: Connection, objects: ObjectStore) -> int:
    """Delete doomed objects that nobody points at, in the caller's transaction; give how many.

    An object is deleted before its note goes: after a crash in between it is tried again, and
    deleting what is not there is no error. One that is still pointed at loses only its note: who
    removes the last row dooms it again. While a backup is made none is deleted.
    """
    if not await may_delete(connection):
        return 0
    await connection.execute(
        f"DELETE FROM doomed_objects d WHERE due_at <= now() AND ({IN_USE})",
    )
    cursor = await connection.execute(
        f"SELECT object_key FROM doomed_objects d WHERE due_at <= now() AND NOT ({IN_USE})"
        " ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED",
        (KEYS_AT_ONCE,),
    )
    keys = [row["object_key"] for row in await cursor.fetchall()]
    await asyncio.to_thread(_delete, objects, keys)
    await connection.execute("DELETE FROM doomed_objects WHERE object_key = ANY(%s)", (keys,))
    RETAINED.labels("objects").inc(len(keys))
    return len(keys)


def _delete(objects: ObjectStore, keys: Sequence[str]) -> None:
    for key in keys:
        objects.delete(key)


async def _is_open(connection: Connection, tenant: str, study_instance_uid: str) -> bool:
    cursor = await connection.execute(
        "SELECT 1 FROM screenings WHERE tenant = %s AND study_instance_uid = %s"
        " AND state IN ('accepted', 'running') LIMIT 1",
        (tenant, study_instance_uid),
    )
    return await cursor.fetchone() is not None


async def _remove_screenings(connection: Connection, tenant: str, study_instance_uid: str) -> int:
    """Remove every version; results, masks' rows, events and deliveries go with them."""
    await connection.execute(
        "INSERT INTO doomed_objects (object_key, due_at)"
        " SELECT object_key, now() FROM masks JOIN screenings USING (screening_id)"
        " WHERE tenant = %s AND study_instance_uid = %s ON CONFLICT DO NOTHING",
        (tenant, study_instance_uid),
    )
    cursor = await connection.execute(
        "DELETE FROM screenings WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    return cursor.rowcount
