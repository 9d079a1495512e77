"""``GET /v1/screenings``, ``…/cancel`` and ``…/rerun``."""

from __future__ import annotations

import dataclasses
from typing import Any

from aiohttp import web

from gateway.api.hiding import hidden, unread_studies
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.limits import refuse_when_full
from gateway.api.query import answer_page, identifier, moment, names, read_page, uid, words
from gateway.api.screenings import answer_created, read_idempotency, screening_id_of
from gateway.api.state import MANIFESTS
from gateway.exceptions import ConflictError, InvalidJsonError, UnknownCheckError
from gateway.results.json import ending_json, order_json, screening_result
from gateway.screening.manifest import STATES
from gateway.store import listing, screenings
from gateway.store.queue import LANES

SCREENING_STATES = ("accepted", "running", *screenings.FINAL_STATES)

FILTERS = {
    "state": words(*SCREENING_STATES),
    "lane": words(*LANES),
    "check": names,
    "check_state": words(*STATES),
    "study_instance_uid": uid,
    "created_from": moment,
    "created_to": moment,
}

routes = web.RouteTableDef()


@routes.get("/v1/screenings")
async def list_screenings(request: web.Request) -> web.Response:
    """List the tenant's screenings, newest first."""
    page, mark = read_page(request, FILTERS, key=identifier)
    async with request.app[DATABASE].connection() as connection:
        if "check_state" in page.filters:
            without = await unread_studies(request, connection)
            page = dataclasses.replace(page, filters={**page.filters, "without": without})
        rows = await listing.screenings(connection, request[PRINCIPAL].tenant, page)
        kept_back = await hidden(request, connection, [row["study_instance_uid"] for row in rows])
    return web.json_response(
        answer_page(
            "screenings",
            [without_states(row, kept_back) for row in rows],
            page,
            mark,
            key="screening_id",
            show=summary,
        )
    )


@routes.post("/v1/screenings/{screening_id}/cancel")
async def cancel_screening(request: web.Request) -> web.Response:
    """End a screening that is not wanted any more."""
    await refuse_body(request)
    screening_id = screening_id_of(request)
    async with request.app[DATABASE].connection() as connection:
        row = await screenings.cancel(connection, request[PRINCIPAL].tenant, screening_id)
        released = await screenings.results(connection, screening_id)
    return web.json_response(screening_result(row, released))


@routes.post("/v1/screenings/{screening_id}/rerun")
async def rerun_screening(request: web.Request) -> web.Response:
    """Screen the same study for the same checks again, as a new version."""
    await refuse_body(request)
    tenant, screening_id = request[PRINCIPAL].tenant, screening_id_of(request)
    idempotency = read_idempotency(request, {})
    async with request.app[DATABASE].connection() as connection:
        before, _, _ = await screenings.find(connection, tenant, screening_id)
        if before["state"] not in screenings.FINAL_STATES:
            raise ConflictError(f"The screening is {before['state']}; cancel it first.")
        installed = {name for name, m in request.app[MANIFESTS].items() if m.is_check}
        if missing := sorted(set(before["checks"]) - installed):
            raise UnknownCheckError(f"The check {missing[0]!r} is not installed any more.")
        row, created = await screenings.create(
            connection, tenant, screenings.order_of(before), **idempotency
        )
        if created:
            await refuse_when_full(connection, request[PRINCIPAL])
    return answer_created(row)


def without_states(row: dict[str, Any], hidden_studies: set[str]) -> dict[str, Any]:
    """Leave out the states of a screening whose findings are hidden."""
    kept_back = row["study_instance_uid"] in hidden_studies
    return {**row, "check_states": {}} if kept_back else row


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """Show a screening in a list."""
    return {
        "screening_id": str(row["screening_id"]),
        "study_instance_uid": row["study_instance_uid"],
        "state": row["state"],
        **order_json(row),
        "check_states": row["check_states"],
        **ending_json(row),
    }


async def refuse_body(request: web.Request) -> None:
    """Refuse a body, which would be ignored."""
    if request.can_read_body and await request.read() not in (b"", b"{}"):
        raise InvalidJsonError("This takes no body.")
