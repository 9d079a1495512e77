"""The one database of a process: a pool of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[DictRow]
"""A connection whose rows are dictionaries."""

OPEN_TIMEOUT_SECONDS = 30.0
"""An embedded server starts in under two seconds; a failover of a managed one takes some ten."""


class Database:
    """Connections to PostgreSQL, pooled.

    Parameters
    ----------
    url : str
        Connection string of libpq; a Unix-socket folder is given as ``?host=/folder``.
    size : int
        Connections kept at most.
    """

    def __init__(self, url: str, *, size: int = 8) -> None:
        self.url = url
        # A dead connection is found when it is taken, so a restart of PostgreSQL heals by itself.
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=size,
            open=False,
            kwargs={"row_factory": dict_row},
            check=AsyncConnectionPool.check_connection,
            name="onescan",
        )

    async def open(self) -> None:
        """Open the pool and wait for its first connection.

        Raises
        ------
        psycopg_pool.PoolTimeout
            When the server is not reached within `OPEN_TIMEOUT_SECONDS`.
        """
        await self._pool.open(wait=True, timeout=OPEN_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; commits at the end of the block, rolls back on an exception."""
        async with self._pool.connection() as connection:
            yield connection

    async def __aenter__(self) -> Database:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
