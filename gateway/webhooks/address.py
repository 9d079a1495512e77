"""Which addresses a webhook may go to: those of the public Internet, unless the site says more.

The judgement that counts is made where the socket is made, on the address that is connected to:
whatever a name resolved to a moment before, and however an address was written.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from yarl import URL

from gateway.exceptions import InvalidCallbackError, UsageError
from gateway.settings import WebhookSettings

MAX_URL_CHARACTERS = 2048
"""Longer ones are cut by proxies."""

HTTP_PORT = 80
"""Goes with ``http://`` where that is allowed."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """The address is not one that webhooks go to."""


def is_public(text: str) -> bool:
    """Say whether an address belongs to the public Internet, IPv4 within IPv6 included."""
    try:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(
            text.partition("%")[0]
        )
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None or address.is_site_local:
            return False
        if address.packed[:12] == bytes(12):  # IPv4-compatible, deprecated
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def check_url(text: Any, settings: WebhookSettings) -> URL:
    """Read a callback URL.

    Raises
    ------
    InvalidCallbackError
        Saying what is wrong with it.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_URL_CHARACTERS:
        raise InvalidCallbackError(
            f"callback_url must be a URL of at most {MAX_URL_CHARACTERS} characters."
        )
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise InvalidCallbackError("callback_url must be printable ASCII without spaces.")
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise InvalidCallbackError("callback_url is not a URL.") from None
    schemes = ("https", "http") if settings.allow_http == "yes" else ("https",)
    if url.scheme not in schemes or not url.host:
        raise InvalidCallbackError(f"callback_url must begin with {' or '.join(schemes)}://.")
    if url.user is not None or url.password is not None or url.fragment:
        raise InvalidCallbackError("callback_url must have neither user, password nor fragment.")
    ports = allowed_ports(settings)
    if ports is not None and port not in ports:
        raise InvalidCallbackError(f"callback_url must go to port {' or '.join(map(str, ports))}.")
    if _is_literal(url.host) and settings.allow_private != "yes" and not is_public(url.host):
        raise InvalidCallbackError("callback_url names an address that is not public.")
    return url


def allowed_ports(settings: WebhookSettings) -> list[int] | None:
    """Read the ports of the settings; None is any.

    Raises
    ------
    UsageError
        When they are no list of numbers.
    """
    if settings.ports == "any":
        return None
    try:
        ports = [int(port) for port in settings.ports.split(",")]
    except ValueError:
        raise UsageError("ONESCAN_WEBHOOKS__PORTS is neither `any` nor a list of ports.") from None
    return [*ports, HTTP_PORT] if settings.allow_http == "yes" else ports


def guarded_socket(settings: WebhookSettings) -> Callable[[Any], socket.socket]:
    """Give a maker of sockets, for aiohttp's connector, that refuses what is not public.

    It is called with the very address that is connected to next.
    """

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if settings.allow_private != "yes" and not is_public(str(address[0])):
            raise ForbiddenAddressError("The address is not public.")
        return socket.socket(family, kind, protocol)

    return make


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
