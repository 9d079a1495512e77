"""Findings stay hidden from a reader who has yet to mark his own (docs/review.md).

Whatever names a screening is refused to him unless it stands in `HIDES_ITSELF`, so a new route
tells nothing by accident; those that stand there ask `hidden` and leave the findings out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.keys import DATABASE, PARTNERS, PRINCIPAL
from gateway.exceptions import HiddenError
from gateway.store import hiding
from gateway.store.database import Connection

HIDES_ITSELF = frozenset(
    {
        "/v1/screenings/{screening_id}",
        "/v1/screenings/{screening_id}/events",
        "/v1/screenings/{screening_id}/report",
        "/v1/screenings/{screening_id}/reviews",
        "/ui/screenings/{screening_id}",
    }
)
"""Routes of one screening that leave out what is hidden."""

Row = dict[str, Any]

DICOM = "/dicomweb/studies/{study}"

SEARCHES = ("/series", "/instances")
"""They tell UIDs and attributes, not what an object holds."""


def mode_of(request: web.Request) -> str:
    """Give how whoever asks reviews, as his profile says."""
    principal = request[PRINCIPAL]
    return request.app[PARTNERS].for_key(principal.tenant, principal.name).review


def may_hide(request: web.Request) -> bool:
    """Whether anything could be hidden from whoever asks: he reviews, or learns to."""
    principal = request.get(PRINCIPAL)
    if principal is None:
        return False
    return "review" in principal.roles or mode_of(request) == "teaching"


async def hidden(
    request: web.Request,
    connection: Connection,
    studies: Iterable[str | None],
    *,
    report: bool = False,
) -> set[str]:
    """Give those studies whose findings whoever asks must not see yet.

    Parameters
    ----------
    report : bool
        Whether the final report is meant, the truth of reader studies.
    """
    named = sorted({study for study in studies if study})
    if not named or not may_hide(request):
        return set()
    principal, teaching = request[PRINCIPAL], mode_of(request) == "teaching"
    return await hiding.hidden_studies(
        connection, principal.tenant, principal.actor, named, teaching=teaching, report=report
    )


async def refuse_hidden(
    request: web.Request, connection: Connection, study: str | None, *, report: bool = False
) -> None:
    """Refuse what tells the findings of a study that are hidden.

    Raises
    ------
    HiddenError
        When they are.
    """
    if await hidden(request, connection, [study], report=report):
        raise HiddenError()


async def hidden_screenings(
    request: web.Request, connection: Connection, screenings: Iterable[UUID]
) -> set[UUID]:
    """Give those screenings whose findings whoever asks must not see yet."""
    if not may_hide(request):
        return set()
    of = await hiding.studies_of(connection, request[PRINCIPAL].tenant, list(screenings))
    kept_back = await hidden(request, connection, of.values())
    return {screening for screening, study in of.items() if study in kept_back}


def without_findings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a screening's row what tells or hints at its findings."""
    return {**row, "plan": None, "result": None}


async def unread_studies(request: web.Request, connection: Connection) -> list[str]:
    """Give the studies that whoever asks has yet to read, which no filter by findings may find.

    Raises
    ------
    HiddenError
        When he learns, so that there is no end of them.
    """
    if not may_hide(request):
        return []
    if mode_of(request) == "teaching":
        raise HiddenError()
    principal = request[PRINCIPAL]
    return await hiding.unread_studies(connection, principal.tenant, principal.actor)


def only_shown(rows: Iterable[Row], hidden_studies: set[str]) -> list[Row]:
    """Leave out of a list the rows of studies whose findings are hidden."""
    return [row for row in rows if row["study_instance_uid"] not in hidden_studies]


@web.middleware
async def hide_findings(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what would tell hidden findings: other forms of results, and our DICOM objects."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    if path and may_hide(request):
        if "{screening_id}" in path and path not in HIDES_ITSELF:
            await _refuse_screening(request)
        retrieves = path.startswith(DICOM) and not path.endswith(SEARCHES)
        if retrieves and request.method in ("GET", "HEAD"):
            await _refuse_own_results(request)
    return await handler(request)


async def _refuse_screening(request: web.Request) -> None:
    try:
        screening_id = UUID(request.match_info["screening_id"])
    except ValueError:
        return  # the handler says that there is none
    async with request.app[DATABASE].connection() as connection:
        of = await hiding.studies_of(connection, request[PRINCIPAL].tenant, [screening_id])
        if await hidden(request, connection, of.values()):
            raise HiddenError()


async def _refuse_own_results(request: web.Request) -> None:
    found, tenant = request.match_info, request[PRINCIPAL].tenant
    async with request.app[DATABASE].connection() as connection:
        if await hidden(request, connection, [found["study"]]) and (
            await hiding.holds_own_results(
                connection,
                tenant,
                found["study"],
                series=found.get("series"),
                instance=found.get("instance"),
            )
        ):
            raise HiddenError()
