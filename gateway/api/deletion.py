"""``DELETE /v1/studies/{study_instance_uid}``: images go, and results where that is asked for."""

from __future__ import annotations

from aiohttp import web

from gateway.api.keys import DATABASE, OBJECTS, PRINCIPAL
from gateway.api.operate import actor_of
from gateway.api.screening_lists import refuse_body
from gateway.api.studies import study_of
from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError
from gateway.store.deletion import delete_doomed, delete_study

KEEP, DELETE = "keep", "delete"

routes = web.RouteTableDef()


@routes.delete("/v1/studies/{study_instance_uid}")
async def delete(request: web.Request) -> web.Response:
    """Delete a study; ``results=delete`` deletes its screenings with it."""
    await refuse_body(request)
    if unknown := sorted(set(request.query) - {"results"}):
        raise UnknownQueryKeyError(f"Unknown parameter {unknown[0][:40]!r}; known are results.")
    results = request.query.get("results", KEEP)
    if results not in (KEEP, DELETE):
        raise InvalidQueryError(f"results must be {KEEP} or {DELETE}.")
    principal = request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        await delete_study(
            connection,
            principal.tenant,
            study_of(request),
            results=results == DELETE,
            actor=actor_of(principal),
        )
    async with request.app[DATABASE].connection() as connection:
        await delete_doomed(connection, request.app[OBJECTS])
    return web.Response(status=204)
