"""The index: one row an instance, one row a frame, so that no header is parsed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Any

from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from gateway.exceptions import DifferentPixelsError, InstanceError
from gateway.instance import Frame, Instance
from gateway.store.database import Connection
from gateway.store.describe import describe
from gateway.store.partitions import ensure_partition
from gateway.store.revisions import (
    Key,
    Known,
    Revision,
    SamePixels,
    add_revisions,
    add_syntaxes,
)

FRAME_COLUMNS = tuple(item.name for item in fields(Frame))
"""Columns of ``frames`` that are `gateway.instance.Frame`'s own."""

INSTANCE_COLUMNS = (
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "sop_class_uid",
    "transfer_syntax_uid",
    "attributes",
    "object_key",
    "object_offset",
    "object_length",
)
"""Columns of ``instances`` that are `gateway.instance.Instance`'s own."""

SOP_INSTANCE_UID = INSTANCE_COLUMNS.index("sop_instance_uid")

TUPLES = ("image_position_patient", "image_orientation_patient", "pixel_spacing")
"""Columns that are arrays in SQL and tuples in `Frame`."""


class Status(StrEnum):
    """What became of an instance."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REVISED = "revised"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance, and why it was refused."""

    instance: Instance
    status: Status
    error: InstanceError | None = None


async def add_instances(
    connection: Connection,
    tenant: str,
    instances: Sequence[Instance],
    *,
    same_pixels: SamePixels,
) -> list[Outcome]:
    """Index instances whose objects are durable already, in one transaction.

    An instance is known by tenant, study and SOP Instance UID. One that is known already is
    stored once: an equal copy changes nothing; one with other attributes or another transfer
    syntax, but the same pixels and geometry, becomes an audited revision; any other is refused.

    Parameters
    ----------
    connection : Connection
        Its transaction is committed by the caller; a study is locked until then, so two requests
        with halves of a study, or with the same instance, wait for each other.
    same_pixels : callable
        Asked, in a thread, only about copies whose geometry is equal.

    Returns
    -------
    list of Outcome
        In the order of `instances`.
    """
    studies = {instance.study_instance_uid for instance in instances}
    async with connection.transaction():
        days = await _lock_studies(connection, tenant, studies)
        for day in sorted(set(days.values())):
            await ensure_partition(connection, day)
        known: dict[Key, Known] = {}
        for study in studies:
            uids = [i.sop_instance_uid for i in instances if i.study_instance_uid == study]
            for old in await _select(connection, tenant, study, days[study], uids):
                known[study, old.sop_instance_uid] = Known(old)
            if known:
                await add_syntaxes(connection, tenant, days[study], study, known)
        outcomes, new, revisions = await asyncio.to_thread(_judge, instances, known, same_pixels)
        await _copy(connection, tenant, days, new)
        await add_revisions(connection, tenant, days, revisions)
        changed = [o.instance for o in outcomes if o.status in (Status.STORED, Status.REVISED)]
        await describe(connection, tenant, days, new=new, changed=changed)
    return outcomes


async def study_day(connection: Connection, tenant: str, study_instance_uid: str) -> date | None:
    """Give the day of a study; None for one that is not there."""
    cursor = await connection.execute(
        "SELECT day FROM studies WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    row = await cursor.fetchone()
    return row["day"] if row else None


async def one_instance(
    connection: Connection, tenant: str, study_instance_uid: str, sop_instance_uid: str
) -> Instance | None:
    """Read one instance with its frames; None when it is not there."""
    day = await study_day(connection, tenant, study_instance_uid)
    if day is None:
        return None
    found = await _select(connection, tenant, study_instance_uid, day, [sop_instance_uid])
    return found[0] if found else None


async def study_instances(
    connection: Connection, tenant: str, study_instance_uid: str
) -> list[Instance]:
    """Read every instance of a study with its frames; empty for a study that is not there."""
    day = await study_day(connection, tenant, study_instance_uid)
    if day is None:
        return []
    return await _select(connection, tenant, study_instance_uid, day, None)


def _judge(
    instances: Sequence[Instance], known: dict[Key, Known], same_pixels: SamePixels
) -> tuple[list[Outcome], list[Instance], list[Revision]]:
    """Tell new instances from copies of known ones; `known` grows by the new ones."""
    outcomes: list[Outcome] = []
    new: list[Instance] = []
    revisions: list[Revision] = []
    for instance in instances:
        key = (instance.study_instance_uid, instance.sop_instance_uid)
        earlier = known.get(key)
        if earlier is None:
            known[key] = Known(instance)
            new.append(instance)
            outcomes.append(Outcome(instance, Status.STORED))
            continue
        if earlier.is_at(instance):  # this very request, repeated after a lost commit's answer
            outcomes.append(Outcome(instance, Status.STORED))
            continue
        try:
            revision = earlier.revise(instance, same_pixels)
        except DifferentPixelsError as error:
            outcomes.append(Outcome(instance, Status.REFUSED, error))
            continue
        if revision is None:
            outcomes.append(Outcome(instance, Status.DUPLICATE))
        else:
            outcomes.append(Outcome(instance, Status.REVISED))
            revisions.append(revision)
    return outcomes, new, revisions


async def _lock_studies(connection: Connection, tenant: str, studies: set[str]) -> dict[str, date]:
    """Lock studies until the end of the transaction, make those that are new, give their days.

    Locked in the order of the locks' own numbers, so that no two requests wait for each other.
    """
    uids = list(studies)
    await connection.execute(
        "SELECT pg_advisory_xact_lock(key) FROM ("
        " SELECT DISTINCT hashtextextended(%s || '/' || uid, 0) AS key FROM unnest(%s::text[]) uid"
        " ORDER BY key) keys",
        (tenant, uids),
    )
    await connection.execute(
        "INSERT INTO studies (tenant, study_instance_uid, day)"
        " SELECT %s, uid, (now() AT TIME ZONE 'utc')::date FROM unnest(%s::text[]) uid"
        " ON CONFLICT DO NOTHING",
        (tenant, uids),
    )
    cursor = await connection.execute(
        "SELECT study_instance_uid, day FROM studies"
        " WHERE tenant = %s AND study_instance_uid = ANY(%s)",
        (tenant, uids),
    )
    return {row["study_instance_uid"]: row["day"] for row in await cursor.fetchall()}


async def _select(
    connection: Connection, tenant: str, study: str, day: date, uids: list[str] | None
) -> list[Instance]:
    """Read instances with their frames: those of `uids`, or all."""
    where = " WHERE tenant = %s AND day = %s AND study_instance_uid = %s"
    values: list[Any] = [tenant, day, study]
    if uids is not None:
        where += " AND sop_instance_uid = ANY(%s)"
        values.append(uids)
    frames: dict[str, list[Frame]] = {}
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            f"SELECT {', '.join(FRAME_COLUMNS)} FROM frames{where}"
            " ORDER BY sop_instance_uid, frame_number",
            values,
        )
        async for row in cursor:
            frame = _frame(row)
            frames.setdefault(frame.sop_instance_uid, []).append(frame)
        await cursor.execute(
            f"SELECT {', '.join(INSTANCE_COLUMNS)} FROM instances{where} ORDER BY sop_instance_uid",
            values,
        )
        return [
            Instance(
                **dict(zip(INSTANCE_COLUMNS, row, strict=True)),
                frames=tuple(frames.get(row[SOP_INSTANCE_UID], ())),
            )
            async for row in cursor
        ]


def _frame(row: Sequence[Any]) -> Frame:
    values = dict(zip(FRAME_COLUMNS, row, strict=True))
    for name in TUPLES:
        if values[name] is not None:
            values[name] = tuple(values[name])
    flat = values["fragments"]
    values["fragments"] = tuple(zip(flat[::2], flat[1::2], strict=True))
    return Frame(**values)


def frame_values(frame: Frame) -> dict[str, Any]:
    """Give a frame's values as its row has them, by column and in the columns' order."""
    values = {name: getattr(frame, name) for name in FRAME_COLUMNS}
    for name in TUPLES:
        if values[name] is not None:
            values[name] = list(values[name])
    values["fragments"] = [n for pair in frame.fragments for n in pair]
    return values


async def _copy(
    connection: Connection, tenant: str, days: dict[str, date], instances: Sequence[Instance]
) -> None:
    """Write new instances and their frames in bulk."""
    if not instances:
        return
    async with connection.cursor() as cursor:
        columns = ", ".join(("tenant", "day", *INSTANCE_COLUMNS))
        async with cursor.copy(f"COPY instances ({columns}) FROM STDIN") as copy:
            for item in instances:
                values = {name: getattr(item, name) for name in INSTANCE_COLUMNS}
                values["attributes"] = Jsonb(item.attributes)
                await copy.write_row((tenant, days[item.study_instance_uid], *values.values()))
        keys = ("tenant", "day", "study_instance_uid", "series_instance_uid")
        columns = ", ".join((*keys, *FRAME_COLUMNS))
        async with cursor.copy(f"COPY frames ({columns}) FROM STDIN") as copy:
            for item in instances:
                study, series = item.study_instance_uid, item.series_instance_uid
                for frame in item.frames:
                    row = (tenant, days[study], study, series, *frame_values(frame).values())
                    await copy.write_row(row)
