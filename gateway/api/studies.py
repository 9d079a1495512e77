"""``/v1/studies``: what has been received, without its patients; QIDO-RS tells of them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.api.hiding import hidden
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.query import answer_page, moment, plain, read_page, uid
from gateway.api.screening_lists import summary, without_states
from gateway.exceptions import NotFoundError
from gateway.store import listing
from gateway.store.listing import MAX_LIMIT, Page

FILTERS = {
    "accession_number": plain,
    "modality": plain,
    "created_from": moment,
    "created_to": moment,
}

routes = web.RouteTableDef()


@routes.get("/v1/studies")
async def list_studies(request: web.Request) -> web.Response:
    """List the tenant's studies, those that came last first."""
    page, mark = read_page(request, FILTERS, key=uid)
    async with request.app[DATABASE].connection() as connection:
        rows = await listing.studies(connection, request[PRINCIPAL].tenant, page)
    return web.json_response(
        answer_page("studies", rows, page, mark, key="study_instance_uid", show=_study)
    )


@routes.get("/v1/studies/{study_instance_uid}")
async def get_study(request: web.Request) -> web.Response:
    """Show a study with its series and its screenings."""
    tenant = request[PRINCIPAL].tenant
    study_instance_uid = study_of(request)
    async with request.app[DATABASE].connection() as connection:
        row, series = await listing.study(connection, tenant, study_instance_uid)
        page = Page(filters={"study_instance_uid": study_instance_uid}, limit=MAX_LIMIT)
        screened = await listing.screenings(connection, tenant, page)
        kept_back = await hidden(request, connection, [study_instance_uid])
    return web.json_response(
        {
            **_study(row),
            "series": [_series(one) for one in series],
            "screenings": [summary(without_states(one, kept_back)) for one in screened],
        }
    )


def study_of(request: web.Request) -> str:
    """Read the study that an address names."""
    try:
        return str(uid(request.match_info["study_instance_uid"]))
    except ValueError:
        raise NotFoundError("No study of that UID has been received.") from None


def _study(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "study_instance_uid": row["study_instance_uid"],
        "accession_number": row["accession_number"],
        "study_date": row["study_date"],
        "description": row["description"],
        "modalities": list(row["modalities"]),
        "series_count": row["series_count"],
        "instance_count": row["instance_count"],
        "created_at": row["created_at"].isoformat(),
        "updated_at": row["updated_at"].isoformat(),
    }


def _series(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "series_instance_uid": row["series_instance_uid"],
        "modality": row["modality"],
        "series_number": row["series_number"],
        "description": row["description"],
        "instance_count": row["instance_count"],
        "updated_at": row["updated_at"].isoformat(),
    }
