"""``/v1/reviews`` and what of it lies under a screening: drafts, signatures, the final report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.api.hiding import hidden, mode_of, refuse_hidden
from gateway.api.json_body import json_object
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.screening_lists import refuse_body
from gateway.api.screenings import screening_id_of
from gateway.api.signing import Signing, sign
from gateway.exceptions import ConflictError, InvalidJsonError, InvalidReviewError, NotFoundError
from gateway.results.json import screening_result
from gateway.review.carrying import carry
from gateway.review.content import EMPTY, read_content
from gateway.review.disagreement import disagreements
from gateway.review.purposes import (
    INDEPENDENT,
    MARKING,
    REPORTING,
    final_of,
    is_shown,
    purpose_for,
    signed_independents,
)
from gateway.review.record import digest_of, unseal
from gateway.review.verdicts import refuse_unknown
from gateway.store import reader_studies, reviews, screenings
from gateway.store.database import Connection
from gateway.store.reviews import Review

LARGEST_REVISION = 2**31 - 1

routes = web.RouteTableDef()


@routes.post("/v1/screenings/{screening_id}/reviews")
async def begin_review(request: web.Request) -> web.Response:
    """Begin a review, or find one's own draft again: 201, or 200."""
    given = await json_object(request, ("amends", "carries")) if request.can_read_body else {}
    amends, carries = (_identifier(given, name) for name in ("amends", "carries"))
    tenant, reader = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    screening_id, mode = screening_id_of(request), mode_of(request)
    left: list[str] = []
    async with request.app[DATABASE].connection() as connection:
        await reviews.lock_screening(connection, tenant, screening_id)
        row, released, _ = await screenings.find(connection, tenant, screening_id)
        known = await reviews.of_screening(connection, tenant, screening_id)
        content: Mapping[str, Any] = EMPTY
        if mode == "teaching":
            purpose = _teaching(known, reader, given)
        else:
            await refuse_hidden(request, connection, row["study_instance_uid"], report=True)
            if amends is not None:
                content, purpose = _amended(known, amends)["content"], "report"
            else:
                others = [r for r in known if r["state"] == "signed" or r["reader"] != reader]
                purpose = purpose_for(mode, others, reader)
            if not _has_draft(known, reader):
                await reviews.refuse_superseded(connection, tenant, screening_id)
            if carries is not None:
                content, left = await _carried(connection, row, released, carries, reader)
        made, created = await reviews.begin(
            connection,
            tenant,
            screening_id,
            reader=reader,
            purpose=purpose,
            content=content,
            predecessor=amends,
        )
    return web.json_response(
        {**show(made, [*known, made], reader), "left_behind": left},
        status=201 if created else 200,
        headers={"Location": f"/v1/reviews/{made['review_id']}"},
    )


@routes.get("/v1/screenings/{screening_id}/reviews")
async def list_reviews(request: web.Request) -> web.Response:
    """List a screening's reviews, and what two readers disagree on."""
    tenant, reader = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    screening_id = screening_id_of(request)
    async with request.app[DATABASE].connection() as connection:
        row, released, _ = await screenings.find(connection, tenant, screening_id)
        known = await reviews.of_screening(connection, tenant, screening_id)
        study = row["study_instance_uid"]
        kept_back = bool(await hidden(request, connection, [study], report=True))
        shown = [
            await _shown(connection, one, known, reader)
            for one in known
            if one["reader"] == reader or not (kept_back or one["purpose"] in MARKING)
        ]
    signed = signed_independents(known)
    visible = not kept_back and all(is_shown(one, known, reader) for one in signed)
    final = None if kept_back else final_of(known)
    apart: list[Any] = []
    if visible and len(signed) >= INDEPENDENT:
        first, second = (_result_of(one) for one in signed[:INDEPENDENT])
        checks = screening_result(row, released)["checks"]
        apart = disagreements(checks, first["checks"], second["checks"])
    return web.json_response(
        {
            "mode": "double" if signed else _mode(mode_of(request), known),
            "final_review_id": final and str(final["review_id"]),
            "reviews": shown,
            "disagreements": apart,
        }
    )


@routes.get("/v1/screenings/{screening_id}/report")
async def get_report(request: web.Request) -> web.Response:
    """Give the final report of a screening."""
    tenant, screening_id = request[PRINCIPAL].tenant, screening_id_of(request)
    async with request.app[DATABASE].connection() as connection:
        row, _, _ = await screenings.find(connection, tenant, screening_id)
        await refuse_hidden(request, connection, row["study_instance_uid"], report=True)
        final = await reviews.final_report(connection, tenant, screening_id)
    if final is None:
        raise NotFoundError("The screening has no final report yet.")
    return web.json_response(report_of(final))


@routes.get("/v1/reviews/{review_id}")
async def get_review(request: web.Request) -> web.Response:
    """Show a review; what another says stays out until it may be seen."""
    tenant, reader = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    async with request.app[DATABASE].connection() as connection:
        row = await reviews.find(connection, tenant, review_id_of(request))
        if row["reader"] != reader:
            if row["purpose"] in MARKING:
                raise NotFoundError(reviews.NO_REVIEW)
            await refuse_hidden(request, connection, row["study_instance_uid"], report=True)
        known = await reviews.of_screening(connection, tenant, row["screening_id"])
        return web.json_response(await _shown(connection, row, known, reader))


@routes.put("/v1/reviews/{review_id}")
async def save_review(request: web.Request) -> web.Response:
    """Save one's draft over the revision that was read."""
    given = await json_object(request, ("revision", "content"))
    revision, review_id = _revision(given), review_id_of(request)
    tenant, reader = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    async with request.app[DATABASE].connection() as connection:
        row = await reviews.find(connection, tenant, review_id)
        marks = row["purpose"] in MARKING
        content = read_content(given.get("content"), marks=marks)
        shown, released, _ = await screenings.find(connection, tenant, row["screening_id"])
        if not marks:
            refuse_unknown(content, screening_result(shown, released)["checks"])
        elif unknown := {mark["check"] for mark in content["marks"]} - set(shown["checks"]):
            raise InvalidReviewError(f"The screening was not asked for {sorted(unknown)[0]}.")
        saved = await reviews.save(
            connection,
            tenant,
            review_id,
            reader=reader,
            revision=revision,
            content=content,
            digest=digest_of(content),
        )
        return web.json_response(await _shown(connection, saved, [saved], reader))


@routes.post("/v1/reviews/{review_id}/sign")
async def sign_review(request: web.Request) -> web.Response:
    """Sign one's draft; with it the final report is there, or the findings are shown."""
    given = await json_object(request, ("revision",))
    revision, review_id = _revision(given), review_id_of(request)
    tenant, reader = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    async with request.app[DATABASE].connection() as connection:
        found = await reviews.find(connection, tenant, review_id)
        await reviews.lock_screening(connection, tenant, found["screening_id"])
        row = await reviews.hold_draft(
            connection, tenant, review_id, reader=reader, revision=revision
        )
        shown, released, _ = await screenings.find(connection, tenant, row["screening_id"])
        if shown["state"] not in screenings.FINAL_STATES:
            raise ConflictError(f"The screening is {shown['state']}; sign when it has ended.")
        known = await reviews.of_screening(connection, tenant, row["screening_id"])
        signing = Signing(row, known, screening_result(shown, released))
        signed = await sign(connection, signing)
        known = await reviews.of_screening(connection, tenant, row["screening_id"])
        return web.json_response(await _shown(connection, signed, known, reader))


@routes.delete("/v1/reviews/{review_id}")
async def discard_review(request: web.Request) -> web.Response:
    """Discard one's draft."""
    await refuse_body(request)
    principal = request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        await reviews.discard(
            connection, principal.tenant, review_id_of(request), reader=principal.actor
        )
    return web.Response(status=204)


def review_id_of(request: web.Request) -> UUID:
    """Read the review that an address names."""
    try:
        return UUID(request.match_info["review_id"])
    except ValueError:
        raise NotFoundError(reviews.NO_REVIEW) from None


def report_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read the record of a signed review; raises DamagedReviewError."""
    return {**unseal(row["record"], bytes(row["digest"])), "digest": bytes(row["digest"]).hex()}


def show(row: Review, known: list[Review], reader: str) -> dict[str, Any]:
    """Show a review as far as a reader may see it."""
    shown, signed = is_shown(row, known, reader), row["state"] == "signed"
    record = unseal(row["record"], bytes(row["digest"])) if signed and shown else {}
    content = record["content"] if record else row["content"]
    return {
        "review_id": str(row["review_id"]),
        "screening_id": str(row["screening_id"]),
        "version": row["version"],
        "study_instance_uid": row["study_instance_uid"],
        "reader": row["reader"],
        "purpose": row["purpose"],
        "state": row["state"],
        "final": row["final"],
        "revision": row["revision"],
        "predecessor": row["predecessor"] and str(row["predecessor"]),
        "amended_by": row["amended_by"] and str(row["amended_by"]),
        "content": content if shown else None,
        "digest": bytes(row["digest"]).hex() if signed else None,
        "comparison": record.get("comparison"),
        "created_at": row["created_at"].isoformat(),
        "updated_at": row["updated_at"].isoformat(),
        "signed_at": row["signed_at"].isoformat() if signed else None,
    }


async def _shown(
    connection: Connection, row: Review, known: list[Review], reader: str
) -> dict[str, Any]:
    """Show a review; in a reader study its figures only when all has been read."""
    told = show(row, known, reader)
    if row["purpose"] == "study" and told["comparison"] is not None:
        reading = await reader_studies.reading_of(connection, row["review_id"])
        if reading is not None and reading["left"]:
            told["comparison"] = None
    return told


def _mode(mode: str, known: list[Review]) -> str:
    """Give how a screening is reported on; its first review decides between one and two."""
    begun = {row["purpose"] for row in known}
    if mode == "teaching" or not begun & set(REPORTING):
        return mode
    return "single" if "report" in begun else "double"


def _teaching(known: list[Review], reader: str, given: Mapping[str, Any]) -> str:
    if given:
        raise ConflictError("Whoever learns neither amends nor carries a report.")
    mine = (row for row in known if row["reader"] == reader and row["purpose"] == "teaching")
    if any(row["state"] == "signed" for row in mine):
        raise ConflictError("You have marked it, and its findings are shown.")
    return "teaching"


def _amended(known: list[Review], amends: UUID) -> Review:
    """Find the report that is to be amended: the newest, or it has been amended already."""
    named = next((row for row in known if row["review_id"] == amends and row["final"]), None)
    if named is None:
        raise NotFoundError("The screening has no such final report.")
    final = final_of(known)
    if final is None or final["review_id"] != amends:
        purpose_for("single", known, "")  # says who has amended it
    return named


def _has_draft(known: list[Review], reader: str) -> bool:
    return any(
        row["reader"] == reader and row["state"] == "draft" and row["purpose"] in REPORTING
        for row in known
    )


async def _carried(
    connection: Connection,
    row: screenings.Row,
    released: list[screenings.Row],
    carries: UUID,
    reader: str,
) -> tuple[Mapping[str, Any], list[str]]:
    """Take over what a review of an earlier version says of unchanged results."""
    old = await reviews.find(connection, row["tenant"], carries)
    known = await reviews.of_screening(connection, row["tenant"], old["screening_id"])
    same = old["study_instance_uid"] == row["study_instance_uid"]
    if not same or not is_shown(old, known, reader) or old["purpose"] in MARKING:
        raise NotFoundError("The study has no such review.")
    before, then, _ = await screenings.find(connection, row["tenant"], old["screening_id"])
    return carry(
        old["content"],
        screening_result(before, then)["checks"],
        screening_result(row, released)["checks"],
    )


def _result_of(row: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = report_of(row)["result"]
    return result


def _identifier(given: Mapping[str, Any], name: str) -> UUID | None:
    if given.get(name) is None:
        return None
    try:
        return UUID(given[name])
    except (ValueError, TypeError, AttributeError):
        raise InvalidJsonError(f"{name} must be the identifier of a review.") from None


def _revision(given: Mapping[str, Any]) -> int:
    revision = given.get("revision")
    whole = isinstance(revision, int) and not isinstance(revision, bool)
    if not whole or not 1 <= revision <= LARGEST_REVISION:  # type: ignore[operator]
        raise InvalidJsonError("revision must be that of the draft as it was read.")
    return int(revision)  # type: ignore[arg-type]
