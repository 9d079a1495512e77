"""``/ui/to-mark``: where a reader who learns finds the studies that the worklist keeps from him."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from gateway.api.hiding import mode_of
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.ui import answer, visit_of
from gateway.store import hiding
from gateway.ui.to_mark import to_mark_page

ROWS_SHOWN = 100

routes = web.RouteTableDef()


@routes.get("/ui/to-mark")
async def show_to_mark(request: web.Request) -> web.Response:
    """Show what whoever learns has yet to mark; nothing to anybody else."""
    principal, rows = request[PRINCIPAL], []
    if mode_of(request) == "teaching":
        async with request.app[DATABASE].connection() as connection:
            rows = await hiding.to_mark(
                connection, principal.tenant, principal.actor, limit=ROWS_SHOWN
            )
    return answer(request, to_mark_page(visit_of(request), rows, datetime.now(UTC)))
