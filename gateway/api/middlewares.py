"""Errors become ``application/problem+json``; handlers only raise."""

from __future__ import annotations

import asyncio
import math
import time
from http import HTTPStatus

import psycopg
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.ui import show_problem, wants_page
from gateway.exceptions import (
    NotFoundError,
    OneScanError,
    PayloadTooLargeError,
    RequestError,
    StoreUnavailableError,
    UnsupportedMediaTypeError,
)
from gateway.log import get_logger
from gateway.metrics import REQUEST_SECONDS, REQUESTS

RETRY_AFTER_SECONDS = 2
"""Said with 429, 503 and 507: an embedded server that restarts is back by then."""

CLIENT_GONE = 499
"""Counted where the client went away before the answer; nobody is told."""

BUSY = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE,
)
"""Statuses that ask the sender to come again."""

log = get_logger("onescan.api")

_HTTP_ERRORS: dict[int, type[OneScanError]] = {
    404: NotFoundError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaTypeError,
}


def problem(error: OneScanError, *, status: int | None = None) -> web.Response:
    """Answer with an error of our tree."""
    status = status or error.status
    title = (type(error).__doc__ or "").strip().splitlines()[0]
    response = web.json_response(
        {
            "type": f"urn:onescan:error:{error.code}",
            "title": title,
            "status": status,
            "detail": str(error),
            "code": error.code,
        },
        status=status,
        content_type="application/problem+json",
    )
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    _ask_again(response, error)
    return response


def told(request: web.Request, error: OneScanError, *, status: int | None = None) -> web.Response:
    """Answer a person with a page, and everybody else with `problem`."""
    if wants_page(request):
        page = show_problem(request, error, status or error.status)
        _ask_again(page, error)
        return page
    return problem(error, status=status)


def _ask_again(response: web.Response, error: OneScanError) -> None:
    """Say when to come again, where the status asks for it."""
    if response.status in BUSY:
        seconds = getattr(error, "retry_after_seconds", RETRY_AFTER_SECONDS)
        response.headers["Retry-After"] = str(max(1, math.ceil(seconds)))


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Map every exception to one answer; what is not ours is told as ``internal`` only."""
    try:
        return await handler(request)
    except OneScanError as error:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("onescan.request.failed", code=error.code, route=route_of(request))
        return told(request, error)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        kind = _HTTP_ERRORS.get(error.status, RequestError)
        answer = told(request, kind(error.reason), status=error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except (psycopg.OperationalError, psycopg.InterfaceError):
        log.warning("onescan.request.database_away", route=route_of(request))
        return told(request, StoreUnavailableError())
    except ConnectionError:
        raise  # the client went away; there is nobody to tell
    except Exception:
        log.exception("onescan.request.crashed", route=route_of(request))
        return told(request, OneScanError())


@web.middleware
async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time every request by its route."""
    begun = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
        return response
    except (ConnectionError, asyncio.CancelledError):
        status = CLIENT_GONE
        raise
    finally:
        route = route_of(request)
        REQUESTS.labels(request.method, route, str(status)).inc()
        REQUEST_SECONDS.labels(route).observe(time.perf_counter() - begun)


def route_of(request: web.Request) -> str:
    """Name the route with its placeholders, so that no UID becomes a label."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"
