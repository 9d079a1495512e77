"""``/v1/critical``: results that a person has to acknowledge."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.api.hiding import hidden, only_shown
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.screening_lists import refuse_body
from gateway.exceptions import NotFoundError
from gateway.store import critical

routes = web.RouteTableDef()


@routes.get("/v1/critical")
async def list_critical(request: web.Request) -> web.Response:
    """List the tenant's critical results that nobody has acknowledged."""
    async with request.app[DATABASE].connection() as connection:
        rows = await critical.open_results(connection, request[PRINCIPAL].tenant)
        kept_back = await hidden(request, connection, [row["study_instance_uid"] for row in rows])
    return web.json_response({"critical": [shown(row) for row in only_shown(rows, kept_back)]})


@routes.post("/v1/critical/{critical_id}/acknowledge")
async def acknowledge_critical(request: web.Request) -> web.Response:
    """Note who has seen a critical result."""
    await refuse_body(request)
    try:
        critical_id = UUID(request.match_info["critical_id"])
    except ValueError:
        raise NotFoundError("There is no such critical result.") from None
    who = request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        row = await critical.acknowledge(connection, who.tenant, critical_id, who.name)
    return web.json_response(shown(row))


def shown(row: critical.Row) -> dict[str, Any]:
    """Show one as plain values."""
    times = {name: row[name] for name in ("raised_at", "due_at", "acknowledged_at")}
    return {
        "critical_id": str(row["critical_id"]),
        "screening_id": str(row["screening_id"]),
        "study_instance_uid": row["study_instance_uid"],
        "check": row["check_name"],
        "asked": row["asked"] or None,
        "level": row["level"],
        "acknowledged_by": row["acknowledged_by"],
        **{name: at.isoformat() if at else None for name, at in times.items()},
    }
