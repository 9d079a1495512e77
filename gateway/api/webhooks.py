"""``/v1/webhooks``: where a tenant is called, the secret of its calls, and what became of each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web

from gateway.api.hub import HUB
from gateway.api.json_body import json_object
from gateway.api.keys import DATABASE, PRINCIPAL, SETTINGS
from gateway.api.query import answer_page, identifier, read_page, words
from gateway.ending import end
from gateway.exceptions import InvalidCallbackError, InvalidJsonError, NotFoundError
from gateway.settings import Settings
from gateway.store import deliveries, webhook_secrets
from gateway.store.database import Connection
from gateway.webhooks.address import allowed_ports, check_url
from gateway.webhooks.deliverer import Deliverer
from gateway.webhooks.sender import Sender
from gateway.webhooks.signature import derive, digest, shown

OVERLAP_HOURS = 24.0
"""How long the secret before signs beside a new one, where the request does not say."""

MAX_OVERLAP_HOURS = 168.0

FILTERS = {"state": words(*deliveries.STATES), "screening_id": identifier}

routes = web.RouteTableDef()


@routes.get("/v1/webhooks")
async def get_webhook(request: web.Request) -> web.Response:
    """Show where the tenant is called, and since when its secrets exist."""
    async with request.app[DATABASE].connection() as connection:
        return web.json_response(await _webhook(connection, request[PRINCIPAL].tenant))


@routes.put("/v1/webhooks")
async def set_webhook(request: web.Request) -> web.Response:
    """Set where the tenant is called when an order names no address, and with which body."""
    given = await json_object(request, ("callback_url", "body", "signed"))
    url, form = given.get("callback_url"), given.get("body", "reference")
    signed = given.get("signed", False)
    if form not in deliveries.BODIES:
        raise InvalidJsonError(f"body must be one of {', '.join(deliveries.BODIES)}.")
    if not isinstance(signed, bool):
        raise InvalidJsonError("signed must be true or false.")
    tenant = request[PRINCIPAL].tenant
    async with request.app[DATABASE].connection() as connection:
        if url is not None:
            await check_callback(connection, request.app[SETTINGS], tenant, url)
        await webhook_secrets.set_webhook(
            connection, tenant, callback_url=url, body=form, signed=signed
        )
        return web.json_response(await _webhook(connection, tenant))


@routes.post("/v1/webhooks/secret")
async def make_secret(request: web.Request) -> web.Response:
    """Make the secret that signs from now on; it is shown this once."""
    given = await json_object(request, ("overlap_hours",)) if request.can_read_body else {}
    hours = given.get("overlap_hours", OVERLAP_HOURS)
    if isinstance(hours, bool) or not isinstance(hours, (int, float)):
        raise InvalidJsonError("overlap_hours must be a number.")
    if not 0 <= hours <= MAX_OVERLAP_HOURS:
        raise InvalidJsonError(f"overlap_hours must be 0 to {MAX_OVERLAP_HOURS:g}.")
    tenant, secret_id = request[PRINCIPAL].tenant, uuid4()
    secret = derive(request.app[SETTINGS].webhooks.key, tenant, secret_id)
    async with request.app[DATABASE].connection() as connection:
        row = await webhook_secrets.add_secret(
            connection,
            tenant,
            secret_id=secret_id,
            digest=digest(secret),
            overlap_seconds=hours * 3600.0,
        )
    return web.json_response(
        {**_secret(row), "secret": shown(secret)},
        status=201,
        headers={"Cache-Control": "no-store"},
    )


@routes.get("/v1/webhooks/deliveries")
async def list_deliveries(request: web.Request) -> web.Response:
    """List deliveries, newest first."""
    page, mark = read_page(request, FILTERS, key=identifier)
    before = page.before and (page.before[0], UUID(page.before[1]))
    async with request.app[DATABASE].connection() as connection:
        rows = await deliveries.page(
            connection,
            request[PRINCIPAL].tenant,
            states=page.filters.get("state"),
            screening_id=page.filters.get("screening_id"),
            before=before,
            limit=page.limit,
        )
    return web.json_response(
        answer_page("deliveries", rows, page, mark, key="delivery_id", show=_delivery)
    )


@routes.post("/v1/webhooks/deliveries/{delivery_id}/replay")
async def replay_delivery(request: web.Request) -> web.Response:
    """Send a delivery again, whatever became of it."""
    try:
        delivery_id = UUID(request.match_info["delivery_id"])
    except ValueError:
        raise NotFoundError("There is no such delivery.") from None
    async with request.app[DATABASE].connection() as connection:
        row = await deliveries.replay(connection, request[PRINCIPAL].tenant, delivery_id)
    return web.json_response(_delivery(row), status=202)


async def check_callback(connection: Connection, settings: Settings, tenant: str, url: Any) -> str:
    """Check an address before anything is owed to it.

    Raises
    ------
    InvalidCallbackError
        When it is none that is called, or nothing could sign the call.
    """
    checked = check_url(url, settings.webhooks)
    if not await webhook_secrets.valid_secrets(connection, tenant):
        raise InvalidCallbackError(
            "There is no secret that would sign the call; POST /v1/webhooks/secret makes one."
        )
    return str(checked)


async def deliver(app: web.Application) -> AsyncIterator[None]:
    """Send what is owed as long as the application runs."""
    settings = app[SETTINGS].webhooks
    async with Sender(settings) as sender:
        deliverer = Deliverer(app[DATABASE], sender, settings, app[HUB].deliveries)
        task = asyncio.create_task(deliverer.run(), name="webhooks")
        yield
        await end(task)


def with_webhook_key(settings: Settings) -> Settings:
    """Fill in the key generated under the home where none is set; check the ports."""
    from gateway.runtime.home import secret

    allowed_ports(settings.webhooks)
    if settings.webhooks.key:
        return settings
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secret(settings.home / "webhook-key")
    return dataclasses.replace(settings, webhooks=dataclasses.replace(settings.webhooks, key=key))


async def _webhook(connection: Connection, tenant: str) -> dict[str, Any]:
    rows = await webhook_secrets.valid_secrets(connection, tenant)
    return {
        **await webhook_secrets.find_webhook(connection, tenant),
        "secrets": [_secret(row) for row in rows],
    }


def _secret(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "secret_id": str(row["secret_id"]),
        "created_at": row["created_at"].isoformat(),
        "expires_at": row["expires_at"].isoformat() if row["expires_at"] else None,
    }


def _delivery(row: dict[str, Any]) -> dict[str, Any]:
    times = ("created_at", "last_attempt_at", "ended_at")
    return {
        "delivery_id": str(row["delivery_id"]),
        "screening_id": str(row["screening_id"]),
        "event": row["event"],
        "check": row["check_name"],
        "url": row["url"],
        "body": row["body"],
        "state": row["state"],
        "attempts": row["attempts"],
        "next_attempt_at": row["next_at"].isoformat() if row["state"] == "pending" else None,
        "last_status": row["last_status"],
        "last_error": row["last_error"],
        **{name: row[name].isoformat() if row[name] else None for name in times},
    }
