"""``Expect: 100-continue``: a body is asked for only when its request has been let in."""

from __future__ import annotations

from aiohttp import HttpVersion11, web


async def when_admitted(request: web.Request) -> None:
    """Ask for nothing yet; the handler does it with `ask_for_body`.

    As a route's ``expect_handler``, which runs before authentication and admission.
    """
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def ask_for_body(request: web.Request) -> None:
    """Tell a sender that waits to go on."""
    if request.version == HttpVersion11 and "Expect" in request.headers:
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # nothing of the answer itself has been sent
