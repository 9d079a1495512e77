"""``/v1/events`` and ``/v1/screenings/{id}/events``: progress as server-sent events.

A stream is read from the database from wherever its reader was, so any api process can go on with
it; the id of an event is its position (`gateway.store.events`).
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from uuid import UUID

import psycopg
from aiohttp import web

from gateway.api.hiding import hidden_screenings, may_hide
from gateway.api.hub import HUB, Hub, Subscription
from gateway.api.keys import DATABASE, PRINCIPAL, SETTINGS
from gateway.api.query import read_query
from gateway.api.screenings import screening_id_of
from gateway.exceptions import InvalidQueryError
from gateway.settings import EventSettings
from gateway.store import events, screenings
from gateway.store.database import Database
from gateway.store.events import (
    BATCH,
    FINAL_KINDS,
    LARGEST_POSITION,
    REVIEW_KINDS,
    Event,
)

RETRY_MILLISECONDS = 2000
"""What a reader is told to wait before it comes back."""

TELLING_KINDS = ("released", *REVIEW_KINDS)
"""Events that tell findings, so that they are left out where those are hidden."""

LOOK_SECONDS = 1.0
"""How often a silent stream looks whether its reader is still there."""

routes = web.RouteTableDef()


@routes.get("/v1/events")
async def stream_events(request: web.Request) -> web.StreamResponse:
    """Stream what happens to all of the tenant's screenings, from now on or from an event."""
    return await _stream(request, None)


@routes.get("/v1/screenings/{screening_id}/events")
async def stream_screening_events(request: web.Request) -> web.StreamResponse:
    """Stream what happened and happens to a screening, until it ends."""
    return await _stream(request, screening_id_of(request))


async def _stream(request: web.Request, screening_id: UUID | None) -> web.StreamResponse:
    tenant = request[PRINCIPAL].tenant
    after = _last_event_id(request)
    with request.app[HUB].subscribe(tenant, screening_id) as subscription:
        async with request.app[DATABASE].connection() as connection:
            final = False
            if screening_id is not None:
                row, _, _ = await screenings.find(connection, tenant, screening_id)
                final = row["state"] in screenings.FINAL_STATES
                await events.place(connection)
                if after is None:
                    after = 0
            if after is None:
                after = await events.latest(connection, tenant)
            first = await events.read(connection, tenant, after=after, screening_id=screening_id)
        if final and not first:
            return web.Response(status=204)  # a browser does not come back then
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # or nginx would hold events back
            }
        )
        await response.prepare(request)
        stream = _Stream(request, response, subscription, after, ended=final)
        try:
            with suppress(psycopg.Error):  # the reader comes back to where the database is reached
                await stream.run(first)
            await response.write_eof()
        except ConnectionResetError:
            pass  # the reader has left
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response


class _Stream:
    """One reader's stream."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        subscription: Subscription,
        after: int,
        *,
        ended: bool,
    ) -> None:
        self._ended = ended
        self._request = request
        self._response = response
        self._subscription = subscription
        self._after = after
        self._database: Database = request.app[DATABASE]
        self._settings: EventSettings = request.app[SETTINGS].events
        self._hub: Hub = request.app[HUB]

    async def run(self, batch: list[Event]) -> None:
        """Write until the screening ends, the process stops or the reader's time is over.

        Raises
        ------
        TimeoutError
            When the reader takes nothing.
        """
        end = time.monotonic() + self._settings.stream_seconds
        await self._write(f"retry: {RETRY_MILLISECONDS}\n\n")
        while True:
            if batch:
                await self._write("".join(map(_written, await self._shown(batch))))
                self._after = batch[-1]["position"]
                self._ended |= any(event["kind"] in FINAL_KINDS for event in batch)
            of_one = self._subscription.screening_id is not None
            if of_one and self._ended and len(batch) < BATCH:
                return
            if len(batch) < BATCH and not await self._wait(end):
                return
            self._subscription.changed.clear()
            async with self._database.connection() as connection:
                batch = await events.read(
                    connection,
                    self._subscription.tenant,
                    after=self._after,
                    screening_id=self._subscription.screening_id,
                )

    async def _shown(self, batch: list[Event]) -> list[Event]:
        """Leave out what tells findings that are hidden from the reader."""
        telling = {event["screening_id"] for event in batch if event["kind"] in TELLING_KINDS}
        if not telling or not may_hide(self._request):
            return batch
        async with self._database.connection() as connection:
            kept_back = await hidden_screenings(self._request, connection, telling)
        return [
            event
            for event in batch
            if event["kind"] not in TELLING_KINDS or event["screening_id"] not in kept_back
        ]

    async def _wait(self, end: float) -> bool:
        """Wait for an event, with signs of life; False when the stream is over."""
        silent = 0.0
        while not self._subscription.changed.is_set():
            if self._hub.closing or time.monotonic() > end or self._request.transport is None:
                return False
            try:
                async with asyncio.timeout(min(LOOK_SECONDS, self._settings.heartbeat_seconds)):
                    await self._subscription.changed.wait()
            except TimeoutError:
                silent += min(LOOK_SECONDS, self._settings.heartbeat_seconds)
                if silent >= self._settings.heartbeat_seconds:
                    await self._write(": alive\n\n")
                    silent = 0.0
        return not self._hub.closing

    async def _write(self, text: str) -> None:
        async with asyncio.timeout(self._settings.stall_seconds):
            await self._response.write(text.encode())


def _written(event: Event) -> str:
    data = {
        "screening_id": str(event["screening_id"]),
        "event": event["kind"],
        "at": event["at"].isoformat(),
        **event["data"],
    }
    return f"id: {event['position']}\nevent: {event['kind']}\ndata: {json.dumps(data)}\n\n"


def _last_event_id(request: web.Request) -> int | None:
    """Read where the reader was: a header, or a parameter where headers cannot be set."""
    asked = read_query(request, {"last_event_id": str})
    text = request.headers.get("Last-Event-ID") or asked.get("last_event_id")
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidQueryError("Last-Event-ID must be the id of an event.")
    return min(int(text), LARGEST_POSITION)
