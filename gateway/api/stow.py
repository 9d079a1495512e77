"""DICOMweb: the Studies Service's store transaction (STOW-RS), PS3.18 10.5."""

from __future__ import annotations

import json

from aiohttp import web

from gateway.api.expect import ask_for_body, when_admitted
from gateway.api.keys import DATABASE, OBJECTS, PARTNERS, PRINCIPAL, SETTINGS
from gateway.api.media import need_json
from gateway.api.service_url import service_url
from gateway.exceptions import NotFoundError
from gateway.instance import Instance
from gateway.intake.dicom_json import JSON
from gateway.intake.header import is_uid
from gateway.intake.multipart import boundary_of
from gateway.intake.resend import same_pixels
from gateway.intake.stow import PART_TYPE, Watcher, store
from gateway.intake.stow_answer import answer
from gateway.store.arrivals import hold_back_seconds, note_arrivals, put_off
from gateway.store.database import Connection
from gateway.store.index import Outcome, add_instances
from gateway.store.retry import persist

PATIENCE_SECONDS = 20.0
"""A sender waits so long for PostgreSQL to come back; an embedded one is back in two seconds."""

routes = web.RouteTableDef()


@routes.post("/dicomweb/studies", expect_handler=when_admitted)
@routes.post("/dicomweb/studies/{study}", expect_handler=when_admitted)
async def store_instances(request: web.Request) -> web.Response:
    """Store the instances of a ``multipart/related; type="application/dicom"`` body."""
    await ask_for_body(request)
    boundary = boundary_of(request.headers.get("Content-Type", ""), part_type=PART_TYPE)
    need_json(request)
    study = request.match_info.get("study", "")
    if study and not is_uid(study):
        raise NotFoundError("The address names no Study Instance UID.")
    tenant = request[PRINCIPAL].tenant
    partner = request.app[PARTNERS].for_key(tenant, request[PRINCIPAL].name)
    objects = request.app[OBJECTS]

    def same(old: Instance, new: Instance) -> bool:
        return same_pixels(objects, old, new)

    async def index(instances: list[Instance]) -> list[Outcome]:
        async def add(connection: Connection) -> list[Outcome]:
            async with connection.transaction():  # one for both
                outcomes = await add_instances(connection, tenant, instances, same_pixels=same)
                await note_arrivals(connection, partner, outcomes)
            return outcomes

        return await persist(request.app[DATABASE], add, patience_seconds=PATIENCE_SECONDS)

    async def hold_back(studies: frozenset[str]) -> None:
        async with request.app[DATABASE].connection() as connection:
            for held in studies:
                async with connection.transaction():  # no two locks at once
                    await put_off(connection, tenant, [held])

    received = await store(
        request.content.iter_any(),
        boundary=boundary,
        objects=objects,
        index=index,
        max_instance_bytes=request.app[SETTINGS].api.max_instance_bytes,
        study_instance_uid=study,
        expected_bytes=request.content_length or 0,
        watcher=Watcher(hold_back, hold_back_seconds(partner.quiet_seconds)),
    )
    status, body = answer(received, service_url=service_url(request))
    return web.Response(status=status, body=json.dumps(body).encode(), content_type=JSON)
