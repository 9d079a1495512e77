"""Reviews: drafts that are saved, and signed ones that nobody changes any more.

Whoever signs holds the lock under which versions of the study are counted, so a study that is
screened again and a review that is signed come one after the other. The indexes say the same for
whoever would go round it: one final report a screening, one amendment a review.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from gateway.exceptions import (
    NotFoundError,
    SignedError,
    SignedMeanwhileError,
    StaleDraftError,
    SupersededError,
)
from gateway.store import audit, deliveries, result_jobs
from gateway.store.database import Connection
from gateway.store.screenings import lock_versions

Review = dict[str, Any]
"""A row of ``reviews``, with ``version``, ``study_instance_uid`` and ``amended_by``."""

NO_REVIEW = "There is no such review."

KIND = "CASE WHEN purpose IN ('teaching', 'study') THEN purpose ELSE 'report' END"
"""A reader has one draft of each kind; as the index says it."""

_SELECT = """
SELECT r.*, s.version, s.study_instance_uid,
    (SELECT a.review_id FROM reviews a
        WHERE a.predecessor = r.review_id AND a.state = 'signed') AS amended_by
FROM reviews r JOIN screenings s USING (screening_id)
"""


async def find(connection: Connection, tenant: str, review_id: UUID) -> Review:
    """Give a tenant's review.

    Raises
    ------
    NotFoundError
        When the tenant has no such review.
    """
    cursor = await connection.execute(
        f"{_SELECT} WHERE r.tenant = %s AND r.review_id = %s", (tenant, review_id)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(NO_REVIEW)
    return row


async def of_screening(connection: Connection, tenant: str, screening_id: UUID) -> list[Review]:
    """List a screening's reviews, the oldest first."""
    cursor = await connection.execute(
        f"{_SELECT} WHERE r.tenant = %s AND r.screening_id = %s ORDER BY r.created_at, r.review_id",
        (tenant, screening_id),
    )
    return await cursor.fetchall()


async def final_report(connection: Connection, tenant: str, screening_id: UUID) -> Review | None:
    """Give the review that is the final report of a screening; None while there is none."""
    cursor = await connection.execute(
        f"{_SELECT} WHERE r.tenant = %s AND r.screening_id = %s AND r.final"
        " AND NOT EXISTS (SELECT FROM reviews a"
        " WHERE a.predecessor = r.review_id AND a.state = 'signed')",
        (tenant, screening_id),
    )
    return await cursor.fetchone()


async def lock_screening(connection: Connection, tenant: str, screening_id: UUID) -> None:
    """Hold back others who review or screen the study, until the transaction ends.

    Raises
    ------
    NotFoundError
        When the tenant has no such screening.
    """
    cursor = await connection.execute(
        "SELECT study_instance_uid FROM screenings WHERE tenant = %s AND screening_id = %s",
        (tenant, screening_id),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("There is no such screening.")
    await lock_versions(connection, tenant, row["study_instance_uid"] or "")


async def refuse_superseded(connection: Connection, tenant: str, screening_id: UUID) -> None:
    """Refuse a version after which the study was screened again; the caller holds the lock.

    A newer version that failed or was cancelled takes nobody's place.

    Raises
    ------
    SupersededError
        Naming the newest version.
    """
    cursor = await connection.execute(
        """
        SELECT newer.screening_id, newer.version, newer.state FROM screenings s
        JOIN screenings newer USING (tenant, study_instance_uid)
        WHERE s.tenant = %s AND s.screening_id = %s AND newer.version > s.version
            AND newer.state NOT IN ('failed', 'cancelled')
        ORDER BY newer.version DESC LIMIT 1
        """,
        (tenant, screening_id),
    )
    row = await cursor.fetchone()
    if row is not None:
        raise SupersededError(
            f"The study was screened again: version {row['version']} is {row['state']},"
            f" screening {row['screening_id']}. The draft stays as it is."
        )


async def begin(
    connection: Connection,
    tenant: str,
    screening_id: UUID,
    *,
    reader: str,
    purpose: str,
    content: Mapping[str, Any],
    predecessor: UUID | None = None,
) -> tuple[Review, bool]:
    """Make a draft, or give the reader's own with what it holds; the caller holds the lock.

    Returns
    -------
    review : dict
    created : bool
        False where the reader had a draft; its purpose and predecessor are now those given.
    """
    cursor = await connection.execute(
        "SELECT review_id FROM reviews WHERE screening_id = %s AND reader = %s"
        f" AND state = 'draft' AND {KIND} = %s FOR UPDATE",
        (screening_id, reader, purpose if purpose in ("teaching", "study") else "report"),
    )
    known = await cursor.fetchone()
    if known is not None:
        changed = await connection.execute(
            "UPDATE reviews SET purpose = %(purpose)s, predecessor = %(predecessor)s,"
            " updated_at = now() WHERE review_id = %(id)s AND (purpose, predecessor)"
            " IS DISTINCT FROM (%(purpose)s, %(predecessor)s::uuid)",
            {"id": known["review_id"], "purpose": purpose, "predecessor": predecessor},
        )
        if changed.rowcount:
            detail = {"purpose": purpose, "predecessor": predecessor and str(predecessor)}
            await _note(connection, tenant, reader, "moved", known["review_id"], detail)
        return await find(connection, tenant, known["review_id"]), False
    cursor = await connection.execute(
        "INSERT INTO reviews (tenant, screening_id, reader, purpose, content, predecessor)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING review_id",
        (tenant, screening_id, reader, purpose, Jsonb(dict(content)), predecessor),
    )
    made = await cursor.fetchone()
    assert made is not None
    detail = {
        "screening_id": str(screening_id),
        "purpose": purpose,
        "predecessor": predecessor and str(predecessor),
    }
    await _note(connection, tenant, reader, "begun", made["review_id"], detail)
    return await find(connection, tenant, made["review_id"]), True


async def save(
    connection: Connection,
    tenant: str,
    review_id: UUID,
    *,
    reader: str,
    revision: int,
    content: Mapping[str, Any],
    digest: str,
) -> Review:
    """Save a reader's draft over the revision that he had read.

    Raises
    ------
    NotFoundError
        When the tenant has no such review, or it is another reader's.
    SignedError
        When it is signed.
    StaleDraftError
        When it was saved from elsewhere meanwhile.
    """
    await hold_draft(connection, tenant, review_id, reader=reader, revision=revision)
    await connection.execute(
        "UPDATE reviews SET content = %s, revision = revision + 1, updated_at = now()"
        " WHERE review_id = %s",
        (Jsonb(dict(content)), review_id),
    )
    detail = {"revision": revision + 1, "content_sha256": digest}
    await _note(connection, tenant, reader, "saved", review_id, detail)
    return await find(connection, tenant, review_id)


async def hold_draft(
    connection: Connection, tenant: str, review_id: UUID, *, reader: str, revision: int | None
) -> Review:
    """Lock a reader's own draft for the rest of the transaction.

    Parameters
    ----------
    revision : int, optional
        The one that he had read; None for whatever it is.

    Raises
    ------
    NotFoundError, SignedError, StaleDraftError
        As `save`.
    """
    await connection.execute(
        "SELECT 1 FROM reviews WHERE tenant = %s AND review_id = %s FOR UPDATE",
        (tenant, review_id),
    )
    row = await find(connection, tenant, review_id)
    if row["reader"] != reader:
        raise NotFoundError("You have no such review.")
    if row["state"] == "signed":
        raise SignedError()
    if revision is not None and row["revision"] != revision:
        raise StaleDraftError(
            f"The draft is at revision {row['revision']}, not {revision}; read it again."
        )
    return row


async def sign(
    connection: Connection,
    row: Review,
    *,
    final: bool,
    signed_at: datetime,
    record: str,
    digest: bytes,
    findings: Mapping[str, Mapping[str, Any]],
) -> Review:
    """Sign a draft that the caller holds, and tell it.

    Parameters
    ----------
    final : bool
        Whether it is the final report.
    record, digest
        Of `gateway.review.record.seal`.
    findings : mapping
        Check → ``ai_state``, ``state``, ``decision``, ``implied``; kept for agreement.

    Raises
    ------
    SignedMeanwhileError
        When there is a final report, or an amendment of the same review.
    """
    tenant, review_id = row["tenant"], row["review_id"]
    try:
        await connection.execute(
            "UPDATE reviews SET state = 'signed', final = %s, signed_at = %s, updated_at = %s,"
            " record = %s, digest = %s WHERE review_id = %s",
            (final, signed_at, signed_at, record, digest, review_id),
        )
    except psycopg.errors.UniqueViolation:
        raise SignedMeanwhileError() from None
    for check, said in findings.items():
        await connection.execute(
            "INSERT INTO review_checks (review_id, check_name, ai_state, state, decision, implied)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (
                review_id,
                check,
                said["ai_state"],
                said["state"],
                said["decision"],
                said["implied"],
            ),
        )
    detail = {
        "screening_id": str(row["screening_id"]),
        "purpose": row["purpose"],
        "final": final,
        "predecessor": row["predecessor"] and str(row["predecessor"]),
        "sha256": digest.hex(),
    }
    await _note(connection, tenant, row["reader"], "signed", review_id, detail)
    if row["purpose"] in ("teaching", "study"):
        return await find(connection, tenant, review_id)
    kind = "signed" if final else "reviewed"
    told = {"review_id": str(review_id), "purpose": row["purpose"]}
    await connection.execute(
        "INSERT INTO screening_events (screening_id, tenant, kind, data) VALUES (%s, %s, %s, %s)",
        (row["screening_id"], tenant, kind, Jsonb(told)),
    )
    await deliveries.add(connection, row["screening_id"], kind, told)
    if final:
        await result_jobs.add_signed(connection, row["screening_id"], review_id)
    return await find(connection, tenant, review_id)


async def discard(connection: Connection, tenant: str, review_id: UUID, *, reader: str) -> None:
    """Delete a reader's own draft.

    Raises
    ------
    NotFoundError, SignedError
        As `save`.
    """
    row = await hold_draft(connection, tenant, review_id, reader=reader, revision=None)
    if row["purpose"] == "study":
        raise SignedError("The clock of a reader study is not set back; sign the reading.")
    await connection.execute("DELETE FROM reviews WHERE review_id = %s", (review_id,))
    detail = {"screening_id": str(row["screening_id"]), "revision": row["revision"]}
    await _note(connection, tenant, reader, "discarded", review_id, detail)


async def clock(connection: Connection) -> datetime:
    """Give the time of the transaction, by the database."""
    cursor = await connection.execute("SELECT now() AS at")
    row = await cursor.fetchone()
    assert row is not None
    at: datetime = row["at"]
    return at


async def said_of_checks(
    connection: Connection,
    tenant: str,
    *,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> list[dict[str, Any]]:
    """Count final reports by ``check_name``, ``ai_state`` and ``state``, the newest of each."""
    cursor = await connection.execute(
        """
        SELECT c.check_name, c.ai_state, c.state, count(*)::integer AS number
        FROM reviews r JOIN review_checks c USING (review_id)
        WHERE r.tenant = %(tenant)s AND r.state = 'signed' AND r.final
            AND (%(from)s::timestamptz IS NULL OR r.signed_at >= %(from)s)
            AND (%(to)s::timestamptz IS NULL OR r.signed_at < %(to)s)
            AND NOT EXISTS (SELECT FROM reviews a
                WHERE a.predecessor = r.review_id AND a.state = 'signed')
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        {"tenant": tenant, "from": created_from, "to": created_to},
    )
    return await cursor.fetchall()


async def said_by_two(
    connection: Connection,
    tenant: str,
    *,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> list[dict[str, Any]]:
    """Count pairs of independent reviews by ``check_name``, ``first`` and ``second``."""
    cursor = await connection.execute(
        """
        SELECT a.check_name, a.state AS first, b.state AS second, count(*)::integer AS number
        FROM reviews one JOIN reviews two ON two.screening_id = one.screening_id
            AND two.purpose = 'independent' AND two.state = 'signed'
            AND (two.signed_at, two.review_id) > (one.signed_at, one.review_id)
        JOIN review_checks a ON a.review_id = one.review_id
        JOIN review_checks b ON b.review_id = two.review_id AND b.check_name = a.check_name
        WHERE one.tenant = %(tenant)s AND one.purpose = 'independent' AND one.state = 'signed'
            AND (%(from)s::timestamptz IS NULL OR two.signed_at >= %(from)s)
            AND (%(to)s::timestamptz IS NULL OR two.signed_at < %(to)s)
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        {"tenant": tenant, "from": created_from, "to": created_to},
    )
    return await cursor.fetchall()


async def _note(
    connection: Connection,
    tenant: str,
    reader: str,
    what: str,
    review_id: UUID,
    detail: Mapping[str, Any],
) -> None:
    await audit.record(connection, tenant, reader, f"review.{what}", str(review_id), detail)
