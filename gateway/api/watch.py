"""What a process knows of the deployment without asking for it: suspensions, and who waits.

Read from PostgreSQL every second, so a refusal needs no question to a busy database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import psycopg
from aiohttp import web

from gateway.exceptions import OverloadedError
from gateway.log import get_logger
from gateway.store.database import Database
from gateway.store.suspensions import EVERYBODY, INTAKE, list_suspensions

__all__ = ["INTAKE", "WATCH", "Watch", "run_watch"]

LOOK_SECONDS = 1.0

STAT_SHARE = 2
"""The stat lane may wait when the others fill the queue; with this many times the bound, nobody."""

log = get_logger("onescan.api.watch")


class Watch:
    """The last look.

    Parameters
    ----------
    queue_limit : int
        Screenings that may wait.
    """

    def __init__(self, queue_limit: int) -> None:
        self._queue_limit = queue_limit
        self._suspended: frozenset[tuple[str, str]] = frozenset()
        self._waiting: Mapping[str, int] = {}

    def is_suspended(self, tenant: str, what: str) -> bool:
        """Tell whether intake or a lane is suspended for a tenant."""
        return bool({(EVERYBODY, what), (tenant, what)} & self._suspended)

    def refuse_when_full(self, lane: str) -> None:
        """Refuse a screening when too many wait.

        Raises
        ------
        OverloadedError
        """
        bound = self._queue_limit * (STAT_SHARE if lane == "stat" else 1)
        if sum(self._waiting.values()) >= bound:
            raise OverloadedError("Too many screenings are waiting; try again.")

    async def look(self, database: Database) -> None:
        """Look once."""
        async with database.connection() as connection:
            rows = await list_suspensions(connection)
            cursor = await connection.execute(
                "SELECT lane, count(*) AS number FROM screenings"
                " WHERE state IN ('accepted', 'running') AND state = 'accepted' GROUP BY lane"
            )
            waiting = await cursor.fetchall()
        self._suspended = frozenset((row["tenant"], row["what"]) for row in rows)
        self._waiting = {row["lane"]: row["number"] for row in waiting}


WATCH: web.AppKey[Watch] = web.AppKey("watch", Watch)
"""That of the process."""


async def run_watch(watch: Watch, database: Database) -> None:
    """Look every second until cancelled; what was seen last stands while the database is away."""
    while True:
        try:
            await watch.look(database)
        except (psycopg.Error, TimeoutError) as error:
            log.warning("onescan.watch.database_away", error=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
