"""The one connection of a process that listens to the database, and whom it wakes.

Nothing is passed on from here but "look again": every reader goes on in the database from where
it was, so that a missed notification costs a moment and never an event.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
from aiohttp import web
from psycopg.rows import dict_row

from gateway.exceptions import OverloadedError
from gateway.log import get_logger
from gateway.metrics import EVENT_STREAMS
from gateway.store import events
from gateway.store.database import Connection

POLL_SECONDS = 3.0
"""A look without having been told to."""

RETRY_SECONDS = 1.0
"""Pause before the database is tried again."""

log = get_logger("onescan.api.hub")


class Subscription:
    """One reader's interest in a tenant's events, of one screening or of all."""

    def __init__(self, tenant: str, screening_id: UUID | None) -> None:
        self.tenant = tenant
        self.screening_id = screening_id
        self.changed = asyncio.Event()


class Hub:
    """Listens to the database and wakes subscriptions and the deliverer.

    Parameters
    ----------
    url : str
        Of the database.
    per_tenant : int
        Subscriptions that one tenant may have here.
    """

    def __init__(self, url: str, *, per_tenant: int) -> None:
        self.deliveries = asyncio.Event()
        """Set when a webhook is due."""

        self.closing = False
        """The process is ending, and so do its streams."""

        self._url = url
        self._per_tenant = per_tenant
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        self._seen = 0

    @contextmanager
    def subscribe(self, tenant: str, screening_id: UUID | None) -> Iterator[Subscription]:
        """Be woken by events until the end of the block.

        Raises
        ------
        OverloadedError
            When the tenant has as many subscriptions as it may have.
        """
        if self.closing:
            raise OverloadedError("The server is stopping; try again.")
        if len(self._subscriptions[tenant]) >= self._per_tenant:
            raise OverloadedError(f"At most {self._per_tenant} streams are kept open at once.")
        subscription = Subscription(tenant, screening_id)
        self._subscriptions[tenant].add(subscription)
        EVENT_STREAMS.inc()
        try:
            yield subscription
        finally:
            EVENT_STREAMS.dec()
            self._subscriptions[tenant].discard(subscription)
            if not self._subscriptions[tenant]:
                del self._subscriptions[tenant]

    @property
    def streams(self) -> int:
        """Subscriptions that are open here."""
        return sum(map(len, self._subscriptions.values()))

    def close(self) -> None:
        """Tell every stream to end."""
        self.closing = True
        self._wake_all()

    async def run(self) -> None:
        """Listen until cancelled, whatever the database does."""
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, row_factory=dict_row
                )
                async with connection:
                    await self._listen(connection)
            except psycopg.Error as error:
                log.warning("onescan.hub.database_away", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self, connection: Connection) -> None:
        await connection.execute(f"LISTEN {events.CHANNEL}")
        self._seen = await events.newest(connection)
        self._wake_all()
        self.deliveries.set()
        while True:
            await events.place(connection)
            moved, self._seen = await events.moved(connection, self._seen)
            self._wake(moved)
            async for notification in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                if notification.payload == "delivery":
                    self.deliveries.set()

    def _wake(self, moved: set[tuple[str, UUID]]) -> None:
        for tenant, screening_id in moved:
            for subscription in self._subscriptions.get(tenant, ()):
                if subscription.screening_id in (None, screening_id):
                    subscription.changed.set()

    def _wake_all(self) -> None:
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.changed.set()


HUB: web.AppKey[Hub] = web.AppKey("hub", Hub)
"""Listens as long as the application runs."""
