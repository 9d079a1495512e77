"""``/auth``: sessions of people, by the identity provider or by a one-time link."""

from __future__ import annotations

import base64
import re

from aiohttp import web

from gateway.api.addresses import client_address
from gateway.api.cookies import (
    clear_session,
    csrf_token,
    is_secure,
    public_url,
    session_secret,
    set_session,
)
from gateway.api.keys import DATABASE, PRINCIPAL, SETTINGS
from gateway.api.state import FAILURES, OIDC, TRUSTED_PROXIES
from gateway.exceptions import (
    ForbiddenError,
    NotFoundError,
    SignInError,
    UnauthorizedError,
)
from gateway.oidc.provider import Provider, new_secret
from gateway.principal import ROLES
from gateway.store.keys import digest
from gateway.store.sessions import close_session, find_session, open_session, use_link
from gateway.store.tenants import find_quotas

LANDING = "/auth/session"
"""Where a browser goes that asked for nothing else."""

LOGIN_SECONDS = 600
"""Time to sign in at the identity provider."""

LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]{0,1000}")
"""A path of this host; two slashes would lead to another."""

LINK_NAME = "link"
"""Who came by a one-time link."""

routes = web.RouteTableDef()


@routes.get("/auth/login", allow_head=False)
async def login(request: web.Request) -> web.Response:
    """Send the browser to the identity provider."""
    provider = _provider(request)
    secret = new_secret()
    there = await provider.begin(secret, _redirect_uri(request))
    answer = _redirect(there)
    onward = base64.urlsafe_b64encode(_local(request.query.get("next", "")).encode()).decode()
    answer.set_cookie(
        _login_cookie(request),
        f"{secret}.{onward}",
        max_age=LOGIN_SECONDS,
        path="/",
        httponly=True,
        secure=is_secure(request),
        samesite="Lax",  # the provider sends the browser back by a link
    )
    return answer


@routes.get("/auth/callback", allow_head=False)
async def callback(request: web.Request) -> web.Response:
    """Take the identity provider's answer and begin a session."""
    provider = _provider(request)
    _check_address(request)
    secret, _, onward = request.cookies.get(_login_cookie(request), "").partition(".")
    try:
        if not secret:
            raise SignInError("This browser did not begin to sign in; begin again.")
        who = await provider.finish(secret, _redirect_uri(request), dict(request.query))
    except (SignInError, UnauthorizedError):
        _count_failure(request)
        raise
    if not who.roles:
        raise ForbiddenError("You are known, and have no role here.")
    async with request.app[DATABASE].connection() as connection:
        try:
            await find_quotas(connection, who.tenant)
        except NotFoundError:
            raise ForbiddenError("You are known, and your tenant is not.") from None
        session = await open_session(
            connection,
            who.tenant,
            who.name,
            who.roles,
            seconds=request.app[SETTINGS].api.session_seconds,
        )
    answer = _redirect(_decoded(onward))
    set_session(request, answer, session)
    answer.del_cookie(
        _login_cookie(request), path="/", httponly=True, secure=is_secure(request), samesite="Lax"
    )
    return answer


@routes.get("/auth/link", allow_head=False)
async def link(request: web.Request) -> web.Response:
    """Begin a session by a link that was printed on the server's terminal."""
    _check_address(request)
    async with request.app[DATABASE].connection() as connection:
        found = await use_link(connection, request.query.get("token", "")[:512])
        if found is not None:
            tenant, roles = found
            session = await open_session(
                connection,
                tenant,
                LINK_NAME,
                [role for role in ROLES if role in roles],
                seconds=request.app[SETTINGS].api.session_seconds,
            )
    if found is None:
        _count_failure(request)
        raise SignInError("The link was used before, or is too old.")
    answer = _redirect(_local(request.query.get("next", "")))
    set_session(request, answer, session)
    return answer


@routes.get("/auth/session")
async def show_session(request: web.Request) -> web.Response:
    """Say who is asking, and give the CSRF token of a session."""
    principal = request[PRINCIPAL]
    told = {
        "tenant": principal.tenant,
        "name": principal.name,
        "roles": [role for role in ROLES if role in principal.roles],
        "expires_at": None,
        "csrf_token": None,
    }
    if principal.key_id is None and (secret := session_secret(request)):
        async with request.app[DATABASE].connection() as connection:
            session = await find_session(connection, secret)
        if session is not None and session.principal.name == principal.name:
            told["expires_at"] = session.expires_at.isoformat()
            told["csrf_token"] = csrf_token(secret)
    return web.json_response(told, headers={"Cache-Control": "no-store"})


@routes.post("/auth/logout")
async def logout(request: web.Request) -> web.Response:
    """End the session."""
    if secret := session_secret(request):
        async with request.app[DATABASE].connection() as connection:
            await close_session(connection, secret)
    answer = web.Response(status=204)
    clear_session(request, answer)
    return answer


def _provider(request: web.Request) -> Provider:
    provider = request.app[OIDC]
    if provider is None or not provider.signs_in:
        raise NotFoundError("No identity provider is set up for signing in.")
    return provider


def _check_address(request: web.Request) -> None:
    address = client_address(request, request.app[TRUSTED_PROXIES])
    request.app[FAILURES].check(address, digest(""))


def _count_failure(request: web.Request) -> None:
    request.app[FAILURES].failed(client_address(request, request.app[TRUSTED_PROXIES]))


def _redirect_uri(request: web.Request) -> str:
    return str(public_url(request) / "auth" / "callback")


def _login_cookie(request: web.Request) -> str:
    return "__Host-onescan-login" if is_secure(request) else "onescan-login"


def _local(path: str) -> str:
    return path if LOCAL_PATH.fullmatch(path) else LANDING


def _decoded(onward: str) -> str:
    try:
        return _local(base64.urlsafe_b64decode(onward).decode())
    except ValueError:
        return LANDING


def _redirect(where: str) -> web.Response:
    return web.Response(
        status=303,
        headers={"Location": where, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )
