"""Index one more instance of a study, in one round trip: a C-STORE waits for each of them."""

from __future__ import annotations

from datetime import date

import psycopg
from psycopg.types.json import Jsonb

from gateway.instance import Instance
from gateway.store.database import Connection
from gateway.store.describe import describe
from gateway.store.index import FRAME_COLUMNS, INSTANCE_COLUMNS, frame_values

MAX_FRAMES = 16
"""An instance of more is copied in bulk by `gateway.store.index`."""

_INSTANCE = ", ".join(INSTANCE_COLUMNS)
_FRAME = ", ".join(FRAME_COLUMNS)

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s || '/' || %s, 0))"

ADD_INSTANCE = (
    f"INSERT INTO instances (tenant, day, {_INSTANCE})"
    f" SELECT tenant, day, {', '.join(f'%({name})s' for name in INSTANCE_COLUMNS)}"
    " FROM studies WHERE tenant = %(tenant)s AND study_instance_uid = %(study_instance_uid)s"
    " ON CONFLICT DO NOTHING RETURNING day"
)

ADD_FRAME = (
    f"INSERT INTO frames (tenant, day, study_instance_uid, series_instance_uid, {_FRAME})"
    " SELECT tenant, day, study_instance_uid, %(series)s,"
    f" {', '.join(f'%({name})s' for name in FRAME_COLUMNS)}"
    " FROM studies WHERE tenant = %(tenant)s AND study_instance_uid = %(study)s"
    " ON CONFLICT DO NOTHING"
)


async def add_new_instance(
    connection: Connection, tenant: str, instance: Instance, day: date | None
) -> date | None:
    """Index an instance as `add_instances` does, if it is new and its day's partition exists.

    Parameters
    ----------
    connection : Connection
        Not yet in a transaction; this begins one, which the caller commits.
    day : date, optional
        The study's, as an earlier instance of it gave it.

    Returns
    -------
    date
        The study's day; None when the instance is not new or not as simple: nothing is changed
        then, and `add_instances` has to be asked.
    """
    if day is None or len(instance.frames) > MAX_FRAMES:
        return None
    study = instance.study_instance_uid
    values = {name: getattr(instance, name) for name in INSTANCE_COLUMNS}
    values |= {"attributes": Jsonb(instance.attributes), "tenant": tenant}
    try:
        async with connection.pipeline():
            await connection.execute(LOCK, (tenant, study))
            added = await connection.execute(ADD_INSTANCE, values)
            for frame in instance.frames:
                place = {"tenant": tenant, "study": study, "series": instance.series_instance_uid}
                await connection.execute(ADD_FRAME, frame_values(frame) | place)
            await describe(connection, tenant, {study: day}, new=[instance], changed=[instance])
        row = await added.fetchone()
    except psycopg.IntegrityError:  # its study or its day was dropped
        row = None
    if row is None or row["day"] != day:
        await connection.rollback()
        return None
    return day
