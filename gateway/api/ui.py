"""``/ui``: the reading list and a study's page, for people with a session."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

import gateway.ui
from gateway.api.cookies import csrf_token, is_secure, session_secret
from gateway.api.hiding import hidden, mode_of, only_shown, without_findings
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.own_marks import own_marks
from gateway.api.query import NAME
from gateway.api.screenings import screening_id_of
from gateway.api.slices import series_of
from gateway.api.state import MANIFESTS, OIDC
from gateway.api.studies import study_of
from gateway.exceptions import NotFoundError, OneScanError
from gateway.results.json import screening_result
from gateway.screening.manifest import STATES
from gateway.store import critical, reader_studies, screenings, worklist
from gateway.store.database import Connection
from gateway.store.queue import LANES
from gateway.study.viewed import describe
from gateway.ui.html import plain
from gateway.ui.page import POLICY, Visit, problem_page
from gateway.ui.study import study_page
from gateway.ui.view import Study
from gateway.ui.words import LANGUAGES, Words, choose_language
from gateway.ui.worklist import SCREENING_STATES, List, live_part, worklist_page

STATIC = Path(gateway.ui.__file__).parent / "static"

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

LANGUAGE_COOKIE = "onescan-language"
YEAR_SECONDS = 365 * 86400

MAX_PAGE = 10_000

routes = web.RouteTableDef()


@routes.get("/ui")
async def show_worklist(request: web.Request) -> web.Response:
    """Show the reading list; with ``fragment`` only what changes of it."""
    tenant, visit = request[PRINCIPAL].tenant, visit_of(request)
    filters = {name: request.query.get(name, "").strip() for name in _READ}
    number = min(int(text), MAX_PAGE) if (text := request.query.get("page", "")).isdigit() else 1
    asked = worklist.Asked(filters=read_filters(filters), page=max(1, number))
    async with request.app[DATABASE].connection() as connection:
        rows = await worklist.rows(connection, tenant, asked)
        waiting = await critical.open_results(connection, tenant)
        studies = [row["study_instance_uid"] for row in (*rows, *waiting)]
        kept_back = await hidden(request, connection, studies)
        rows, waiting = only_shown(rows, kept_back), only_shown(waiting, kept_back)
        patients = await _patients(connection, tenant, waiting)
        studies_of_his = visit.may_review and await reader_studies.concern(
            connection, tenant, request[PRINCIPAL].actor
        )
    shown = List(
        rows=rows,
        critical=waiting,
        patients=patients,
        manifests=request.app[MANIFESTS],
        filters=filters,
        number=asked.page,
        reader_studies=studies_of_his,
        learns=visit.may_review and mode_of(request) == "teaching",
        now=datetime.now(UTC),
    )
    whole = "fragment" not in request.query
    return answer(request, worklist_page(visit, shown) if whole else live_part(visit, shown))


@routes.get("/ui/studies/{study_instance_uid}")
async def show_study(request: web.Request) -> web.Response:
    """Show the newest result of a study."""
    async with request.app[DATABASE].connection() as connection:
        row = await worklist.newest(connection, request[PRINCIPAL].tenant, study_of(request))
    return await _study(request, row["screening_id"])


@routes.get("/ui/screenings/{screening_id}")
async def show_screening(request: web.Request) -> web.Response:
    """Show one version of a study's results."""
    return await _study(request, screening_id_of(request))


@routes.get("/ui/static/{name}")
async def get_static(request: web.Request) -> web.Response:
    """Give a style sheet or a script."""
    files = _static()
    name = request.match_info["name"]
    if name not in files:
        raise NotFoundError("There is no such file.")
    body, kind = files[name]
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


def visit_of(request: web.Request) -> Visit:
    """Find out who looks, and in which language."""
    words = Words(
        choose_language(
            request.query.get("lang", ""),
            request.cookies.get(LANGUAGE_COOKIE, ""),
            request.headers.get("Accept-Language", ""),
        )
    )
    here = request.rel_url.without_query_params("lang", "fragment")
    principal = request.get(PRINCIPAL)
    if principal is None:
        return Visit(words=words, here=str(here))
    secret = session_secret(request)
    return Visit(
        words=words,
        name=principal.name,
        tenant=principal.tenant,
        csrf_token=csrf_token(secret) if secret and principal.key_id is None else "",
        may_review="review" in principal.roles,
        here=str(here),
    )


def answer(request: web.Request, text: str, *, status: int = 200) -> web.Response:
    """Answer with a page, and remember the language that was clicked."""
    response = web.Response(text=text, status=status, content_type="text/html", headers=POLICY)
    if (asked := request.query.get("lang", "")) in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE,
            asked,
            max_age=YEAR_SECONDS,
            path="/ui",
            secure=is_secure(request),
            httponly=True,
            samesite="Lax",
        )
    return response


def wants_page(request: web.Request) -> bool:
    """Tell whether an error is to be shown to a person."""
    return f"{request.path}/".startswith("/ui/") and "text/html" in request.headers.get(
        "Accept", ""
    )


def show_problem(request: web.Request, error: OneScanError, status: int) -> web.Response:
    """Show an error as a page."""
    provider = request.app[OIDC]
    sign_in = ""
    if status == 401 and provider is not None and provider.signs_in:
        sign_in = f"/auth/login?next={quote(str(request.rel_url), safe='')}"
    text = problem_page(visit_of(request), status, error.code, str(error), sign_in)
    return answer(request, text, status=status)


def read_filters(asked: Mapping[str, str]) -> dict[str, Any]:
    """Read the form's fields; what is none of its choices filters nothing."""
    found: dict[str, Any] = {}
    for name, text in asked.items():
        value = _READ[name](text[:64]) if text else None
        if value is not None:
            found[name] = value
    report = found.pop("report", "")
    return found if report == "all" else {**found, "signed": report == "signed"}


async def _study(request: web.Request, screening_id: Any) -> web.Response:
    tenant = request[PRINCIPAL].tenant
    async with request.app[DATABASE].connection() as connection:
        row, released, stage = await screenings.find(connection, tenant, screening_id)
        uid = row["study_instance_uid"] or ""
        known = await worklist.patient(connection, tenant, uid)
        waiting = await critical.of_screening(connection, tenant, screening_id)
        kept_back = bool(await hidden(request, connection, [uid]))
        newest = await worklist.newest(connection, tenant, uid) if uid else row
        if kept_back:
            row, released, waiting = without_findings(row), [], []
        result = screening_result(row, released, stage=stage)
        own = await own_marks(request, connection, row, result["checks"], kept_back=kept_back)
    volumes = None
    if known is not None:
        _, series = await series_of(request, uid)
        volumes = [describe(one) for one in series]
    shown = Study(
        result=result,
        attributes=known["attributes"] if known else {},
        volumes=volumes,
        critical=waiting,
        manifests=request.app[MANIFESTS],
        reviews=own.reviews,
        marking=own.marking,
        compared=own.compared,
        hidden=kept_back,
        newer=None
        if newest["screening_id"] == row["screening_id"]
        else str(newest["screening_id"]),
    )
    return answer(request, study_page(visit_of(request), shown))


async def _patients(
    connection: Connection, tenant: str, rows: list[critical.Row]
) -> dict[str, Mapping[str, Any]]:
    found = {}
    for uid in {row["study_instance_uid"] for row in rows}:
        row = await worklist.patient(connection, tenant, uid)
        found[uid] = row["attributes"] if row else {}
    return found


def _date(days: int) -> Any:
    def read(text: str) -> datetime | None:
        try:
            moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            return moment + timedelta(days=days)
        except (ValueError, OverflowError):
            return None

    return read


def _one_of(*choices: str) -> Any:
    return lambda text: text if text in choices else None


_READ: Mapping[str, Any] = {
    "urgency": lambda text: worklist.URGENCIES.index(text) if text in worklist.URGENCIES else None,
    "check": lambda text: text if NAME.fullmatch(text) else None,
    "check_state": _one_of(*STATES),
    "state": _one_of(*SCREENING_STATES),
    "lane": _one_of(*LANES),
    "report": _one_of("signed", "all"),
    "date_from": _date(0),
    "date_to": _date(1),
    "patient": lambda text: plain(text, 64) or None,
}
"""Name of a field → how it is read; None where it says nothing."""


@cache
def _static() -> dict[str, tuple[bytes, str]]:
    """Read the files once; nothing else is ever served."""
    return {
        path.name: (path.read_bytes(), TYPES[path.suffix])
        for path in sorted(STATIC.iterdir())
        if path.suffix in TYPES
    }
