"""The session cookie, and the token that shows that a request was meant."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from aiohttp import web
from yarl import URL

from gateway.api.keys import SETTINGS
from gateway.exceptions import CsrfError

SECURE_NAME = "__Host-onescan"
"""The prefix has browsers take it over https from this host only."""

LOOPBACK_NAME = "onescan"
"""Over plain http to this machine."""

CSRF_HEADER = "X-CSRF-Token"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def public_url(request: web.Request) -> URL:
    """Give the address under which browsers reach this api."""
    configured = request.app[SETTINGS].api.public_url
    return URL(configured) if configured else request.url.origin()


def is_secure(request: web.Request) -> bool:
    """Tell whether cookies are for https only: always, but on this machine itself."""
    url = public_url(request)
    return url.scheme == "https" or not _is_loopback(url.host or "")


def session_secret(request: web.Request) -> str:
    """Give the secret of the session that a request carries, empty when it carries none."""
    return request.cookies.get(SECURE_NAME if is_secure(request) else LOOPBACK_NAME, "")


def set_session(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Send a session to the browser; the server ends it, so the cookie names no age."""
    secure = is_secure(request)
    response.set_cookie(
        SECURE_NAME if secure else LOOPBACK_NAME,
        secret,
        path="/",
        httponly=True,
        secure=secure,
        samesite="Lax",
    )
    response.headers["Cache-Control"] = "no-store"


def clear_session(request: web.Request, response: web.StreamResponse) -> None:
    """Take the cookie back."""
    secure = is_secure(request)
    response.del_cookie(
        SECURE_NAME if secure else LOOPBACK_NAME,
        path="/",
        httponly=True,
        secure=secure,
        samesite="Lax",
    )


def csrf_token(secret: str) -> str:
    """Give the token of a session; it follows from the secret, which no script can read."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def check_csrf(request: web.Request, secret: str) -> None:
    """Refuse a request that changes something and does not carry the session's token."""
    if request.method in SAFE_METHODS:
        return
    shown = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(shown.encode(errors="replace"), csrf_token(secret).encode()):
        raise CsrfError()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
