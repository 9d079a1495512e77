"""A multipart answer that is written as it is made."""

from __future__ import annotations

import uuid
from types import TracebackType

from aiohttp import web

from gateway.api.media import MULTIPART
from gateway.log import get_logger

CRLF = "\r\n"

log = get_logger("onescan.api")


class MultipartAnswer:
    """Parts of one media type; an error after the first byte breaks the connection off.

    So that a client never takes what it got for the whole.

    Parameters
    ----------
    part_type : str
        Media type of the parts.
    """

    def __init__(self, request: web.Request, part_type: str) -> None:
        self._request = request
        self._boundary = uuid.uuid4().hex
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()
        self._parts = 0
        self.response = web.StreamResponse(
            headers={"Content-Type": f'{MULTIPART}; type="{part_type}"; boundary={self._boundary}'}
        )

    @property
    def tail_bytes(self) -> int:
        """Bytes after the last part."""
        return len(self._tail)

    def head(self, content_type: str, location: str, *, first: bool) -> bytes:
        """Give what stands before a part."""
        return (
            f"{'' if first else CRLF}--{self._boundary}\r\nContent-Type: {content_type}\r\n"
            f"Content-Location: {location}\r\n\r\n"
        ).encode()

    async def part(self, content_type: str, location: str) -> None:
        """Begin a part; `write` fills it."""
        head = self.head(content_type, location, first=not self._parts)
        if not self._parts:
            await self.response.prepare(self._request)
        self._parts += 1
        await self.response.write(head)

    async def write(self, data: bytes) -> None:
        """Write bytes of the part."""
        await self.response.write(data)

    async def __aenter__(self) -> MultipartAnswer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.response.write(self._tail)
            await self.response.write_eof()
        elif self._parts:
            break_off(self._request, error)


def break_off(request: web.Request, error: BaseException) -> None:
    """End an answer that has begun and cannot be finished."""
    log.warning("onescan.request.broken_off", error=type(error).__name__)
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("The answer could not be finished.") from error
