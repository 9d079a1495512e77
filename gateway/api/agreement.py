"""``/v1/agreement``: how far readers agree with the checks, and with each other."""

from __future__ import annotations

from collections import Counter, defaultdict

from aiohttp import web

from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.query import moment, read_query
from gateway.review.content import SETTLED
from gateway.review.kappa import agreement
from gateway.store import reviews

Table = Counter[tuple[str, str]]

routes = web.RouteTableDef()


@routes.get("/v1/agreement")
async def show_agreement(request: web.Request) -> web.Response:
    """Count final reports by what the check said and what the reader said, check by check."""
    given = read_query(request, {"created_from": moment, "created_to": moment})
    tenant = request[PRINCIPAL].tenant
    async with request.app[DATABASE].connection() as connection:
        of_reports = await reviews.said_of_checks(connection, tenant, **given)
        of_pairs = await reviews.said_by_two(connection, tenant, **given)
    tables: defaultdict[str, Table] = defaultdict(Counter)
    unanswered: Counter[str] = Counter()
    pairs: defaultdict[str, Table] = defaultdict(Counter)
    for row in of_reports:
        if row["ai_state"] in SETTLED:
            tables[row["check_name"]][row["ai_state"], row["state"]] += row["number"]
        else:
            unanswered[row["check_name"]] += row["number"]
    for row in of_pairs:
        pairs[row["check_name"]][row["first"], row["second"]] += row["number"]
    names = sorted({*tables, *unanswered, *pairs})
    return web.json_response(
        {
            "checks": [
                {
                    "check": name,
                    **agreement(tables[name]),
                    "unanswered": unanswered[name],
                    "table": _nested(tables[name]),
                    "readers": agreement(pairs[name]),
                }
                for name in names
            ]
        }
    )


def _nested(table: Table) -> dict[str, dict[str, int]]:
    shown: dict[str, dict[str, int]] = {}
    for (one, other), number in sorted(table.items()):
        shown.setdefault(one, {})[other] = number
    return shown
