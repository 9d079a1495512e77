"""What the commands on keys, tenants and the audit log share."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import psycopg

from gateway.exceptions import StoreUnavailableError
from gateway.settings import Settings
from gateway.store.database import Connection

T = TypeVar("T")


def on_database(settings: Settings, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run some work in one transaction of the deployment's database.

    Raises
    ------
    StoreUnavailableError
        When an external database cannot be reached.
    """
    from gateway.runtime.database import reached

    async def run() -> T:
        async with reached(settings) as connection:
            return await work(connection)

    try:
        return asyncio.run(run())
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(f"The database: {error}") from None


def actor() -> str:
    """Name the person at the terminal, for the audit log."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"


def when(at: datetime | None, absent: str) -> str:
    """Write a time to the minute."""
    return at.strftime("%Y-%m-%d %H:%M") if at is not None else absent


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row of the database as JSON takes it."""
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else value
        if isinstance(value, (int, float, str, list, type(None)))
        else str(value)
        for name, value in row.items()
    }
