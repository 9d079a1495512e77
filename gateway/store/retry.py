"""Writes that survive a restart of PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from gateway.exceptions import StoreUnavailableError
from gateway.store.database import Connection, Database

FIRST_DELAY_SECONDS = 0.1
LAST_DELAY_SECONDS = 2.0

log = logging.getLogger("onescan.store")

T = TypeVar("T")


async def persist(
    database: Database,
    operation: Callable[[Connection], Awaitable[T]],
    *,
    patience_seconds: float = 60.0,
) -> T:
    """Run an operation in a transaction, again whenever the connection is lost.

    The operation must be harmless when repeated, for a commit whose answer was lost.

    Raises
    ------
    StoreUnavailableError
        When the database stays away for longer than the patience.
    """
    deadline = time.monotonic() + patience_seconds
    delay = FIRST_DELAY_SECONDS
    while True:
        try:
            async with database.connection() as connection:
                return await operation(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if time.monotonic() + delay > deadline:
                raise StoreUnavailableError() from error
            log.warning("onescan.store.away error=%s", type(error).__name__)
        await asyncio.sleep(delay)
        delay = min(2 * delay, LAST_DELAY_SECONDS)
