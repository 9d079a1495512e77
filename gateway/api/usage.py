"""``/v1/usage``: what the tenant uses today, and its limits."""

from __future__ import annotations

import math

from aiohttp import web

from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.principal import QUOTAS
from gateway.store.usage import use_of

routes = web.RouteTableDef()


@routes.get("/v1/usage")
async def show_usage(request: web.Request) -> web.Response:
    """Give used and limit of each quota; a limit of null means that there is none.

    Requests are counted only where they are limited: ``used`` is null otherwise.
    """
    principal = request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        used = await use_of(connection, principal.tenant)
    resets = {
        "requests_per_minute": used["minute_left"],
        "studies_per_day": used["day_left"],
        "bytes_per_day": used["day_left"],
    }
    quotas = {}
    for name in QUOTAS:
        limit = getattr(principal.quotas, name)
        counted = name != "requests_per_minute" or limit is not None
        quotas[name] = {
            "used": int(used[name]) if counted else None,
            "limit": limit,
            "reset_seconds": math.ceil(resets[name]) if name in resets else None,
        }
    return web.json_response({"tenant": principal.tenant, "day": used["day"], "quotas": quotas})
