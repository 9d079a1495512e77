"""The database that a command works on: DATABASE_URL, or the embedded server's of the home."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from gateway.exceptions import UsageError
from gateway.runtime.home import Home
from gateway.runtime.postgres import EmbeddedPostgres
from gateway.settings import Settings
from gateway.store.database import Connection
from gateway.store.migrate import migrate
from gateway.store.schema import is_current


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[Connection]:
    """Lend one connection, committed at the end; an embedded server that is down is started for it.

    Raises
    ------
    UsageError
        When an external database lacks this version's schema.
    RuntimeFailure
        When the embedded server cannot be reached or started.
    """
    if settings.store.database_url:
        async with _connected(settings.store.database_url) as connection:
            yield connection
        return
    home = Home(settings.home)
    server = EmbeddedPostgres(home)
    if url := await server.running():
        async with _connected(url) as connection:
            yield connection
        return
    with home.lock():
        try:
            url = await server.start()
            await asyncio.to_thread(migrate, url)
            async with _connected(url) as connection:
                yield connection
        finally:
            await server.stop()


@asynccontextmanager
async def reached_url(settings: Settings) -> AsyncIterator[str]:
    """Give the address of the database that `reached` reaches, for work on several connections."""
    async with reached(settings) as connection:
        await connection.rollback()
        if settings.store.database_url:
            yield settings.store.database_url
        else:
            url = await EmbeddedPostgres(Home(settings.home)).running()
            assert url is not None
            yield url


@asynccontextmanager
async def served_url(settings: Settings) -> AsyncIterator[str]:
    """Give the address of the database as it is, whatever its schema.

    An embedded server that is down is started for it.

    Raises
    ------
    RuntimeFailure
        When the embedded server cannot be reached or started.
    UsageError
        When there is neither an address nor an embedded server's data.
    """
    if settings.store.database_url:
        yield settings.store.database_url
        return
    if not (settings.home / "postgres").is_dir():
        raise UsageError(f"DATABASE_URL is not set, and {settings.home} has no database.")
    home = Home(settings.home)
    server = EmbeddedPostgres(home)
    if url := await server.running():
        yield url
        return
    with home.lock():
        try:
            yield await server.start()
        finally:
            await server.stop()


async def database_url(settings: Settings) -> str:
    """Give the address of the database of a deployment that runs.

    Raises
    ------
    UsageError
        When none is named and no embedded server runs on the home.
    """
    url = settings.store.database_url or await EmbeddedPostgres(Home(settings.home)).running()
    if not url:
        raise UsageError("DATABASE_URL is not set, and no server runs on this home.")
    return url


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    connection: Connection = await AsyncConnection.connect(url, row_factory=dict_row)
    async with connection:
        if not await is_current(connection):
            raise UsageError("The database lacks this version's schema; run `onescan migrate`.")
        await connection.commit()
        yield connection
