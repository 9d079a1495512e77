"""Requests of this minute, taken from PostgreSQL a few at a time.

All processes together never let more through than the tenant's limit. A process leases a
fiftieth of it at once, so one request in that many asks the database; what it does not use
before the minute ends is lost to the others, two per cent of the limit a process at most
(decision record: quotas).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.store.database import Database
from gateway.store.usage import counting, lease_requests

SHARE = 50
"""One lease is this part of the limit ..."""

LARGEST_LEASE = 100
"""... and no more than that."""


@dataclass(slots=True)
class Lease:
    """What a process has of one tenant's minute."""

    limit: int
    left: int = 0
    unclaimed: int = 0
    """Nobody's yet, when the last lease was taken."""

    ends_at: float = 0.0
    spent: bool = False
    """The limit was reached; nothing comes before the next minute."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether a request may go on, for the headers of its answer."""

    allowed: bool
    remaining: int
    reset_seconds: float


class RequestLeases:
    """The leases of one process.

    Parameters
    ----------
    now : callable
        Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._leases: dict[str, Lease] = {}

    async def take(self, database: Database, tenant: str, limit: int) -> Taken:
        """Take one request of a tenant's minute."""
        lease = self._leases.get(tenant)
        if lease is None or lease.limit != limit:
            lease = self._leases[tenant] = Lease(limit)
        if self._now() >= lease.ends_at or (lease.left == 0 and not lease.spent):
            async with lease.lock:
                await self._renew(database, tenant, lease)
        allowed = lease.left > 0
        if allowed:
            lease.left -= 1
        return Taken(allowed, lease.left + lease.unclaimed, max(0.0, lease.ends_at - self._now()))

    async def _renew(self, database: Database, tenant: str, lease: Lease) -> None:
        over = self._now() >= lease.ends_at
        if not over and (lease.left > 0 or lease.spent):
            return  # whoever waited before us did it
        wanted = max(1, min(lease.limit // SHARE, LARGEST_LEASE))
        async with counting(database) as connection:
            grant = await lease_requests(connection, tenant, lease.limit, wanted)
        ended = self._now() >= lease.ends_at
        lease.left = grant.granted + (0 if ended else lease.left)
        lease.spent = grant.granted == 0
        lease.unclaimed = max(0, lease.limit - grant.used)
        lease.ends_at = self._now() + grant.reset_seconds
