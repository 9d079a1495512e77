"""Who asks, and whether it may: an API key, a bearer token of the identity provider, a session.

This is the one place that lets a request through. Handlers find the tenant in
``request[PRINCIPAL]`` and nowhere else.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.access import ANYBODY, MACHINE, OPEN, access_of
from gateway.api.addresses import client_address, is_this_machine
from gateway.api.cookies import check_csrf, session_secret
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.state import FAILURES, OIDC, TRUSTED_PROXIES
from gateway.exceptions import (
    ForbiddenError,
    NotFoundError,
    TooManyFailuresError,
    UnauthorizedError,
)
from gateway.metrics import AUTH_FAILURES
from gateway.oidc.tokens import looks_like_token
from gateway.principal import Principal
from gateway.store.keys import digest, lookup
from gateway.store.sessions import find_session
from gateway.store.tenants import find_quotas

MAXIMUM_KEY_LENGTH = 512
"""Ours have 47 characters; longer ones are not even hashed."""

MAXIMUM_TOKEN_LENGTH = 6000
"""Longer ones hold more than tenant and roles; one header holds 8,190 bytes."""


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who asks and whether it may, before anything of the body is read."""
    access = access_of(request)
    needs = access.needs if access is not None else ""
    if needs == OPEN or (needs == MACHINE and is_this_machine(request)):
        return await handler(request)
    principal = await identify(request)
    request[PRINCIPAL] = principal
    if access is None:
        raise ForbiddenError("No role may do this: gateway/api/access.py has no row for it.")
    role = "operate" if needs == MACHINE else needs
    if role != ANYBODY and role not in principal.roles:
        raise ForbiddenError(f"This needs the role {role!r}.")
    return await handler(request)


async def identify(request: web.Request) -> Principal:
    """Find whom the credentials belong to.

    Keys and sessions are found by their digest, so no time depends on how much of a guess is
    right. The address of wrong ones is counted (`gateway.api.addresses`).

    Raises
    ------
    UnauthorizedError
        Without credentials, or with wrong ones.
    TooManyFailuresError
        When the address has sent too many wrong ones.
    CsrfError
        For a session that changes something without its token.
    """
    key = presented_key(request)
    secret = "" if key else session_secret(request)
    if not key and not secret:
        AUTH_FAILURES.labels("none").inc()
        raise UnauthorizedError()
    failures = request.app[FAILURES]
    address = client_address(request, request.app[TRUSTED_PROXIES])
    credentials = digest(key or secret)
    try:
        failures.check(address, credentials)
    except TooManyFailuresError:
        AUTH_FAILURES.labels("refused").inc()
        raise
    try:
        found = await (_by_key(request, key) if key else _by_session(request, secret))
    except UnauthorizedError:
        failures.failed(address, credentials)
        AUTH_FAILURES.labels("wrong").inc()
        raise
    failures.succeeded(credentials)
    if secret:
        check_csrf(request, secret)
    return found


def presented_key(request: web.Request) -> str:
    """Give the key or token that a request carries, empty when it carries none."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("X-API-Key", "").strip()


async def _by_key(request: web.Request, key: str) -> Principal:
    provider = request.app[OIDC]
    if provider is not None and provider.takes_tokens and looks_like_token(key):
        if len(key) > MAXIMUM_TOKEN_LENGTH:
            raise UnauthorizedError()
        who = await provider.bearer(key)
        async with request.app[DATABASE].connection() as connection:
            try:
                quotas = await find_quotas(connection, who.tenant)
            except NotFoundError:
                raise ForbiddenError("The token names no tenant that is known here.") from None
        return Principal(tenant=who.tenant, name=who.name, roles=who.roles, quotas=quotas)
    if len(key) > MAXIMUM_KEY_LENGTH:
        raise UnauthorizedError()
    async with request.app[DATABASE].connection() as connection:
        principal = await lookup(connection, key)
    if principal is None:
        raise UnauthorizedError()
    return principal


async def _by_session(request: web.Request, secret: str) -> Principal:
    if len(secret) > MAXIMUM_KEY_LENGTH:
        raise UnauthorizedError("The session has ended; sign in again.")
    async with request.app[DATABASE].connection() as connection:
        session = await find_session(connection, secret)
    if session is None:
        raise UnauthorizedError("The session has ended; sign in again.")
    return session.principal
