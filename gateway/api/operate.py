"""``/v1/ops``: what operators of a tenant look up, suspend, resume, complete and restart.

The whole deployment is operated from its own machine (``onescan ops``).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gateway.api.json_body import json_object
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.screening_lists import refuse_body
from gateway.api.screenings import answer_created, screening_id_of
from gateway.api.studies import study_of
from gateway.exceptions import InvalidJsonError, InvalidQueryError, UnknownQueryKeyError
from gateway.principal import Principal
from gateway.store import operation, suspensions
from gateway.store.queue import LANES
from gateway.store.suspensions import EVERYBODY, MAX_REASON_CHARACTERS, SUSPENDABLE

routes = web.RouteTableDef()


@routes.get("/v1/ops/queue")
async def show_queue(request: web.Request) -> web.Response:
    """List the tenant's open screenings in the order in which they are taken."""
    if unknown := sorted(set(request.query) - {"lane"}):
        raise UnknownQueryKeyError(f"Unknown parameter {unknown[0][:40]!r}; known are lane.")
    lane = request.query.get("lane")
    if lane is not None and lane not in LANES:
        raise InvalidQueryError(f"lane must be one of {', '.join(LANES)}.")
    async with request.app[DATABASE].connection() as connection:
        rows = await operation.queue(connection, request[PRINCIPAL].tenant, lane)
    return web.json_response({"screenings": [show_queued(row) for row in rows]})


@routes.get("/v1/ops/suspensions")
async def show_suspensions(request: web.Request) -> web.Response:
    """List what is suspended for the tenant, by itself or for everybody."""
    async with request.app[DATABASE].connection() as connection:
        rows = await suspensions.list_suspensions(connection, request[PRINCIPAL].tenant)
    return web.json_response({"suspensions": [show_suspension(row) for row in rows]})


@routes.post("/v1/ops/suspend")
async def suspend(request: web.Request) -> web.Response:
    """Suspend the tenant's intake or one of its lanes."""
    body = await json_object(request, ("what", "reason"))
    what, tenant = _what(body), request[PRINCIPAL].tenant
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARACTERS or "\0" in reason:
        raise InvalidJsonError(
            f"reason must be a text of at most {MAX_REASON_CHARACTERS} characters."
        )
    try:
        reason.encode()
    except UnicodeEncodeError:
        raise InvalidJsonError("reason must be a text.") from None
    async with request.app[DATABASE].connection() as connection:
        await suspensions.suspend(
            connection, tenant, what, reason=reason, actor=actor_of(request[PRINCIPAL])
        )
    return web.Response(status=204)


@routes.post("/v1/ops/resume")
async def resume(request: web.Request) -> web.Response:
    """Resume what the tenant has suspended."""
    body = await json_object(request, ("what",))
    what, principal = _what(body), request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        await suspensions.resume(connection, principal.tenant, what, actor=actor_of(principal))
    return web.Response(status=204)


@routes.post("/v1/ops/studies/{study_instance_uid}/complete")
async def complete_study(request: web.Request) -> web.Response:
    """Take a study for complete, so that it is screened now."""
    await refuse_body(request)
    principal = request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        await operation.force_complete(
            connection, principal.tenant, study_of(request), actor=actor_of(principal)
        )
    return web.Response(status=202)


@routes.get("/v1/ops/screenings/{screening_id}")
async def show_history(request: web.Request) -> web.Response:
    """Show how a screening came about: order, events, audit lines, run manifest."""
    async with request.app[DATABASE].connection() as connection:
        told = await operation.history(
            connection, request[PRINCIPAL].tenant, screening_id_of(request)
        )
    return web.json_response(told)


@routes.post("/v1/ops/screenings/{screening_id}/restart")
async def restart_screening(request: web.Request) -> web.Response:
    """Screen again what failed, with the inputs that it had, as its next version."""
    await refuse_body(request)
    principal = request[PRINCIPAL]
    async with request.app[DATABASE].connection() as connection:
        row = await operation.restart(
            connection,
            principal.tenant,
            screening_id_of(request),
            actor=actor_of(principal),
        )
    return answer_created(row)


def actor_of(principal: Principal) -> str:
    """Name who did it, for the audit log."""
    return principal.actor


def show_queued(row: dict[str, Any]) -> dict[str, Any]:
    """Show an open screening."""
    return {
        "screening_id": str(row["screening_id"]),
        "study_instance_uid": row["study_instance_uid"],
        "lane": row["lane"],
        "state": row["state"],
        "attempt": row["attempt"],
        "worker": row["worker"],
        "age_seconds": round(row["age_seconds"], 1),
        "created_at": row["created_at"].isoformat(),
        "started_at": row["started_at"].isoformat() if row["started_at"] else None,
        "requested_checks": list(row["checks"]),
    }


def show_suspension(row: dict[str, Any]) -> dict[str, Any]:
    """Show a suspension; who decided for everybody is not a tenant's matter."""
    everybody = row["tenant"] == EVERYBODY
    return {
        "what": row["what"],
        "everybody": everybody,
        "reason": row["reason"],
        "actor": None if everybody else row["actor"],
        "at": row["at"].isoformat(),
    }


def _what(body: dict[str, Any]) -> str:
    what = body.get("what")
    if not isinstance(what, str) or what not in SUSPENDABLE:
        raise InvalidJsonError(f"what must be one of {', '.join(SUSPENDABLE)}.")
    return what
