"""One attempt at a delivery: a POST that follows nothing, waits little and reads less."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver

from gateway import __version__
from gateway.exceptions import InvalidCallbackError
from gateway.settings import WebhookSettings
from gateway.webhooks.address import ForbiddenAddressError, check_url, guarded_socket

READ_BYTES = 4096
"""Of an answer's body; nothing is done with them, but some receivers mind an early end."""

GONE = 410
"""A receiver that says so is not called again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    status: int | None = None
    error: str | None = None
    """One word; None for a delivery."""

    @property
    def for_ever(self) -> bool:
        """Whether no further attempt makes sense."""
        return self.status == GONE


class Sender:
    """Sends webhooks; its connections are made anew for each.

    Parameters
    ----------
    settings : WebhookSettings
        Where may be called, and for how long.
    resolver : AbstractResolver, optional
        Instead of the system's.
    tls : ssl.SSLContext, optional
        Instead of the system's authorities.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver,
                ssl=tls or True,
                use_dns_cache=False,
                force_close=True,
                socket_factory=guarded_socket(settings),
            ),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"OneScan/{__version__}"},
            auto_decompress=False,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(self, address: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Send once; the outcome tells a tenant nothing of what answers inside a network."""
        try:
            url = check_url(address, self._settings)  # the settings may have changed since
            async with self._session.post(
                url,
                data=body,
                headers={**headers, "Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer:
                if not 200 <= answer.status < 300:
                    redirect = 300 <= answer.status < 400
                    return Outcome(answer.status, "redirect" if redirect else "status")
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    await answer.content.read(READ_BYTES)  # the status has been said
                return Outcome(answer.status)
        except (InvalidCallbackError, aiohttp.InvalidURL):
            return Outcome(error="forbidden_url")
        except TimeoutError:
            return Outcome(error="timeout")
        except aiohttp.ClientConnectorDNSError:
            return Outcome(error="unknown_host")
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return Outcome(error="tls")
        except aiohttp.ClientConnectorError as error:
            forbidden = _has_cause(error, ForbiddenAddressError)
            return Outcome(error="forbidden_address" if forbidden else "unreachable")
        except (aiohttp.ClientError, OSError):
            return Outcome(error="protocol")


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    """Look for an exception among the causes of another, groups included."""
    seen: list[BaseException | None] = [error]
    while seen:
        one = seen.pop()
        if one is None:
            continue
        if isinstance(one, kind):
            return True
        seen += [one.__cause__, one.__context__, getattr(one, "os_error", None)]
        seen += getattr(one, "exceptions", ())
    return False
