"""``/ui/reader-studies``: reader studies for people with a session."""

from __future__ import annotations

from aiohttp import web

from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.reader_studies import reads_still, shown_study, summary
from gateway.api.ui import answer, visit_of
from gateway.store import reader_studies
from gateway.ui.reader_studies import ReaderStudy, reader_studies_page

STUDIES_SHOWN = 50

FIGURED = 20
"""Of how many studies the figures are made; each reads the records of all its readings."""

routes = web.RouteTableDef()


@routes.get("/ui/reader-studies")
async def show_reader_studies(request: web.Request) -> web.Response:
    """Show the tenant's reader studies, newest first, and where whoever looks stands in each."""
    tenant, actor = request[PRINCIPAL].tenant, request[PRINCIPAL].actor
    shown, figured = [], 0
    async with request.app[DATABASE].connection() as connection:
        rows = await reader_studies.page(connection, tenant, limit=STUDIES_SHOWN)
        mine = await reader_studies.of_reader(connection, tenant, actor)
        for row in rows:
            plan = mine.get(row["reader_study_id"], [])
            told, exports = summary(row), not reads_still(plan, actor)
            if exports and figured < FIGURED:
                figured += 1
                whole = await reader_studies.readings(connection, row["reader_study_id"])
                told = shown_study(row, whole, actor)
            shown.append(
                ReaderStudy(
                    study=told,
                    standing=reader_studies.standing(row, plan, now=plan[0]["now"])
                    if plan
                    else None,
                    read=sum(one["closed_at"] is not None for one in plan),
                    of=len(plan),
                    exports=exports,
                )
            )
    return answer(request, reader_studies_page(visit_of(request), shown))
