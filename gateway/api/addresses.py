"""Where a request comes from, and addresses that fail to say who they are."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from gateway.exceptions import TooManyFailuresError, UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FAILURES = 10
"""Wrong credentials that an address may send at once ..."""

FAILURES_PER_SECOND = 10 / 60
"""... and this many more as time goes by."""

REMEMBERED = 10_000
"""Addresses, and credentials that were right: some MB, whoever comes."""

PROXIED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
"""Headers of a request that somebody passed on."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks with commas between; raises UsageError."""
    try:
        return tuple(
            ipaddress.ip_network(item.strip(), strict=False)
            for item in text.split(",")
            if item.strip()
        )
    except ValueError as error:
        raise UsageError(f"ONESCAN_API__TRUSTED_PROXIES: {error}.") from None


def client_address(request: web.Request, trusted: tuple[Network, ...]) -> str:
    """Give the address of the client: the last one that no proxy of ours has.

    Only what a trusted proxy wrote into ``X-Forwarded-For`` is believed.
    """
    passed = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    address = request.remote or ""
    while _is_in(address, trusted) and passed and passed[-1].strip():
        address = passed.pop().strip()
    return address


def is_this_machine(request: web.Request) -> bool:
    """Tell whether a request comes from this machine and was not passed on by a proxy on it."""
    try:
        local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    return local and not any(name in request.headers for name in PROXIED)


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


class Failures:
    """Counts wrong credentials by address in bounded memory, in this process.

    An address that has sent too many is refused before anything is looked up, except for
    credentials that were right before: a hospital behind one address is not locked out by a
    neighbour's wrong key.

    Parameters
    ----------
    now : callable
        Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def check(self, address: str, credentials: bytes) -> None:
        """Refuse an address that has failed too often; raises TooManyFailuresError."""
        over = self._level(_block(address)) + 1 - FAILURES
        if over > 0 and credentials not in self._right:
            raise TooManyFailuresError(retry_after_seconds=over / FAILURES_PER_SECOND)

    def failed(self, address: str, credentials: bytes = b"") -> None:
        """Count a failure."""
        block = _block(address)
        self._levels[block] = (self._level(block) + 1, self._now())
        self._levels.move_to_end(block)
        self._right.pop(credentials, None)
        while len(self._levels) > REMEMBERED:
            self._levels.popitem(last=False)

    def succeeded(self, credentials: bytes) -> None:
        """Remember the digest of credentials that were right."""
        self._right[credentials] = None
        self._right.move_to_end(credentials)
        while len(self._right) > REMEMBERED:
            self._right.popitem(last=False)

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, block: str) -> float:
        level, at = self._levels.get(block, (0.0, 0.0))
        return max(0.0, level - (self._now() - at) * FAILURES_PER_SECOND)


def _block(address: str) -> str:
    """Give what one customer has of the internet: an IPv4 address, or 64 bits of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
