"""What the identity provider publishes: its configuration and its signing keys."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from gateway.exceptions import IdentityProviderError
from gateway.log import get_logger
from gateway.oidc.jwks import Key, read_keys

TIMEOUT_SECONDS = 5.0
"""Of one question to the provider."""

MAXIMUM_BYTES = 256 * 1024
"""Of one answer; a set of keys has some kB."""

FRESH_SECONDS = 3600.0
"""Configuration and keys are asked for again after that."""

STALE_SECONDS = 24 * 3600.0
"""While the provider is away its keys are believed so long, and no longer."""

REFRESH_SECONDS = 10.0
"""A key that is not known may have come since; it is looked for this often at most."""

log = get_logger("onescan.oidc")


class Documents:
    """Configuration and keys of one issuer, asked for when they are needed.

    Parameters
    ----------
    issuer : str
        As tokens name it.
    now : callable
        Seconds of a clock that never goes back.
    """

    def __init__(self, issuer: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._configuration: Mapping[str, Any] = {}
        self._keys: tuple[Key, ...] = ()
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Open the HTTP client; nothing is asked yet."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))

    async def close(self) -> None:
        """Close the HTTP client."""
        if self._session is not None:
            await self._session.close()

    async def endpoint(self, name: str) -> str:
        """Give an address of the configuration; raises IdentityProviderError."""
        await self._read()
        return _safe(self._configuration.get(name), name)

    async def supports(self, name: str, value: str) -> bool:
        """Tell whether a list of the configuration has a value, or is not there."""
        await self._read()
        listed = self._configuration.get(name)
        return not isinstance(listed, list) or value in listed

    async def keys(self, kid: str | None, algorithm: str) -> list[Key]:
        """Find the keys that a token may be signed with.

        Parameters
        ----------
        kid : str or None
            As the token's head names it; without one every key of the algorithm fits.
        algorithm : str
            As the token's head names it.
        """
        await self._read()
        found = self._matching(kid, algorithm)
        if not found and self._now() - self._tried_at >= REFRESH_SECONDS:
            await self._read(unless_since=self._now())
            found = self._matching(kid, algorithm)
        return found

    async def ask(
        self,
        method: str,
        url: str,
        *,
        expect: tuple[int, ...] = (200,),
        authorization: str = "",
        form: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Ask the provider for a JSON object; raises IdentityProviderError."""
        assert self._session is not None
        headers = {"Accept": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        try:
            async with self._session.request(
                method, url, allow_redirects=False, headers=headers, data=form
            ) as answer:
                body = await answer.content.read(MAXIMUM_BYTES + 1)
                while len(body) <= MAXIMUM_BYTES and not answer.content.at_eof():
                    body += await answer.content.read(MAXIMUM_BYTES + 1 - len(body))
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise IdentityProviderError(
                f"The identity provider does not answer: {type(error).__name__}."
            ) from error
        if len(body) > MAXIMUM_BYTES:
            raise IdentityProviderError("The identity provider's answer is too long.")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if status not in expect or not isinstance(value, dict):
            raise IdentityProviderError(f"The identity provider answered {status}.")
        return value

    def _matching(self, kid: str | None, algorithm: str) -> list[Key]:
        return [
            key
            for key in self._keys
            if algorithm in key.algorithms and (kid is None or key.kid == kid)
        ]

    async def _read(self, unless_since: float | None = None) -> None:
        """Read configuration and keys where they are not fresh, one reader at a time.

        With `unless_since` they are read in any case, but by the first of those who wait.
        """
        async with self._lock:
            now = self._now()
            if unless_since is None and now - self._read_at < FRESH_SECONDS:
                return
            if unless_since is not None and self._tried_at >= unless_since:
                return
            usable = now - self._read_at < STALE_SECONDS
            if now - self._tried_at < REFRESH_SECONDS:
                if usable:
                    return
                raise IdentityProviderError("The identity provider did not answer just now.")
            self._tried_at = now
            try:
                self._configuration, self._keys = await self._fetch()
                self._read_at = now
            except IdentityProviderError as error:
                log.warning("onescan.oidc.away", reason=str(error), keys_usable=usable)
                if not usable:
                    raise

    async def _fetch(self) -> tuple[Mapping[str, Any], tuple[Key, ...]]:
        where = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        configuration = await self.ask("GET", _safe(where, "issuer"))
        if configuration.get("issuer") != self.issuer:
            raise IdentityProviderError("The configuration is of another issuer.")
        published = await self.ask("GET", _safe(configuration.get("jwks_uri"), "jwks_uri"))
        return configuration, read_keys(published)


def _safe(url: Any, name: str) -> str:
    """Refuse an address that is neither https nor on this machine."""
    try:
        parsed = URL(url)
        host = parsed.host or ""
    except (TypeError, ValueError):
        raise IdentityProviderError(f"The identity provider has no {name}.") from None
    if parsed.scheme == "https" and host:
        return str(parsed)
    if parsed.scheme == "http" and (host == "localhost" or _is_loopback(host)):
        return str(parsed)
    raise IdentityProviderError(f"The identity provider's {name} is not https.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
