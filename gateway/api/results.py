"""A screening's results as DICOM objects, and what became of those that were owed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.api.keys import DATABASE, OBJECTS, PRINCIPAL, SETTINGS
from gateway.api.multipart_answer import MultipartAnswer
from gateway.api.screenings import screening_id_of
from gateway.api.state import MAKER
from gateway.delivery.gathering import gather
from gateway.delivery.keeping import read_kept
from gateway.exceptions import NotFoundError, OverloadedError
from gateway.store import result_jobs, reviews, screenings

DICOM = "application/dicom"

routes = web.RouteTableDef()


@routes.get("/v1/screenings/{screening_id}/sr")
async def get_sr(request: web.Request) -> web.StreamResponse:
    """Give the structured report; the signed one where there is one."""
    return await _answer(request, "sr")


@routes.get("/v1/screenings/{screening_id}/seg")
async def get_seg(request: web.Request) -> web.StreamResponse:
    """Give the Segmentations, one of each series that was screened."""
    return await _answer(request, "seg")


@routes.get("/v1/screenings/{screening_id}/sc")
async def get_sc(request: web.Request) -> web.StreamResponse:
    """Give the Secondary Capture summary."""
    return await _answer(request, "sc")


@routes.get("/v1/screenings/{screening_id}/results")
async def list_results(request: web.Request) -> web.Response:
    """List what is owed of a screening, and what became of it."""
    tenant, screening_id = request[PRINCIPAL].tenant, screening_id_of(request)
    async with request.app[DATABASE].connection() as connection:
        await screenings.find(connection, tenant, screening_id)
        jobs = await result_jobs.of_screening(connection, tenant, screening_id)
    return web.json_response({"results": [_job(job) for job in jobs]})


@routes.post("/v1/screenings/{screening_id}/results/{job_id}/replay")
async def replay_result(request: web.Request) -> web.Response:
    """Make or send a result again, whatever became of it."""
    try:
        job_id = UUID(request.match_info["job_id"])
    except ValueError:
        raise NotFoundError("There is no such result.") from None
    async with request.app[DATABASE].connection() as connection:
        job = await result_jobs.replay(
            connection, request[PRINCIPAL].tenant, screening_id_of(request), job_id
        )
    return web.json_response(_job(job), status=202)


async def _answer(request: web.Request, kind: str) -> web.StreamResponse:
    files = await _files(request, kind)
    if not files:
        raise NotFoundError("The screening has nothing of that kind.")
    if len(files) == 1:
        return web.Response(body=files[0], content_type=DICOM)
    async with MultipartAnswer(request, DICOM) as answer:
        for number, data in enumerate(files, 1):
            await answer.part(DICOM, f"{request.path}#{number}")
            await answer.write(data)
    return answer.response


async def _files(request: web.Request, kind: str) -> list[bytes]:
    """Read what is kept; make it where nothing is, which gives the same bytes."""
    app, tenant, screening_id = request.app, request[PRINCIPAL].tenant, screening_id_of(request)
    async with app[DATABASE].connection() as connection:
        row, _, _ = await screenings.find(connection, tenant, screening_id)
        jobs = await result_jobs.of_screening(connection, tenant, screening_id)
    for job in reversed(jobs):
        named = [one for one in job["objects"] if one["kind"] == kind]
        study = row["study_instance_uid"]
        if named and (files := await read_kept(app[DATABASE], app[OBJECTS], tenant, study, named)):
            return files
    if app[MAKER].waiting >= app[SETTINGS].results.pending_limit:
        raise OverloadedError("Too many results are being made; try again.")
    async with app[DATABASE].connection() as connection:
        final = await reviews.final_report(connection, tenant, screening_id)
        signed = final["review_id"] if final is not None and kind == "sr" else None
        recipe = await gather(connection, tenant, screening_id, (kind,), review_id=signed)
    return [one.data for one in await app[MAKER].make(recipe)]


def _job(job: dict[str, Any]) -> dict[str, Any]:
    owed = job["state"] in ("pending", "made")
    times = ("created_at", "last_attempt_at", "made_at", "ended_at")
    return {
        "job_id": str(job["job_id"]),
        "screening_id": str(job["screening_id"]),
        "review_id": str(job["review_id"]) if job["review_id"] else None,
        "kinds": list(job["kinds"]),
        "send_to": job["send_to"],
        "state": job["state"],
        "attempts": job["attempts"],
        "next_attempt_at": job["next_at"].isoformat() if owed else None,
        "last_error": job["last_error"],
        "objects": job["objects"],
        **{name: job[name].isoformat() if job[name] else None for name in times},
    }
