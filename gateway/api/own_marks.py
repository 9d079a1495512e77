"""What whoever asks marks on a screening in place of a review, and what he has marked before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.api.hiding import hidden, mode_of
from gateway.api.keys import PRINCIPAL
from gateway.review.purposes import MARKING, final_of
from gateway.review.record import unseal
from gateway.store import reader_studies, reviews
from gateway.store.database import Connection
from gateway.store.reviews import Review
from gateway.ui.marks import Compared, Marking


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMarks:
    """What a study's page offers who reads it."""

    reviews: bool = False
    """Whether he may write a report."""

    marking: Marking | None = None
    compared: Compared | None = None


async def own_marks(
    request: web.Request,
    connection: Connection,
    row: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    *,
    kept_back: bool,
) -> OwnMarks:
    """Find what whoever asks may write on a screening.

    Parameters
    ----------
    row : mapping
        Of the screening.
    checks : sequence of mapping
        Its results as he may see them.
    kept_back : bool
        Whether its findings are hidden from him.
    """
    principal = request[PRINCIPAL]
    if "review" not in principal.roles:
        return OwnMarks()
    known = await reviews.of_screening(connection, principal.tenant, row["screening_id"])
    mine = [r for r in known if r["reader"] == principal.actor and r["purpose"] in MARKING]
    drafts = {r["purpose"]: r for r in mine if r["state"] == "draft"}
    if draft := drafts.get("study"):
        return OwnMarks(marking=await _reading(connection, draft))
    teaching = mode_of(request) == "teaching"
    if kept_back:
        begun = drafts.get("teaching")
        marks = Marking(purpose="teaching", review=str(begun["review_id"]) if begun else None)
        return OwnMarks(marking=marks if teaching else None)
    if await hidden(request, connection, [row["study_instance_uid"]], report=True):
        return OwnMarks()
    signed = max(
        (r for r in mine if r["state"] == "signed"), key=lambda r: r["signed_at"], default=None
    )
    compared = await _compared(connection, signed, known, checks) if signed else None
    return OwnMarks(reviews=not teaching, compared=compared)


async def _reading(connection: Connection, draft: Review) -> Marking:
    reading = await reader_studies.reading_of(connection, draft["review_id"])
    told = reading and {
        **{name: reading[name] for name in ("name", "session", "position", "of", "with_findings")},
        "reader_study_id": str(reading["reader_study_id"]),
    }
    return Marking(purpose="study", review=str(draft["review_id"]), reading=told)


async def _compared(
    connection: Connection,
    signed: Review,
    known: list[Review],
    checks: Sequence[Mapping[str, Any]],
) -> Compared | None:
    """Give marks beside the truth; none of a reader study that he has not read to its end."""
    if signed["purpose"] == "study":
        reading = await reader_studies.reading_of(connection, signed["review_id"])
        if reading is not None and reading["left"]:
            return None
    record = unseal(signed["record"], bytes(signed["digest"]))
    comparison, final = record["comparison"], final_of(known)
    truth = checks
    if comparison["against"] == "report" and final is not None:
        truth = unseal(final["record"], bytes(final["digest"]))["result"]["checks"]
    return Compared(marks=record["content"]["marks"], comparison=comparison, truth=truth)
