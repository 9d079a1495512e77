"""The span of a request: begun once its key is known, ended with what it was answered.

Whoever is not let in has no span, so a stranger writes nothing into traces and continues none.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway import traces
from gateway.api.admission import ALWAYS, STREAMS
from gateway.api.keys import PRINCIPAL
from gateway.api.middlewares import route_of
from gateway.traces.span import Span

SPAN: web.RequestKey[Span] = web.RequestKey("span", Span)
"""Where a request keeps its span."""


@web.middleware
async def end_span(request: web.Request, handler: Handler) -> web.StreamResponse:
    """End the span; outside of what turns errors into answers, so that their lines name it."""
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as error:
        status = error.status
        raise
    except BaseException as error:
        if SPAN in request:
            request[SPAN].fail(type(error).__name__)
        raise
    finally:
        if SPAN in request:
            span = request[SPAN]
            span.set({"http.response.status_code": status})
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(str(status))
            span.__exit__(None, None, None)


@web.middleware
async def begin_span(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Begin the span, as a part of the caller's trace where it names one."""
    route = route_of(request)
    if PRINCIPAL in request and route not in ALWAYS and route not in STREAMS:
        named = request.headers.getall("traceparent", [])
        span = traces.span(
            f"{request.method} {route}",
            {"http.request.method": request.method, "http.route": route},
            kind="server",
            parent=named[0] if len(named) == 1 else None,
        )
        request[SPAN] = span.__enter__()
    return await handler(request)
