"""What is let in: everything has a bound, and what goes beyond it is refused before its body.

Nothing waits for admission. A request that comes when its bound is reached is answered at once,
so a sender knows within milliseconds that it has to come again. The stat lane has places of its
own, which nobody else takes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.access import STORE, access_of
from gateway.api.keys import PARTNERS, PRINCIPAL, SETTINGS
from gateway.api.state import LIFECYCLE
from gateway.api.watch import INTAKE, WATCH
from gateway.exceptions import IntakeSuspendedError, OverloadedError, StorageFullError
from gateway.metrics import (
    ADMISSION_ACTIVE,
    ADMISSION_BYTES,
    ADMISSION_REFUSALS,
    INTAKE_BYTES,
)
from gateway.settings import ApiSettings

LANE_HEADER = "X-OneScan-Lane"
"""``stat`` asks for the places of the stat lane; the lane of a body is not known before it."""

STAT = "stat"

UNANNOUNCED_BYTES = 256 * 1024**2
"""What a body counts that does not announce its length: a large CT study."""

ALWAYS = frozenset({"/livez", "/readyz", "/readyz/intake", "/metrics", "/health"})
"""Probes are answered whatever the load, or a busy server would be taken for a dead one."""

STREAMS = frozenset({"/v1/events", "/v1/screenings/{screening_id}/events"})
"""Streams stay open for an hour and have a bound of their own (`gateway.api.hub`)."""


class Admission:
    """What one process has in hand, and its bounds.

    Parameters
    ----------
    settings : ApiSettings
        The bounds.
    folder : Path, optional
        Of the object store, where it is one.
    watermark_bytes : int
        Space that only the stat lane may still use.
    """

    def __init__(
        self, settings: ApiSettings, *, folder: Path | None = None, watermark_bytes: int = 0
    ) -> None:
        self.requests = 0
        self.stores = 0
        self.store_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._settings = settings
        self._folder = folder
        self._watermark_bytes = watermark_bytes

    @contextmanager
    def request(self, *, stat: bool) -> Iterator[None]:
        """Have any request in hand; raises OverloadedError."""
        reserve = self._settings.store_stat_reserve if stat else 0
        if self.requests >= self._settings.request_limit + reserve:
            ADMISSION_REFUSALS.labels("requests").inc()
            raise OverloadedError("Too many requests are in hand; try again.")
        self.requests += 1
        self._idle.clear()
        ADMISSION_ACTIVE.labels("requests").set(self.requests)
        try:
            yield
        finally:
            self.requests -= 1
            if not self.requests:
                self._idle.set()
            ADMISSION_ACTIVE.labels("requests").set(self.requests)

    @contextmanager
    def store(self, announced_bytes: int | None, *, stat: bool) -> Iterator[None]:
        """Have a store request in hand.

        Parameters
        ----------
        announced_bytes : int, optional
            Length of its body; None when it is not said.
        stat : bool
            Whether it may take the places kept for the stat lane.

        Raises
        ------
        OverloadedError
            When there is no place, or too much is on its way.
        StorageFullError
            When what is on its way would not leave the disk enough room.
        """
        limits = self._settings
        size = UNANNOUNCED_BYTES if announced_bytes is None else announced_bytes
        self.check_places(stat=stat)
        if not stat and self.stores and self.store_bytes + size > limits.store_bytes:
            ADMISSION_REFUSALS.labels("bytes").inc()
            raise OverloadedError("Too many bytes are being received; try again.")
        if not stat and self.free_bytes() < self._watermark_bytes + self.store_bytes + size:
            ADMISSION_REFUSALS.labels("disk").inc()
            raise StorageFullError
        self.stores += 1
        self.store_bytes += size
        self._tell()
        try:
            yield
        finally:
            self.stores -= 1
            self.store_bytes -= size
            self._tell()

    def check_places(self, *, stat: bool) -> None:
        """Refuse a store request for which there is no place; raises OverloadedError."""
        limits = self._settings
        places = limits.store_limit - (0 if stat else limits.store_stat_reserve)
        if self.stores >= max(1, places):
            ADMISSION_REFUSALS.labels("stores").inc()
            raise OverloadedError("Too many studies are being received; try again.")

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing is in hand, for so long; tell whether that was so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()

    def free_bytes(self) -> float:
        """Tell how much the folder of objects can take; a bucket takes everything."""
        if self._folder is None:
            return float("inf")
        disk = os.statvfs(self._folder)
        return float(disk.f_bavail * disk.f_frsize)

    def _tell(self) -> None:
        ADMISSION_ACTIVE.labels("stores").set(self.stores)
        ADMISSION_BYTES.set(self.store_bytes)


ADMISSION: web.AppKey[Admission] = web.AppKey("admission", Admission)
"""That of the process."""


@web.middleware
async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bound what is in hand, before anything is asked of the database."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    if path in ALWAYS or path in STREAMS:
        return await handler(request)
    stat, admission = asks_for_stat(request), request.app[ADMISSION]
    access = access_of(request)
    if access is not None and access.brings == STORE:
        # Whoever could not get a place, whoever it is, is not even looked up.
        profiles = request.app[PARTNERS].partners.values()
        admission.check_places(stat=stat or any(p.lane == STAT for p in profiles))
    with admission.request(stat=stat):
        return await handler(request)


@web.middleware
async def admit_store(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bound what is received; knows who sends, and has read nothing of the body."""
    access = access_of(request)
    if access is None or access.brings != STORE:
        return await handler(request)
    if request.app[LIFECYCLE].draining:
        raise OverloadedError("The server is stopping; try again.")
    principal = request[PRINCIPAL]
    if request.app[WATCH].is_suspended(principal.tenant, INTAKE):
        raise IntakeSuspendedError()
    partner = request.app[PARTNERS].for_key(principal.tenant, principal.name)
    stat = asks_for_stat(request) or partner.lane == STAT
    with request.app[ADMISSION].store(request.content_length, stat=stat):
        stored = "refused"
        try:
            response = await handler(request)
            if response.status < HTTPStatus.BAD_REQUEST:
                stored = "stored"
            return response
        finally:
            INTAKE_BYTES.labels(stored).inc(getattr(request.content, "total_bytes", 0))


def asks_for_stat(request: web.Request) -> bool:
    """Tell whether a request says that it is urgent."""
    return request.headers.get(LANE_HEADER, "").strip().lower() == STAT


async def close_unread(request: web.Request, response: web.StreamResponse) -> None:
    """End the connection after an answer that comes before its body; a signal of the application.

    What would follow on it is the refused body, which nobody wants.
    """
    unread = request.body_exists and not request.content.is_eof()
    if unread and response.status >= HTTPStatus.BAD_REQUEST:
        response.force_close()
        response.headers["Connection"] = "close"


def make_admission(app: web.Application) -> Admission:
    """Make it from the application's settings."""
    settings = app[SETTINGS]
    return Admission(
        settings.api,
        folder=None if settings.store.objects.startswith("s3://") else settings.objects,
        watermark_bytes=settings.store.watermark_bytes,
    )
