"""What a tenant may use: refused with 429 before the body is read, and told in every answer.

Headers are those of draft-ietf-httpapi-ratelimit-headers-10: ``RateLimit-Policy`` says what the
limits are, ``RateLimit`` what is left of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import psycopg
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.access import SCREEN, STORE, access_of
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.state import LEASES
from gateway.exceptions import QuotaExceededError, RateLimitedError
from gateway.log import get_logger
from gateway.metrics import QUOTA_REFUSALS
from gateway.principal import Principal
from gateway.store import usage
from gateway.store.database import Connection

SCREENING_RETRY_SECONDS = 10.0
"""A screening takes seconds; then there is room for another."""

MINUTE_SECONDS = 60
DAY_SECONDS = 86400

log = get_logger("onescan.api")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as an answer tells it."""

    name: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: float
    unit: str = ""
    """Empty for requests."""

    @property
    def policy(self) -> str:
        """As an item of ``RateLimit-Policy``."""
        unit = f';qu="{self.unit}"' if self.unit else ""
        return f'"{self.name}";q={self.quota}{unit};w={self.window_seconds}'

    @property
    def left(self) -> str:
        """As an item of ``RateLimit``."""
        return f'"{self.name}";r={max(0, self.remaining)};t={math.ceil(self.reset_seconds)}'


LIMITS: web.RequestKey[list[Limit]] = web.RequestKey("limits", list)
"""Those that were looked at for a request."""


@web.middleware
async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through that is within its tenant's limits."""
    principal = request.get(PRINCIPAL)
    if principal is None:
        return await handler(request)
    request[LIMITS] = []
    await _requests(request, principal)
    access = access_of(request)
    if access is not None and access.brings == SCREEN:
        await _room_for_a_screening(request, principal)
    if access is None or access.brings != STORE:
        return await handler(request)
    await _studies(request, principal)
    return await _store(request, handler, principal)


async def tell_limits(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer, whichever it is; a signal of the application."""
    if limits := request.get(LIMITS):
        response.headers["RateLimit-Policy"] = ", ".join(item.policy for item in limits)
        response.headers["RateLimit"] = ", ".join(item.left for item in limits)


async def refuse_when_full(connection: Connection, principal: Principal) -> None:
    """Undo a screening that is one too many, by raising QuotaExceededError in its transaction.

    Requests of one tenant are looked at one after another, so the limit holds exactly.
    """
    quota = principal.quotas.screenings_in_flight
    if quota is None:
        return
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('screenings in flight ' || %s, 0))",
        (principal.tenant,),
    )
    if await usage.open_screenings(connection, principal.tenant) > quota:
        raise _no_room(quota)


async def _requests(request: web.Request, principal: Principal) -> None:
    quota = principal.quotas.requests_per_minute
    if quota is None:
        return
    taken = await request.app[LEASES].take(request.app[DATABASE], principal.tenant, quota)
    request[LIMITS].append(
        Limit("requests", quota, MINUTE_SECONDS, taken.remaining, taken.reset_seconds)
    )
    if not taken.allowed:
        QUOTA_REFUSALS.labels("requests_per_minute").inc()
        raise RateLimitedError(
            f"The limit is {quota} requests a minute.", retry_after_seconds=taken.reset_seconds
        )


async def _studies(request: web.Request, principal: Principal) -> None:
    """Count studies; the rest of one that has begun to arrive is taken where its UID is told."""
    quota = principal.quotas.studies_per_day
    if quota is None:
        return
    study = request.match_info.get("study", "")
    async with request.app[DATABASE].connection() as connection:
        number, reset_seconds = await usage.studies_today(connection, principal.tenant, quota)
        known = (
            number >= quota
            and study != ""
            and await usage.is_known_study(connection, principal.tenant, study)
        )
    request[LIMITS].append(
        Limit("studies", quota, DAY_SECONDS, quota - number, reset_seconds, "studies")
    )
    if number >= quota and not known:
        QUOTA_REFUSALS.labels("studies_per_day").inc()
        raise QuotaExceededError(
            f"The quota is {quota} studies a day.", retry_after_seconds=reset_seconds
        )


async def _store(
    request: web.Request, handler: Handler, principal: Principal
) -> web.StreamResponse:
    """Reserve the body's bytes, read it, and count what came in truth."""
    quota, tenant = principal.quotas.bytes_per_day, principal.tenant
    announced = request.content_length or 0
    reserved = None
    if quota is not None:
        async with usage.counting(request.app[DATABASE]) as connection:
            reserved = await usage.reserve_bytes(connection, tenant, quota, announced)
        request[LIMITS].append(
            Limit(
                "bytes",
                quota,
                DAY_SECONDS,
                quota - reserved.used,
                reserved.reset_seconds,
                "content-bytes",
            )
        )
        if not reserved.granted:
            QUOTA_REFUSALS.labels("bytes_per_day").inc()
            raise QuotaExceededError(
                f"The quota is {quota} bytes a day; {max(0, quota - reserved.used)} are left.",
                retry_after_seconds=reserved.reset_seconds,
            )
    try:
        return await handler(request)
    finally:
        came = getattr(request.content, "total_bytes", 0)
        try:
            async with usage.counting(request.app[DATABASE]) as connection:
                if reserved is None:
                    await usage.reserve_bytes(connection, tenant, None, came)
                elif came != announced:
                    await usage.settle_bytes(connection, tenant, reserved.period, came - announced)
        except psycopg.Error as error:
            log.warning("onescan.usage.not_counted", error=type(error).__name__)


async def _room_for_a_screening(request: web.Request, principal: Principal) -> None:
    """Refuse early; who repeats a request by its idempotency key is looked at later."""
    quota = principal.quotas.screenings_in_flight
    if quota is None or "Idempotency-Key" in request.headers:
        return
    async with request.app[DATABASE].connection() as connection:
        number = await usage.open_screenings(connection, principal.tenant)
    if number >= quota:
        raise _no_room(quota)


def _no_room(quota: int) -> QuotaExceededError:
    QUOTA_REFUSALS.labels("screenings_in_flight").inc()
    return QuotaExceededError(
        f"The quota is {quota} screenings in flight.",
        retry_after_seconds=SCREENING_RETRY_SECONDS,
    )
