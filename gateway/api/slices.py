"""Slices of stored volumes and of masks, one at a time, for whoever looks at a study."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

from aiohttp import web

from gateway.api.keys import DATABASE, OBJECTS, PRINCIPAL
from gateway.api.query import NAME
from gateway.api.screenings import screening_id_of
from gateway.api.slots import SLOTS
from gateway.api.state import VIEWER
from gateway.api.studies import study_of
from gateway.exceptions import NotFoundError
from gateway.store import screenings
from gateway.store.index import study_instances
from gateway.store.masks import find_mask
from gateway.store.worklist import patient
from gateway.study.series import Series
from gateway.study.viewed import PLANES, ViewedVolume, describe, mask_slice

OCTETS = "application/octet-stream"
PRIVATE = {"Cache-Control": "no-store"}
"""Pixels stay in no cache but the page's own."""

LONGEST_NUMBER = 6
"""Digits of a part or of a slice."""

routes = web.RouteTableDef()


@routes.get("/v1/studies/{study_instance_uid}/volumes")
async def list_volumes(request: web.Request) -> web.Response:
    """List the series of a study as volumes."""
    _, series = await series_of(request, study_of(request))
    return web.json_response({"volumes": [describe(one) for one in series]}, headers=PRIVATE)


@routes.get(
    "/v1/studies/{study_instance_uid}/volumes/{series}/{part}/{plane}/{index}", allow_head=False
)
async def get_slice(request: web.Request) -> web.Response:
    """Give one slice as int16."""
    plane, index = _place(request)
    key = f"{request.match_info['series']}#{_number(request, 'part')}"
    volume = await _volume(request, study_of(request), key)
    slots = request.app[SLOTS]
    slots.admit()
    data = await slots.run(volume.slice, request.app[OBJECTS], plane, index)
    return web.Response(body=data, content_type=OCTETS, headers=PRIVATE)


@routes.get("/v1/screenings/{screening_id}/masks/{check}/{plane}/{index}", allow_head=False)
async def get_mask_slice(request: web.Request) -> web.Response:
    """Give the labels of a check's mask on one slice of the volume that it was made of."""
    check = request.match_info["check"]
    if not NAME.fullmatch(check):
        raise NotFoundError("No mask is kept of that check.")
    plane, index = _place(request)
    tenant, screening_id = request[PRINCIPAL].tenant, screening_id_of(request)
    async with request.app[DATABASE].connection() as connection:
        pointer = await find_mask(connection, tenant, screening_id, check)
        row, released, _ = await screenings.find(connection, tenant, screening_id)
    volume = await _volume(request, row["study_instance_uid"], _series_key(row, released, check))
    read = partial(request.app[OBJECTS].read, pointer.object_key, pointer.offset, pointer.length)
    slots = request.app[SLOTS]
    slots.admit()
    data = await slots.run(mask_slice, read, volume, plane, index)
    if data is None:
        return web.Response(status=204, headers=PRIVATE)
    answer = web.Response(body=data, content_type=OCTETS, headers=PRIVATE)
    answer.enable_compression()
    return answer


async def series_of(request: web.Request, study: str) -> tuple[Hashable, list[Series]]:
    """Give the series of a tenant's study, and what changes when the study does.

    Raises
    ------
    NotFoundError
        When the tenant has no such study.
    """
    tenant, viewer = request[PRINCIPAL].tenant, request.app[VIEWER]
    async with request.app[DATABASE].connection() as connection:
        row = await patient(connection, tenant, study)
        if row is None:
            raise NotFoundError("No study of that UID has been received.")
        key = (tenant, study, row["updated_at"], row["instance_count"])
        known = viewer.known(key)
        if known is not None:
            return key, known
        instances = await study_instances(connection, tenant, study)
    slots = request.app[SLOTS]
    slots.admit()
    return key, await slots.run(viewer.learn, key, instances)


async def _volume(request: web.Request, study: str, series_key: str) -> ViewedVolume:
    key, series = await series_of(request, study)
    if not series_key and series:
        series_key = max(series, key=lambda one: len(one.frames)).key
    wanted = {series_key, series_key.removesuffix("#1"), f"{series_key}#1"}
    for one in series:
        if one.key in wanted:
            return await request.app[SLOTS].run(request.app[VIEWER].volume, (key, one.key), one)
    raise NotFoundError("The study has no such series.")


def _series_key(row: screenings.Row, released: list[screenings.Row], check: str) -> str:
    """Name the volume that a check looked at: by the plan, else by the result's provenance."""
    for step in (row["plan"] or {}).get("checks", []):
        if step["check"] == check and step["series_key"]:
            return str(step["series_key"])
    for one in released:
        result: dict[str, Any] = one["result"] or {}
        if one["check_name"] == check and (
            uid := result.get("provenance", {}).get("series_instance_uid")
        ):
            return str(uid)
    return ""


def _place(request: web.Request) -> tuple[str, int]:
    plane = request.match_info["plane"]
    if plane not in PLANES:
        raise NotFoundError(f"Planes are {', '.join(PLANES)}.")
    return plane, _number(request, "index")


def _number(request: web.Request, name: str) -> int:
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise NotFoundError(f"{name} must be a whole number.")
    return int(text)
