"""Whether an operator has suspended the intake, as a listener knows it without asking.

Read from PostgreSQL every second, so that a C-STORE needs no question to a busy database.
"""

from __future__ import annotations

import asyncio

import psycopg

from gateway.ending import end
from gateway.exceptions import IntakeSuspendedError
from gateway.log import get_logger
from gateway.store.database import Database
from gateway.store.suspensions import EVERYBODY, INTAKE, list_suspensions

LOOK_SECONDS = 1.0

log = get_logger("onescan.dimse")


class IntakeWatch:
    """The last look; what was seen stands while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._suspended: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, so that nothing is taken before, and go on looking."""
        await self._look()
        self._task = asyncio.create_task(self._run(), name="intake watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            await end(self._task)

    def refuse_when_suspended(self, tenant: str) -> None:
        """Refuse an instance of a tenant whose intake is suspended, or everybody's is.

        Raises
        ------
        IntakeSuspendedError
            The sender should try again.
        """
        if {EVERYBODY, tenant} & self._suspended:
            raise IntakeSuspendedError()

    async def _look(self) -> None:
        async with self._database.connection() as connection:
            rows = await list_suspensions(connection)
        suspended = frozenset(row["tenant"] for row in rows if row["what"] == INTAKE)
        if suspended != self._suspended:
            log.info(
                "onescan.dimse.intake",
                suspended=bool(suspended),
                everybody=EVERYBODY in suspended,
                tenants=sorted(suspended - {EVERYBODY}),
            )
        self._suspended = suspended

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except (psycopg.Error, TimeoutError) as error:
                log.warning("onescan.dimse.watch_blind", error=type(error).__name__)
