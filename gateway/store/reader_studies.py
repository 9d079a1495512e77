"""Reader studies: their plan, and how far each reader has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gateway.exceptions import ConflictError, NotFoundError
from gateway.review.crossover import Reading
from gateway.store import audit, reviews
from gateway.store.database import Connection

Row = dict[str, Any]

NO_STUDY = "There is no such reader study."


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What a reader does next."""

    state: str
    """``ready``, ``reading``, ``washing_out`` or ``done``; `take_next` never leaves it ready."""

    reading: Row | None = None
    resumes_at: datetime | None = None


async def create(
    connection: Connection,
    tenant: str,
    *,
    name: str,
    seed: int,
    washout_days: float,
    readers: Sequence[str],
    cases: Sequence[UUID],
    plan: Sequence[Reading],
    actor: str,
) -> Row:
    """Write a reader study with its plan.

    Raises
    ------
    NotFoundError
        When the tenant has not all of the screenings.
    ConflictError
        When a case has no final report, or a reader has yet to read it in another reader study.
    """
    cursor = await connection.execute(
        """
        SELECT s.screening_id, s.study_instance_uid,
            EXISTS (SELECT FROM reviews r WHERE r.screening_id = s.screening_id AND r.final)
                AS reported,
            EXISTS (SELECT FROM screenings o JOIN readings g USING (screening_id)
                WHERE o.tenant = s.tenant AND o.study_instance_uid = s.study_instance_uid
                    AND g.closed_at IS NULL AND g.reader = ANY(%(readers)s)) AS taken
        FROM screenings s WHERE s.tenant = %(tenant)s AND s.screening_id = ANY(%(cases)s)
        FOR SHARE OF s
        """,
        {"tenant": tenant, "cases": list(cases), "readers": list(readers)},
    )
    found = await cursor.fetchall()
    if len(found) < len(cases):
        raise NotFoundError("Not all of the screenings are there.")
    if len({row["study_instance_uid"] for row in found}) < len(found):
        raise ConflictError("Two of the screenings are of one study.")
    for row in found:
        if not row["reported"]:
            raise ConflictError(f"Screening {row['screening_id']} has no final report.")
        if row["taken"]:
            raise ConflictError(f"A reader has yet to read {row['screening_id']} elsewhere.")
    made = await connection.execute(
        "INSERT INTO reader_studies (tenant, name, seed, washout_days, readers, created_by)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING *",
        (tenant, name, seed, washout_days, list(readers), actor),
    )
    study = await made.fetchone()
    assert study is not None
    async with connection.cursor() as many:
        await many.executemany(
            "INSERT INTO readings (reader_study_id, reader, session, position, screening_id,"
            " with_findings) VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (
                    study["reader_study_id"],
                    one.reader,
                    one.session,
                    one.position,
                    UUID(one.case),
                    one.with_findings,
                )
                for one in plan
            ],
        )
    detail = {"seed": seed, "readers": list(readers), "cases": len(cases)}
    subject = str(study["reader_study_id"])
    await audit.record(connection, tenant, actor, "reader_study.begun", subject, detail)
    return study


async def page(connection: Connection, tenant: str, *, limit: int) -> list[Row]:
    """List a tenant's reader studies, newest first."""
    cursor = await connection.execute(
        "SELECT * FROM reader_studies WHERE tenant = %s"
        " ORDER BY created_at DESC, reader_study_id LIMIT %s",
        (tenant, limit),
    )
    return await cursor.fetchall()


async def find(connection: Connection, tenant: str, reader_study_id: UUID) -> Row:
    """Give a tenant's reader study.

    Raises
    ------
    NotFoundError
        When the tenant has no such reader study.
    """
    cursor = await connection.execute(
        "SELECT * FROM reader_studies WHERE tenant = %s AND reader_study_id = %s",
        (tenant, reader_study_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(NO_STUDY)
    return row


async def readings(connection: Connection, reader_study_id: UUID) -> list[Row]:
    """List the readings of a study with the records of those that are signed."""
    cursor = await connection.execute(
        "SELECT g.*, r.record, r.digest,"
        " extract(epoch FROM g.closed_at - g.opened_at)::float AS seconds"
        " FROM readings g LEFT JOIN reviews r USING (review_id)"
        " WHERE g.reader_study_id = %s ORDER BY g.reader, g.session, g.position",
        (reader_study_id,),
    )
    return await cursor.fetchall()


async def reading_of(connection: Connection, review_id: UUID) -> Row | None:
    """Give the reading that a review is of.

    Returns
    -------
    dict or None
        With the ``name`` of the reader study, how many cases it is ``of``, and whether its reader
        has ``left`` others to read.
    """
    cursor = await connection.execute(
        """
        SELECT g.*, s.name, count(DISTINCT o.screening_id) AS of,
            bool_or(o.reader = g.reader AND o.closed_at IS NULL) AS left
        FROM readings g JOIN reader_studies s USING (reader_study_id)
        JOIN readings o USING (reader_study_id)
        WHERE g.review_id = %s
        GROUP BY g.reader_study_id, g.reader, g.session, g.position, s.name
        """,
        (review_id,),
    )
    return await cursor.fetchone()


def standing(study: Row, rows: Sequence[Row], *, now: datetime) -> Next:
    """Tell where a reader stands, by his readings in their order."""
    waiting = next((row for row in rows if row["closed_at"] is None), None)
    if waiting is None:
        return Next(state="done")
    if waiting["opened_at"] is not None:
        return Next(state="reading", reading=waiting)
    before = [row["closed_at"] for row in rows if row["session"] < waiting["session"]]
    resumes_at = max(before) + timedelta(days=study["washout_days"]) if before else now
    if resumes_at > now:
        return Next(state="washing_out", resumes_at=resumes_at)
    return Next(state="ready", reading=waiting)


async def of_reader(connection: Connection, tenant: str, reader: str) -> dict[UUID, list[Row]]:
    """List a reader's readings by reader study, in their order, each with the time ``now``."""
    cursor = await connection.execute(
        "SELECT g.*, now() AS now FROM readings g JOIN reader_studies s USING (reader_study_id)"
        " WHERE s.tenant = %s AND %s = ANY(s.readers) AND g.reader = %s"
        " ORDER BY g.reader_study_id, g.session, g.position",
        (tenant, reader, reader),
    )
    found: dict[UUID, list[Row]] = {}
    for row in await cursor.fetchall():
        found.setdefault(row["reader_study_id"], []).append(row)
    return found


async def concern(connection: Connection, tenant: str, reader: str) -> bool:
    """Tell whether somebody reads in a reader study, or began one."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM reader_studies WHERE tenant = %(tenant)s"
        " AND (%(reader)s = ANY(readers) OR created_by = %(reader)s)) AS some",
        {"tenant": tenant, "reader": reader},
    )
    row = await cursor.fetchone()
    return bool(row and row["some"])


async def take_next(connection: Connection, study: Row, *, reader: str, content: Row) -> Next:
    """Open a reader's next case, which starts its clock, or give the one in hand.

    Parameters
    ----------
    content : dict
        Of an empty review.

    Raises
    ------
    NotFoundError
        When he is none of its readers.
    """
    key = (study["reader_study_id"], reader)
    cursor = await connection.execute(
        "SELECT *, now() AS now FROM readings WHERE reader_study_id = %s AND reader = %s"
        " ORDER BY session, position FOR UPDATE",
        key,
    )
    rows = await cursor.fetchall()
    if not rows:
        raise NotFoundError(NO_STUDY)
    stands = standing(study, rows, now=rows[0]["now"])
    if stands.state != "ready" or stands.reading is None:
        return stands
    waiting = stands.reading
    tenant = study["tenant"]
    await reviews.lock_screening(connection, tenant, waiting["screening_id"])
    made, _ = await reviews.begin(
        connection,
        tenant,
        waiting["screening_id"],
        reader=reader,
        purpose="study",
        content=content,
    )
    opened = await connection.execute(
        "UPDATE readings SET review_id = %s, opened_at = now() WHERE reader_study_id = %s"
        " AND reader = %s AND session = %s AND position = %s RETURNING *",
        (made["review_id"], *key, waiting["session"], waiting["position"]),
    )
    return Next(state="reading", reading=await opened.fetchone())


async def close(connection: Connection, review_id: UUID) -> None:
    """Stop a reading's clock, in the transaction that signs it."""
    await connection.execute(
        "UPDATE readings SET closed_at = now() WHERE review_id = %s AND closed_at IS NULL",
        (review_id,),
    )
