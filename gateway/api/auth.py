"""Who asks: an API key as ``Authorization: Bearer`` or ``X-API-Key``."""

from __future__ import annotations

import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.exceptions import UnauthorizedError
from gateway.store.keys import lookup

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Asked by probes, which have no key; they tell nothing about any study."""

LOOPBACK_PATHS = frozenset({"/metrics"})
"""Open to this machine only."""

MAXIMUM_KEY_LENGTH = 512
"""Ours have 43 characters; longer ones are not even hashed."""


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the key's owner before anything of the body is read.

    Keys are compared by looking up their digest, so no time depends on how much of a
    guessed key is right.
    """
    if request.path in OPEN_PATHS or (request.path in LOOPBACK_PATHS and _is_loopback(request)):
        return await handler(request)
    key = presented_key(request)
    if not key or len(key) > MAXIMUM_KEY_LENGTH:
        raise UnauthorizedError()
    async with request.app[DATABASE].connection() as connection:
        principal = await lookup(connection, key)
    if principal is None:
        raise UnauthorizedError()
    request[PRINCIPAL] = principal
    return await handler(request)


def presented_key(request: web.Request) -> str:
    """Give the key that a request carries, empty when it carries none."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("X-API-Key", "").strip()


def _is_loopback(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
