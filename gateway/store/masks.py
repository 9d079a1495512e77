"""Masks of released results: an object each, and a row that points at it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from gateway.exceptions import NotFoundError
from gateway.store.database import Connection
from gateway.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where an object's bytes lie."""

    object_key: str
    offset: int
    length: int


def write_mask(objects: ObjectStore, encoded: bytes) -> Pointer:
    """Write an encoded mask durably; blocks.

    Until `add_mask` points at it nobody finds it, and the sweep of orphans removes it.

    Raises
    ------
    StorageFullError
        When the disk has no room for it.
    """
    writer = objects.begin(expected_bytes=len(encoded))
    try:
        writer.write([encoded])
        writer.commit()
    except BaseException:
        writer.abort()
        raise
    return Pointer(writer.key, 0, len(encoded))


async def add_mask(
    connection: Connection, screening_id: UUID, check: str, pointer: Pointer
) -> None:
    """Point a released result at its mask, in the transaction that releases it."""
    await connection.execute(
        "INSERT INTO masks (screening_id, check_name, object_key, object_offset, object_length)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (screening_id, check, pointer.object_key, pointer.offset, pointer.length),
    )


async def find_mask(connection: Connection, tenant: str, screening_id: UUID, check: str) -> Pointer:
    """Find the mask of a tenant's result.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening, or no mask is kept of the check.
    """
    cursor = await connection.execute(
        "SELECT object_key, object_offset, object_length FROM masks"
        " JOIN screenings USING (screening_id)"
        " WHERE tenant = %s AND screening_id = %s AND check_name = %s",
        (tenant, screening_id, check),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("No mask is kept of that check.")
    return Pointer(row["object_key"], row["object_offset"], row["object_length"])
