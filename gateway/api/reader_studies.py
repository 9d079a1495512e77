"""``/v1/reader-studies``: randomised crossover reading, with the findings and without."""

from __future__ import annotations

import csv
import io
import re
import statistics
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.api.json_body import json_object
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.reviews import show
from gateway.api.screening_lists import refuse_body
from gateway.exceptions import HiddenError, InvalidJsonError, InvalidReviewError, NotFoundError
from gateway.review.content import EMPTY, text
from gateway.review.crossover import allocate
from gateway.review.record import unseal
from gateway.store import reader_studies, reviews
from gateway.store.reader_studies import Row

READER = re.compile(r"(key|oidc):[^\x00-\x1f\ud800-\udfff]{1,250}|link")
"""As reviews name their readers."""

MAX_READERS = 100
MAX_CASES = 2000
MAX_NAME_CHARACTERS = 200
MAX_WASHOUT_DAYS = 3650
MAX_SEED = 2**63 - 1
STUDIES_SHOWN = 200

COLUMNS = (
    "reader",
    "session",
    "position",
    "screening_id",
    "with_findings",
    "seconds",
    "lesions",
    "hits",
    "misses",
    "false_marks",
    "sensitivity",
)
"""Of the export."""

routes = web.RouteTableDef()


@routes.post("/v1/reader-studies")
async def begin_reader_study(request: web.Request) -> web.Response:
    """Begin a reader study; from now on its readers see no findings of its cases."""
    fields = ("name", "seed", "washout_days", "readers", "screenings")
    body = await json_object(request, fields)
    try:
        name = text(body.get("name"), "name", MAX_NAME_CHARACTERS)
    except InvalidReviewError as error:
        raise InvalidJsonError(str(error)) from None
    seed, washout_days = body.get("seed"), body.get("washout_days")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InvalidJsonError("seed must be a whole number from 0.")
    if isinstance(washout_days, bool) or not isinstance(washout_days, (int, float)):
        raise InvalidJsonError("washout_days must be a number.")
    if not 0 <= washout_days <= MAX_WASHOUT_DAYS:
        raise InvalidJsonError(f"washout_days must be 0 to {MAX_WASHOUT_DAYS}.")
    readers, cases = _readers(body.get("readers")), _cases(body.get("screenings"))
    tenant, actor = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    async with request.app[DATABASE].connection() as connection:
        row = await reader_studies.create(
            connection,
            tenant,
            name=name,
            seed=seed,
            washout_days=float(washout_days),
            readers=readers,
            cases=cases,
            plan=allocate(seed, readers, [str(case) for case in cases]),
            actor=actor,
        )
        plan = await reader_studies.readings(connection, row["reader_study_id"])
    return web.json_response(
        shown_study(row, plan, actor),
        status=201,
        headers={"Location": f"/v1/reader-studies/{row['reader_study_id']}"},
    )


@routes.get("/v1/reader-studies")
async def list_reader_studies(request: web.Request) -> web.Response:
    """List the tenant's reader studies, newest first."""
    async with request.app[DATABASE].connection() as connection:
        rows = await reader_studies.page(connection, request[PRINCIPAL].tenant, limit=STUDIES_SHOWN)
    return web.json_response({"reader_studies": [summary(row) for row in rows]})


@routes.get("/v1/reader-studies/{reader_study_id}")
async def get_reader_study(request: web.Request) -> web.Response:
    """Show a reader study: how far each reader has come, and the figures when all is read."""
    tenant = request[PRINCIPAL].tenant
    async with request.app[DATABASE].connection() as connection:
        row = await reader_studies.find(connection, tenant, _study_id(request))
        plan = await reader_studies.readings(connection, row["reader_study_id"])
    return web.json_response(shown_study(row, plan, request[PRINCIPAL].actor))


@routes.post("/v1/reader-studies/{reader_study_id}/next")
async def next_reading(request: web.Request) -> web.Response:
    """Give the next case of whoever asks and start its clock, or go on with the one in hand."""
    await refuse_body(request)
    tenant, reader = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    async with request.app[DATABASE].connection() as connection:
        study = await reader_studies.find(connection, tenant, _study_id(request))
        found = await reader_studies.take_next(
            connection, study, reader=reader, content=dict(EMPTY)
        )
        told: dict[str, Any] = {"state": found.state}
        if found.resumes_at is not None:
            told["resumes_at"] = found.resumes_at.isoformat()
        if found.reading is not None:
            review = await reviews.find(connection, tenant, found.reading["review_id"])
            plan = await reader_studies.readings(connection, study["reader_study_id"])
            told |= {
                "review": show(review, [review], reader),
                "with_findings": found.reading["with_findings"],
                "session": found.reading["session"],
                "position": found.reading["position"],
                "of": len({row["screening_id"] for row in plan}),
            }
    return web.json_response(told)


@routes.get("/v1/reader-studies/{reader_study_id}/export")
async def export_reader_study(request: web.Request) -> web.Response:
    """Give the signed readings as CSV, a row each."""
    tenant, actor = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    async with request.app[DATABASE].connection() as connection:
        row = await reader_studies.find(connection, tenant, _study_id(request))
        plan = await reader_studies.readings(connection, row["reader_study_id"])
    if reads_still(plan, actor):
        raise HiddenError("The figures are hidden until you have read all of your cases.")
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for reading in plan:
        if reading["closed_at"] is not None:
            writer.writerow(_figures(reading))
    return web.Response(
        text=written.getvalue(),
        content_type="text/csv",
        headers={
            "Content-Disposition": f'attachment; filename="{row["reader_study_id"]}.csv"',
            "Cache-Control": "no-store",
        },
    )


def _figures(reading: Row) -> dict[str, Any]:
    compared = unseal(reading["record"], bytes(reading["digest"]))["comparison"]
    share = compared["sensitivity"]
    reader = reading["reader"]
    return {
        # A spreadsheet runs what begins like a formula; names begin with key:, oidc: or link.
        "reader": reader,
        "session": reading["session"],
        "position": reading["position"],
        "screening_id": reading["screening_id"],
        "with_findings": str(reading["with_findings"]).lower(),
        "seconds": round(reading["seconds"], 1),
        **{name: compared[name] for name in ("lesions", "hits", "misses", "false_marks")},
        "sensitivity": "" if share is None else round(share, 4),
    }


def summary(row: Row) -> dict[str, Any]:
    """Show what a reader study is, without its readings."""
    return {
        "reader_study_id": str(row["reader_study_id"]),
        "name": row["name"],
        "readers": list(row["readers"]),
        "washout_days": row["washout_days"],
        "created_by": row["created_by"],
        "created_at": row["created_at"].isoformat(),
    }


def shown_study(row: Row, plan: list[Row], actor: str) -> dict[str, Any]:
    """Show a study; neither seed nor figures to who has yet to read."""
    still = reads_still(plan, actor)
    return {
        **summary(row),
        "seed": None if still else row["seed"],
        "cases": len({one["screening_id"] for one in plan}),
        "progress": [
            {
                "reader": reader,
                "read": sum(one["closed_at"] is not None for one in _of(plan, reader)),
                "of": len(_of(plan, reader)),
                "figures": None if still else _summed(_of(plan, reader)),
            }
            for reader in row["readers"]
        ],
    }


def _summed(readings: list[Row]) -> list[dict[str, Any]] | None:
    """Give time and sensitivity with the findings and without; None until all is read."""
    if any(one["closed_at"] is None for one in readings):
        return None
    told = []
    for arm in (False, True):
        rows = [_figures(one) for one in readings if one["with_findings"] is arm]
        if not rows:
            continue
        lesions, hits = (sum(row[name] for row in rows) for name in ("lesions", "hits"))
        told.append(
            {
                "with_findings": arm,
                "readings": len(rows),
                "median_seconds": statistics.median(row["seconds"] for row in rows),
                "lesions": lesions,
                "hits": hits,
                "sensitivity": hits / lesions if lesions else None,
                "false_marks": sum(row["false_marks"] for row in rows),
            }
        )
    return told


def _of(plan: list[Row], reader: str) -> list[Row]:
    return [one for one in plan if one["reader"] == reader]


def reads_still(plan: list[Row], reader: str) -> bool:
    """Whether somebody has cases left to read, so that no figure is shown to him."""
    return any(one["closed_at"] is None for one in _of(plan, reader))


def _readers(given: Any) -> list[str]:
    fits = isinstance(given, list) and 1 <= len(given) <= MAX_READERS
    if not fits or not all(isinstance(one, str) and READER.fullmatch(one) for one in given):
        raise InvalidJsonError("readers must list names as key:NAME, oidc:SUBJECT or link.")
    if len(set(given)) < len(given):
        raise InvalidJsonError("readers names somebody twice.")
    return list(given)


def _cases(given: Any) -> list[UUID]:
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_CASES:
        raise InvalidJsonError(f"screenings must list 1 to {MAX_CASES} screenings.")
    try:
        cases = [UUID(one) for one in given]
    except (ValueError, TypeError, AttributeError):
        raise InvalidJsonError("screenings must list identifiers of screenings.") from None
    if len(set(cases)) < len(cases):
        raise InvalidJsonError("screenings names a case twice.")
    return cases


def _study_id(request: web.Request) -> UUID:
    try:
        return UUID(request.match_info["reader_study_id"])
    except ValueError:
        raise NotFoundError(reader_studies.NO_STUDY) from None
